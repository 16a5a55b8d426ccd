"""The demo in short: the same stages on a smaller data.yaml."""

from __future__ import annotations

import pytest
from conftest import invoke

from sedmtl.cli import demo_project as demo
from sedmtl.inference.runs import find_run

pytestmark = pytest.mark.slow

PAPER = "2apae_snr10_fold1_alpha0.001_seed0"
STRONG = "pooled_snr10_fold1_alpha0_seed0_strong"
SMALL = """\
corpus:
  events: {kind: synthetic, clips_per_class: 4}
  scenes: {kind: synthetic, clips_per_class: 4}
mixing:
  duration_s: 3
  event_s: 0.5
  snrs_db: [10]
  mixtures_per_fold: 4
  reuse_scenes: true
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo of one epoch, run twice: both outputs, and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    folder.mkdir()
    (folder / "data.yaml").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        small = {"epochs": 1, "width": 2}
        patch.setattr(demo, "RECIPES", dict.fromkeys(demo.RECIPES, small))
        results = [invoke(["demo", str(folder)]) for _ in range(2)]
    return folder, *results


def test_the_demo_ends_with_a_table_a_picture_and_what_to_do_next(shown):
    folder, first, _ = shown
    assert first.exit_code == 0, first.output
    picture = folder / "work" / "figures" / "snr_10" / "mix_01.png"
    assert picture.is_file()
    for text in (
        "micro-P",
        "validation",
        str(picture),
        "what next",
        "sedmtl visualize work/mixtures",
    ):
        assert text in first.stdout


def test_a_second_demo_keeps_the_results(shown):
    _, first, second = shown
    assert second.exit_code == 0
    assert second.stdout == first.stdout
    assert "already finished" in second.stderr


def test_both_recipes_are_trained_and_the_strong_one_is_used_next(shown):
    folder, first, _ = shown
    runs = sorted(path.name for path in (folder / "work" / "runs").iterdir() if path.is_dir())
    assert runs == [PAPER, STRONG]
    assert find_run(folder / "work" / "runs", None).name == STRONG
    assert "sedmtl train --fold 2 --recipe strong" in first.stdout


def test_the_picture_is_of_a_mixture_that_was_held_out(shown):
    folder, _, _ = shown
    plan = (folder / "work" / "mixtures" / "plan.yaml").read_text()
    line = next(line for line in plan.splitlines() if "mix_01.wav" in line)
    assert '"fold": 1' in line


def test_the_project_is_written_with_its_data_yaml(tmp_path):
    from sedmtl.config import load_config

    (tmp_path / "data.yaml").write_text(demo.DATA_YAML)
    mixing = load_config(tmp_path / "data.yaml").mixing
    assert mixing.snrs_db == (demo.SNR_DB,)
    assert (mixing.duration_s, mixing.folds, mixing.onsets) == (5, 4, "random")
