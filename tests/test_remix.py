"""New mixtures in every epoch: their sources, and that they depend on their number only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_tone

from sedmtl.config import Remix, load_config
from sedmtl.data.draw import Drawn, DrawnEvent, join_pools
from sedmtl.data.mixing import plan_project
from sedmtl.data.plan import Pool
from sedmtl.data.sources import open_sources
from sedmtl.features.targets import CLASS_MELS, CLEAN, TARGETS
from sedmtl.logmel import LogMel
from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.training.clip_remixer import ClipRemixer, add_energies
from sedmtl.training.config import TrainConfig
from sedmtl.training.event_remixer import EventRemixer
from sedmtl.training.remix import open_remixer
from sedmtl.training.split import split_rows
from sedmtl.training.start import open_trainer

CPU = torch.device("cpu")
SNR_DB = 20.0


@pytest.fixture(scope="module")
def opened(trained):
    """The project's configuration, plan, sources, and stores at 20 dB."""
    config = load_config(trained.folder / "data.yaml")
    planned = plan_project(config)
    config = config.model_copy(update={"workdir": config.workdir})
    sources = open_sources(config, planned, "first")
    features = Store(trained.work / "features" / "snr_20.h5", "logmel")
    mixtures = Store(trained.work / "mixtures" / "snr_20.h5", "waveform")
    return config, planned, sources, features, mixtures


def remixer_of(opened, remix=None, n_clips=12, fold=1, seed=3):
    config, planned, sources, features, _ = opened
    remix = remix or Remix(event_part="first", speed=(1, 1))
    folds = sorted(set(range(1, config.mixing.folds + 1)) - {fold})
    pool = join_pools(planned.pools[number - 1] for number in folds)
    return EventRemixer(sources, pool, config, remix, features, n_clips, seed, CPU)


def epoch_of(remixer, epoch, size=5):
    rows = np.arange(remixer.n_clips)
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    fed = list(remixer.loader(epoch).run(batches))
    return torch.cat([b.logmel for b in fed]), torch.cat([b.target for b in fed])


def test_a_stored_mixture_is_remixed_to_its_samples(opened):
    """Within two int16 steps, because sources are rounded once more."""
    config, planned, sources, features, mixtures = opened
    everything = Pool(
        tuple(clip for pool in planned.pools for clip in pool.clips),
        tuple(scene for pool in planned.pools for scene in pool.scenes),
    )
    remixer = EventRemixer(sources, everything, config, Remix(), features, 1, 0, CPU)
    checked = 0
    for row, mixture in enumerate(planned.mixtures):
        if mixture.validation:
            continue
        events = tuple(
            DrawnEvent(e.clip, e.onset_s, e.offset_s, part=0, speed=1.0) for e in mixture.events
        )
        drawn = Drawn(mixture.scene, events, SNR_DB)
        stored = mixtures.read(range(row, row + 1))[0] / 32767
        assert np.abs(remixer.mix(drawn).numpy() - stored).max() <= 2.01 / 32767
        checked += 1
    assert checked > 10


def test_targets_are_those_of_the_store_and_change_no_mixture(opened):
    """Both are rounded to int16: present classes agree within a thousandth of the loudest bin."""
    _, _, _, features, _ = opened
    plain, made = remixer_of(opened), remixer_of(opened)
    made._targets = TARGETS
    rows = [np.arange(4)]
    (without,), (batch,) = (list(each.loader(1).run(rows)) for each in (plain, made))
    torch.testing.assert_close(batch.logmel, without.logmel, rtol=0, atol=0)
    assert set(batch.arrays) == {"logmel", *TARGETS}
    for row in range(4):
        mixture, events = made.mix_with_events(made.draw(1, row))
        assert {features.classes[e.label] for e in events} == {
            name for name, is_in in zip(features.classes, batch.target[row], strict=True) if is_in
        }
        alone = torch.zeros_like(mixture)
        for event in events:
            alone[event.onset : event.onset + len(event.samples)] += event.samples
        expected = made._logmel.mel(alone[None])[0]
        limit = 1e-3 * float(expected.max())
        torch.testing.assert_close(batch.arrays[CLEAN][row].exp(), expected, rtol=0, atol=limit)
        n_there = int(batch.target[row].sum())
        assert batch.arrays[CLASS_MELS][row, :n_there].flatten(1).any(dim=1).all()
        assert not batch.arrays[CLASS_MELS][row, n_there:].any()


def test_a_mixture_follows_from_seed_epoch_and_number_alone(opened):
    whole, target = epoch_of(remixer_of(opened), 2)
    for size in (1, 12):
        again, same_target = epoch_of(remixer_of(opened), 2, size)
        torch.testing.assert_close(again, whole, rtol=0, atol=0)
        torch.testing.assert_close(same_target, target, rtol=0, atol=0)
    longer, _ = epoch_of(remixer_of(opened, n_clips=20), 2)
    torch.testing.assert_close(longer[:12], whole, rtol=0, atol=0)


@pytest.mark.parametrize("other", [{"epoch": 3}, {"seed": 4}])
def test_another_epoch_or_seed_gives_other_mixtures(opened, other):
    first, _ = epoch_of(remixer_of(opened), 2)
    epoch = other.pop("epoch", 2)
    second, _ = epoch_of(remixer_of(opened, **other), epoch)
    assert not torch.equal(first, second)


def test_labels_are_those_of_the_events(opened):
    _, _, _, features, _ = opened
    remixer = remixer_of(opened)
    _, target = epoch_of(remixer, 1)
    for number, row in enumerate(target):
        labels = {event.clip.label for event in remixer.draw(1, number).events}
        assert {name for name, is_in in zip(features.classes, row, strict=True) if is_in} == labels


def test_nothing_held_out_or_for_inner_validation_is_ever_drawn(opened):
    _, planned, *_ = opened
    remixer = remixer_of(opened, n_clips=1)
    drawn = [remixer.draw(epoch, number) for epoch in range(1, 6) for number in range(40)]
    recordings = {event.clip.recording for each in drawn for event in each.events}
    scenes = {each.scene.name for each in drawn}
    for mixture in planned.mixtures:
        if mixture.fold == 1 or mixture.validation:
            assert not recordings & {event.clip.recording for event in mixture.events}
            assert mixture.scene.name not in scenes
    # Everything else is drawn sooner or later.
    assert scenes == {scene.name for pool in planned.pools[1:] for scene in pool.scenes}
    assert recordings == {clip.recording for pool in planned.pools[1:] for clip in pool.clips}


def test_snrs_and_numbers_of_events_stay_in_their_ranges(opened):
    remixer = remixer_of(opened, Remix(snr_db=(-5, 15), events_per_mixture=(1, 2)), n_clips=1)
    drawn = [remixer.draw(1, number) for number in range(200)]
    levels = np.array([each.snr_db for each in drawn])
    assert -5 <= levels.min() < -3
    assert 13 < levels.max() <= 15
    assert {len(each.events) for each in drawn} == {1, 2}


def test_without_a_range_the_snr_and_events_are_those_of_the_store(opened):
    remixer = remixer_of(opened)
    drawn = [remixer.draw(1, number) for number in range(20)]
    assert {each.snr_db for each in drawn} == {SNR_DB}
    assert {len(each.events) for each in drawn} == {3}
    assert all(
        [e.onset_s for e in each.events] == [0.1, 0.7, 1.3] for each in drawn
    )  # as data.yaml has them


def test_the_snr_of_a_mixture_is_the_requested_one(opened):
    """With the scene's gain known, the mixture minus the scene is the events."""
    config, _, sources, _, _ = opened
    remixer = remixer_of(opened)
    one = remixer.draw(1, 0)
    loud = remixer.mix(one._replace(snr_db=60.0)).numpy()
    event = one.events[0]
    (source,) = sources.events[event.clip.name]
    onset = round(event.onset_s * config.mixing.sample_rate)
    alone = sources.samples[source.first : source.first + source.n_samples] * source.gain
    part = loud[onset : onset + len(alone)]
    # At 60 dB the scene is a thousandth, so the mixture is the scaled event.
    assert np.corrcoef(part, alone)[0, 1] > 0.999


def test_any_part_of_a_clip_that_is_not_a_pause_may_be_drawn(project):
    config = load_config(project.folder / "data.yaml")
    clip = plan_project(config).pools[0].clips[0]
    rate, event_s = config.mixing.sample_rate, config.mixing.event_s
    noise = np.random.default_rng(0).normal(scale=0.1, size=4 * rate)
    noise[rate : 3 * rate] *= 0.001  # two silent seconds between loud ones
    soundfile.write(clip.path, noise, rate)
    level = np.sqrt(np.mean(noise**2))
    sources = open_sources(config, plan_project(config), "any")
    parts = sources.events[clip.name]
    whole = min(part.first for part in parts)
    starts_s = [(part.first - whole) / rate for part in parts]
    assert {round(s, 1) for s in (0, 1 - event_s, 4 - event_s)} <= {round(s, 1) for s in starts_s}
    assert not [s for s in starts_s if 1 <= s <= 3 - event_s]
    for part in parts:
        assert part.n_samples == event_s * rate
        heard = sources.samples[part.first : part.first + part.n_samples] * part.gain
        assert np.sqrt(np.mean(heard**2)) >= 0.49
        assert part.gain == parts[0].gain  # that of the whole file, to which SNRs refer
    (first,) = open_sources(config, plan_project(config), "first").events[clip.name]
    assert first.n_samples == event_s * rate
    assert first.gain * 32767 * level == pytest.approx(np.abs(noise[: first.n_samples]).max(), 1e-3)


def test_an_event_that_is_played_faster_is_shorter_and_higher(project):
    """A tone of 1 kHz at 1.25 times its speed has 1,250 Hz."""
    config = load_config(project.folder / "data.yaml")
    planned = plan_project(config)
    clip, scene = planned.pools[0].clips[0], planned.pools[0].scenes[0]
    rate, event_s = config.mixing.sample_rate, config.mixing.event_s
    soundfile.write(clip.path, 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate), rate)
    sources = open_sources(config, plan_project(config))
    events = {}
    for speed in (0.8, 1.0, 1.25):
        remix = Remix(events_per_mixture=(1, 1), speed=(speed, speed), snr_db=(80, 80))
        store = SimpleNamespace(classes=planned.classes, attributes={"snr_db": 0}, row_shape=())
        alone = Pool((clip,), (scene,))
        remixer = EventRemixer(sources, alone, config, remix, store, 1, 0, CPU)
        drawn = remixer.draw(1, 0)
        (event,) = drawn.events
        assert event.offset_s - event.onset_s == pytest.approx(min(event_s, event_s / speed))
        onset, offset = (round(s * rate) for s in (event.onset_s, event.offset_s))
        sound = remixer.mix(drawn).numpy()
        assert np.abs(sound[offset + 2 :]).max(initial=0) < 0.01
        spectrum = np.abs(np.fft.rfft(sound[onset:offset], 8 * rate))
        events[speed] = spectrum.argmax() / 8
    assert events == pytest.approx({0.8: 800, 1.0: 1000, 1.25: 1250}, rel=0.01)


def test_sources_are_decoded_once_and_again_when_a_file_changes(project):
    config = load_config(project.folder / "data.yaml")
    planned = plan_project(config)
    first = open_sources(config, planned)
    path = project.work / "sources" / "audio.int16"
    written = path.stat().st_mtime_ns
    assert open_sources(config, planned).digest == first.digest
    assert path.stat().st_mtime_ns == written
    clip = planned.pools[0].clips[0]
    write_tone(clip.path, 1234.0, 0.4)
    changed = open_sources(config, plan_project(config))
    assert changed.digest != first.digest
    assert changed.events.keys() == first.events.keys()


def test_damaged_sources_are_decoded_again(project):
    config = load_config(project.folder / "data.yaml")
    planned = plan_project(config)
    first = open_sources(config, planned)
    (project.work / "sources" / "index.json").write_text("{")
    assert open_sources(config, planned).digest == first.digest
    path = project.work / "sources" / "audio.int16"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-2], bytes([whole[0] ^ 1]) + whole[1:]):
        path.write_bytes(damaged)
        assert open_sources(config, planned).digest == first.digest
        assert path.read_bytes() == whole


def test_other_corpora_than_the_stores_are_refused(opened):
    config, _, _, features, _ = opened
    split = split_rows(features.clips, 1)
    moved = config.model_copy(
        update={"mixing": config.mixing.model_copy(update={"seed": config.mixing.seed + 1})}
    )
    moved._folder = config._folder
    asked = TrainConfig.of({"data": "snr_20", "fold": 1, "remix": {}})
    with pytest.raises(SedmtlError, match="made from other corpora or with other settings"):
        open_remixer(moved, asked, features, split, CPU, None)


def test_pools_without_scenes_are_refused(opened):
    _, planned, *_ = opened
    empty = [replace(pool, scenes=()) for pool in planned.pools]
    with pytest.raises(SedmtlError, match="--remix needs scenes that are neither held out nor"):
        join_pools(empty)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["2apae", "pooled"])  # without and with dropout
def test_a_resumed_remixed_run_is_as_if_uninterrupted(opened, model):
    config, _, _, features, _ = opened
    values = {"data": "snr_20", "fold": 1, "width": 2, "epochs": 2, "batch_size": 5}
    recipe = {"schedule": "cosine"}
    remix = {"mixtures_per_epoch": 10}
    asked = TrainConfig.of({**values, **recipe, "model": model, "remix": remix})

    def trainer():
        return open_trainer(asked, features, CPU, config)

    whole = trainer()
    list(whole.fit(lambda _: None))
    stopped = trainer()
    epochs = stopped.fit(lambda _: None)
    next(epochs)
    state = stopped.state()
    epochs.close()
    resumed = trainer()
    torch.manual_seed(99)  # as in another process
    resumed.restore(state)
    list(resumed.fit(lambda _: None))
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(value, resumed.network.state_dict()[key], rtol=0, atol=0)


class Clips:
    """A store of four labelled recordings with constant log-mels and two classes."""

    classes = ("a", "b")
    row_shape = (3, 2)

    class clips:  # noqa: N801
        target = np.array([[1, 0], [0, 1], [0, 0], [1, 1]], np.uint8)

    def read(self, rows):
        return np.stack([np.full((3, 2), float(row), np.float32) for row in rows])


def test_two_equal_sounds_have_the_level_of_one():
    logmel = torch.randn(4, 3)
    torch.testing.assert_close(add_energies(torch.stack([logmel, logmel])), logmel)


def test_the_energy_of_a_sum_is_the_sum_of_energies():
    parts = torch.randn(3, 5)
    energy = torch.exp(2 * parts).sum(dim=0) / 3
    torch.testing.assert_close(torch.exp(2 * add_energies(parts)), energy)


def test_energies_of_clips_add_and_their_labels_unite():
    remixer = ClipRemixer(Clips(), np.arange(3), Remix(clips_per_mixture=(2, 2)), 30, 0, CPU)
    logmel, target = epoch_of(remixer, 1)
    for number in range(30):
        first, second = remixer.draw(1, number).tolist()
        assert first != second
        energy = (np.exp(2 * first) + np.exp(2 * second)) / 2
        assert logmel[number].numpy() == pytest.approx(np.log(energy) / 2)
        united = Clips.clips.target[[first, second]].max(axis=0)
        assert target[number].tolist() == united.tolist()
        assert 3 not in (first, second)


def test_a_single_clip_stays_as_it_is():
    remixer = ClipRemixer(Clips(), np.arange(4), Remix(clips_per_mixture=(1, 1)), 8, 0, CPU)
    logmel, _ = epoch_of(remixer, 1)
    rows = [int(remixer.draw(1, number)[0]) for number in range(8)]
    np.testing.assert_allclose(logmel[:, 0, 0], rows, atol=1e-6)


def test_log_mels_are_those_of_the_front_end(opened):
    config, _, _, _, _ = opened
    remixer = remixer_of(opened, n_clips=2)
    logmel, _ = epoch_of(remixer, 1)
    front_end = LogMel(config.mixing.sample_rate, **config.features.logmel)
    expected = front_end(torch.stack([remixer.mix(remixer.draw(1, i)) for i in range(2)]))
    torch.testing.assert_close(logmel, expected)


def test_a_process_without_a_clip_of_a_batch_gets_an_empty_one(opened):
    remixer = remixer_of(opened)
    (batch,) = remixer.loader(1).run([np.arange(0)])
    assert batch.logmel.shape == (0, *opened[3].row_shape)
    assert batch.target.shape == (0, 3)


def test_processes_that_start_together_decode_once(project):
    config = load_config(project.folder / "data.yaml")
    planned = plan_project(config)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_sources(config, planned), range(4)))
    assert len({each.digest for each in opened}) == 1
