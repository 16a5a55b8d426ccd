"""`sedmtl review`: what it chooses, writes and refuses."""

from __future__ import annotations

import json
import re

import pytest
from conftest import invoke

from sedmtl.config import load_config
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.runs import find_run
from sedmtl.review.page import review_page
from sedmtl.review.review import ReviewOptions, _sources, open_server, prepare
from sedmtl.review.verdicts import COLUMNS, open_reviews, read_reviews
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import read_scores


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.yaml").write_text("workdir: work\n")
    return tmp_path


@pytest.fixture(scope="module")
def wavs(trained):
    return trained.work / "mixtures" / "snr_20"


def review(folder, trained, *arguments):
    run = find_run(trained.work / "runs", None)
    config = ["--config", str(folder / "data.yaml"), "--run", str(run)]
    return invoke(["review", *map(str, arguments), *config])


def options(trained, **changes):
    run = str(find_run(trained.work / "runs", None))
    facts = {"by": "new", "n": 4, "classes": (), "context_s": 0.2, "seed": 0, "reviewer": "me"}
    return ReviewOptions((run,), **{**facts, **changes})


def snippets_of(text):
    found = re.search(r'<script type="application/json" id="review">(.*?)</script>', text, re.S)
    return json.loads(found[1])["snippets"]


def test_it_writes_a_page_of_proposals_with_sound_and_scores(folder, trained, wavs):
    result = review(folder, trained, wavs, "--by", "class", "--n", 2, "--no-serve")
    assert result.exit_code == 0, result.output
    page = folder / "work" / "review" / "page.html"
    assert result.stdout.strip() == str(page)
    snippets = snippets_of(page.read_text())
    assert 1 <= len(snippets) <= 6
    for each in snippets:
        onset_s, offset_s = each["event"]
        assert each["start"] == max(onset_s - 2, 0)
        assert each["end"] == pytest.approx(min(offset_s + 2, 2.0))
        n_frames = (each["end"] - each["start"]) / each["hop"]
        assert len(each["scores"]) == pytest.approx(n_frames, abs=2)
        assert max(each["scores"]) <= 1
    assert read_reviews(folder / "reviews.tsv") == []


def test_snippets_with_a_verdict_are_not_asked_about_again(folder, trained, wavs):
    config = load_config(folder / "data.yaml")
    with open_reviews(folder / "t.tsv") as table:
        session = prepare(config, [wavs], table, options(trained, n=1000))
        lines = [
            "\t".join([*each["head"].split("\t"), "no", "", "", "", each["tail"],
                       f"2026-11-30T10:53:31.{i:03}Z"])
            for i, each in enumerate(snippets_of(review_page(session)))
        ]  # fmt: skip
        with open_server(session, table) as server:
            server.site.take(lines[1:])
            again = prepare(config, [wavs], table, options(trained, n=1000))
            assert [each.snippet.key for each in again.exhibits] == [
                session.exhibits[0].snippet.key
            ]
            server.site.take(lines)
            with pytest.raises(SedmtlError, match="nothing is left to review"):
                prepare(config, [wavs], table, options(trained))
        assert len(table.reviews) == len(lines)  # duplicates are stored once
        reviewed = table.reviews[0]
    assert (reviewed.snippet.by, reviewed.reviewer) == ("new", "me")


def test_recordings_of_the_table_have_its_names(folder, wavs):
    """Others have their paths below the project, unless the table uses that name."""
    data = f"corpus: {{clips: {{csv: clips.csv, root: {wavs.parent}}}}}\n"
    (folder / "data.yaml").write_text(data)
    name = min(wavs.glob("*.wav")).name
    (folder / wavs.name).mkdir()
    for other in (f"{wavs.name}/{name}", "z.wav"):
        (folder / other).write_bytes((wavs / name).read_bytes())
    paths = [wavs, folder]
    names = [each.name for each in _sources(load_config(folder / "data.yaml"), paths)]
    ours = [f"{wavs.name}/{path.name}" for path in sorted(wavs.glob("*.wav"))]
    assert sorted(names) == sorted([*ours, str(folder / wavs.name / name), "z.wav"])


def test_recordings_with_one_name_in_two_folders_are_distinguished_one_folder_at_a_time(folder):
    config = load_config(folder / "data.yaml")
    for site in ("a", "b"):
        (folder / site).mkdir()
        (folder / site / "1.wav").touch()
    names = [[each.name for each in _sources(config, [folder / site])] for site in ("a", "b")]
    assert names == [["a/1.wav"], ["b/1.wav"]]


def test_labelled_recordings_are_reviewed_with_a_run_from_elsewhere(folder, trained, wavs):
    run = find_run(trained.work / "runs", None)
    names = read_scores(run / "scores.h5").name
    classes = ";".join(load_card(run).classes)
    rows = "".join(f"{name},{classes}\n" for name in [*names, "new1.wav", "new2.wav"])
    (folder / "clips.csv").write_text(f"filename,labels\n{rows}")
    for name in names:
        (folder / name).write_bytes(min(wavs.glob("*.wav")).read_bytes())
    (folder / "data.yaml").write_text("workdir: work\ncorpus: {clips: {csv: clips.csv}}\n")
    result = review(folder, trained, "--n", 1, "--by", "uncertain", "--no-serve")
    assert result.exit_code == 0, result.output
    n_all = len(names)
    assert f"any of these runs: 2 of {n_all + 2} recordings" in result.stderr


def test_the_server_takes_no_verdict_about_anything_else(folder, trained, wavs):
    config = load_config(folder / "data.yaml")
    with open_reviews(folder / "t.tsv") as table:
        session = prepare(config, [wavs], table, options(trained, n=1))
        line = snippets_of(review_page(session))[0]
        wrong = "\t".join(["other.wav", *line["head"].split("\t")[1:], "no", "", "", "",
                           line["tail"], "2026-11-30T10:53:31.000Z"])  # fmt: skip
        with open_server(session, table) as server:
            with pytest.raises(ValueError, match="does not ask about"):
                server.site.take([wrong])
            with pytest.raises(ValueError, match="shorter"):
                server.site.take(["nonsense"])
        assert table.reviews == []


def test_a_saved_file_is_read_back_in_once(folder, trained):
    header = "\t".join(COLUMNS)
    cells = ["a.wav", "1.000", "2.000", "bird", "no", "", "", "", "0.5000", "r", "new", "1", "1",
             "1", "me", "2026-11-30T10:53:31.000Z"]  # fmt: skip
    saved = folder / "saved.tsv"
    saved.write_text(f"{header}\n" + "\t".join(cells) + "\n")
    for said in ("1 verdict added", "0 verdicts added"):
        result = review(folder, trained, "--merge", saved)
        assert result.stdout.startswith(said), result.output
    assert len(read_reviews(folder / "reviews.tsv")) == 1


def test_each_mistake_is_one_sentence(folder, trained, wavs, one_sentence):
    check = one_sentence
    check(review(folder, trained, wavs, "--classes", "dragon"), "no class 'dragon'")
    check(review(folder, trained, wavs, "--by", "suspicious"), "leave out the audio files")
    check(review(folder, trained, folder / "none.wav"), "no audio file", "none.wav")
    check(review(folder, trained), "data.yaml names no corpus.clips")
    check(invoke(["review", str(wavs), "--config", str(folder / "data.yaml")]), "no finished run")
    with open_reviews(folder / "reviews.tsv"):
        check(review(folder, trained, wavs), "in use by another 'sedmtl review'")
    (folder / "reviews.tsv").write_text("filename\tverdict\n")
    check(review(folder, trained, wavs), "of another version", "--reviews")
    check(review(folder, trained, "--reviews", folder / "data.yaml" / "t.tsv"), "cannot write")


def test_events_of_other_tools_are_reviewed(folder, trained, wavs, one_sentence):
    names = sorted(path.name for path in wavs.glob("*.wav"))
    labels = folder / "events.tsv"
    labels.write_text(
        "filename\tonset\toffset\tevent_label\tscore\n"
        f"{names[0]}\t0.5\t1.0\ttone_300\t0.75\n{names[0]}\t1.0\t1.5\towl\t0.25\n"
        "other.wav\t1.0\t1.5\towl\t0.25\n"
    )
    result = review(folder, trained, wavs, "--labels", labels, "--no-serve")
    assert result.exit_code == 0, result.output
    assert "left out, not among the recordings: 1 in" in result.stderr
    page = (folder / "work" / "review" / "page.html").read_text()
    known, unknown = sorted(snippets_of(page), key=lambda each: -each["score"])
    assert (known["label"], known["run"]) == ("tone_300", "events.tsv")
    assert (known["event"], known["score"]) == ([0.5, 1.0], 0.75)
    assert known["scores"]
    # A class that the network does not know has no scores, but can be chosen.
    assert (unknown["label"], unknown["scores"], unknown["threshold"]) == ("owl", [], None)
    assert "<option>owl</option>" in page
    labels.write_text("filename\tonset\toffset\tevent_label\nb.wav\t0\t1\tx\n")
    refused = review(folder, trained, wavs, "--labels", labels)
    one_sentence(refused, "names none of the", "recordings")
