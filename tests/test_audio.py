"""Audio input: mono, float32, one rate; and one sentence for every unusable file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import write_noise, write_tone
from scipy import signal

from sedmtl.data import audio
from sedmtl.data.audio import files
from sedmtl.data.audio.waveform import cut_or_pad
from sedmtl.runtime.errors import SedmtlError


def sine(hz, seconds, rate, peak=0.5):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def middle(x):
    """Without the ends, where a resampler's filter reaches beyond the signal."""
    return x[len(x) // 10 : -len(x) // 10]


def write_values(path, values, rate=8000, subtype="FLOAT"):
    soundfile.write(path, np.asarray(values), rate, subtype=subtype)
    return path


def test_channels_are_averaged(tmp_path):
    left, right = np.array([0.5, -0.25, 1.0]), np.array([0.25, 0.25, -1.0])
    path = write_values(tmp_path / "a.wav", np.stack([left, right], 1))
    mono = audio.read(path, 8000)
    assert mono.dtype == np.float32
    np.testing.assert_array_equal(mono, (left + right) / 2)


@pytest.mark.parametrize(("subtype", "scale"), [("PCM_16", 2**15), ("PCM_24", 2**23)])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_integer_samples_are_fractions_of_full_scale(tmp_path, subtype, scale, suffix):
    values = np.array([0, 1, -1, scale - 1, -scale])
    path = write_values(tmp_path / f"a.{suffix}", values / scale, subtype=subtype)
    # Both scales are exact in float32.
    np.testing.assert_array_equal(audio.read(path, 8000), np.float32(values / scale))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("rate", "subtype"), [(44_100, "PCM_16"), (48_000, "PCM_24")])
@pytest.mark.parametrize("wanted", [8_000, 32_000])
def test_resampling_keeps_a_tones_frequency_and_level(tmp_path, rate, subtype, wanted, channels):
    stereo = np.tile(sine(1000, 1.0, rate)[:, None], channels)
    wave = audio.read(write_values(tmp_path / "a.wav", stereo, rate, subtype), wanted)
    assert abs(len(wave) - wanted) <= 1
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert np.fft.rfftfreq(len(wave), 1 / wanted)[spectrum.argmax()] == pytest.approx(1000, abs=1)
    # 0.1 %, far above the pass-band ripple of a good resampler.
    assert audio.rms(middle(wave)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)


def test_resampling_agrees_with_scipy(tmp_path):
    wave = sine(440, 0.5, 48_000) + sine(2500, 0.5, 48_000, 0.2)
    ours = audio.read(write_values(tmp_path / "a.wav", wave, 48_000), 32_000)
    theirs = signal.resample_poly(wave, 2, 3, window=("kaiser", 10.0))
    # The two low-pass filters differ near the band edge, far from these tones.
    np.testing.assert_allclose(middle(ours), middle(theirs), atol=1e-3)


def test_frequencies_above_the_target_rate_are_removed(tmp_path):
    path = write_values(tmp_path / "a.wav", sine(10_000, 0.5, 44_100), 44_100)
    assert audio.rms(middle(audio.read(path, 8000))) < 1e-3 * 0.5


def test_start_and_duration_cut_what_slicing_would(tmp_path):
    path = write_noise(tmp_path / "a.wav", seed=1, seconds=1.0)
    whole = audio.read(path, 8000)
    np.testing.assert_array_equal(
        audio.read(path, 8000, start_s=0.3, duration_s=0.1), whole[2400:3200]
    )
    np.testing.assert_array_equal(audio.read(path, 8000, start_s=0.9, duration_s=5), whole[7200:])
    np.testing.assert_array_equal(audio.read(path, 8000, start_s=0.99999), whole[-1:])


@pytest.mark.parametrize("start_s", [1.0, 2.0, -0.5, float("nan"), float("inf")])
def test_a_start_outside_the_file_says_how_long_it_is(tmp_path, start_s):
    path = write_noise(tmp_path / "a.wav", seed=1, seconds=1.0)
    with pytest.raises(SedmtlError, match=r"a\.wav is 1\.00 s long: nothing starts at"):
        audio.read(path, 8000, start_s=start_s)


@pytest.mark.parametrize("block", [1 << 16, 1000, 37])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (48_000, 6), (4000, 1)])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_stream_has_the_exact_samples_of_the_file(
    tmp_path, monkeypatch, block, rate, channels, suffix
):
    values = np.random.default_rng(0).uniform(-1, 1, (3333, channels))
    path = write_values(tmp_path / f"a.{suffix}", values, rate, "PCM_16")
    monkeypatch.setattr(files, "BLOCK", block)
    pieces = list(audio.stream(path, 8000))
    assert len(pieces) >= 3333 // block
    whole = audio.read(path, 8000)
    assert pieces[0].dtype == whole.dtype
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_stream_is_read_as_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 1000)
    path = write_values(tmp_path / "a.wav", [*np.zeros(5000), np.nan])
    stream = audio.stream(path, 8000)
    for _ in range(5):
        np.testing.assert_array_equal(next(stream), np.zeros(1000))
    with pytest.raises(SedmtlError, match=r"a\.wav holds NaN or infinity at 0\.625 s"):
        next(stream)


@pytest.mark.parametrize("wanted", [8000, 16_000])
@pytest.mark.parametrize(
    ("suffix", "subtype", "sentence"),
    [
        ("flac", "PCM_16", r"a\.flac is damaged or cut short after \d\.\d\d of 9\.00 s: "),
        ("mp3", "MPEG_LAYER_III", r"a\.mp3 is cut short: .* promises 9\.00 s .* found [34]\.\d"),
    ],
)
def test_a_stream_of_a_file_that_was_cut_short_says_so(tmp_path, wanted, suffix, subtype, sentence):
    noise = np.random.default_rng(0).uniform(-1, 1, 72_000)
    path = write_values(tmp_path / f"a.{suffix}", noise, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SedmtlError, match=sentence):
        list(audio.stream(path, wanted))


CONTAINERS = [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "IMA_ADPCM"), ("rf64", "PCM_16"),
              ("w64", "PCM_16"), ("aiff", "PCM_16"), ("au", "PCM_16"), ("ogg", "VORBIS"),
              ("flac", "PCM_16"), ("mp3", "MPEG_LAYER_III")]  # fmt: skip


@pytest.mark.parametrize("stereo", [False, True])
@pytest.mark.parametrize(("suffix", "subtype"), CONTAINERS)
def test_a_file_that_was_cut_anywhere_is_never_read_as_a_shorter_one(
    tmp_path, suffix, subtype, stereo
):
    noise = np.random.default_rng(0).uniform(-1, 1, (9000, 1 + stereo))
    path = write_values(tmp_path / f"a.{suffix}", noise, subtype=subtype)
    content, n_samples = path.read_bytes(), len(audio.read(path, 8000))
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        for use in (audio.read, lambda *arguments: list(audio.stream(*arguments))):
            with pytest.raises(SedmtlError, match=rf"a\.{suffix}"):
                use(path, 8000)
    path.write_bytes(content)
    assert len(audio.read(path, 8000)) == n_samples >= 9000


@pytest.mark.parametrize("n_lost", [1, 2, 1000])
@pytest.mark.parametrize(("suffix", "subtype"), [c for c in CONTAINERS if c[1] == "PCM_16"][:-1])
def test_a_truncated_file_says_how_much_is_left(tmp_path, suffix, subtype, n_lost):
    path = write_values(tmp_path / f"a.{suffix}", np.zeros(9000), subtype=subtype)
    path.write_bytes(path.read_bytes()[:-n_lost])
    # The chunk size of an AIFF file includes 8 bytes before the samples.
    extra = 8 if suffix == "aiff" else 0
    sentence = f"promises {18_000 + extra} bytes of audio, found {18_000 + extra - n_lost}"
    with pytest.raises(SedmtlError, match=sentence):
        audio.probe(path)


@pytest.mark.parametrize("size", [2**32 - 1, 2**31, 2**31 - 1, 0x7FFFF000])
def test_a_wav_file_from_a_pipe_is_read_to_its_end(tmp_path, size):
    values = np.arange(900) / 1000
    path = write_values(tmp_path / "a.wav", values, subtype="PCM_16")
    whole, content = audio.read(path, 8000), bytearray(path.read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path, 8000), whole)


@pytest.mark.parametrize("suffix", ["ogg", "flac"])
def test_a_changed_byte_is_detected_if_the_format_has_checksums(tmp_path, suffix):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 9000)
    path = write_values(tmp_path / f"a.{suffix}", noise, subtype=None)
    content = path.read_bytes()
    for at in np.random.default_rng(1).integers(4000, len(content), 40):
        broken = bytearray(content)
        broken[at] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(SedmtlError, match=rf"a\.{suffix}"):
            audio.read(path, 8000)


def test_an_ogg_file_that_lacks_a_page_is_refused(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000)
    path = write_values(tmp_path / "a.ogg", noise, subtype=None)
    pages = path.read_bytes().split(b"OggS")[1:]
    path.write_bytes(b"".join(b"OggS" + page for k, page in enumerate(pages) if k != 3))
    with pytest.raises(SedmtlError, match=r"a\.ogg lacks an Ogg page"):
        audio.probe(path)


@pytest.mark.parametrize("rate", [1, 999])
def test_a_rate_that_no_audio_has_is_refused(tmp_path, rate):
    path = write_values(tmp_path / "a.wav", np.zeros(9000), rate)
    with pytest.raises(SedmtlError, match=rf"rate of 1000 Hz or more, found {rate}"):
        audio.probe(path)


def test_a_pipe_is_not_audio_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert not list(audio.files_below(tmp_path))
    with pytest.raises(SedmtlError, match=r"a\.wav is a device or a pipe: expected an audio file"):
        audio.probe(tmp_path / "a.wav")


def test_many_channels_are_read_in_small_blocks(tmp_path, monkeypatch):
    values = np.random.default_rng(0).uniform(-1, 1, (900, 64))
    path = write_values(tmp_path / "a.wav", values)
    monkeypatch.setattr(files, "BLOCK", 640)
    pieces = list(audio.stream(path, 8000))
    assert [len(piece) for piece in pieces] == [10] * 90
    np.testing.assert_allclose(np.concatenate(pieces), values.mean(axis=1), atol=1e-6)


def test_a_file_that_does_not_say_how_long_it_is_is_refused(tmp_path):
    path = write_values(tmp_path / "a.flac", np.zeros(9000), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    # Behind "fLaC" and its header of 4 bytes: bytes 13 (low half) to 17 count the samples.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(SedmtlError, match=r"a\.flac does not state its length"):
        audio.probe(path)


def test_the_header_tells_length_rate_and_channels(tmp_path):
    info = audio.probe(write_tone(tmp_path / "a.wav", 440, 0.5, rate=44_100, channels=2))
    assert info == (22_050, 44_100, 2)
    assert info.duration_s == 0.5


def missing(path):
    pass


def folder(path):
    path.mkdir()


def empty(path):
    path.touch()


def text(path):
    path.write_text("this is no audio at all\n" * 10)


def no_samples(path):
    write_values(path, np.zeros(0))


def cut_flac(path):
    write_values(path.with_suffix(".flac"), np.random.default_rng(0).uniform(-1, 1, 40_000),
                 subtype="PCM_16")  # fmt: skip
    path.write_bytes(path.with_suffix(".flac").read_bytes()[:40_000])


BROKEN = {
    missing: "no audio file",
    folder: "no audio file",
    empty: "cannot read",
    text: "as audio",
    no_samples: "expected at least one sample, found none",
    cut_flac: "flac decoder lost sync",
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.items())
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path, make, sentence):
    path = tmp_path / "a.wav"
    make(path)
    for use in (audio.read, lambda *arguments: list(audio.stream(*arguments))):
        with pytest.raises(SedmtlError) as error:
            use(path, 8000)
        assert str(path) in str(error.value)
        assert sentence in str(error.value)


def test_a_raw_file_is_refused_because_it_has_no_header(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"\0" * 100)
    with pytest.raises(SedmtlError, match=r"cannot read .*a\.raw as audio"):
        audio.probe(tmp_path / "a.raw")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wanted", [8000, 4000])
def test_nan_and_infinity_are_refused_with_their_time(tmp_path, bad, wanted):
    values = np.zeros((8000, 2))
    values[2000] = [bad, -bad]  # averaging first would give NaN, or a warning
    path = write_values(tmp_path / "a.wav", values)
    with pytest.raises(SedmtlError, match=r"a\.wav holds NaN or infinity at 0\.250 s"):
        audio.read(path, wanted)


@pytest.mark.parametrize("loud", [3.3e38, 1.1e12])
@pytest.mark.parametrize("wanted", [8000, 4000])
def test_samples_that_would_overflow_are_refused(tmp_path, loud, wanted):
    path = write_values(tmp_path / "a.wav", [0.5] * 2000 + [loud, -loud] * 1000)
    for read in (audio.read, lambda *where: list(audio.stream(*where))):
        with pytest.raises(SedmtlError, match=re.escape(f"a sample of {loud:.1e} at 0.250 s")):
            read(path, wanted)


@pytest.mark.parametrize("peak", [2.0, 32_768.0, 2.0**31, 1e12])
def test_integers_written_as_floats_are_loud_but_audio(tmp_path, peak):
    path = write_values(tmp_path / "a.wav", sine(440, 0.5, 8000, peak), subtype="DOUBLE")
    for wanted in (8000, 6000):
        wave = audio.read(path, wanted)
        np.testing.assert_array_equal(np.concatenate(list(audio.stream(path, wanted))), wave)
        assert np.isfinite(audio.conform(wave, 4000)).all()


def test_a_file_too_short_for_one_sample_at_the_wanted_rate_is_refused(tmp_path):
    path = write_values(tmp_path / "a.wav", [0.5], 48_000)
    with pytest.raises(SedmtlError, match=r"a\.wav is too short: .* found 1 at 48000 Hz"):
        audio.read(path, 8000)
    with pytest.raises(SedmtlError, match=r"a\.wav is too short: .* found 1 at 48000 Hz"):
        list(audio.stream(path, 8000))
    assert len(audio.read(path, 48_000)) == 1


def test_probing_many_keeps_their_order(tmp_path):
    paths = [write_noise(tmp_path / f"{k}.wav", k, 0.01 * (k + 1)) for k in range(9)]
    assert [info.n_samples for info in audio.probe_all(paths)] == [80 * (k + 1) for k in range(9)]
    assert audio.probe_all([]) == []


def test_probing_many_names_the_first_broken_file_and_counts_the_others(tmp_path):
    good = write_noise(tmp_path / "good.wav", 0, 0.01)
    paths = [good, tmp_path / "x.wav", good, tmp_path / "y.wav"]
    with pytest.raises(SedmtlError, match=r"no audio file .*x\.wav \(and 1 more of 4 files\)"):
        audio.probe_all(paths)


def test_to_mono_takes_waveforms_of_one_and_two_dimensions():
    wave = np.linspace(-1, 1, 100, dtype=np.float32)
    np.testing.assert_array_equal(audio.to_mono(wave, 8000, 8000, where="it"), wave)
    both = np.stack([wave, -wave], 1)
    np.testing.assert_array_equal(audio.to_mono(both, 8000, 8000, where="it"), np.zeros(100))
    with pytest.raises(SedmtlError, match="it holds NaN"):
        audio.to_mono(np.full(3, np.nan, np.float32), 8000, 8000, where="it")


RAMP = np.arange(1, 6, dtype=np.float32)


@pytest.mark.parametrize(
    ("shape", "n", "expected"),
    [
        (cut_or_pad, 3, [1, 2, 3]),
        (cut_or_pad, 5, [1, 2, 3, 4, 5]),
        (cut_or_pad, 8, [1, 2, 3, 4, 5, 0, 0, 0]),
        (audio.cut_or_repeat, 3, [1, 2, 3]),
        (audio.cut_or_repeat, 5, [1, 2, 3, 4, 5]),
        (audio.cut_or_repeat, 12, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]),
    ],
)
def test_cutting_padding_and_repeating(shape, n, expected):
    np.testing.assert_array_equal(shape(RAMP, n), expected)


@pytest.mark.parametrize("gain", [1, 1e-3, 1e6, 1e-40])
@pytest.mark.parametrize("n", [400, 1000, 3000])
def test_conform_puts_the_peak_of_what_is_kept_at_one_half(gain, n):
    wave = np.random.default_rng(0).normal(size=1000)
    kept = wave[:n]
    clip = audio.conform(np.float32(gain * wave), n)
    assert clip.dtype == np.float32
    assert clip.shape == (n,)
    assert np.abs(clip).max() == 0.5
    # Denormal samples hold few bits, so only their peak is compared.
    if gain > 1e-30:
        np.testing.assert_allclose(
            clip[: len(kept)], 0.5 * kept / np.abs(kept).max(), rtol=1e-5, atol=1e-7
        )
    assert not clip[len(kept) :].any()


def test_conform_leaves_silence_silent():
    np.testing.assert_array_equal(audio.conform(np.zeros(10, np.float32), 20), np.zeros(20))


# The squares of the last two are outside float32's range.
@pytest.mark.parametrize("peak", [0.8, 1e-30, 1e30])
def test_rms_of_a_sine_is_its_peak_over_root_two(peak):
    wave = np.float32(sine(100, 1, 8000, peak))
    assert audio.rms(wave) == pytest.approx(peak / np.sqrt(2), rel=1e-6, abs=0)


def test_audio_too_quiet_to_divide_by_is_silent():
    assert audio.rms(np.full(10, 1e-34, np.float32)) == 0
    assert audio.rms(np.full(10, 1e-32, np.float32)) == pytest.approx(1e-32)


def test_written_audio_is_16_bit_and_comes_back(tmp_path):
    values = np.array([0, 1, -32_768, 32_767], np.int16)
    (tmp_path / "a.wav").write_bytes(audio.wav_bytes(values, 16_000))
    back, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 16_000
    np.testing.assert_array_equal(back, values)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"


@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_a_wav_file_in_parts_is_that_of_libsndfile(n_channels):
    values = np.arange(-30 * n_channels, 30 * n_channels, dtype=np.int16).reshape(-1, n_channels)
    begin = audio.wav_header(len(values), n_channels, 44_100)
    assert begin + values.tobytes() == audio.wav_bytes(values, 44_100)


def test_a_wav_file_beyond_sizes_of_32_bits_is_read_to_its_end(tmp_path):
    """By libsndfile and by ours; the file has holes and takes no room."""
    path, n_samples, last = tmp_path / "long.wav", 1_200_000_000, np.array([[-5, 7]], np.int16)
    begin = audio.wav_header(n_samples, 2, 48_000)
    path.write_bytes(begin)
    os.truncate(path, len(begin) + 4 * n_samples - last.nbytes)
    with path.open("ab") as file:
        file.write(last.tobytes())
    assert audio.probe(path) == (n_samples, 48_000, 2)
    end, _ = soundfile.read(path, start=n_samples - 1, dtype="int16")
    np.testing.assert_array_equal(end, last)
    info = soundfile.info(path)
    assert (info.format, info.subtype) == ("RF64", "PCM_16")
    os.truncate(path, path.stat().st_size - 4)
    with pytest.raises(SedmtlError, match=r"cut short: its header promises 4800000000 bytes"):
        audio.probe(path)


def test_a_folder_is_searched_in_order_without_hidden_and_other_files(tmp_path):
    for name in ("b/2.WAV", "b/1.flac", "a.ogg", ".trash/x.wav", "b/._1.flac", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in audio.files_below(tmp_path)]
    assert found == ["a.ogg", "b/1.flac", "b/2.WAV"]


@pytest.mark.skipif(os.name == "nt", reason="there, names are always text")
def test_a_file_whose_name_is_not_utf8_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.wav")
    write_noise(tmp_path / "a.wav", 0, 0.1).rename(path)
    assert audio.probe(path).n_samples == len(audio.read(path, 8000)) == 800
    with pytest.raises(SedmtlError, match="no audio file"):
        audio.read(tmp_path / os.fsdecode(b"\xfe.wav"), 8000)


def test_a_name_that_is_not_utf8_is_shown_in_ascii(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/T\xfcr.wav")).touch()
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    with pytest.raises(SedmtlError, match=r"UTF-8, found '.*T\\udcfcr\.wav': rename it"):
        list(audio.files_below(tmp_path))


def test_every_extension_that_is_searched_for_is_one_that_soundfile_reads():
    known = {name.lower() for name in soundfile.available_formats()}
    aliases = {"wave": "wav", "oga": "ogg", "opus": "ogg", "aif": "aiff", "aifc": "aiff"}
    names = {extension[1:] for extension in audio.EXTENSIONS}
    assert {aliases.get(name, name) for name in names} <= known


@pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="libsndfile lacks MP3")
def test_an_mp3_is_read_in_blocks_and_from_any_time_as_at_once(tmp_path, capfd):
    path, rate = tmp_path / "a.mp3", 22_050
    noise = np.random.default_rng(0).normal(scale=0.1, size=20 * rate)
    soundfile.write(path, noise, rate, format="MP3")
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(audio.read(path, rate), whole, atol=1e-6)
    np.testing.assert_allclose(audio.read(path, rate, start_s=9), whole[9 * rate :], atol=1e-6)
    assert not capfd.readouterr().err
