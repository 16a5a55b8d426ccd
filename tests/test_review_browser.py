"""The review page in a browser: with the server that saves, and from a file.

Skipped if Chromium and its driver are not installed.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from local_server import in_thread
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_page_browser import luminance, press, see, wait

from sedmtl.report.embedding import data_uri, sound
from sedmtl.report.figures import encode_map
from sedmtl.review import server as serving
from sedmtl.review.exhibit import Exhibit, Scores
from sedmtl.review.page import Session, review_page
from sedmtl.review.review import open_server
from sedmtl.review.verdicts import Snippet, open_reviews, read_reviews, standing

pytestmark = pytest.mark.slow

LONG = "Very_long_name_of_a_class_with_an_end"


def exhibit_of(label, filename="garden/a <b>.wav", onset_s=3.0, offset_s=4.0):
    rng = np.random.default_rng(0)
    waveform = rng.normal(size=40_000).astype("f4")
    picture = data_uri(encode_map(rng.random((12, 50)), 0, 1, "magma"), "image/png")
    snippet = Snippet(filename, label, onset_s, offset_s, 0.62, "run", "uncertain", 3, 2, 1)
    scores = Scores(2.0, 0.1, rng.random(50).astype("f4"), 0.5)
    return Exhibit(
        snippet, 1.0, 6.0, sound(waveform, 8_000, is_small=True), picture, (1.02, 5.98), scores,
        None if onset_s is None else (onset_s, offset_s),
    )  # fmt: skip


SESSION = Session(
    "test", "uncertain",
    [exhibit_of("rooster"), exhibit_of(LONG), exhibit_of("rain", "b.wav", None, None)],
    ["rooster", LONG, 'a "rain"\\ & <x>'], "me",
)  # fmt: skip


class Reviewing:
    """The page in a browser, and its table of verdicts."""

    def __init__(self, driver, path):
        self.driver, self.path = driver, path

    def press(self, *keys):
        press(self.driver, *keys)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def question(self):
        return self.find("#question").text

    def said(self):
        """The standing verdicts of the table."""
        return [(each.verdict, each.heard_label) for each in standing(read_reviews(self.path))]

    def lines(self, n):
        wait(self.driver, lambda: len(read_reviews(self.path)) >= n)
        return read_reviews(self.path)


PORTS = count(serving.PORT + 100)
"""A new port per server, because Chromium keeps its connection to the last one open."""


@pytest.fixture
def page(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "PORT", next(PORTS))
    see(driver, 1280, "light")
    session = replace(SESSION, name=str(tmp_path))
    with (
        open_reviews(tmp_path / "t.tsv") as table,
        open_server(session, table) as server,
        in_thread(server),
    ):
        driver.get(server.url)
        yield Reviewing(driver, tmp_path / "t.tsv")
        assert driver.get_log("browser") == []


@pytest.fixture
def file_page(driver, tmp_path):
    see(driver, 1280, "light")
    path = tmp_path / "page.html"
    path.write_text(review_page(replace(SESSION, name=str(tmp_path))), encoding="utf-8")
    driver.get(path.as_uri())
    return Reviewing(driver, path)


def test_each_key_gives_a_verdict_that_is_in_the_table_at_once(page):
    assert page.question() == "rooster, 3.00 to 4.00 s?"
    page.press("y")
    assert page.question() == f"{LONG}, 3.00 to 4.00 s?"
    page.press("n")
    assert page.question() == "rain anywhere in this recording?"
    page.press("u")
    lines = page.lines(3)
    assert [each.verdict for each in lines] == ["yes", "no", "unsure"]
    first = lines[0]
    assert first.snippet == SESSION.exhibits[0].snippet
    assert (first.heard_label, first.heard_onset_s, first.heard_offset_s) == ("rooster", 3.0, 4.0)
    assert first.reviewer == "me"
    assert page.find("#count").text == "3 of 3"
    assert "All snippets have a verdict" in page.find("#status").text


def test_undo_takes_the_last_verdict_back_and_returns_to_it(page):
    page.press("y", "n", "z")
    assert page.question().startswith(LONG)
    page.lines(3)
    assert page.said() == [("yes", "rooster")]
    page.press("z")
    assert page.question().startswith("rooster")
    page.lines(4)
    assert page.said() == []
    page.press("z")
    assert page.find("#status").text == "There is nothing to undo."


def test_another_class_is_chosen_and_named_in_the_table(page):
    page.press("o")
    assert page.driver.switch_to.active_element.get_attribute("id") == "class"
    assert "Choose the class" in page.find("#status").text
    page.press("a")  # in the list: the first class with this letter, not an onset
    page.press(Keys.ENTER)
    (line,) = page.lines(1)
    assert (line.verdict, line.heard_label) == ("other", 'a "rain"\\ & <x>')
    assert line.heard_onset_s == 3.0
    page.press("n")  # keys are verdicts again
    assert page.lines(2)[1].verdict == "no"


def test_keys_move_onset_and_offset(page):
    page.press("a", "a", "l", "K", "K")
    assert page.find("#times").text == "2.80 to 4.08 s"
    page.press("y")
    (line,) = page.lines(1)
    assert (line.heard_onset_s, line.heard_offset_s) == (2.8, 4.08)
    assert line.snippet.onset_s == 3.0


def test_edges_are_dragged_and_moved_as_sliders(page):
    width = page.find("#map").size["width"]
    ActionChains(page.driver).drag_and_drop_by_offset(
        page.find("#offset"), round(width / 5), 0
    ).perform()
    assert page.find("#times").text.startswith("3.00 to ")
    assert float(page.find("#offset").get_attribute("aria-valuenow")) == pytest.approx(5, abs=0.02)
    page.driver.execute_script("arguments[0].focus()", page.find("#onset"))
    page.press(Keys.ARROW_LEFT)
    assert page.find("#onset").get_attribute("aria-valuetext") == "2.90 seconds"
    assert page.question().startswith("rooster")  # elsewhere, an arrow would leave it


def test_a_whole_recording_has_times_only_if_they_were_marked(page):
    page.press(Keys.ARROW_LEFT)  # the last one
    page.press("y")
    (line,) = page.lines(1)
    assert (line.heard_label, line.heard_onset_s) == ("rain", None)
    page.press(Keys.ARROW_LEFT)
    page.press("s", "y")
    line = page.lines(2)[1]
    assert (line.heard_onset_s, line.heard_offset_s) == (1.1, 6.0)


def test_it_plays_replays_and_changes_speed(page):
    audio = "return document.getElementById('audio')"
    page.press("r")
    wait(page.driver, lambda: page.driver.execute_script(f"{audio}.currentTime") > 2.1)
    wait(page.driver, lambda: page.driver.execute_script(f"{audio}.paused"))
    assert 2.9 < page.driver.execute_script(f"{audio}.currentTime") < 3.4
    page.press("f", "f")
    assert page.driver.execute_script(f"{audio}.playbackRate") == 2
    page.press(Keys.SPACE)
    wait(page.driver, lambda: not page.driver.execute_script(f"{audio}.paused"))
    page.press(Keys.ARROW_RIGHT)
    assert page.driver.execute_script(f"{audio}.playbackRate") == 2


def test_a_reload_keeps_the_verdicts(page):
    page.press("y", "n", "z")
    page.lines(3)
    page.driver.refresh()
    assert page.question().startswith(LONG)
    assert page.find("#count").text == "1 of 3"
    page.press("z")
    page.lines(4)
    assert page.said() == []


def test_verdicts_wait_until_the_server_answers_again(page):
    fetch = "window.fetch = () => Promise.reject(new TypeError('gone'))"
    page.driver.execute_script(f"window.kept = window.fetch; {fetch}")
    page.press("y")
    wait(page.driver, lambda: "1 not saved" in page.find("#trouble").text)
    page.driver.execute_script("window.fetch = window.kept")
    page.press("n")
    assert [each.verdict for each in page.lines(2)] == ["yes", "no"]
    wait(page.driver, lambda: page.find("#trouble").text == "")


def test_without_a_server_verdicts_stay_in_the_browser_and_become_a_file(file_page, tmp_path):
    driver = file_page.driver
    file_page.press("y", "n")
    driver.refresh()
    assert file_page.find("#count").text == "2 of 3"
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    file_page.find("[data-act=save]").click()
    saved = tmp_path / "reviews.tsv"
    wait(driver, saved.exists)
    assert [each.verdict for each in read_reviews(saved)] == ["yes", "no"]
    assert read_reviews(saved)[0].snippet == SESSION.exhibits[0].snippet


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_the_page_is_no_wider_than_the_screen(file_page, width, scheme):
    see(file_page.driver, width, scheme)
    file_page.press(Keys.ARROW_RIGHT)  # the long name
    assert file_page.driver.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(file_page, scheme):
    see(file_page.driver, 1280, scheme)
    colour = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    run = file_page.driver.execute_script
    paper = luminance(run(colour, "body", "backgroundColor"))
    for selector in ("body", ".faint", "#question"):
        ink = luminance(run(colour, selector, "color"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5


def test_everything_is_accessible_by_keyboard_and_screen_reader(file_page):
    names = set()
    for _ in range(25):
        file_page.press(Keys.TAB)
        element = file_page.driver.switch_to.active_element
        names.add(element.accessible_name)
        if element.tag_name in ("button", "select"):
            width = element.value_of_css_property("outline-width")
            assert float(width.removesuffix("px")) >= 2
    assert {"Onset", "Offset", "No, but", "Y Yes", "Z Undo"} <= names
    assert file_page.find("#status").get_attribute("aria-live") == "polite"
    assert "threshold 0.50" in file_page.find("#curve-title").get_attribute("textContent")
    file_page.driver.execute_script("document.activeElement.blur()")
    file_page.press(Keys.ARROW_RIGHT)
    assert file_page.find("#status").text == f"2 of 3: {LONG}, 3.00 to 4.00 s?"
