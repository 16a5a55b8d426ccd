"""The page of a clip in a browser, as users open it: from a file, with keys and pointer.

Skipped if Chromium and its driver are not installed.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from views import N_FRAMES, N_MELS, inspection_of, view_of

from sedmtl.events import Detection, Event
from sedmtl.report import figures as plots
from sedmtl.report.clip_page import Clip, clip_page

pytestmark = pytest.mark.slow

LONG = tuple(f"Very_long_name_of_a_class_{i}_with_an_end" for i in range(8))
DETECTED = [Detection(LONG[1], 2.5, 2.75, 0.75), Detection(LONG[3], 3.25, 4.5, 0.5)]
TRUTH = [Event(LONG[3], 3.0, 4.0)]
VIEW = view_of(inspection_of(8, names=LONG))
SHOWN = [name for name, _ in VIEW.inspection.ranking()]


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    rng = np.random.default_rng(0)
    clip = Clip("a <b>.wav", VIEW, rng.normal(size=24_000).astype("f4"), 8_000, DETECTED, TRUTH)
    path = tmp_path_factory.mktemp("page") / "clip.html"
    path.write_text(clip_page(clip), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(driver, address):
    """The page, freshly loaded on a desktop with a light theme."""
    see(driver, 1280, "light")
    driver.get(address)
    return driver


def see(driver, width, scheme):
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def press(page, *keys):
    ActionChains(page).send_keys(*keys).perform()


def readout(page):
    return page.find_element(By.ID, "readout").text


def playhead_s(page):
    """The position of the playhead over the maps."""
    share = page.execute_script(
        "const line = document.querySelector('.playhead').getBoundingClientRect();"
        "const area = document.querySelector('.area').getBoundingClientRect();"
        "return (line.left + line.width / 2 - area.left) / area.width"
    )
    return 2 + 3 * share


def is_playing(page):
    return not page.execute_script("return document.getElementById('audio').paused")


def wait(page, condition):
    return WebDriverWait(page, 10, poll_frequency=0.05).until(lambda _: condition())


def area_of(page, name):
    return page.find_element(By.CSS_SELECTOR, f".area[data-map='{name}']")


def values_of(name):
    """The map that an area shows, from the inspection: (T, n)."""
    kind, _, place = name.partition(" ")
    values = getattr(VIEW.inspection, kind)
    if place:
        values = values[VIEW.inspection.classes.index(SHOWN[int(place)])]
    return values.reshape(N_FRAMES, -1)


def check_readout(text, name):
    """Check that a read-out shows the inspection's value at its time and frequency."""
    found = re.match(r"([\d.]+) s · (?:([\d,]+) Hz · )?.*: (-?[\d.e-]+) ?(σ|score|weight)$", text)
    assert found, text
    time_s, hz, value, _ = found.groups()
    values = values_of(name)
    frame = np.searchsorted(VIEW.inspection.frame_edges_s, float(time_s)) - 1
    row = 0
    if values.shape[1] > 1:
        row = int(np.argmin(np.abs(VIEW.inspection.mel_hz - float(hz.replace(",", "")))))
    # The read-out has three digits.
    assert float(value) == pytest.approx(float(values[frame, row]), rel=0.006, abs=1e-4)
    return float(time_s), row


def test_it_opens_from_a_file_without_an_error(page):
    assert page.get_log("browser") == []
    assert page.title == "a <b>.wav · sedmtl"
    assert page.find_element(By.TAG_NAME, "h1").text == "a <b>.wav"
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_the_audio_is_as_long_as_the_clip(page):
    wait(page, lambda: page.execute_script("return audio.readyState >= 1"))
    assert page.execute_script("return audio.duration") == pytest.approx(3.0)


def test_space_plays_and_pauses_and_the_playhead_follows(page):
    assert playhead_s(page) == pytest.approx(2.0, abs=0.01)
    press(page, Keys.SPACE)
    wait(page, lambda: playhead_s(page) > 2.2)
    press(page, Keys.SPACE)
    assert not is_playing(page)
    heard_s = page.execute_script("return document.getElementById('audio').currentTime")
    wait(page, lambda: abs(playhead_s(page) - 2 - heard_s) < 0.01)
    assert page.get_log("browser") == []


def test_arrows_move_the_playhead_by_a_tenth_or_a_frame(page):
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert playhead_s(page) == pytest.approx(2.2, abs=0.01)
    press(page, Keys.ARROW_LEFT)
    assert playhead_s(page) == pytest.approx(2.1, abs=0.01)
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    assert float(readout(page).split()[0]) == pytest.approx(2.1 + 2.9 / N_FRAMES, abs=0.001)
    press(page, *[Keys.ARROW_LEFT] * 5)
    assert playhead_s(page) == pytest.approx(2.0, abs=0.01)


def test_home_and_end_go_to_the_ends_of_the_audio(page):
    page.execute_script("arguments[0].focus()", area_of(page, "logmel"))
    press(page, Keys.END)
    assert playhead_s(page) == pytest.approx(5.0, abs=0.01)
    press(page, Keys.HOME)
    assert playhead_s(page) == pytest.approx(2.0, abs=0.01)


def test_keys_read_the_values_of_a_map(page):
    area = area_of(page, "mel_attention 1")
    page.execute_script("arguments[0].focus()", area)
    press(page, *[Keys.ARROW_RIGHT] * 3)
    time_s, row = check_readout(readout(page), "mel_attention 1")
    assert (time_s, row) == (pytest.approx(2.3), N_MELS // 2)
    press(page, Keys.ARROW_UP, Keys.ARROW_UP)
    assert check_readout(readout(page), "mel_attention 1")[1] == N_MELS // 2 + 2
    press(page, *[Keys.ARROW_DOWN] * 20)
    assert check_readout(readout(page), "mel_attention 1")[1] == 0
    assert area.get_attribute("aria-valuetext") == readout(page)


@pytest.mark.parametrize(
    "name", ["logmel", "reconstruction", "mel_attention 0", "frame 2", "time_attention 1"]
)
def test_hovering_reads_the_values_of_the_inspection(page, name):
    area = area_of(page, name)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    n_rows = values_of(name).shape[1]
    for x_share, y_share in ((-0.45, 0.4), (0.21, -0.4)):
        x, y = x_share * area.size["width"], y_share * area.size["height"]
        ActionChains(page).move_to_element_with_offset(area, int(x), int(y)).perform()
        time_s, row = check_readout(readout(page), name)
        assert time_s == pytest.approx(2 + 3 * (0.5 + x_share), abs=0.02)
        assert row == int(n_rows * (0.5 - y_share))


def test_a_click_goes_there(page):
    area = area_of(page, "logmel")
    ActionChains(page).move_to_element_with_offset(area, 100, 5).click().perform()
    expected_s = 2 + 3 * (0.5 + 100 / area.size["width"])
    assert playhead_s(page) == pytest.approx(expected_s, abs=0.02)


def test_maps_are_drawn_in_their_colours_the_right_way_up(page):
    pixels = page.execute_script(
        "const canvas = document.querySelector(\".area[data-map='logmel'] canvas\");"
        "const {width, height} = canvas;"
        "const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);"
        "return [width, height, Array.from(data)]"
    )
    assert pixels[:2] == [N_FRAMES, N_MELS]
    drawn = np.array(pixels[2]).reshape(N_MELS, N_FRAMES, 4)[::-1, :, :3]
    values = VIEW.inspection.logmel
    low, high = np.quantile(values, [0.005, 0.995])
    level = np.clip((values.T - low) / (high - low), 0, 1)
    table = plots.colours("magma").astype(int)
    np.testing.assert_allclose(drawn, table[np.round(255 * level).astype(int)], atol=8)


def test_choosing_a_class_shows_its_maps(page):
    shown = [name for name in SHOWN if name in SHOWN[:3] or name == LONG[3]]
    boxes = page.find_elements(By.CSS_SELECTOR, "fieldset input")
    assert [box.get_attribute("value") for box in boxes] == SHOWN
    assert [box.get_attribute("value") for box in boxes if box.is_selected()] == shown
    hidden = next(i for i, box in enumerate(boxes) if not box.is_selected())
    assert not area_of(page, f"frame {hidden}").is_displayed()
    boxes[hidden].send_keys(Keys.SPACE)
    for kind in ("mel_attention", "frame", "time_attention"):
        area = area_of(page, f"{kind} {hidden}")
        assert area.is_displayed()
        assert area.find_element(By.TAG_NAME, "canvas").get_attribute("width") == str(N_FRAMES)
    assert not is_playing(page)
    boxes[hidden].click()
    assert not area_of(page, f"frame {hidden}").is_displayed()


def test_an_event_jumps_and_plays_to_its_end(page):
    first = page.find_element(By.CSS_SELECTOR, "button[data-onset]")
    assert LONG[1] in first.text
    assert "2.50 to 2.75 s" in first.text
    assert "0.75" in first.text
    first.send_keys(Keys.ENTER)
    assert playhead_s(page) >= 2.49
    wait(page, lambda: not is_playing(page))
    assert 2.74 < playhead_s(page) < 3.1


def test_events_are_listed_as_detected_and_as_true(page):
    lists = page.find_elements(By.CSS_SELECTOR, "ol.events")
    assert [len(each.find_elements(By.TAG_NAME, "button")) for each in lists] == [2, 1]
    outlined = area_of(page, f"frame {SHOWN.index(LONG[3])}").find_element(By.CLASS_NAME, "event")
    area = area_of(page, f"frame {SHOWN.index(LONG[3])}")
    assert outlined.rect["width"] == pytest.approx(area.rect["width"] / 3, abs=2)


def test_every_map_has_a_text_alternative(page):
    for area in page.find_elements(By.CLASS_NAME, "area"):
        assert area.get_attribute("role") == "slider"
        assert area.get_attribute("aria-label")
    names = [area.get_attribute("aria-label") for area in page.find_elements(By.CLASS_NAME, "area")]
    assert len(set(names)) == len(names)


def test_the_focus_can_be_seen_wherever_tab_goes(page):
    seen = set()
    for _ in range(30):
        press(page, Keys.TAB)
        element = page.switch_to.active_element
        if element.tag_name == "audio":  # drawn by the browser
            continue
        style, width = page.execute_script(
            "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth]",
            element,
        )
        assert style == "solid"
        assert float(width.removesuffix("px")) >= 2
        seen.add(element.get_attribute("class") or element.tag_name)
    assert {"button", "input", "area mel", "area"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_no_wider_than_the_screen(page, width, scheme):
    see(page, width, scheme)
    assert page.execute_script("return innerWidth") == width
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def luminance(rgb):
    """Relative luminance of WCAG 2.2."""
    share = np.array([int(level) for level in re.findall(r"\d+", rgb)[:3]]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_text_stands_out_in_light_and_dark(page, scheme, is_dark):
    """By the ratio that WCAG 2.2 asks for (level AA, 4.5)."""
    see(page, 1280, scheme)
    colour = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = luminance(page.execute_script(colour, "body", "backgroundColor"))
    assert (paper < 0.1) == is_dark
    for selector in ("body", ".faint", "h1"):
        ink = luminance(page.execute_script(colour, selector, "color"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5


def test_padding_can_be_read_but_not_played(driver, tmp_path):
    inspection = inspection_of(2)
    inspection = type(inspection)(**{**vars(inspection), "duration_s": 1.0})
    clip = Clip("short.wav", view_of(inspection), np.ones(8_000, "f4"), 8_000, [], [])
    (tmp_path / "short.html").write_text(clip_page(clip), encoding="utf-8")
    see(driver, 1280, "light")
    driver.get((tmp_path / "short.html").as_uri())
    area = area_of(driver, "logmel")
    assert area.find_element(By.CLASS_NAME, "padding").rect["width"] == pytest.approx(
        area.rect["width"] * 2 / 3, abs=2
    )
    ActionChains(driver).move_to_element_with_offset(
        area, int(0.3 * area.size["width"]), 0
    ).click().perform()
    assert float(readout(driver).split()[0]) == pytest.approx(4.4, abs=0.01)
    assert playhead_s(driver) == pytest.approx(3.0, abs=0.01)


def test_the_pointer_is_read_while_the_audio_plays(page):
    area = area_of(page, "logmel")
    ActionChains(page).move_to_element_with_offset(area, 100, 5).perform()
    before = readout(page)
    press(page, Keys.SPACE)
    wait(page, lambda: playhead_s(page) > 2.2)
    assert readout(page) == before
    press(page, Keys.SPACE)


def test_a_screenshot_of_the_log_mel_is_not_blank(page):
    png = base64.b64decode(area_of(page, "logmel").screenshot_as_base64)
    assert len(png) > 2_000


def test_a_long_recording_scrolls_with_the_playhead_below_its_labels(driver, tmp_path):
    see(driver, 1280, "light")
    wave = np.random.default_rng(0).normal(size=24_000).astype("f4")
    view = replace(VIEW, n_windows=6)
    clip = Clip("long.wav", view, wave, 8_000, DETECTED, TRUTH, recording_s=99.0)
    (tmp_path / "long.html").write_text(clip_page(clip), encoding="utf-8")
    driver.get((tmp_path / "long.html").as_uri())
    assert "of 99.0 s" in driver.find_element(By.TAG_NAME, "header").text
    panels = driver.find_element(By.ID, "panels")
    places = (
        "const box = (s) => document.querySelector(s).getBoundingClientRect();"
        "const p = arguments[0]; return [p.scrollLeft, p.scrollWidth / p.clientWidth,"
        "box('.playhead').left - box('#panels').left, box('.label').left - box('#panels').left,"
        "document.documentElement.scrollWidth - innerWidth]"
    )
    scrolled, width, *_ = driver.execute_script(places, panels)
    assert scrolled == 0
    assert width > 4
    driver.find_element(By.CLASS_NAME, "area").click()
    press(driver, Keys.END)
    wait(driver, lambda: driver.execute_script(places, panels)[0] > 0)
    _, _, playhead, label, beyond = driver.execute_script(places, panels)
    assert 0 < playhead <= panels.size["width"] + 1
    assert label == pytest.approx(0, abs=1)
    assert beyond <= 0
