"""Every code block of the guides is run, on small sounds and with small networks."""

from __future__ import annotations

import pkgutil
import queue
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from conftest import COARSE_YAML, invoke, write_project

import sedmtl

ROOT = Path(__file__).parent.parent
SMALL = ["--width", "2", "--epochs", "4", "--batch-size", "4"]


def blocks_of(guide, *languages):
    """The language and code of each block, in order."""
    text = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return [(language, code) for language, code in found if language in languages]


def run_shell(code):
    """Run the lines in this process; returns the commands' outputs, by command."""
    outputs = {}
    for line in code.splitlines():
        program, *words = line.split("#")[0].split()
        if program == "make":
            subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)
        elif program != "pip":
            assert program == "sedmtl"
            result = invoke([*words, *(SMALL if words[0] == "train" else [])])
            assert result.exit_code == 0, result.output
            outputs[words[0]] = result.stdout
    return outputs


def write_own_recordings(folder):
    """Write 24 recordings with two sounds, either or neither; half have strong labels."""
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


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The guide to your own recordings, carried out: its folder, outputs and names."""
    folder = tmp_path_factory.mktemp("projects") / "own"
    folder.mkdir()
    folder.with_name("birds").symlink_to(folder)  # another project of the guide
    write_own_recordings(folder)
    outputs, names = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, code in blocks_of("own_recordings", "yaml", "sh", "python"):
            if language == "yaml":
                small = code.replace("32000 ", "8000 ").replace("duration_s: 10 ", "duration_s: 1 ")
                small += "features: {window: 256, hop: 128, n_mels: 16, f_max: 4000}\n"
                (folder / "data.yaml").write_text(small)
            elif language == "sh":
                outputs |= run_shell(code)
            else:
                exec(code, names)
    return folder, outputs, names


@pytest.mark.slow
def test_the_way_from_weak_labels_to_events_works(own):
    folder, outputs, names = own
    for word in ("localisation", "low", "high", "PSDS1"):
        assert word in outputs["eval"]
    assert "of 24 recordings" in outputs["predict"].splitlines()[0]
    predictions = folder / "work" / "predictions"
    assert (predictions / "events.tsv").read_text().splitlines()[0].split() == [
        "filename", "onset", "offset", "event_label", "score",
    ]  # fmt: skip
    assert (predictions / "tags.tsv").is_file()
    assert len(list(predictions.rglob("*.txt"))) == 24
    assert names["detector"].classes == ("high", "low")


class Microphone:
    """The part of sounddevice that the guide needs: it delivers two seconds in one buffer."""

    def __init__(self, samplerate, channels, callback):
        self.heard = (samplerate, channels)
        self._callback = callback

    def __enter__(self):
        buffer = np.zeros((480, 1), np.float32)
        for n in range(200):
            buffer[:] = np.sin(0.1 * n)
            self._callback(buffer, len(buffer), None, None)

    def __exit__(self, *_):
        pass


class Finite(queue.Queue):
    """A queue that raises KeyboardInterrupt when it is empty."""

    def get(self):
        if self.empty():
            raise KeyboardInterrupt
        return super().get()


@pytest.mark.slow
def test_sedmtl_in_a_program(own, monkeypatch, capsys):
    folder, _, _ = own
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(InputStream=Microphone))
    monkeypatch.setattr(queue, "Queue", Finite)
    monkeypatch.setattr("sedmtl.inference.onnx.build_graph", lambda *_: b"")
    wave, rate = soundfile.read(folder / "recordings" / "03.wav")
    soundfile.write(folder / "field.flac", np.tile(wave, 3), rate)
    names = {}
    for language, code in blocks_of("embedding", "python", "sh"):
        if language == "sh":
            run_shell(code)
        elif "onnxruntime" in code:
            continue  # tested in test_export
        elif "sounddevice" in code:
            with pytest.raises(KeyboardInterrupt):
                exec(code, names)
        else:
            small = 'recipe="strong", width=2, epochs=2, batch_size=4'
            exec(code.replace('recipe="strong"', small), names)
    assert names["embedding"].clip.shape == (16,)
    assert [epoch.number for epoch in names["run"].epochs] == [1, 2]
    out = capsys.readouterr().out
    assert "skipped: no audio file missing.flac" in out
    assert "2/2: micro-P" in out


@pytest.mark.slow
def test_the_paper(tmp_path, monkeypatch):
    """The page's commands on small corpora; nothing is downloaded, and make is a dry run."""
    write_project(tmp_path, COARSE_YAML.replace("[0, 20]", "[10]"))
    monkeypatch.chdir(tmp_path)
    called = []
    for name, module in (("download", "download"), ("verify", "manifest")):
        act = f"sedmtl.data.download.{module}.{name}"
        monkeypatch.setattr(act, lambda *_, name=name: called.append(name) or [])
    outputs = {}
    for _, code in blocks_of("paper", "sh"):
        outputs |= run_shell(code)
    assert called == ["download", "verify"]
    assert {"mix", "features", "train", "eval"} <= outputs.keys()


def pages_of(nav):
    """The files of an mkdocs navigation."""
    for item in nav:
        value = item if isinstance(item, str) else next(iter(item.values()))
        yield from [value] if isinstance(value, str) else pages_of(value)


def test_the_site_has_every_page():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    docs = ROOT / "docs"
    assert sorted(pages_of(nav)) == sorted(
        path.relative_to(docs).as_posix() for path in docs.rglob("*.md")
    )


def test_the_reference_has_every_public_name_and_no_other():
    text = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    names = re.findall(r"^::: sedmtl\.(\S+)", text, re.MULTILINE)
    assert {name for name in names if "." not in name} >= set(sedmtl.__all__) - {"__version__"}
    for name in names:
        pkgutil.resolve_name(f"sedmtl.{name}")
