from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import invoke, visible

README = Path(__file__).parent.parent / "README.md"


def test_the_chain_leaves_what_the_design_promises(trained):
    run = trained.work / "runs" / "2apae_snr20_fold1_alpha0.001_seed0"
    names = visible(run) - {"localisation.json"}  # left by `eval`
    assert names == {
        "run.yaml", "metrics.jsonl", "last.pt", "model.safetensors", "model.json", "scores.h5"
    }  # fmt: skip
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]


def section(title):
    """A section of the README."""
    text = README.read_text()
    return re.split(r"^## ", text[text.index(f"## {title}") + 3 :], flags=re.MULTILINE)[0]


def write_own_recordings(folder):
    """Two sounds, alone, together or not at all, in 24 recordings; when is known of half."""
    rng, clips, strong = np.random.default_rng(0), ["filename,labels,fold"], []
    for number in range(24):
        labels = [name for bit, name in enumerate(("low", "high")) if number >> bit & 1]
        wave = rng.normal(scale=0.01, size=8000)
        for label in labels:
            onset = int(rng.integers(0, 5000))
            t = np.arange(2400) / 8000
            hz = {"low": 300, "high": 1500}[label]
            wave[onset : onset + 2400] += 0.3 * np.sin(2 * np.pi * hz * t)
            if number % 8 < 4:
                strong.append(f"{number:02d}.wav\t{onset / 8000}\t{onset / 8000 + 0.3}\t{label}")
        path = folder / "recordings" / f"{number:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, wave, 8000)
        clips.append(f"{path.name},{';'.join(labels)},{number % 3 + 1}")
    (folder / "clips.csv").write_text("\n".join(clips))
    header = "filename\tonset\toffset\tevent_label"
    (folder / "strong.tsv").write_text("\n".join([header, *strong]))


@pytest.mark.slow
def test_the_readmes_way_from_weak_labels_to_events_works(tmp_path, monkeypatch):
    """Its own commands and data.yaml, with a smaller network on shorter recordings."""
    text = section("Your own weakly labelled recordings")
    settings = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    settings = settings.replace("32000 ", "8000 ").replace("duration_s: 10 ", "duration_s: 1 ")
    settings += "features: {window: 256, hop: 128, n_mels: 16, f_max: 4000}\n"
    write_own_recordings(tmp_path)
    (tmp_path / "data.yaml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    outputs = {}
    for line in re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1].splitlines():
        _, command, *words = line.split("#")[0].split()
        small = ["--width", "2", "--epochs", "4", "--batch-size", "4"] if command == "train" else []
        result = invoke([command, *words, *small])
        assert result.exit_code == 0, result.output
        outputs[command] = result.stdout
    for word in ("clips: localisation", "low", "high", "PSDS1"):
        assert word in outputs["eval"]
    assert "of 24 recordings" in outputs["predict"].splitlines()[0]
    predictions = tmp_path / "work" / "predictions"
    assert (predictions / "events.tsv").read_text().splitlines()[0].split() == [
        "filename", "onset", "offset", "event_label", "score",
    ]  # fmt: skip
    assert (predictions / "tags.tsv").is_file()
    assert len(list(predictions.rglob("*.txt"))) == 24
