"""Masks, recordings separated with them, and the quality of the separation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from networks import ON_LOGMEL

from sedmtl.data.audio import resample
from sedmtl.evaluation.separability import Separability, measure, sources_of
from sedmtl.evaluation.stems import Stems
from sedmtl.inference.checkpoint import load_card
from sedmtl.inference.detector import Detector
from sedmtl.inference.masked_stft import MaskedStft
from sedmtl.inference.mel_masks import AROUND, mel_masks
from sedmtl.inference.separation import Recording, Separator, take_apart
from sedmtl.metrics.si_sdr import si_sdr
from sedmtl.models import build_model
from sedmtl.models.class_masks import SURE, share
from sedmtl.models.registry import settings_class
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import EventTable

RATE = 8000
RUN = "2apae_snr20_fold1_alpha0.001_seed0"


@pytest.fixture(scope="module")
def card(trained):
    """A card of 8 kHz, clips of 16,000 samples, windows of 256, 124 frames, 16 bins, 3 classes."""
    return load_card(trained.work / "runs" / RUN)


@pytest.fixture(scope="module")
def stft(card):
    return MaskedStft(card)


def tone(hz, n_samples=16_000, begin=0, end=None):
    wave = np.zeros(n_samples, np.float32)
    t = np.arange(n_samples) / RATE
    wave[begin:end] = 0.3 * np.sin(2 * np.pi * hz * t)[begin:end]
    return wave


def noise(n_samples, seed=0):
    wave = np.random.default_rng(seed).normal(scale=0.1, size=n_samples)
    return wave.astype(np.float32)


# Masks.


def output_of(name, **options):
    torch.manual_seed(0)
    network = build_model(name, 3, 124, 16, width=2, **options)
    with torch.no_grad():
        return network.eval()(torch.randn(2, 124, 16))


def card_of(card, name, **options):
    return replace(card, network=settings_class(name)(2, **options))


@pytest.mark.parametrize("name", ON_LOGMEL)
def test_masks_are_shares_of_each_bin(name, card):
    mask = mel_masks(output_of(name), card_of(card, name))
    assert mask.shape == (2, 3, 124, 16)
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_frame_scores_that_are_presences_are_the_mask(card):
    output = output_of("2apae", time_attention="local")
    mask = mel_masks(output, card_of(card, "2apae", time_attention="local"))
    for mel_bin in range(16):
        torch.testing.assert_close(mask[..., mel_bin], output.frame)


def test_otherwise_the_mask_is_the_class_map_averaged_over_nearby_bins(card):
    output = output_of("gap")
    mask = mel_masks(output, card_of(card, "gap"))
    probability = output.class_map.sigmoid()
    for t, f in ((0, 0), (60, 8), (123, 15)):
        frames = slice(max(t - AROUND[0] // 2, 0), t + AROUND[0] // 2 + 1)
        mels = slice(max(f - AROUND[1] // 2, 0), f + AROUND[1] // 2 + 1)
        expected = probability[:, :, frames, mels].mean(dim=(-2, -1))
        torch.testing.assert_close(mask[:, :, t, f], expected)


def test_the_masks_of_atrous_sum_to_one(card):
    mask = mel_masks(output_of("atrous"), card_of(card, "atrous"))
    torch.testing.assert_close(mask.sum(dim=1), torch.ones(2, 124, 16))


def test_sources_that_sound_together_divide_each_bin_by_their_odds():
    mask = torch.tensor([[0.5, 0.75], [0.5, 0.0]]).reshape(2, 1, 2)
    torch.testing.assert_close(share(mask).reshape(2, 2), torch.tensor([[1 / 3, 0.75], [1 / 3, 0]]))


def test_shares_of_a_bin_are_at_most_all_of_it_and_of_a_class_alone_its_mask():
    mask = torch.rand(5, 7, 3).round(decimals=1)  # including 0 and 1
    torch.testing.assert_close(share(mask[:1]), mask[:1], atol=2 * SURE, rtol=0)
    shared = share(mask)
    assert shared.sum(dim=0).max() <= 1
    assert (shared <= mask + 1e-6).all()
    assert (shared > 0).equal(mask > 0)


# The STFT to which masks are applied.


@pytest.mark.parametrize("n_samples", [1, 100, 256, 16_000, 16_037])
def test_analysis_and_synthesis_are_inverse(stft, n_samples):
    wave = noise(n_samples)
    np.testing.assert_allclose(stft.synthesise(stft.analyse(wave), n_samples), wave, atol=1e-6)


def test_a_full_mask_gives_the_networks_band(stft):
    """Below f_min, here 50 Hz, everything goes to the remainder."""
    full = torch.ones(1, 124, 16)
    inner = slice(256, -256)  # the tone's ends contain lower frequencies, too
    heard = stft.separate(tone(1000), full)[0]
    np.testing.assert_allclose(heard[inner], tone(1000)[inner], atol=1e-3)
    offset = np.full(16_000, 0.3, np.float32)
    assert np.abs(stft.separate(offset, full)[0, inner]).max() < 0.03


def test_masked_parts_sum_to_the_whole(stft):
    wave, mask = noise(16_000), torch.rand(1, 124, 16)
    parts = stft.separate(wave, torch.cat([mask, 1 - mask]))
    np.testing.assert_allclose(parts.sum(axis=0), stft.separate(wave, 0 * mask + 1)[0], atol=1e-5)
    assert not stft.separate(wave, 0 * mask).any()


def test_a_mask_in_one_half_of_the_band_takes_out_that_half(stft, card):
    low = torch.from_numpy(card.build_logmel().centres_hz() < 1000).float().expand(1, 124, 16)
    out = stft.separate(tone(300) + tone(3000), low)[0]
    assert si_sdr(tone(300), out) > 40


def test_masks_are_spread_linearly_in_time_and_by_the_filters_in_frequency(stft, card):
    mask = torch.rand(2, 124, 16)
    spread = stft.spread(mask, 251).numpy()
    filters = card.build_logmel().filters.numpy()
    centres = np.arange(251) * 64
    known = np.arange(124) * 128 + 128  # centres of the network's frames
    for fft_bin in (2, 40, 100):
        heard = filters[fft_bin] / filters[fft_bin].sum()
        expected = np.interp(centres, known, mask[1].numpy() @ heard)
        np.testing.assert_allclose(spread[1, fft_bin], expected, rtol=1e-4)


def test_the_ideal_mask_is_exact_where_sources_do_not_overlap(stft):
    wanted, rest = tone(500, end=8000), tone(2500, begin=4000)
    (out,) = stft.separate_ideally(wanted[None], rest[None])
    assert si_sdr(wanted, out) > 30
    (alone,) = stft.separate_ideally(wanted[None], np.zeros_like(rest)[None])
    np.testing.assert_allclose(alone, wanted, atol=1e-5)


def test_the_ideal_mask_is_the_wanted_share_of_the_power(stft):
    """For the same sound twice, with 1 and 3 parts of the power, a quarter of the mixture."""
    wave = noise(16_000)
    (out,) = stft.separate_ideally(wave[None], np.sqrt(np.float32(3)) * wave[None])
    np.testing.assert_allclose(out, (1 + np.sqrt(3)) / 4 * wave, atol=1e-5)


def test_no_mask_of_a_network_beats_the_ideal_one(stft):
    wanted, rest = noise(16_000, 1), noise(16_000, 2)
    (ideal,) = stft.separate_ideally(wanted[None], rest[None])
    others = stft.separate(wanted + rest, torch.rand(5, 124, 16))
    assert si_sdr(wanted, ideal) > si_sdr(np.tile(wanted, (5, 1)), others).max()


# Recordings of any length.


class Steady(Separator):
    """A separator that detects class 1 in every window, with a mask of 0.5."""

    def __init__(self, card, sample_rate=None):
        torch.manual_seed(0)
        super().__init__(Detector(card, card.build_network()), sample_rate)
        self.n_windows = 0

    def listen(self, clip):
        self.n_windows += 1
        assert np.abs(clip).max() == pytest.approx(0.5)
        return np.array([0, 1, 0], np.float32), torch.full((3, 124, 16), 0.5)

    def detected(self, clip):
        return clip > 0.5


def blocks_of(wave, size):
    return [wave[i : i + size] for i in range(0, len(wave), size)]


def joined(pieces):
    pieces = list(pieces)
    return [np.concatenate([getattr(p, key) for p in pieces], -1) for key in ("mixture", "sources")]


@pytest.mark.parametrize("n_samples", [1, 200, 16_000, 16_001, 30_000, 100_000])
def test_the_pieces_are_the_recording_sample_by_sample(card, n_samples):
    wave = noise(n_samples)
    mixture, sources = joined(take_apart(Steady(card), blocks_of(wave, 5000), None))
    np.testing.assert_array_equal(mixture, wave)
    assert sources.shape == (3, n_samples)


def test_windows_join_without_a_seam(card):
    """A constant mask gives half of the recording, wherever windows meet."""
    wave = tone(1000, 100_000)
    _, sources = joined(take_apart(Steady(card), blocks_of(wave, 7000), None))
    inner = slice(256, -256)
    np.testing.assert_allclose(sources[1, inner], wave[inner] / 2, atol=2e-3)
    assert not sources[[0, 2]].any()


def test_the_masks_of_a_window_apply_to_its_own_samples(card):
    class Checking(Steady):
        def listen(self, clip):
            self.clip = clip
            return super().listen(clip)

        def separate(self, waveform, mask, classes):
            heard = waveform[:16_000] / np.abs(waveform[:16_000]).max() * 0.5
            np.testing.assert_allclose(heard, self.clip, rtol=1e-6)
            return super().separate(waveform, mask, classes)

    separator = Checking(card)
    list(take_apart(separator, blocks_of(noise(50_000), 7000), None))
    assert separator.n_windows > 3


def test_how_a_recording_is_read_does_not_matter(card):
    wave = noise(60_000)
    _, expected = joined(take_apart(Steady(card), [wave], None))
    for size in (999, 16_000):
        _, sources = joined(take_apart(Steady(card), blocks_of(wave, size), None))
        np.testing.assert_array_equal(sources, expected)


def test_memory_does_not_grow_with_the_recording(card):
    """At most two windows and a block are read ahead of the output."""
    n_read = 0

    def reading():
        nonlocal n_read
        for _ in range(40):
            n_read += 4000
            yield noise(4000)

    n_out = 0
    for piece in take_apart(Steady(card), reading(), None):
        n_out += len(piece.mixture)
        assert n_read - n_out <= 2 * 16_000 + 4000


def at_rate(card, rate, wave, size=7000):
    """Separate channels (D, n) at another rate; the network gets their mean at its own rate."""
    mono = resample(wave.mean(axis=0), rate, RATE, "")
    blocks = [wave[:, i : i + size] for i in range(0, wave.shape[1], size)]
    separator = Steady(card, rate)
    return joined(take_apart(separator, [mono], None, Recording(blocks, len(wave), rate)))


@pytest.mark.parametrize("rate", [8000, 5512, 11_025, 48_000])
def test_all_channels_are_separated_at_their_own_rate(card, rate):
    """A constant mask gives half of every channel, within the network's band."""
    t = np.arange(7 * rate + 3) / rate
    wave = np.stack([0.3 * np.sin(2 * np.pi * 1000 * t), 0.2 * np.sin(2 * np.pi * 700 * t)])
    mixture, sources = at_rate(card, rate, wave.astype(np.float32))
    np.testing.assert_array_equal(mixture, wave.astype(np.float32))
    inner = slice(rate // 20, -rate // 20)
    np.testing.assert_allclose(sources[1][:, inner], wave[:, inner] / 2, atol=4e-3)
    assert not sources[[0, 2]].any()


def test_frequencies_outside_the_networks_band_go_to_the_remainder(card):
    t = np.arange(3 * 48_000) / 48_000
    high = 0.3 * np.sin(2 * np.pi * 9000 * t)
    _, sources = at_rate(card, 48_000, np.stack([high]).astype(np.float32))
    assert np.abs(sources[:, 0, 2400:-2400]).max() < 1e-3


def test_a_mask_lies_at_the_same_hz_and_seconds_at_any_rate(card):
    low = torch.from_numpy(card.build_logmel().centres_hz() < 1000).float().expand(1, 124, 16)
    early = (torch.arange(124) < 62).float()[None, :, None] * low
    t = np.arange(2 * 44_100) / 44_100
    wanted, other = (np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (300, 3000))
    stft = MaskedStft(card, sample_rate=44_100)
    assert si_sdr(wanted, stft.separate(wanted + other, low)[0]) > 35
    first = stft.separate(np.stack([wanted, other]), early)
    assert first.shape == (1, 2, len(t))
    assert np.abs(first[0, 0, :42_000]).max() > 0.9
    assert np.abs(first[0, 0, 48_000:]).max() < 1e-3


def test_requested_classes_are_separated_even_if_not_detected(card):
    _, sources = joined(take_apart(Steady(card), [tone(1000)], [0, 2]))
    assert sources[[0, 2]].any(axis=1).all()
    assert not sources[1].any()


def test_a_class_sounds_only_near_the_windows_it_is_detected_in(card):
    class Once(Steady):
        def detected(self, clip):
            return (clip > 0.5) & (self.n_windows == 1)

    _, sources = joined(take_apart(Once(card), [tone(1000, 60_000)], None))
    assert sources[1, :8000].any()
    assert not sources[1, 16_000:].any()


def test_a_run_detects_above_its_tuned_thresholds(card):
    separator = Separator(
        Detector(replace(card, tag_threshold=(0.2, 0.5, 0.8)), card.build_network())
    )
    heard = separator.detected(np.array([0.3, 0.5, 0.9], np.float32))
    np.testing.assert_array_equal(heard, [True, False, True])


# Quality.


@dataclass(frozen=True)
class Played:
    """A mixture of events (label, onset_s, offset_s) with noise."""

    events: tuple

    @property
    def stems(self):
        wave = np.zeros(16_000, np.float32)
        for label, onset_s, offset_s in self.events:
            wave += tone(500 * (label + 1), 16_000, round(onset_s * RATE), round(offset_s * RATE))
        label, onset_s, offset_s = np.array(self.events, np.float32).reshape(-1, 3).T
        n = len(label)
        truth = EventTable(
            np.zeros(n, np.int32), label.astype(np.int16), onset_s, offset_s,
            np.zeros(n, np.float32), [""] * n,
        )  # fmt: skip
        return Stems(wave + noise(16_000), wave, truth)


def test_a_source_is_the_stem_while_its_class_sounds():
    stems = Played(((2, 0.1, 0.5), (0, 0.7, 1.1), (2, 1.3, 1.8))).stems
    sources = sources_of(stems, RATE, 3)
    np.testing.assert_array_equal(sources.present, [True, False, True])
    np.testing.assert_array_equal(sources.label, [0, 2])
    np.testing.assert_allclose(sources.stem[0], tone(500, begin=5600, end=8800), atol=1e-6)
    np.testing.assert_allclose(sources.stem.sum(axis=0), stems.events)
    assert sources.active[1].sum() == 3200 + 4000


def test_overlapped_sources_are_left_out_and_counted():
    sources = sources_of(Played(((0, 0.1, 0.5), (1, 0.4, 0.8), (2, 1.0, 1.5))).stems, RATE, 3)
    np.testing.assert_array_equal(sources.label, [2])
    assert sources.n_overlapped == 2
    np.testing.assert_array_equal(sources.present, [True] * 3)


def test_events_of_one_class_may_overlap():
    sources = sources_of(Played(((1, 0.1, 0.5), (1, 0.4, 0.8))).stems, RATE, 3)
    np.testing.assert_array_equal(sources.label, [1])
    assert sources.n_overlapped == 0


def test_neither_silent_sources_nor_the_only_source_count():
    stems = Played(((0, 0.1, 0.5),)).stems
    silent = Stems(stems.mixture, 0 * stems.events, stems.truth)
    assert not len(sources_of(silent, RATE, 3).label)
    assert not len(sources_of(stems._replace(mixture=stems.events), RATE, 3).label)


class Known(Steady):
    """A separator with a fixed output for each class."""

    def __init__(self, card, sources, hears):
        super().__init__(card)
        self._sources, self._hears = sources, hears

    def detected(self, _):
        return np.array(self._hears)

    def separate(self, *given):
        return self._sources * given[-1][:, None]


def test_the_mixture_as_an_answer_improves_nothing_and_the_source_everything(card):
    stems = Played(((0, 0.1, 0.5), (1, 0.7, 1.1))).stems
    answers = np.stack([stems.mixture, tone(1000, begin=5600, end=8800), 0 * stems.mixture])
    measured = measure(Known(card, answers, [True, False, True]), [stems])
    np.testing.assert_allclose(measured.told[0], 0, atol=1e-6)
    assert measured.told[1] > measured.ideal[1] > measured.times[1] > 0
    assert measured.heard[0] == measured.told[0]
    assert np.isnan(measured.heard[1])  # class 1 is not detected
    assert measured.values()["found"] == 0.5


def test_the_true_times_are_worth_the_noise_outside_them(card):
    """White noise over 2 s, an event of 0.5 s: three quarters of the noise are removed, 6 dB."""
    stems = Played(((0, 0.5, 1.0),)).stems
    measured = measure(Known(card, np.tile(stems.mixture, (3, 1)), [True] * 3), [stems])
    assert measured.times[0] == pytest.approx(6.0, abs=0.3)
    expected = 10 * np.log10(np.square(stems.events).sum() / np.square(noise(16_000)).sum())
    assert measured.mixture[0] == pytest.approx(expected, abs=0.3)


def test_each_class_has_the_mean_of_its_sources():
    values = np.array([1.0, 2.0, 6.0])
    heard = np.array([np.nan, 2.0, np.nan])
    measured = Separability(np.array([2, 0, 2]), values, values, heard, values, values, 0, heard)
    of_classes = measured.per_class(3)
    np.testing.assert_array_equal(of_classes["told"], [2.0, np.nan, 3.5])
    np.testing.assert_array_equal(of_classes["heard"], [2.0, np.nan, np.nan])
    assert measured.values()["heard"] == 2.0
    assert measured.values()["found"] == pytest.approx(1 / 3)


def test_leakage_into_absent_classes_is_in_db_of_the_mixture(card):
    stems = Played(((0, 0.1, 0.5), (1, 0.7, 1.1))).stems
    answers = np.stack([stems.mixture, stems.mixture, stems.mixture / 10])
    assert measure(Known(card, answers, [True] * 3), [stems]).leak == pytest.approx([-20])
    answers[2] = 0
    assert measure(Known(card, answers, [True] * 3), [stems]).leak == [-100]
    everywhere = Played(((0, 0.1, 0.5), (1, 0.7, 1.1), (2, 1.2, 1.4))).stems
    both = measure(Known(card, answers, [True] * 3), [stems, everywhere])
    assert np.isnan(both.leak[1])  # no class is absent
    assert both.values()["leak"] == -100


def test_if_everything_overlaps_nothing_is_measured(card):
    stems = Played(((0, 0.1, 0.5), (1, 0.4, 0.8))).stems
    with pytest.raises(SedmtlError, match="2 overlap with another class"):
        measure(Steady(card), [stems])
