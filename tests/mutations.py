"""Ways to break a file: small, named, seeded functions from its bytes to other bytes.

A mutation either damages the file, so that a command must refuse it or give the result of the
intact one, or it makes another valid file.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import yaml

from sedmtl.runtime.documents import CHECKSUM, sealed

Change = Callable[[bytes], bytes]
Edit = Callable[[Any], Any]


class Mutation(NamedTuple):
    """A named change; with `says_else`, the result may be another valid one."""

    name: str
    change: Change
    says_else: bool = False


def flipped(seed: int, n: int = 1, first: int = 0, last: int | None = None) -> Change:
    """Change `n` bytes in [`first`, `last`)."""

    def change(content: bytes) -> bytes:
        rng = np.random.default_rng(seed)
        broken = bytearray(content)
        for at in rng.integers(first, last or len(content), n):
            broken[at] ^= int(rng.integers(1, 256))
        return bytes(broken)

    return change


def put(at: int, form: str, *values: int) -> Change:
    """Overwrite bytes with packed numbers."""

    def change(content: bytes) -> bytes:
        broken = bytearray(content)
        struct.pack_into(form, broken, at, *values)
        return bytes(broken)

    return change


def becomes(content: bytes | str) -> Change:
    """Replace the whole content."""
    return lambda _: content.encode() if isinstance(content, str) else content


def replaced(old: str, new: str) -> Change:
    """Replace a piece of text, which must be there."""

    def change(content: bytes) -> bytes:
        text = content.decode()
        assert old in text
        return text.replace(old, new, 1).encode("utf-8", "surrogateescape")

    return change


def cut(share: float) -> Change:
    """Keep only the first `share` of the bytes."""
    return lambda content: content[: int(share * len(content))]


def noise(seed: int) -> Change:
    """Replace all bytes with random ones."""
    return lambda content: np.random.default_rng(seed).bytes(len(content))


class Payload:
    """A hostile pickle: unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def pickled(marker: Path) -> bytes:
    """A pickle that creates the file `marker` when it is loaded."""
    return pickle.dumps(Payload(marker))


def damaged(*seeds: int, n: int = 1, first: int = 0) -> list[Mutation]:
    """Flipped bytes, one mutation per seed."""
    return [Mutation(f"flipped-{n}-bytes-seed-{seed}", flipped(seed, n, first)) for seed in seeds]


WHOLESALE = [
    Mutation("empty", becomes(b"")),
    Mutation("one-byte", cut(0.0001)),
    Mutation("zeros", lambda content: bytes(len(content))),
    Mutation("noise", noise(1)),
    Mutation("cut-to-a-tenth", cut(0.1)),
    Mutation("cut-in-half", cut(0.5)),
    Mutation("cut-at-the-end", lambda content: content[:-1]),
    Mutation("a-web-page", becomes("<!DOCTYPE html><title>404 Not Found</title>" * 50)),
]
"""Mutations of any file that is not text."""


# Audio. A WAV file as soundfile writes it: RIFF at 0, fmt at 12, data at 36, samples from 44.


def wav_of(values: Any, rate: int = 8000) -> bytes:
    """A WAV file of any float samples."""
    samples = np.asarray(values, "<f4")
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    body = samples.tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * 4 * channels, 4 * channels, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _many_chunks(content: bytes) -> bytes:
    return content[:36] + 200_000 * (b"junk" + bytes(4)) + content[36:]


def _odd_chunk(content: bytes) -> bytes:
    return content[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + content[36:]


def _to_a_pipe(size: int) -> Change:
    return lambda content: put(40, "<I", size)(put(4, "<I", min(size + 36, 2**32 - 1))(content))


WAV = [
    *WHOLESALE,
    *[Mutation(f"header-flipped-seed-{k}", flipped(k, 1, 0, 44), True) for k in range(20)],
    *[Mutation(f"rate-{rate}-Hz", put(24, "<I", rate), True)
      for rate in (0, 1, 999, 1000, 44_101, 400_000, 2**31 - 1, 2**32 - 1)],
    *[Mutation(f"{n}-channels", put(22, "<H", n), True) for n in (0, 2, 64, 1024, 65_535)],
    *[Mutation(f"{n}-bits", put(34, "<H", n), True) for n in (0, 7, 8, 24, 64, 65_535)],
    *[Mutation(f"format-{n}", put(20, "<H", n), True) for n in (0, 2, 3, 6, 17, 85, 65_534)],
    Mutation("block-of-0-bytes", put(32, "<H", 0)),
    Mutation("10-hours-in-the-header", put(40, "<I", 36_000 * 16_000)),
    Mutation("10-hours-and-no-data",
             lambda content: put(40, "<I", 36_000 * 16_000)(content)[:44]),
    Mutation("one-sample-too-few", lambda content: content[:-2]),
    Mutation("data-size-0", put(40, "<I", 0)),
    Mutation("fmt-size-4-GB", put(16, "<I", 2**32 - 1)),
    Mutation("fmt-size-0", put(16, "<I", 0)),
    Mutation("riff-size-0", put(4, "<I", 0)),
    Mutation("riff-size-4-GB", put(4, "<I", 2**32 - 1)),
    Mutation("no-fmt", lambda content: content[:12] + content[36:]),
    Mutation("no-data", lambda content: content[:36]),
    Mutation("200000-chunks-before-the-data", _many_chunks),
    Mutation("an-odd-chunk-before-the-data", _odd_chunk),
    Mutation("written-by-ffmpeg-to-a-pipe", _to_a_pipe(2**32 - 1)),
    Mutation("written-by-sox-to-a-pipe", _to_a_pipe(0x7FFFF000)),
    Mutation("written-by-arecord-to-a-pipe", _to_a_pipe(2**31)),
    Mutation("nan", becomes(wav_of([0.1, float("nan"), 0.1] * 900))),
    Mutation("infinity", becomes(wav_of([0.1] * 900 + [float("-inf")]))),
    Mutation("beyond-float32-together", becomes(wav_of([[3e38] * 8] * 900))),
    Mutation("denormal", becomes(wav_of([1e-45, -1e-45] * 900)), True),
    Mutation("no-sample", becomes(wav_of([]))),
    Mutation("one-sample", becomes(wav_of([0.5])), True),
    Mutation("64-channels-of-a-tenth", becomes(wav_of(np.full((900, 64), 0.1))), True),
    Mutation("400-kHz", becomes(wav_of([0.1, -0.1] * 9000, 400_000)), True),
    Mutation("48-kHz-and-one-sample", becomes(wav_of([0.5], 48_000))),
    Mutation("twice", lambda content: content + content),
]  # fmt: skip

# A FLAC file: "fLaC" and the header of STREAMINFO (4 bytes each), rate and samples from 18.
FLAC = [
    *WHOLESALE,
    *damaged(*range(15)),
    *damaged(*range(15, 18), n=20),
    Mutation("10-hours-in-the-header", put(21, ">BI", 0xF0, 36_000 * 8000)),
    Mutation("2^36-samples-in-the-header", put(21, ">BI", 0xFF, 2**32 - 2)),
    Mutation("unknown-length", put(21, ">BI", 0xF0, 0)),
    Mutation("half-the-samples-in-the-header", put(22, ">I", 8000), True),
    Mutation("rate-0-Hz", put(18, ">H", 0)),
    Mutation("rate-1-Hz", put(18, ">HB", 0, 0x10), True),
    Mutation("8-channels", put(20, ">B", 0x0E)),
    Mutation("block-size-0", put(8, ">HH", 0, 0)),
    Mutation("metadata-of-16-MB", put(5, ">BH", 255, 65_535)),
]


def _pages(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


OGG = [
    *WHOLESALE,
    *damaged(*range(15)),
    *damaged(*range(15, 18), n=20),
    Mutation("without-its-third-page", lambda c: b"".join(_pages(c)[:2] + _pages(c)[3:])),
    Mutation("without-its-last-page", lambda c: b"".join(_pages(c)[:-1]), True),
    Mutation("without-its-first-page", lambda c: b"".join(_pages(c)[1:])),
    Mutation("pages-in-reverse", lambda c: b"".join(_pages(c)[::-1])),
    Mutation("junk-between-pages", lambda c: b"junk".join(_pages(c))),
    Mutation("position-2^62", put(6, "<q", 2**62)),
]  # fmt: skip


# HDF5: the library's own structures, and false tables.


def in_store(edit: Callable[[h5py.File], None]) -> Change:
    """An edit through h5py."""

    def change(content: bytes) -> bytes:
        held = io.BytesIO(content)
        with h5py.File(held, "r+") as file:
            edit(file)
        return held.getvalue()

    return change


def set_attribute(key: str, value: Any) -> Change:
    return in_store(lambda file: file.attrs.__setitem__(key, value))


def set_value(name: str, value: Any, at: Any = 0) -> Change:
    return in_store(lambda file: file[name].__setitem__(at, value))


def without(name: str) -> Change:
    return in_store(lambda file: file.__delitem__(name))


def instead(name: str, **dataset: Any) -> Change:
    """Put another dataset under a name."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **dataset)

    return in_store(edit)


def group_instead(name: str) -> Change:
    """Put a group in place of a dataset."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return in_store(edit)


def linked(name: str, link: Any) -> Change:
    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return in_store(edit)


def _many_selections(file: h5py.File) -> None:
    for k in range(200):
        file.create_dataset(f"score/{k}", (12 << 20,), np.uint8, chunks=(1 << 20,))


def _text_table(name: str) -> Change:
    return instead(name, data=["a"] * 3)


HDF5 = [
    *WHOLESALE,
    *damaged(*range(5), n=3),
    *[Mutation(f"beginning-flipped-seed-{k}", flipped(k, 2, 0, 2000)) for k in (1, 3, 5, 6, 9)],
    Mutation("signature-of-another-version", put(8, "B", 9)),
    Mutation("no-schema", in_store(lambda file: file.attrs.__delitem__("schema"))),
    Mutation("schema-99", set_attribute("schema", 99)),
    Mutation("schema-of-text", set_attribute("schema", "one")),
    Mutation("schema-of-several", set_attribute("schema", [1, 2])),
    Mutation("classes-as-a-number", set_attribute("classes", 3)),
    Mutation("one-class-less", set_attribute("classes", ["tone_300", "tone_900"])),
    Mutation("no-classes", in_store(lambda file: file.attrs.__delitem__("classes"))),
    Mutation("classes-that-are-no-utf8", set_attribute("classes", np.array([b"\xff", b"b", b"c"]))),
    Mutation("no-names", without("name")),
    Mutation("no-target", without("target")),
    Mutation("no-events", without("events")),
    Mutation("names-as-numbers", instead("name", data=np.arange(24))),
    Mutation("names-that-are-no-utf8", set_value("name", b"\xff\xfe")),
    Mutation("target-of-text", _text_table("target")),
    Mutation("target-of-another-length", instead("target", data=np.ones((3, 3), np.uint8))),
    Mutation("target-is-a-group", group_instead("target")),
    Mutation("target-of-2^40-rows",
             instead("target", shape=(2**40, 3), dtype=np.uint8, chunks=(1024, 3))),
    Mutation("target-7", set_value("target", 7)),
    Mutation("label-99", set_value("events/label", 99)),
    Mutation("label-below-0", set_value("events/label", -9)),
    Mutation("event-of-clip-9999", set_value("events/mixture", 9999)),
    Mutation("onset-nan", set_value("events/onset_s", np.nan)),
    Mutation("onset-infinite", set_value("events/onset_s", np.inf)),
    Mutation("offset-before-onset", set_value("events/offset_s", -1.0)),
    Mutation("events-of-another-length", instead("events/onset_s", data=np.zeros(2, np.float32))),
    Mutation("target-linked-to-nowhere", linked("target", h5py.SoftLink("/nowhere"))),
    Mutation("target-linked-to-itself", linked("target", h5py.SoftLink("/target"))),
    Mutation("target-in-another-file", linked("target", h5py.ExternalLink("/etc/passwd", "/x"))),
]  # fmt: skip


def of_big_array(name: str) -> list[Mutation]:
    """False statements about the big array of a store."""
    return [
        Mutation(f"no-{name}", without(name)),
        Mutation(f"{name}-of-text", _text_table(name)),
        Mutation(f"{name}-of-no-rows", instead(name, data=np.zeros((0, 3), np.float32))),
        Mutation(f"{name}-without-dimension", instead(name, data=1.0)),
        Mutation(f"{name}-of-other-rows", instead(name, data=np.zeros((3, 3), np.float32))),
        Mutation(f"{name}-of-2^40-rows",
                 instead(name, shape=(2**40, 3), dtype=np.float32, chunks=(1, 3))),
        Mutation(f"{name}-is-a-group", group_instead(name)),
    ]  # fmt: skip


MIXTURES = [
    *HDF5,
    *of_big_array("waveform"),
    Mutation("config-that-is-no-yaml", set_attribute("config", "{")),
    Mutation("config-with-a-tag", set_attribute("config", "!!python/object/apply:os.abort []")),
    Mutation("no-checksum", in_store(lambda file: file.attrs.__delitem__("checksum"))),
    Mutation("rate-of-text", set_attribute("sample_rate", "8000")),
]
FEATURES = [
    *HDF5,
    *of_big_array("logmel"),
    Mutation("window-0", set_attribute("window", 0)),
    Mutation("hop-nan", set_attribute("hop", np.nan)),
]
SCORES = [
    *HDF5,
    *of_big_array("frame"),
    Mutation("frame-nan", set_value("frame", np.nan)),
    Mutation("score-nan", set_value("score/honest", np.nan)),
    Mutation("score-2", set_value("score/honest", 2.0)),
    Mutation("prior-infinite", set_value("prior", np.inf)),
    Mutation("duration-0", set_attribute("duration_s", 0.0)),
    Mutation("duration-nan", set_attribute("duration_s", np.nan)),
    Mutation("duration-of-text", set_attribute("duration_s", "long")),
    Mutation("edges-in-reverse", set_value("frame_edges_s", 9.0)),
    Mutation("200-selections-without-a-byte", in_store(_many_selections)),
    Mutation("no-selection", without("score/honest")),
    Mutation("selection-of-another-length", instead("score/honest", data=np.zeros((2, 3)))),
]  # fmt: skip


# Text.

ENCODINGS = [
    Mutation("in-utf-16", lambda content: content.decode().encode("utf-16")),
    Mutation("with-a-bom", lambda content: b"\xef\xbb\xbf" + content),
    Mutation("with-latin-1", lambda content: content + "# Glöckchen\n".encode("latin-1")),
    Mutation("with-nul", lambda content: content + b"\0"),
]

DEEP = 100_000


def _sealed_anew(value: dict[str, Any]) -> dict[str, Any]:
    """Recompute the seal, as anyone who edits a file can."""
    rest = {key: each for key, each in value.items() if key != CHECKSUM}
    return sealed(rest) if CHECKSUM in value else rest


def edited(load: Callable[[bytes], Any], dump: Callable[[Any], str], edit: Edit) -> Change:
    """Edit the value in a file, in place."""

    def change(content: bytes) -> bytes:
        value = load(content)
        edit(value)
        return dump(_sealed_anew(value)).encode()

    return change


in_json = partial(edited, json.loads, json.dumps)
in_yaml = partial(edited, yaml.safe_load, yaml.safe_dump)


def set_key(key: str, value: Any) -> Change:
    return in_json(lambda data: data.__setitem__(key, value))


ODD_JSON = [
    Mutation("null", becomes("null")),
    Mutation("a-list", becomes("[]")),
    Mutation("an-empty-object", becomes("{}")),
    Mutation("seven", becomes("7")),
    Mutation("100000-brackets", becomes("[" * DEEP)),
    Mutation("100000-brackets-and-back", becomes("[" * DEEP + "]" * DEEP)),
    Mutation("100000-objects", becomes('{"a":' * DEEP + "1" + "}" * DEEP)),
    Mutation("a-number-of-5000-digits", replaced("1", "9" * 5000)),
    Mutation("a-line-of-10-MB", lambda content: content[:-1] + b" " * 10_000_000 + content[-1:]),
    Mutation("schema-99", set_key("schema", 99)),
    Mutation("schema-of-a-list", set_key("schema", [1])),
    Mutation("no-schema", in_json(lambda data: data.__delitem__("schema"))),
    Mutation("an-unknown-key", set_key("colour", "red")),
]
JSON = [*WHOLESALE, *ENCODINGS, *damaged(*range(8)), *ODD_JSON]

CARD = [
    *JSON,
    *[Mutation(f"{key}-{value}".replace(" ", ""), set_key(key, value)) for key, value in (
        ("model", "gpt"), ("model", None), ("classes", []), ("classes", ["a"]), ("classes", "abc"),
        ("classes", [1, 2, 3]), ("width", 0), ("width", -1), ("width", 10**9), ("width", 2.5),
        ("n_frames", 0), ("n_frames", 10**12), ("n_mels", 0), ("sample_rate", 0),
        ("sample_rate", -8000), ("sample_rate", 10**30), ("n_samples", 0), ("n_samples", 10**12),
        ("n_samples", 900_000_000),
        ("mean", []), ("std", "x"),
        ("features", {}), ("features", None), ("tag_threshold", []), ("training", None),
        ("training", {}), ("postprocessing", {}), ("postprocessing", []),
    )],
    Mutation("mean-nan", set_key("mean", [float("nan")] * 16)),
    Mutation("15-hours", in_json(lambda data: data.update(
        n_samples=432_000_000, n_frames=1 + (432_000_000 - 256) // 128))),
    Mutation("a-frame-a-sample", in_json(lambda data: data.update(
        n_samples=30_000_000, n_frames=30_000_000 - 255,
        features={**data["features"], "hop": 1}))),
    Mutation("hop-0", in_json(lambda data: data["features"].__setitem__("hop", 0))),
    Mutation("window-10^12", in_json(lambda data: data["features"].__setitem__("window", 10**12))),
    Mutation("threshold-nan",
             in_json(lambda d: d["postprocessing"].__setitem__("threshold", [float("nan")] * 3))),
    Mutation("one-threshold",
             in_json(lambda data: data["postprocessing"].__setitem__("threshold", [0.5]))),
    Mutation("median-10^9-s", in_json(lambda d: d["postprocessing"].__setitem__("median_s", 1e9))),
    Mutation("boxes-10^9-s", in_json(lambda d: d["postprocessing"].__setitem__("step_s", 1e9))),
    Mutation("gap-below-0", in_json(lambda data: data["postprocessing"].__setitem__("gap_s", -1))),
]  # fmt: skip

CACHED = [
    *WHOLESALE[:2],
    *damaged(0, 1),
    *ODD_JSON,
    *[Mutation(f"{key}-{value}", set_key(key, value)) for key, value in
      (("psds1", None), ("psds1", {}), ("n_clips", -1), ("n_clips", "many"), ("collar", []))],
    Mutation("made-from-nothing", in_json(lambda data: data.__delitem__("made_from"))),
    Mutation("psds-of-text", in_json(lambda data: data["psds1"].__setitem__("value", "good"))),
    Mutation("psds-infinite", in_json(lambda d: d["psds1"].__setitem__("value", float("inf")))),
    Mutation("per-class-of-another-length",
             in_json(lambda data: data["psds1"].__setitem__("per_class", [1.0]))),
]  # fmt: skip


def in_last_line(edit: Callable[[Any], Any]) -> Change:
    """Edit the JSON value of the last line."""

    def change(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        return b"".join([*lines[:-1], in_json(edit)(lines[-1]), b"\n"])

    return change


def on_last_line(key: str, value: Any) -> Change:
    return in_last_line(lambda data: data.__setitem__(key, value))


JOURNAL = [
    *WHOLESALE,
    *ENCODINGS,
    *damaged(*range(8)),
    *[Mutation(f"{key}-{json.dumps(value)}".replace(" ", ""), on_last_line(key, value))
      for key, value in (
        ("stamp", []), ("stamp", None), ("stamp", [1, 2, 3]), ("duration_s", "long"),
        ("duration_s", None), ("events", None), ("events", [[]]), ("events", [["a"]]),
        ("events", [["a", "b", "c", "d"]]),
        ("events", {"a": 1}),
        ("tags", 7), ("tags", [["a"]]), ("tags", [[1, "x"]]), ("path", None), ("path", ["a"]),
    )],
    Mutation("no-path", in_last_line(lambda data: data.__delitem__("path"))),
    Mutation("no-events", in_last_line(lambda data: data.__delitem__("events"))),
    Mutation("a-list-on-a-line", lambda content: content + b"[]\n"),
    Mutation("null-on-a-line", lambda content: content + b"null\n"),
    Mutation("an-empty-line", lambda content: content + b"\n"),
    Mutation("100000-brackets-on-a-line", lambda content: content + b"[" * DEEP + b"\n"),
    Mutation("5000-digits-on-a-line", lambda c: c + b'{"path": ' + b"9" * 5000 + b"}\n"),
    Mutation("a-line-of-10-MB", lambda content: content + b"x" * 10_000_000 + b"\n"),
    Mutation("its-last-line-twice", lambda content: content + content.splitlines(True)[-1]),
]  # fmt: skip

RECORDS = [
    *WHOLESALE[:4],
    *[Mutation(f"flipped-seed-{k}", flipped(k), True) for k in range(3)],
    Mutation("loss-nan", on_last_line("loss", float("nan")), True),
    Mutation("loss-infinite", on_last_line("loss", float("inf")), True),
    Mutation("loss-10^400", lambda content: content.replace(b'"loss": ', b'"loss": 1e400, "x": ')),
    Mutation("loss-of-text", on_last_line("loss", "low")),
    Mutation("epoch-null", on_last_line("epoch", None)),
    Mutation("no-validation", in_last_line(lambda data: data.__delitem__("validation"))),
    Mutation("validation-of-text", on_last_line("validation", "good")),
    Mutation("a-list-on-a-line", lambda content: content + b"[]\n"),
    Mutation("an-empty-line", lambda content: content + b"\n"),
    Mutation("100000-brackets-on-a-line", lambda content: content + b"[" * DEEP + b"\n"),
]


# safetensors: 8 bytes with the length of the JSON header, which locates the tensors.


def in_tensors(edit: Callable[[dict[str, Any]], None]) -> Change:
    """Edit the header of a safetensors file."""

    def change(content: bytes) -> bytes:
        n = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + n])
        edit(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + n :]

    return change


def of_first_tensor(key: str, value: Any) -> Change:
    def edit(header: dict[str, Any]) -> None:
        header[next(name for name in header if name != "__metadata__")][key] = value

    return in_tensors(edit)


def _weights_of(*values: int) -> Change:
    """Overwrite the last weights with these bytes."""
    return lambda content: content[: -len(values)] + bytes(values)


WEIGHTS = [
    *WHOLESALE,
    *damaged(*range(8)),
    Mutation("header-of-2^60-bytes", put(0, "<Q", 2**60)),
    Mutation("header-of-0-bytes", put(0, "<Q", 0)),
    Mutation("header-of-a-byte-less", put(0, "B", 1)),
    Mutation("offsets-beyond-the-end", of_first_tensor("data_offsets", [0, 2**50])),
    Mutation("offsets-below-0", of_first_tensor("data_offsets", [-1, 3])),
    Mutation("shape-of-2^50", of_first_tensor("shape", [2**50])),
    Mutation("another-type", of_first_tensor("dtype", "I32")),
    Mutation("an-unknown-type", of_first_tensor("dtype", "PY")),
    Mutation("nan", _weights_of(0, 0, 0xC0, 0x7F)),
    Mutation("no-tensor", becomes((2).to_bytes(8, "little") + b"{}")),
    Mutation("100000-brackets", becomes(DEEP.to_bytes(8, "little") + b"[" * DEEP)),
]  # fmt: skip


STATE = [*WHOLESALE, *damaged(*range(10)), *damaged(*range(10, 13), n=50)]


# YAML.

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
"""A "billion laughs" document: 9^12 items in 12 lines."""


def said(key: str, value: Any) -> Change:
    return in_yaml(lambda data: data.__setitem__(key, value))


YAML = [
    *WHOLESALE,
    *ENCODINGS,
    *[Mutation(f"flipped-seed-{k}", flipped(k), True) for k in range(8)],
    Mutation("a-billion-laughs", becomes(LAUGHS)),
    Mutation("a-billion-laughs-behind", lambda content: content + LAUGHS.encode()),
    Mutation("a-billion-laughs-as-keys", becomes("".join(
        f"? &{b} {{? {a} : 1}}\n: 1\n" for a, b in zip("*z*z", "abcd", strict=True)))),
    Mutation("an-alias-of-itself", lambda content: content + b"more: &m [*m]\n"),
    Mutation("a-merge-of-itself", lambda content: content + b"more: &m {<<: *m}\n"),
    Mutation("a-tag", becomes("!!python/object/apply:os.abort []\n")),
    Mutation("a-tag-behind", lambda content: content + b"x: !!python/object/apply:os.abort []\n"),
    Mutation("a-binary", lambda content: content + b"x: !!binary '%%%'\n"),
    Mutation("10000-brackets", becomes("[" * 10_000)),
    Mutation("1000-brackets-and-back", becomes("[" * 1_000 + "]" * 1_000)),
    Mutation("1000-brackets-behind", lambda c: c + b"x: " + b"[" * 1_000 + b"]" * 1_000),
    Mutation("10000-indentations", becomes("\n".join(" " * k + "a:" for k in range(2_000)))),
    Mutation("a-number-of-5000-digits", lambda content: content + b"x: " + b"9" * 5000 + b"\n"),
    Mutation("a-key-of-1-MB", lambda content: content + b"x" * 1_000_000 + b": 1\n"),
    Mutation("a-line-of-1-MB", lambda content: content + b"# " + b"x" * 1_000_000 + b"\n"),
    Mutation("two-documents", lambda content: content + b"---\n" + content),
    Mutation("no-such-date", lambda content: content + b"x: 2024-13-45\n"),
    Mutation("a-list", becomes("- 1\n")),
    Mutation("a-word", becomes("hello\n")),
    Mutation("a-set", becomes("!!set {a, b}\n")),
    Mutation("a-list-as-key", lambda content: content + b"? [1, 2]\n: 3\n"),
    Mutation("null-as-key", lambda content: content + b"~: 3\n"),
]  # fmt: skip

RECIPE = [
    *[mutation for mutation in YAML if mutation not in WHOLESALE],
    *[Mutation(f"{key}-{str(value)[:40]}", said(key, value)) for key, value in (
        ("fold", "one"), ("fold", None), ("fold", -1), ("fold", 10**30), ("model", "gpt"),
        ("model", 7), ("data", 7), ("data", None), ("data", "snr_x"), ("data", "../../escape"),
        ("alpha", "none"), ("alpha", None), ("width", "wide"), ("seed", None),
        ("config", "{"), ("config", "!!python/object/apply:os.abort []"),
        ("config", 7), ("config", None), ("config", LAUGHS),
        ("epochs", "many"), ("n_parameters", "some"), ("attention", 7), ("time_attention", None),
    )],
    *[Mutation(f"config-{text}", said("config", text), True)
      for text in ("[]", "mixing: 7", "corpus: {events: 7}")],
    Mutation("no-fold", in_yaml(lambda data: data.__delitem__("fold"))),
]  # fmt: skip

PROJECT = [
    *YAML,
    *[Mutation(name, replaced(old, new), says_else) for name, old, new, says_else in (
        ("rate-10^30", "sample_rate: 8000", f"sample_rate: {10**30}", False),
        ("rate-of-5000-digits", "sample_rate: 8000", f"sample_rate: {'9' * 5000}", False),
        ("duration-10^308", "duration_s: 2", "duration_s: 1.0e+308", False),
        ("duration-infinite", "duration_s: 2", "duration_s: .inf", False),
        ("folds-nan", "folds: 4", "folds: .nan", False),
        ("a-billion-mixtures", "mixtures_per_fold: 6", "mixtures_per_fold: 1000000000", False),
        ("10^18-events-each", "onsets: [0.1, 0.7, 1.3]", f"events_per_mixture: {10**18}", False),
        ("a-billion-random-events", "onsets: [0.1, 0.7, 1.3]",
         "onsets: random\n  overlap: true\n  events_per_mixture: 1000000000", False),
        ("window-10^12", "window: 256", "window: 1000000000000", False),
        ("a-million-mels", "n_mels: 16", "n_mels: 1000000", False),
        ("a-root-with-nul", "root: events", 'root: "ev\\0ents"', False),
        ("a-root-with-a-line-break", "root: events", 'root: "ev\\nents"', False),
        ("a-root-of-1-MB", "root: events", f"root: {'x' * 1_000_000}", False),
        ("a-root-of-a-user-that-is-none", "root: events", "root: ~nobody-here/x", False),
        ("a-surrogate", "root: events", 'root: "ev\\ud800ents"', False),
        ("a-workdir-with-nul", "corpus:", 'workdir: "a\\0b"\ncorpus:', False),
        ("seed-10^40", "folds: 4", f"seed: {10**40}\n  folds: 4", True),
    )],
]  # fmt: skip


# Tables: a header and rows, with commas or tabs.


def in_rows(edit: Callable[[list[str]], list[str]]) -> Change:
    """Edit the lines of a table."""
    return lambda content: ("\n".join(edit(content.decode().splitlines())) + "\n").encode()


TABLE = [
    Mutation("empty", becomes(b"")),
    Mutation("noise", noise(1)),
    Mutation("zeros", lambda content: bytes(len(content))),
    Mutation("in-utf-16", lambda content: content.decode().encode("utf-16")),
    Mutation("with-a-bom", lambda content: b"\xef\xbb\xbf" + content),
    Mutation("with-latin-1", lambda content: content + "Glöckchen\n".encode("latin-1")),
    Mutation("with-nul", lambda content: content.replace(b"\n", b"\0\n", 2)),
    Mutation("no-header", in_rows(lambda rows: rows[1:])),
    Mutation("header-alone", in_rows(lambda rows: rows[:1])),
    Mutation("header-twice", in_rows(lambda rows: rows[:1] + rows)),
    Mutation("a-column-twice", in_rows(lambda rows: [f"{rows[0]},{rows[0]}", *rows[1:]])),
    Mutation("a-row-twice", in_rows(lambda rows: [*rows, rows[-1]]), True),
    Mutation("a-row-too-long", in_rows(lambda rows: [*rows[:-1], rows[-1] + ",,,x\t\t\tx"])),
    Mutation("a-row-too-short", in_rows(lambda rows: [*rows[:-1], rows[-1][:3]])),
    Mutation("a-quote-that-never-ends", in_rows(lambda rows: [rows[0], f'"{rows[1]}', *rows[2:]])),
    Mutation("a-line-of-1-MB", lambda content: content + b"x" * 1_000_000 + b"\n"),
    Mutation("carriage-returns", lambda content: content.replace(b"\n", b"\r\n")),
    Mutation("old-mac-lines", lambda content: content.replace(b"\n", b"\r")),
    Mutation("semicolons", lambda content: content.replace(b",", b";").replace(b"\t", b";")),
    Mutation("empty-lines", lambda content: content.replace(b"\n", b"\n\n")),
    *[Mutation(f"flipped-seed-{k}", flipped(k), True) for k in range(6)],
]
