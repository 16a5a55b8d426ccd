"""data.yaml: the paper's values by default, and one helpful sentence per mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import invoke

from sedmtl.config import Config, load_config
from sedmtl.runtime.errors import SedmtlError

REPOSITORY = Path(__file__).parents[1]
FOLDERS = "{kind: folder, root: a}"


@pytest.fixture
def load(tmp_path):
    def write_and_load(text: str) -> Config:
        (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
        return load_config(tmp_path / "data.yaml")

    return write_and_load


def test_the_defaults_are_the_papers(load):
    config = load("")
    mixing, features = config.mixing, config.features
    assert (mixing.folds, mixing.mixtures_per_fold, mixing.events_per_mixture) == (4, 2000, 3)
    assert (mixing.sample_rate, mixing.duration_s, mixing.event_s) == (32_000, 10, 2)
    assert mixing.fixed_onsets_s == (0.5, 3.0, 5.5)
    assert (mixing.snrs_db, mixing.snr_over) == ((0, 10, 20), "file")
    assert not any((mixing.overlap, mixing.location_disjoint, mixing.reuse_scenes))
    assert mixing.n_samples == 320_000
    assert (features.window, features.hop, features.n_mels) == (2048, 1024, 64)
    assert (features.f_min, features.f_max) == (50, 16_000)


def test_the_repositorys_data_yaml_says_exactly_the_defaults():
    written, default = load_config(REPOSITORY / "data.yaml"), Config()
    assert written.mixing == default.mixing
    assert written.features == default.features
    # This text identifies stores: spelling out a default must not rebuild them.
    assert written.describe("mixing", "features") == default.describe("mixing", "features")
    assert written.corpus.events.verified_only


@pytest.mark.parametrize("text", ["", "mixing:\n", "corpus:\nfeatures:\n", "# nothing\n"])
def test_an_empty_file_or_section_stands_for_the_defaults(load, text):
    assert load(text).describe("mixing", "features") == Config().describe("mixing", "features")


def test_relative_paths_are_relative_to_the_data_yaml(load, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    config = load("workdir: out/here")
    assert config.work_dir == tmp_path / "out" / "here"
    assert config.locate(Path("/data/x")) == Path("/data/x")
    assert config.locate(Path("~/x")) == Path("/home/someone/x")


def test_the_description_is_yaml_that_gives_the_same_config_and_holds_no_folder(load, tmp_path):
    text = f"corpus: {{events: {FOLDERS}}}\nmixing: {{onsets: [1, 4, 7], snrs_db: [-5, 2.5]}}"
    described = load(text).describe("workdir", "corpus", "mixing", "features")
    assert str(tmp_path) not in described
    again = load(described)
    assert again.describe("workdir", "corpus", "mixing", "features") == described
    assert again.mixing.snrs_db == (-5, 2.5)


@pytest.mark.parametrize(
    ("text", "where", "key", "hint"),
    [
        ("colour: 1", "", "colour", "workdir, corpus, mixing, features"),
        ("mixing: {sample_rte: 1}", "mixing: ", "sample_rte", "did you mean 'sample_rate'?"),
        ("features: {1: 2}", "features: ", "1", "window, hop, n_mels, f_min, f_max"),
        ("corpus: {event: 1}", "corpus: ", "event", "did you mean 'events'?"),
        ("corpus: {events: {kind: folder, root: a, rot: b}}", "corpus.events: ", "rot", "'root'?"),
        ("corpus: {scenes: {kind: tau2019, sed: 1}}", "corpus.scenes: ", "sed", "kind, root"),
        ("corpus: {clips: {csv: a, rot: 1}}", "corpus.clips: ", "rot", "did you mean 'root'?"),
        ("mixing: {'{x}': 1}", "mixing: ", "{x}", "sample_rate"),
    ],
)
def test_an_unknown_key_names_itself_its_place_and_the_known_ones(
    load, tmp_path, text, where, key, hint
):
    with pytest.raises(SedmtlError) as error:
        load(text)
    assert str(error.value).startswith(f"{tmp_path / 'data.yaml'}: {where}'{key}' is not a key; ")
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mixing: 5", "mixing: should hold keys and values, found 5"),
        ("mixing: [1]", "mixing: should hold keys and values, found [1]"),
        ("corpus: {events: wavs}", "corpus.events: should hold keys and values, found 'wavs'"),
        ("workdir: 5", "workdir: should be a path, found 5"),
        ("mixing: {sample_rate: 32k}", "mixing.sample_rate: should be a valid integer"),
        ("mixing: {sample_rate: 44100.5}", "found 44100.5"),
        ("mixing: {duration_s: .nan}", "mixing.duration_s: should be a finite number, found nan"),
        ("mixing: {overlap: maybe}", "mixing.overlap: should be a valid boolean"),
        ("mixing: {snrs_db: 10}", "mixing.snrs_db: should be a list, found 10"),
        ("mixing: {snr_over: files}", "mixing.snr_over: should be 'file' or 'segment', found"),
        ("corpus: {events: {kind: folder}}", "corpus.events.root: is missing"),
        ("corpus: {events: {root: a}}", "corpus.events.kind: is missing"),
        ("corpus: {clips: {root: a}}", "corpus.clips.csv: is missing"),
        ("corpus: {events: {kind: csv, root: a}}", "corpus.events: needs a key 'csv'"),
        (
            "corpus: {scenes: {kind: folders, root: a}}",
            "corpus.scenes.kind: should be one of 'tau2019', 'folder', 'csv', 'synthetic', "
            "found 'folders'",
        ),
        ("mixing: {seed: x, folds: 1}", "found 1 (and 1 more)"),
    ],
)
def test_a_wrong_type_names_the_key_what_is_expected_and_what_was_found(load, text, sentence):
    with pytest.raises(SedmtlError) as error:
        load(text)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mixing: {folds: 1}", "mixing.folds: should be greater than or equal to 2, found 1"),
        ("mixing: {snrs_db: []}", "mixing.snrs_db: should list at least 1, found []"),
        ("mixing: {snrs_db: [0, 0.0]}", "mixing.snrs_db: should name each SNR once"),
        ("mixing: {snrs_db: [0, -0.0]}", "mixing.snrs_db: should name each SNR once"),
        ("mixing: {snrs_db: [10, 10.0000001]}", "mixing.snrs_db: should name each SNR once"),
        ("mixing: {snrs_db: [0, 500]}", "mixing.snrs_db.1: should be less than or equal to 100"),
        ("mixing: {event_s: 0}", "mixing.event_s: should be greater than or equal to 0.001"),
        ("mixing: {seed: -1}", "mixing.seed: should be greater than or equal to 0, found -1"),
        ("mixing: {event_s: 4}", "mixing: an event of 4 s at 9.5 s should fit into the 10 s"),
        ("mixing: {onsets: [0, 4, 9]}", "an event of 2 s at 9 s should fit into the 10 s"),
        ("mixing: {onsets: [4, 0, 1]}", "should be 2 s (event_s) apart, unless overlap is true; "),
        ("mixing: {onsets: [0, 4]}", "onsets should be 3 (events_per_mixture), found 2"),
        ("mixing: {onsets: [-1, 3, 6]}", "mixing.onsets: should be 'fixed', 'random' or a list"),
        ("mixing: {onsets: often}", "mixing.onsets: should be 'fixed', 'random' or a list"),
        ("mixing: {onsets: random, event_s: 4}", "3 events of 4 s should fit into the 10 s"),
        (
            "mixing: {onsets: random, overlap: true, event_s: 11}",
            "an event of 11 s should fit into the 10 s",
        ),
        (
            "{mixing: {sample_rate: 16000}, features: {f_max: 16000}}",
            "features.f_max: should be at most 8000 (half of mixing.sample_rate), found 16000",
        ),
        (
            "{mixing: {duration_s: 0.1, events_per_mixture: 1, event_s: 0.1, onsets: [0]}, "
            "features: {window: 4096}}",
            "features.window: should be at most a clip's 3200 samples, found 4096",
        ),
        ("features: {f_min: 900, f_max: 90}", "f_min should be below f_max, found 900 and 90"),
        ("features: {hop: 0}", "features.hop: should be greater than or equal to 1, found 0"),
    ],
)
def test_an_impossible_value_says_what_would_be_possible(load, text, sentence):
    with pytest.raises(SedmtlError) as error:
        load(text)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "mixing",
    [
        "onsets: [0, 2, 8]",  # touching, and up to the very end
        "onsets: [0, 1, 2], overlap: true",
        "onsets: random, event_s: 3",
        "onsets: random, overlap: true, event_s: 10",
        # In binary, 0.1 + 0.2 > 0.3, 3 x 0.1 > 0.3 and 0.3 - 0.1 < 0.2.
        "onsets: [0.1], events_per_mixture: 1, event_s: 0.2, duration_s: 0.3",
        "onsets: random, event_s: 0.1, duration_s: 0.3",
        "onsets: [0.1, 0.3], events_per_mixture: 2, event_s: 0.2, duration_s: 0.5",
    ],
)
def test_events_that_just_fit_are_accepted(load, mixing):
    small = "features: {window: 512}"
    assert load(f"mixing: {{{mixing}}}\n{small}").mixing.find_misfit() is None


def test_own_clips_may_be_shorter_than_the_papers_mixtures(load):
    short = "mixing: {duration_s: 1}\ncorpus: "
    assert load(short + "{clips: {csv: a.csv}}").mixing.n_samples == 32_000
    with pytest.raises(SedmtlError, match="should fit into the 1 s"):
        load(short + f"{{clips: {{csv: a.csv}}, events: {FOLDERS}}}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not valid YAML"),
        ("workdir: 2020-13-45", "is not valid YAML: month must be in 1..12"),
        ("mixing: {seed: 1}\nmixing: {folds: 3}", "found the key 'mixing' twice in "),
        ("? [a]\n: 1", "is not valid YAML"),
        ("- a", "should hold keys such as 'corpus:', found ['a']"),
        ("mixing", "should hold keys such as 'corpus:', found 'mixing'"),
        ("!!python/object/apply:os.abort []", "could not determine a constructor for the tag"),
        ("mixing: {overlap: !!bool maybe}", "a tag that does not fit its value"),
        ("mixing: {seed: 0x" + "f" * 300 + "}", "a number that is too long"),
        ("[" * 2000, "nested too deeply"),
        ("#" * 2**20 + "#", "it has 1,048,577 characters, expected at most 1,048,576"),
        ("a: &a [*a]", "aliases expand to too many values"),
        ("corpus: {events: {kind: folder, root: 'a\0b'}}", "is not valid YAML"),
        (
            'corpus: {events: {kind: folder, root: "a\\0b"}}',
            "corpus.events.root: should be a path without NUL characters",
        ),
        ("mixing: {events_per_mixture: 1000000000000}", "events_per_mixture: should be less than"),
        ("mixing: {mixtures_per_fold: 250001}", "at most 1,000,000 mixtures, found 1,000,004"),
        (
            "mixing: {mixtures_per_fold: 250000, events_per_mixture: 11, overlap: true}",
            "at most 10,000,000 events, found 11,000,000",
        ),
        ("mixing: {duration_s: 3600}", "at most 33,554,432 samples, found 115,200,000"),
        (
            "features: {hop: 1}",
            "at most 134,217,728 samples in all windows together, found 651,167,744",
        ),
        (
            "{features: {window: 16, hop: 1}, mixing: {duration_s: 200}}",
            "at most 4,194,304 mel bins in all frames together, found 409,599,040",
        ),
        ("mixing: {mixtures_per_fold: 1000000000000}", "mixtures_per_fold: should be less than"),
        ("features: {n_mels: 1000000}", "features.n_mels: should be less than"),
        ("features: {window: 1000000000}", "features.window: should be less than"),
    ],
)
def test_a_file_that_is_not_a_data_yaml_says_why(load, tmp_path, text, sentence):
    with pytest.raises(SedmtlError) as error:
        load(text)
    assert str(tmp_path / "data.yaml") in str(error.value)
    assert sentence in str(error.value)


def test_a_long_wrong_value_is_shown_in_short(load):
    with pytest.raises(SedmtlError) as error:
        load(f"mixing: {{folds: [{'[1, 2, 3], ' * 999}]}}")
    assert len(str(error.value)) < 400


def test_a_missing_home_folder_is_named(load):
    config = load("corpus: {events: {kind: folder, root: ~nobody-of-this-name/x}}")
    with pytest.raises(SedmtlError, match="no user ~nobody-of-this-name"):
        config.locate(config.corpus.events.root)


def test_a_file_that_is_not_text_says_why(tmp_path):
    (tmp_path / "data.yaml").write_bytes(b"workdir: \xff\xfe")
    with pytest.raises(SedmtlError, match=r"data\.yaml is not valid YAML"):
        load_config(tmp_path / "data.yaml")


def test_a_merged_key_may_be_repeated(load):
    config = load("mixing: &m {seed: 3}\nfeatures:\n  window: 512\n")
    assert config.mixing.seed == 3
    text = "corpus:\n  events: &e {kind: folder, root: a}\n  scenes:\n    <<: *e\n    root: b\n"
    assert load(text).corpus.scenes.root == Path("b")


def test_a_missing_file_fails_in_one_sentence_that_says_what_to_do(tmp_path, one_sentence):
    result = invoke(["mix", "--config", str(tmp_path / "data.yaml")])
    one_sentence(result, "no data.yaml in", str(tmp_path), "--config", "sedmtl demo")


def test_a_folder_in_place_of_the_file_fails_in_one_sentence(tmp_path, one_sentence):
    result = invoke(["mix", "--config", str(tmp_path)])
    one_sentence(result, f"cannot read {tmp_path}", "directory")


@pytest.mark.parametrize("command", ["mix", "features", "eval"])
def test_every_command_checks_the_file_first(project, one_sentence, command):
    (project.folder / "data.yaml").write_text("mixing: {folds: 1}")
    one_sentence(project.run(command), "mixing.folds", "found 1")
    assert not project.work.exists()


@pytest.mark.parametrize(("rate", "f_max"), [(8_000, 4_000), (32_000, 16_000), (48_000, 16_000)])
def test_the_band_ends_at_half_the_rate_where_the_papers_does_not_fit(tmp_path, rate, f_max):
    path = tmp_path / "data.yaml"
    path.write_text(f"mixing: {{sample_rate: {rate}}}")
    assert load_config(path).features.f_max == f_max
    path.write_text(f"mixing: {{sample_rate: {rate}}}\nfeatures: {{f_max: 3000}}")
    assert load_config(path).features.f_max == 3_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("remix: {snr_db: [20, 0]}", "remix.snr_db: should be the lowest value, then the highest"),
        ("remix: {events_per_mixture: [1, 4]}", "fixed onsets have room for 3 events, found 4"),
        (
            "mixing: {onsets: random}\nremix: {events_per_mixture: [1, 6]}",
            "6 events of 2 s should fit into the 10 s of a mixture (duration_s), found 6",
        ),
        ("remix: {mixtures_per_epoch: 0}", "remix.mixtures_per_epoch: "),
    ],
)
def test_impossible_settings_of_remixing_are_refused(load, text, expected):
    with pytest.raises(SedmtlError, match=re.escape(expected)):
        load(text)
