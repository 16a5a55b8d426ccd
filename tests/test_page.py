"""The page of a clip as a file: its content, and that it needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from jinja2 import UndefinedError
from views import inspection_of, view_of

from sedmtl.events import Detection, Event
from sedmtl.report.clip_page import Clip, clip_page
from sedmtl.report.embedding import as_json, data_uri, pack, sound
from sedmtl.report.html import render
from sedmtl.report.timeline import axes, lanes, share, spans, time_ticks


def unpack(packed):
    levels = np.frombuffer(base64.b64decode(packed.data), "<u2").astype(np.float64)
    return (packed.step * levels) ** 2 if packed.root else packed.low + packed.step * levels


def read_sound(uri):
    head, _, content = uri.partition(",")
    assert head == "data:audio/wav;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="float32")


def clip_of(view, **changes):
    tone = np.sin(np.arange(24_000) / 7).astype("f4")
    facts = {"file": "rain.wav", "sample_rate": 8_000, "detected": [], "truth": None}
    return Clip(view=view, waveform=tone, **{**facts, **changes})


def test_packed_values_come_back_to_half_a_step():
    values = np.random.default_rng(0).normal(size=(5, 7)).astype("f4")
    packed = pack(values, root=False)
    assert packed.step == pytest.approx(np.ptp(values) / 65535)
    np.testing.assert_allclose(unpack(packed), values.ravel(), atol=0.51 * packed.step)


def test_small_weights_keep_three_digits_beside_large_ones():
    weights = np.geomspace(1e-3, 1, 50).astype("f4")
    np.testing.assert_allclose(unpack(pack(weights, root=True)), weights, rtol=5e-4)


def test_levels_by_hand():
    levels = np.frombuffer(base64.b64decode(pack(np.array([1, 2, 3], "f4"), False).data), "<u2")
    assert levels.tolist() == [0, 32768, 65535]


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_constant_comes_back_as_it_is(root, value):
    packed = pack(np.full((3, 2), value, "f4"), root)
    np.testing.assert_allclose(unpack(packed), value)


def test_the_audio_is_a_wav_file_at_the_level_the_network_hears():
    quiet = 0.001 * np.random.default_rng(0).normal(size=500).astype("f4")
    samples, rate = read_sound(sound(quiet, 8_000, is_small=False))
    assert rate == 8_000
    np.testing.assert_allclose(samples, quiet / np.abs(quiet).max() / 2, atol=1 / 32767)


def test_silence_stays_silence():
    samples, _ = read_sound(sound(np.zeros(9, "f4"), 8_000, is_small=False))
    np.testing.assert_array_equal(samples, np.zeros(9))


def test_times_are_at_their_share_of_the_clip():
    view = view_of(inspection_of(1))
    assert [share(view, time_s) for time_s in (2, 2.75, 5)] == [0, 25, 100]


def test_events_are_cut_to_the_clip():
    view = view_of(inspection_of(1))
    assert spans(view, [Event("a", 0.5, 2.75), Event("b", 3.5, 9)]) == [
        ("a", 0, 25), ("b", 50, 50),
    ]  # fmt: skip


def test_overlapping_events_have_lanes_of_their_own():
    view = view_of(inspection_of(1))
    found = [Detection("a", 2, 3, 0.5), Detection("b", 2.5, 4, 0.5), Detection("a", 3.5, 4, 0.5)]
    assert [[span.label for span in lane] for lane in lanes(view, found)] == [["a", "a"], ["b"]]
    assert lanes(view, []) == [[]]


@pytest.mark.parametrize(
    ("start_s", "end_s", "texts"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (11.5, 21.5, ["12", "14", "16", "18", "20"]),
        (0.3, 0.9, ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]),
        (0, 60, ["0", "10", "20", "30", "40", "50", "60"]),
    ],
)
def test_ticks_are_round_times(start_s, end_s, texts):
    ticks = time_ticks(view_of(inspection_of(1), start_s=start_s, end_s=end_s))
    assert [tick.text for tick in ticks] == texts
    for tick in ticks:
        assert tick.place == pytest.approx(
            100 * (float(tick.text) - start_s) / (end_s - start_s), abs=1e-3
        )


def test_there_are_some_ticks_but_not_too_many_for_clips_of_any_length():
    for duration_s in np.geomspace(0.01, 5_000, 60):
        ticks = time_ticks(view_of(inspection_of(1), start_s=1.0, end_s=1.0 + duration_s))
        assert 2 <= len(ticks) <= 7
        assert all(-1e-3 <= tick.place <= 100 + 1e-3 for tick in ticks)


def test_frequencies_are_at_the_middle_of_their_bin():
    hz = np.array([90, 200, 600, 1000], "f4")
    ticks = axes(view_of(replace(inspection_of(1), mel_hz=hz)))["mel_ticks"]
    assert {tick.text: tick.place for tick in ticks} == pytest.approx(
        {"1,000": 87.5, "500": 56.25, "200": 37.5, "100": 14.77}, abs=0.01
    )


def test_json_cannot_end_its_script():
    text = as_json({"name": "</script><!--", "value": 1.5})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--", "value": 1.5}


def test_json_refuses_what_a_browser_cannot_read():
    with pytest.raises(ValueError, match="JSON"):
        as_json({"value": float("nan")})


def test_a_data_uri_holds_the_file():
    head, _, content = data_uri(b"\x00\xff<>", "image/png").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == b"\x00\xff<>"


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError, match="is undefined"):
        render("clip.html")


def test_the_page_loads_nothing_from_elsewhere():
    html = clip_page(clip_of(view_of(inspection_of(3))))
    assert "default-src 'none'" in html
    assert not re.search(r"https?://|//[a-z]+\.", html)
    addresses = re.findall(r"\b(?:src|href)=\"([^\"]{0,5})", html)
    assert len(addresses) == 2
    assert set(addresses) == {"data:"}


def test_names_are_escaped():
    name = '<b>&"x"</b>'
    html = clip_page(
        clip_of(
            view_of(inspection_of(2, names=(name, "bell"))),
            file=f"{name}.wav",
            detected=[Detection(name, 2.5, 3, 0.75)],
            truth=[Event(name, 2.25, 2.75)],
        )
    )
    assert '<b>&"x' not in html
    assert "&lt;b&gt;&amp;" in html


def test_ten_seconds_of_41_classes_take_less_than_3_mb():
    n_frames, n_mels = 311, 64
    rng = np.random.default_rng(0)
    inspection = replace(
        inspection_of(41),
        frame=rng.random((41, n_frames)).astype("f4"),
        mel_attention=rng.random((41, n_frames, n_mels)).astype("f4"),
        time_attention=rng.random((41, n_frames)).astype("f4"),
        logmel=rng.random((n_frames, n_mels)).astype("f4"),
        reconstruction=rng.random((n_frames, n_mels)).astype("f4"),
        frame_edges_s=0.016 + 0.032 * np.arange(n_frames + 1),
        logmel_edges_s=0.016 + 0.032 * np.arange(n_frames + 1),
        mel_hz=np.geomspace(60, 15_500, n_mels).astype("f4"),
        duration_s=10.0,
    )
    view = view_of(inspection, start_s=0.0, end_s=10.0)
    waveform = rng.normal(size=320_000).astype("f4")
    html = clip_page(Clip("rain.wav", view, waveform, 32_000, [], None))
    assert len(html.encode()) < 3_000_000
    assert "24 of 41 classes are shown" in html
    assert "17 are left out" in html


def test_only_requested_classes_can_be_chosen():
    html = clip_page(clip_of(view_of(inspection_of(9))), asked=["class_7", "class_2"])
    assert re.findall(r'type="checkbox" value="([^"]*)"', html) == ["class_7", "class_2"]
    assert "2 of 9 classes are shown, as requested; 7 are left out." in html


def test_true_and_detected_classes_can_be_chosen_however_unlikely():
    view = view_of(inspection_of(41))
    *_, unlikely, least = (name for name, _ in view.inspection.ranking())
    html = clip_page(
        clip_of(view, detected=[Detection(least, 2, 3, 0.5)], truth=[Event(unlikely, 4, 5)])
    )
    boxes = re.findall(r'value="([^"]*)"( checked)?', html)
    assert len(boxes) == 24
    assert (least, "") in boxes
    assert (unlikely, " checked") in boxes


def test_maps_that_are_left_out_say_why():
    bare = {"mel_attention": None, "time_attention": None, "reconstruction": None}
    view = view_of(replace(inspection_of(3), **bare), no_decoder="its decoder was not trained")
    html = clip_page(clip_of(view))
    assert "Left out: its decoder was not trained." in html
    assert html.count("Left out: this network has none.") == 2
    assert "NaN" not in html


def test_low_scores_are_doubted_under_the_dense_second_step_only():
    for meaning in ("signed", "presence", "evidence"):
        html = clip_page(clip_of(view_of(inspection_of(3), frame_meaning=meaning)))
        assert ("low may mean present" in html) == (meaning == "signed")
        assert ("low ones may mean present" in html) == (meaning == "signed")
