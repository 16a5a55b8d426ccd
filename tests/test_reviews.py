"""Verdicts: their table, and the labels and thresholds that follow from them."""

from __future__ import annotations

import itertools
import resource
import signal

import numpy as np
import pytest
from conftest import invoke
from scipy.stats import binomtest

from sedmtl.events import Event
from sedmtl.inference.identity import network_name, run_of
from sedmtl.inference.runs import find_run
from sedmtl.review.choice import N_BANDS, bands
from sedmtl.review.labels import Change, correct
from sedmtl.review.precision import estimate, refit, refit_classes, wilson
from sedmtl.review.relabel import read_thresholds
from sedmtl.review.verdicts import COLUMNS, Review, Snippet, open_reviews, read_reviews, standing
from sedmtl.runtime.errors import SedmtlError

CLOCK = itertools.count()


def snippet(filename="a.wav", label="bird", onset_s=1.0, offset_s=2.0, **facts):
    return Snippet(filename, label, onset_s, offset_s, **{"score": 0.5, "run": "r", **facts})


def whole(filename="a.wav", label="bird", **facts):
    return snippet(filename, label, None, None, **facts)


def said(verdict, about=None, heard="", span=(None, None)):
    about = about or snippet()
    if verdict == "yes":
        heard, span = about.label, span if span[0] else (about.onset_s, about.offset_s)
    time = f"2026-11-30T10:53:31.{next(CLOCK):03}Z"
    return Review(about, verdict, heard, *span, "me", time)


def add(path, *reviews):
    with open_reviews(path) as table:
        table.add(reviews)


# The table.


def test_a_table_gives_back_what_was_added_to_it(tmp_path):
    odd = snippet('dir/a "b".wav', "bird, small", score=0.25, run="x/y", by="class", of_band=7)
    given = [said("yes", odd, span=(0.5, 2.25)), said("other", whole(), "rain"), said("unsure")]
    add(tmp_path / "t.tsv", *given[:1])
    add(tmp_path / "t.tsv", *given[1:])
    assert read_reviews(tmp_path / "t.tsv") == given


def test_the_last_verdict_counts_and_undo_reverts_one():
    first, other, last = said("yes"), said("no", snippet("b.wav")), said("no")
    lines = [first, other, last]
    assert standing(lines) == [other, last]
    lines += [said("undo")]
    assert standing(lines) == [first, other]
    assert standing([*lines, said("undo"), said("undo")]) == [other]


def test_a_table_cut_off_anywhere_keeps_every_complete_line(tmp_path):
    path = tmp_path / "t.tsv"
    first, second, third = said("yes"), said("no", snippet("ü.wav")), said("unsure")
    add(path, first, second)
    content = path.read_bytes()
    begin = content.index(b"\n", content.index(b"\n") + 1) + 1
    for n_bytes in range(len(content)):
        path.write_bytes(content[:n_bytes])
        add(path, third)
        is_whole = n_bytes == len(content) - 1  # only the last line break is missing
        kept = [first] * (n_bytes >= begin - 1) + [second] * is_whole
        assert read_reviews(path) == [*kept, third], n_bytes


def test_a_line_that_arrives_twice_is_added_once(tmp_path):
    given = said("yes")
    add(tmp_path / "t.tsv", given)
    add(tmp_path / "t.tsv", given, said("no"))
    assert len(read_reviews(tmp_path / "t.tsv")) == 2


def test_a_write_that_failed_leaves_nothing_and_can_be_repeated(tmp_path):
    """A limit on file sizes simulates a disk that is full after half a line."""
    path, first, second = tmp_path / "t.tsv", said("yes"), said("no")
    add(path, first)
    content = path.read_bytes()
    with open_reviews(path) as table:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) + 20, limits[1]))
        try:
            with pytest.raises(SedmtlError, match="cannot write"):
                table.add([second])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_bytes() == content
        table.add([second])
    assert read_reviews(path) == [first, second]


def test_a_duplicate_line_is_reverted_by_one_undo():
    first, second = said("yes"), said("no")
    assert standing([first, second, second, said("undo")]) == [first]


def test_verdicts_of_merged_tables_count_in_order_of_time():
    first, undo, second = said("yes"), said("undo"), said("no", snippet("b.wav"))
    assert standing([second, undo, first]) == [second]
    early, late = said("no"), said("yes")
    assert standing([late, early]) == [late]


def test_a_wrong_line_is_named_and_nothing_is_lost(tmp_path):
    path = tmp_path / "t.tsv"
    add(path, said("yes"), said("no", snippet("b.wav")))
    content = path.read_text().replace("\tyes\t", "\tmaybe\t")
    path.write_text(content)
    with pytest.raises(SedmtlError, match=r"line 2 is not a verdict .*'maybe'"):
        add(path, said("no"))
    assert path.read_text() == content


def test_a_table_of_another_version_is_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("\t".join(COLUMNS[:-1]) + "\n")
    with pytest.raises(SedmtlError, match="of another version"):
        add(path, said("no"))


def test_two_processes_cannot_add_to_one_table(tmp_path):
    with open_reviews(tmp_path / "t.tsv"), pytest.raises(SedmtlError, match="in use by another"):
        add(tmp_path / "t.tsv", said("no"))


# Labels.


def test_a_yes_adds_the_label_and_another_class_adds_that():
    reviews = [said("yes", whole()), said("other", whole(label="dog"), "fox")]
    found = correct({"a.wav": ["rain"]}, reviews)
    assert found.labels == {"a.wav": ["rain", "bird", "fox"]}
    assert found.changes == [Change("a.wav", "bird", True), Change("a.wav", "fox", True)]


def test_a_no_about_the_whole_recording_removes_the_label():
    found = correct({"a.wav": ["bird", "rain"], "b.wav": ["bird"]}, [said("no", whole())])
    assert found.labels == {"a.wav": ["rain"], "b.wav": ["bird"]}


@pytest.mark.parametrize("last", ["no", "unsure", "yes", "other"])
def test_a_label_is_removed_only_if_all_proposals_of_its_class_are_refused(last):
    proposals = [snippet(onset_s=s, offset_s=s + 1, of_class=2) for s in (1.0, 4.0)]
    first = said("no", proposals[0])
    assert correct({"a.wav": ["bird"]}, [first]).changes == []
    second = said(last, proposals[1], "rain" if last == "other" else "")
    labels = correct({"a.wav": ["bird"]}, [first, second]).labels["a.wav"]
    assert ("bird" in labels) == (last in ("unsure", "yes"))
    assert ("rain" in labels) == (last == "other")


def test_the_later_of_contradicting_verdicts_counts():
    yes, no = said("yes"), said("no", whole())
    assert correct({"a.wav": ["bird"]}, [yes, no]).labels["a.wav"] == []
    assert correct({"a.wav": ["bird"]}, [no, yes]).labels["a.wav"] == ["bird"]


def test_a_new_recording_is_labelled_when_all_its_proposals_are_judged():
    proposals = [snippet(onset_s=s, offset_s=s + 1, of_recording=2) for s in (1.0, 4.0)]
    half = correct({}, [said("no", proposals[0])])
    assert (half.labels, half.n_partly_heard) == ({}, 1)
    unsure = correct({}, [said("no", proposals[0]), said("unsure", proposals[1])])
    assert (unsure.labels, unsure.n_partly_heard) == ({}, 1)
    assert correct({}, [said("no", each) for each in proposals]).labels == {"a.wav": []}
    found = correct({}, [said("no", proposals[0]), said("yes", proposals[1])])
    assert found.labels == {"a.wav": ["bird"]}
    assert found.events == {"a.wav": [Event("bird", 4.0, 5.0)]}


def test_events_are_strong_labels_only_if_each_label_has_one():
    reviews = [said("yes", span=(1.25, 1.5))]
    assert correct({"a.wav": ["bird"]}, reviews).events == {"a.wav": [Event("bird", 1.25, 1.5)]}
    assert correct({"a.wav": ["bird", "rain"]}, reviews).events == {}
    of_two = [said("yes", snippet(of_recording=2))]
    assert correct({"a.wav": ["bird"]}, of_two).events == {}


# Precision.


@pytest.mark.parametrize(("n_right", "n"), [(0, 5), (18, 20), (113, 120), (7, 7)])
def test_the_interval_is_wilsons(n_right, n):
    expected = binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson(n_right / n, n) == pytest.approx(tuple(expected), abs=1e-6)


def test_precision_is_that_of_all_proposals_though_bands_are_heard_unequally():
    """All of one band and a tenth of the other are heard."""
    score = np.array([0.25] * 10 + [0.85] * 10)
    right = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 9 + [0.0])
    weight = np.array([10.0] * 10 + [1.0] * 10)
    assert estimate(0.1, score, right, weight).precision == pytest.approx((20 + 9) / 110)
    above = estimate(0.5, score, right, weight)
    assert (above.precision, above.n_heard) == (pytest.approx(0.9), 10)


def test_the_interval_covers_the_precision_of_all_proposals():
    """300 draws of 12 proposals per band: at least 93 % of the intervals contain the truth."""
    rng = np.random.default_rng(0)
    score = rng.beta(1, 2, 5_000)
    right = (rng.random(5_000) < score).astype(float)
    band, truth = bands(score), right.mean()
    hits = 0
    for _ in range(300):
        rows = np.concatenate([
            rng.permutation(np.flatnonzero(band == number))[:12] for number in range(N_BANDS)
        ])  # fmt: skip
        weight = (np.bincount(band) / np.bincount(band[rows]))[band[rows]]
        found = estimate(0.0, score[rows], right[rows], weight)
        hits += found.low <= truth <= found.high
    assert hits >= 279


def test_the_threshold_of_the_best_f1_and_of_a_precision():
    score = np.linspace(0.105, 0.995, 90)
    right = (score > 0.4).astype(float)
    weight = np.ones(90)
    best = refit(score, right, weight)
    assert 0.395 <= best.threshold <= 0.405
    assert best.precision == 1
    sure = refit(score, right, weight, min_precision=0.8)
    assert sure.low >= 0.8
    lower = estimate(sure.threshold - 0.01, score, right, weight)
    assert lower.low < 0.8
    assert refit(score, right * 0, weight) is None
    assert refit(score, right * 0, weight, min_precision=0.5) is None


def test_thresholds_count_only_decided_random_snippets():
    def heard(by, verdict, score):
        about = snippet(onset_s=score, offset_s=9.0, by=by, score=score)
        return said(verdict, about)

    few = [heard("class", "yes", 0.5 + n / 100) for n in range(9)]
    ignored = [heard("uncertain", "no", 0.9), heard("class", "unsure", 0.8)]
    assert refit_classes([*few, *ignored], "r") == {"bird": (None, 9)}
    (found, n_heard) = refit_classes([*few, *ignored, heard("new", "no", 0.4)], "r")["bird"]
    assert n_heard == 10
    assert 0.4 < found.threshold < 0.5
    assert refit_classes(few, "another run") == {}


def test_each_pool_of_proposals_has_its_own_weight():
    """100 proposals of a band, of which 10 are heard, then 5 others, all heard."""
    first = [said("yes", snippet(f"{n}.wav", by="new", of_band=100)) for n in range(10)]
    later = [said("no", snippet(f"x{n}.wav", by="new", of_band=5)) for n in range(5)]
    for reviews in (first + later, later + first):
        found, n_heard = refit_classes(reviews, "r")["bird"]
        assert (found.precision, n_heard) == (pytest.approx(100 / 105), 15)


# The command.


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "data.yaml").write_text("corpus: {clips: {csv: clips.csv, root: audio}}\n")
    (tmp_path / "clips.csv").write_text(
        "filename,labels,place\na.wav,bird;rain,x\nd/b.wav,bird,y\n"
    )
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "new.wav").touch()
    return tmp_path


def relabel(folder, *options):
    return invoke(["relabel", "--config", str(folder / "data.yaml"), *options])


def test_relabel_shows_the_changes_and_writes_new_tables_beside_the_old(clips):
    before = (clips / "clips.csv").read_bytes()
    add(
        clips / "reviews.tsv",
        said("no", whole("a.wav")),
        said("yes", snippet("elsewhere/b.wav")),  # by its unique name
        said("no", snippet("new.wav")),
        said("yes", snippet("nowhere.wav")),
        said("yes", snippet("part.wav", of_recording=3)),
    )
    result = relabel(clips)
    assert result.exit_code == 0, result.output
    assert "- bird\ta.wav" in result.stdout
    assert "2 recordings not added: not below" in result.stdout
    assert (clips / "clips.csv").read_bytes() == before
    assert (clips / "clips_reviewed.csv").read_text() == (
        "filename,labels,place\na.wav,rain,x\nd/b.wav,bird,y\nnew.wav,,\n"
    )
    assert (clips / "strong_reviewed.tsv").read_text() == (
        "filename\tonset\toffset\tevent_label\nd/b.wav\t1.000\t2.000\tbird\n"
    )
    # Again from the corrected table: nothing to do, and nothing is overwritten.
    yaml = (clips / "data.yaml").read_text().replace("clips.csv", "clips_reviewed.csv")
    (clips / "data.yaml").write_text(yaml)
    again = relabel(clips)
    assert "clips_reviewed.csv: 2 recordings not added" in again.stdout
    assert not (clips / "clips_reviewed2.csv").exists()
    add(clips / "reviews.tsv", said("yes", whole("a.wav")))
    assert "clips_reviewed2.csv" in relabel(clips).stdout


def test_relabel_keeps_existing_strong_labels(clips):
    """For a class whose label stays; verified events of another class are added."""
    yaml = "corpus: {clips: {csv: clips.csv, root: audio, strong: s.tsv}}\n"
    (clips / "data.yaml").write_text(yaml)
    header = "filename\tonset\toffset\tevent_label\n"
    known = "d/b.wav\t0.500\t1.500\tbird\nd/b.wav\t7.000\t8.000\tbird\n"
    (clips / "s.tsv").write_text(header + known)
    name = "d/b.wav"
    proposals = [snippet(name, of_recording=2), snippet(name, "fox", 3.0, 4.0, of_recording=2)]
    add(clips / "reviews.tsv", *(said("yes", each) for each in proposals))
    assert relabel(clips).exit_code == 0
    found = (clips / "s_reviewed.tsv").read_text()
    assert found == header + known + "d/b.wav\t3.000\t4.000\tfox\n"


def test_a_verdict_is_about_the_recording_of_its_path_not_of_its_file_name(clips):
    """The table has one of two recordings with the same file name."""
    (clips / "audio" / "e").mkdir()
    (clips / "audio" / "e" / "b.wav").touch()
    add(clips / "reviews.tsv", said("no", snippet("e/b.wav")), said("yes", snippet("./a.wav")))
    result = relabel(clips)
    assert "1 recording added" in result.stdout, result.output
    assert (clips / "clips_reviewed.csv").read_text() == (
        "filename,labels,place\na.wav,bird;rain,x\nd/b.wav,bird,y\ne/b.wav,,\n"
    )


def test_a_recording_elsewhere_is_not_taken_for_one_of_its_file_name(clips):
    for name in ("field/b.wav", "nowhere/b.wav"):
        add(clips / "reviews.tsv", said("no", whole(name)))
    (clips / "field").mkdir()
    (clips / "field" / "b.wav").touch()
    result = relabel(clips)
    assert "1 label removed, 1 recording not added: not below" in result.stdout


def test_relabel_overwrites_none_of_the_users_files(clips, one_sentence):
    add(clips / "reviews.tsv", said("no", whole("a.wav")))
    (clips / "clips_reviewed.csv").write_text("mine")
    one_sentence(relabel(clips), "clips_reviewed.csv was not written by sedmtl")
    assert (clips / "clips_reviewed.csv").read_text() == "mine"


def test_relabel_needs_verdicts(clips, one_sentence):
    one_sentence(relabel(clips), "no verdicts in", "sedmtl review")


def test_relabel_prints_thresholds_in_words_and_writes_them(tmp_path):
    add(
        tmp_path / "reviews.tsv",
        *(
            said("yes" if n > 10 else "no", snippet(onset_s=n, offset_s=n + 1.0, score=n / 100,
                 by="class", of_recording=99))
            for n in range(5, 60)
        ),
    )  # fmt: skip
    result = invoke(["relabel", "--reviews", str(tmp_path / "reviews.tsv")])
    assert "  bird 0.11: 100 % of events are right, 93–100, by 49 verdicts" in result.stdout
    ((label, threshold),), network = read_thresholds(tmp_path / "thresholds_r.tsv")
    assert network == "r"
    assert (label, threshold) == ("bird", pytest.approx(0.105, abs=1e-4))
    # A precision of 100 % is never certain, so the run's thresholds would be kept.
    result = invoke(["relabel", "--reviews", str(tmp_path / "reviews.tsv"), "--min-precision", "1"])
    assert (
        "bird stays: with 55 of its events heard, no threshold is sure to reach 1" in result.stdout
    )
    assert not (tmp_path / "thresholds_r.tsv").exists()


def test_thresholds_are_those_of_the_network_that_was_heard_last(tmp_path):
    """A run retrained under its name gives other scores; labels use all verdicts."""
    old, new = "r@0123abcd", "r@4567abcd"
    events = [
        snippet(f"{n}.wav", score=0.5, run=run, by="class")
        for run, n_first in ((old, 0), (new, 20))
        for n in range(n_first, n_first + 12)
    ]
    add(tmp_path / "t.tsv", *(said("no" if e.run == old else "yes", e) for e in events))
    result = invoke(["relabel", "--reviews", str(tmp_path / "t.tsv")])
    assert "bird 0.50: 100 % of events are right, 76–100, by 12 verdicts" in result.stdout
    assert "not counted here: 12 verdicts on events" in result.stdout
    assert read_thresholds(tmp_path / "thresholds_r.tsv")[1] == new


def test_verdicts_of_earlier_versions_do_not_name_their_network(tmp_path):
    events = [
        snippet(f"{n}.wav", score=0.5, run="r@0123abcd" if n < 12 else "r", by="class")
        for n in range(15)
    ]
    add(tmp_path / "t.tsv", *(said("yes", event) for event in events))
    result = invoke(["relabel", "--reviews", str(tmp_path / "t.tsv")])
    assert "by 12 verdicts" in result.stdout
    assert "not counted here: 3 verdicts from an earlier version" in result.stdout
    assert "retrained" not in result.stdout
    assert read_thresholds(tmp_path / "thresholds_r.tsv")[1] == "r@0123abcd"


def test_thresholds_are_warned_about_if_scores_differ(trained, tmp_path):
    """With another network, or the same one with the user's median filter."""
    network = network_name(find_run(trained.work / "runs", None))
    wav = min((trained.work / "mixtures" / "snr_20").glob("*.wav"))

    def warnings(fitted_to, *options):
        table = tmp_path / "thresholds.tsv"
        table.write_text(f"event_label\tthreshold\trun\ntone_300\t0.5\t{fitted_to}\n")
        result = trained.run("predict", wav, "--thresholds", table, "--out", tmp_path, *options)
        return [line for line in result.stderr.splitlines() if line.startswith("warning")]

    assert warnings(network) == []
    assert warnings(run_of(network)) == [], "an earlier version's: it may be this very network"
    (other,) = warnings("another")
    assert "scores of another" in other
    (other,) = warnings(f"{run_of(network)}@01234567")
    assert f"found {network}: their precision does not hold here" in other
    (filtered,) = warnings(network, "--median", 0.2)
    assert "were fitted without --hysteresis, --median" in filtered


def test_predict_refuses_invalid_thresholds(tmp_path, one_sentence):
    table = tmp_path / "thresholds.tsv"
    table.write_text("event_label\tthreshold\nbird\thigh\n")
    result = invoke(["predict", "a.wav", "--thresholds", str(table)])
    one_sentence(result, "expected a threshold from 0 to 1, found 'high' for bird")
