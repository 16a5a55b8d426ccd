"""The stores are complete or absent, resumable to the byte, and strict about what they open."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import ClassVar

import h5py
import numpy as np
import pytest

import sedmtl
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.origin import Origin
from sedmtl.store import (
    SCHEMA,
    ClipTable,
    EventTable,
    HeldOutScores,
    RowArray,
    Store,
    StoreWriter,
    choose_store,
    data_name,
    mixture_path,
    read_scores,
    stores_in,
    write_scores,
)

N_ROWS, N_SAMPLES = 12, 50
ARRAYS = {
    "waveform": RowArray((N_SAMPLES,), np.int16),
    "stems": RowArray((2, N_SAMPLES), np.int16),
}
ATTRIBUTES = {"snr_db": 10.0, "sample_rate": 8_000, "classes": ("bell", "Türglocke")}
RECORDED = {"config": "a", "onsets": "fixed"}
CLIPS = ClipTable(
    name=[f"mix_{i:02d}.wav" for i in range(N_ROWS)],
    target=np.tile(np.array([[1, 0], [1, 1]], np.uint8), (N_ROWS // 2, 1)),
    fold=np.arange(N_ROWS, dtype=np.uint8) % 4 + 1,
    validation=np.arange(N_ROWS, dtype=np.uint8) % 5 // 4,
    scene=[f"straße/{i}.wav" for i in range(N_ROWS)],
    events=EventTable(
        mixture=np.array([0, 0, 3], np.int32),
        label=np.array([0, 1, 1], np.int16),
        onset_s=np.array([0.5, 3.0, 5.5], np.float32),
        offset_s=np.array([2.5, 3.5, 7.5], np.float32),
        snr_db=np.array([10, 12.5, -np.inf], np.float32),
        source=["bell/1.wav", "Türglocke/2.wav", "bell/3.wav"],
    ),
)
WAVEFORM = np.random.default_rng(0).integers(-9_000, 9_000, (N_ROWS, N_SAMPLES)).astype(np.int16)
STEMS = np.stack([WAVEFORM // 2, WAVEFORM - WAVEFORM // 2], axis=1)


def writer(path, stamp="", config="a", **attributes):
    recorded = {**RECORDED, "config": config}
    return StoreWriter(path, ARRAYS, CLIPS, {**ATTRIBUTES, **attributes}, recorded, stamp)


def write(store, last=N_ROWS, block=3):
    for i in range(store.n_done, last, block):
        end = min(i + block, last)
        store.write(i, waveform=WAVEFORM[i:end], stems=STEMS[i:end])


def write_whole(path, **attributes):
    with writer(path, **attributes) as store:
        write(store)
        store.finish()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mixtures" / "snr_10.h5"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix != ".origin")


class Stop(Exception):  # noqa: N818 - an interruption, not an error
    """Interrupts a writer."""


def interrupt(path, last, **attributes):
    def write_some():
        with writer(path, **attributes) as store:
            write(store, last)
            raise Stop

    with pytest.raises(Stop):
        write_some()


def test_written_rows_are_read_back(path):
    write_whole(path)
    with Store(path, "waveform") as store:
        assert len(store) == N_ROWS
        assert store.row_shape == (N_SAMPLES,)
        assert store.classes == ATTRIBUTES["classes"]
        assert np.array_equal(store.read(range(N_ROWS)), WAVEFORM)
        assert store.clips.name == CLIPS.name
        assert store.clips.scene == CLIPS.scene
        for column in ("target", "fold", "validation"):
            stored = getattr(store.clips, column)
            assert stored.dtype == np.uint8
            assert np.array_equal(stored, getattr(CLIPS, column))
        for column in ("mixture", "label", "onset_s", "offset_s", "snr_db", "source"):
            stored, meant = getattr(store.clips.events, column), getattr(CLIPS.events, column)
            assert np.array_equal(stored, meant)
            assert getattr(stored, "dtype", None) == getattr(meant, "dtype", None)
        assert store.attributes["schema"] == SCHEMA
        assert store.attributes["sedmtl_version"] == sedmtl.__version__
        assert {key: store.attributes[key] for key in ("snr_db", "sample_rate", "config")} == {
            "snr_db": 10.0, "sample_rate": 8_000, "config": "a"
        }  # fmt: skip
    with Store(path, "stems") as store:
        assert np.array_equal(store.read(range(N_ROWS)), STEMS)


def test_a_label_that_is_not_a_class_is_damage(path, monkeypatch):
    wrapped = np.array([0, 1, -26_431], np.int16)  # 39,105 in 16 bits
    events = replace(CLIPS.events, label=wrapped)
    monkeypatch.setattr("test_stores.CLIPS", replace(CLIPS, events=events))
    write_whole(path)
    with pytest.raises(SedmtlError, match=r"damaged \(its event 2 is impossible"):
        Store(path, "waveform")


class Logmels:
    """A store of features, one of which may be NaN."""

    ARRAYS: ClassVar = {"logmel": RowArray((4, 2), np.float32)}

    def __init__(self, path, bad=None):
        self.path, self.rows = path, np.zeros((N_ROWS, 4, 2), np.float32)
        if bad is not None:
            self.rows[7, 1, 1] = bad

    def write(self):
        with StoreWriter(self.path, self.ARRAYS, CLIPS, ATTRIBUTES) as store:
            store.write(0, logmel=self.rows[:5])
            store.write(5, logmel=self.rows[5:])
            store.finish()


def test_an_attribute_that_is_not_text_is_damage_and_releases_hdf5(path):
    write_whole(path)
    with h5py.File(path, "r+") as file:
        file.attrs["classes"] = np.array([b"\xff"])
    with pytest.raises(SedmtlError, match="damaged") as kept:
        Store(path, "waveform")
    found = []
    reader = threading.Thread(target=lambda: found.append(h5py.is_hdf5(path)), daemon=True)
    reader.start()
    reader.join(30)
    assert found == [True], kept


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_nan_is_not_stored_and_its_clip_is_named(path, bad):
    with pytest.raises(SedmtlError, match=r"the logmel of mix_07\.wav came out as NaN or inf"):
        Logmels(path, bad).write()
    assert not path.exists()
    Logmels(path).write()
    assert path.exists()


def test_a_stored_row_that_is_nan_is_damage(path, monkeypatch):
    monkeypatch.setattr("sedmtl.store.writer.check_finite", lambda *_: None)  # as before the check
    Logmels(path, np.nan).write()
    with (
        Store(path, "logmel") as store,
        pytest.raises(SedmtlError, match=r"damaged \(row 7, mix_07\.wav, holds NaN or infinity\)"),
    ):
        store.read(range(N_ROWS))


@pytest.mark.parametrize("rows", [[5, 2, 2, 11], [], [0]])
def test_rows_come_in_the_requested_order(path, rows):
    write_whole(path)
    with Store(path, "waveform") as store:
        assert np.array_equal(store.read(np.array(rows, int)), WAVEFORM[rows])


def test_a_row_is_a_chunk_and_nothing_carries_a_time_stamp(path):
    write_whole(path)
    with h5py.File(path, "r") as file:
        assert file["waveform"].chunks == (1, N_SAMPLES)
        assert file["stems"].chunks == (1, 2, N_SAMPLES)
        stamps = {}
        file.visititems(lambda key, item: stamps.update({key: h5py.h5g.get_objinfo(item.id).mtime}))
    assert "events/source" in stamps
    assert set(stamps.values()) == {0}


def test_clips_without_known_events_are_stored(path):
    clips = replace(CLIPS, scene=[""] * N_ROWS, events=EventTable.empty())
    with StoreWriter(path, {"waveform": ARRAYS["waveform"]}, clips, ATTRIBUTES) as store:
        store.write(0, waveform=WAVEFORM)
        store.finish()
    with Store(path, "waveform") as store:
        assert store.clips.scene == [""] * N_ROWS
        assert not len(store.clips.events.onset_s)
        assert not store.clips.events.source


def test_a_store_is_absent_until_it_is_finished(path):
    with writer(path) as store:
        write(store)
        assert not path.exists()
        assert not stores_in(path.parent)
        store.finish()
    assert names(path.parent) == ["snr_10.h5"]


@pytest.mark.parametrize("n_before", [0, 3, 6, 11])
def test_a_resumed_store_has_the_bytes_of_an_uninterrupted_one(path, tmp_path, n_before):
    interrupt(path, n_before)
    assert not path.exists()
    with writer(path) as store:
        assert store.n_done == n_before
        write(store)
        store.finish()
    assert path.read_bytes() == write_whole(tmp_path / "whole" / "other_name.h5")
    assert names(path.parent) == ["snr_10.h5"]


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_stores
with test_stores.writer(Path(sys.argv[2])) as store:
    for i in range(test_stores.N_ROWS - 1):
        test_stores.write(store, i + 1, block=1)
        print(i, flush=True)
    sys.stdin.read()  # never answered: the last row is never written
"""


def test_a_store_survives_a_kill_in_the_middle_of_writing(path, tmp_path):
    here = os.path.dirname(__file__)  # noqa: PTH120 - an argument of the child
    command = [sys.executable, "-c", CHILD, here, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as child:
        assert child.stdout.readline() == b"0\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert not path.exists()
    with writer(path) as store:
        assert 1 <= store.n_done < N_ROWS
        write(store)
        store.finish()
    assert path.read_bytes() == write_whole(tmp_path / "whole.h5")


@pytest.mark.parametrize("change", [{"protocol": 2}, {"snr_db": 0.0}, {"classes": ("a", "b")}])
def test_a_store_of_other_settings_is_not_resumed(path, tmp_path, change):
    interrupt(path, 6)
    with writer(path, **change) as store:
        assert store.n_done == 0
        write(store)
        store.finish()
    assert path.read_bytes() == write_whole(tmp_path / "whole.h5", **change)


def test_the_finished_store_stays_until_its_successor_is_finished(path):
    before = write_whole(path)
    interrupt(path, 6, protocol=2)
    assert path.read_bytes() == before


def test_recorded_only_values_decide_nothing(path, monkeypatch):
    write_whole(path)
    monkeypatch.setattr(sedmtl, "__version__", "99.0")
    assert writer(path, config="b").is_there
    path.unlink()
    interrupt(path, 6)
    with writer(path, config="b") as store:
        assert store.n_done == 6
        write(store)
        store.finish()
    assert data_hash_of(path)


def test_a_store_says_what_kind_of_clips_it_holds(path):
    write_whole(path)
    with Store(path, "waveform") as store:
        assert store.clip_facts == {"snr_db": 10.0, "onsets": "fixed"}


def test_several_arrays_are_read_through_one_store(path):
    write_whole(path)
    rows = np.array([7, 2])
    with Store(path, "waveform", "stems") as store:
        assert np.array_equal(store.read(rows), WAVEFORM[rows])
        assert np.array_equal(store.read(rows, "stems"), STEMS[rows])
        assert store.row_shape == (N_SAMPLES,)


def test_audio_is_read_as_float32_amplitudes(path):
    write_whole(path)
    with Store(path, "waveform", "stems") as store:
        audio = store.read_audio(range(N_ROWS))
        stems = store.read_audio(range(N_ROWS), "stems")
    assert audio.dtype == stems.dtype == np.float32
    assert np.array_equal(audio, WAVEFORM.astype(np.float32) / np.float32(32_767))
    assert np.array_equal(np.rint(stems * 32_767), STEMS)


def test_an_existing_store_is_left_untouched(path):
    write_whole(path)
    before = path.stat().st_mtime_ns
    with writer(path) as store:
        assert store.n_done == N_ROWS
        store.write(0, waveform=WAVEFORM[:3] + 1)
        store.finish()
    assert path.stat().st_mtime_ns == before
    assert names(path.parent) == ["snr_10.h5"]


def test_a_store_of_changed_files_is_rebuilt(path):
    before = write_whole(path, stamp="1")
    assert writer(path, stamp="1").is_there
    assert not writer(path, stamp="1").replaces
    assert writer(path, stamp="2").replaces
    assert write_whole(path, stamp="2") == before  # the stamp is not part of the store
    assert not writer(path, stamp="1").is_there


def test_an_existing_store_records_the_current_data_yaml(path):
    before = write_whole(path, stamp="1", config="a")
    with writer(path, stamp="1", config="b") as store:
        store.finish()
    assert path.read_bytes() == before
    with Store(path, "waveform") as store:
        assert store.data_yaml == "b"
        assert store.attributes["config"] == "a"
    copy = path.with_name("copy.h5")
    copy.write_bytes(before)
    with Store(copy, "waveform") as store:
        assert store.data_yaml == "a"


def test_rows_of_changed_files_are_not_resumed(path):
    interrupt(path, 6, stamp="1")
    with writer(path, stamp="2") as store:
        assert store.n_done == 0


def test_a_store_without_its_stamp_is_accepted(path):
    write_whole(path, stamp="1")
    (stamp,) = path.parent.glob(".*.origin")
    stamp.unlink()
    assert writer(path, stamp="2").is_there


def test_a_kill_between_store_and_stamp_rebuilds_the_store(path):
    write_whole(path, stamp="1")
    (stamp,) = path.parent.glob(".*.origin")
    before = stamp.read_text()
    write_whole(path, stamp="2")
    stamp.write_text(before)
    assert not writer(path, stamp="2").is_there


def test_a_kill_before_the_first_stamp_rebuilds_the_store(path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Origin, "write", kill)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, stamp="1")
    monkeypatch.undo()
    assert path.is_file()
    assert writer(path, stamp="1").is_there
    assert not writer(path, stamp="2").is_there


@pytest.mark.parametrize("count", ["", "nonsense", "x y z", "\0"])
def test_a_damaged_count_starts_over(path, tmp_path, count):
    interrupt(path, 6)
    (progress,) = path.parent.glob(".*.progress")
    digest = progress.read_text().split()[0]
    progress.write_text(count if count != "nonsense" else f"{digest} {count}")
    with writer(path) as store:
        assert store.n_done == 0
        write(store)
        store.finish()
    assert path.read_bytes() == write_whole(tmp_path / "whole.h5")


def test_a_damaged_part_starts_over(path, tmp_path):
    interrupt(path, 6)
    (part,) = path.parent.glob(".*.part")
    part.write_bytes(part.read_bytes()[:2_000])
    with writer(path) as store:
        assert store.n_done == 0
        write(store)
        store.finish()
    assert path.read_bytes() == write_whole(tmp_path / "whole.h5")


def test_rows_must_leave_no_gap(path):
    with writer(path) as store, pytest.raises(ValueError, match="row 3 before row 0"):
        store.write(3, waveform=WAVEFORM[3:6], stems=STEMS[3:6])


def test_an_unfinished_store_cannot_be_finished(path):
    with writer(path) as store:
        write(store, 6)
        with pytest.raises(ValueError, match="6 of 12 rows"):
            store.finish()
    assert not path.exists()


def test_a_full_disk_is_found_before_the_first_row_and_leaves_nothing(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        pytest.raises(SedmtlError, match=r"cannot write .*snr_10\.h5: No space left on device"),
        writer(path),
    ):
        pytest.fail("a store on a full disk")
    assert not names(path.parent)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_cannot_reserve_space_is_written_to_anyway(path, monkeypatch, code):
    def unsupported(*_):
        raise OSError(code, "")

    expected = write_whole(path)
    path.unlink()
    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    assert write_whole(path) == expected


def test_the_space_of_a_store_is_reserved_at_once(path):
    with writer(path):
        (part,) = path.parent.glob(".*.part")
        before = part.stat().st_size
        assert before >= WAVEFORM.nbytes + STEMS.nbytes
    assert len(write_whole(path)) == before


def test_the_space_still_to_be_reserved_is_known(path):
    n_bytes = writer(path).n_bytes
    interrupt(path, 6)
    assert writer(path).n_bytes == 0  # reserved by the first attempt
    assert WAVEFORM.nbytes + STEMS.nbytes < len(write_whole(path)) <= n_bytes
    assert writer(path).n_bytes == 0
    assert writer(path, protocol=2).n_bytes > 0  # it is written beside the existing one


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "work").write_text("a file")
    with pytest.raises(SedmtlError, match=r"cannot write .*snr_10\.h5: (Not a directory|File ex)"):
        write_whole(tmp_path / "work" / "mixtures" / "snr_10.h5")


def test_a_folder_in_the_place_of_a_store_is_one_sentence(path):
    path.mkdir(parents=True)
    with pytest.raises(SedmtlError, match=r"cannot write .*snr_10\.h5: Is a directory"):
        write_whole(path)


def test_two_processes_do_not_write_one_store(path):
    holder = (
        "import sys, h5py\n"
        "with h5py.File(sys.argv[1], 'r+'):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    interrupt(path, 6)
    (part,) = path.parent.glob(".*.part")
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", holder, str(part)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"open\n"
        for protocol in (1, 2):
            with pytest.raises(SedmtlError, match="another process is writing it"):
                write_whole(path, protocol=protocol)
        other.stdin.close()


def change_schema(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = SCHEMA + 1


def drop_schema(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["schema"]


def drop_events(path):
    with h5py.File(path, "r+") as file:
        del file["events"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), r"^no store .*snr_10\.h5: make it with 'sedmtl mix'$"),
        (
            lambda path: path.write_text("text"),
            r"snr_10\.h5 is not a readable HDF5 store.*sedmtl mix",
        ),
        (change_schema, r"snr_10\.h5 has schema 4, but this sedmtl reads schema 3: rebuild it"),
        (drop_schema, r"has schema None, but this sedmtl reads schema 3"),
        (drop_events, r"snr_10\.h5 is damaged \(.*events.*\): delete it .* 'sedmtl mix'"),
    ],
)
def test_a_file_that_is_not_a_store_is_refused_in_one_sentence(path, spoil, sentence):
    write_whole(path)
    spoil(path)
    with pytest.raises(SedmtlError, match=sentence):
        Store(path, "waveform")


@pytest.mark.parametrize("array", ["waveform", "stems"])
@pytest.mark.parametrize("row", [0, 7, N_ROWS - 1])
def test_one_flipped_bit_of_a_row_is_detected_when_the_row_is_read(path, array, row):
    write_whole(path)
    with h5py.File(path, "r") as file:
        chunk = file[array].id.get_chunk_info(row)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 5] ^= 1
    path.write_bytes(content)
    with Store(path, array) as store:
        others = [i for i in range(N_ROWS) if i != row]
        assert len(store.read(np.array(others))) == N_ROWS - 1
        with pytest.raises(SedmtlError, match=rf"row {row}, mix_{row:02d}\.wav, has changed since"):
            store.read(range(N_ROWS))


def change_attribute(file):
    file.attrs["sample_rate"] = 16_000


def change_recorded(file):
    file.attrs["onsets"] = np.bytes_(b"fixer")


def change_target(file):
    file["target"][2, 0] ^= 1


def change_fold(file):
    file["fold"][3] += 1


def change_onset(file):
    file["events/onset_s"][0] += 1


def change_name(file):
    file["name"][0] = b"mix_99.wav"


@pytest.mark.parametrize(
    "change",
    [change_attribute, change_recorded, change_target, change_fold, change_onset, change_name],
)
def test_a_changed_table_or_attribute_is_detected_when_the_store_is_opened(path, change):
    write_whole(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(
        SedmtlError, match=r"damaged \(its tables have changed since they were written\)"
    ):
        Store(path, "waveform")


def data_hash_of(path, *arrays):
    with Store(path, "waveform") as store:
        return store.data_hash(*arrays)


def test_the_data_hash_covers_content_and_not_origin(path, tmp_path):
    write_whole(path)
    write_whole(tmp_path / "other.h5", config="b", protocol=2)
    assert data_hash_of(path) == data_hash_of(tmp_path / "other.h5")
    louder = tmp_path / "louder.h5"
    with writer(louder) as store:
        store.write(0, waveform=WAVEFORM + (np.arange(N_ROWS) == 4)[:, None], stems=STEMS)
        store.finish()
    assert data_hash_of(louder) != data_hash_of(path)
    assert data_hash_of(louder, "stems") == data_hash_of(path, "stems")


def test_a_store_of_another_kind_is_refused(path):
    write_whole(path)
    with pytest.raises(
        SedmtlError, match=r"has no 'logmel': make one that has it with 'sedmtl features'"
    ):
        Store(path, "logmel")


def test_a_store_without_rows_where_they_should_be_is_damaged(path):
    write_whole(path)
    with h5py.File(path, "r") as file:
        chunk = file["waveform"].id.get_chunk_info(N_ROWS - 1)
    with path.open("r+b") as file:
        file.truncate(chunk.byte_offset)
    with pytest.raises(SedmtlError, match=r"is (damaged|not a readable HDF5 store).*sedmtl mix"):  # noqa: SIM117
        with Store(path, "waveform") as store:
            store.read(range(N_ROWS))


@pytest.mark.parametrize(
    ("snr_db", "name"), [(10, "snr_10"), (-5.0, "snr_-5"), (2.5, "snr_2.5"), (-0.0, "snr_0")]
)
def test_the_data_of_an_snr_are_named_after_it(tmp_path, snr_db, name):
    assert data_name(snr_db) == name
    assert mixture_path(tmp_path, snr_db) == tmp_path / "mixtures" / f"{name}.h5"


def test_stores_are_listed_in_order_of_snr(tmp_path):
    listed = ["snr_-5", "snr_0", "snr_2.5", "snr_10", "clips"]
    for name in sorted(listed):
        (tmp_path / f"{name}.h5").touch()
    for name in (".snr_20.h5", ".snr_20.h5.part", "plan.yaml"):
        (tmp_path / name).touch()
    assert list(stores_in(tmp_path)) == listed
    assert not stores_in(tmp_path / "missing")


def test_the_only_store_is_chosen_without_a_name(tmp_path):
    only = tmp_path / "snr_10.h5"
    only.touch()
    assert choose_store(tmp_path, None, "sedmtl features") == only
    assert choose_store(tmp_path, "snr_10", "sedmtl features") == only


@pytest.mark.parametrize(
    ("there", "name", "sentence"),
    [
        ([], None, r"no store in .*: make one with 'sedmtl features'"),
        (["snr_0", "snr_10", "clips"], None, r"one with --snr 0 or --snr 10 or --data clips$"),
        (["snr_0", "snr_10"], "snr_11", r"no store 'snr_11' in .*Known here: snr_0, snr_10"),
    ],
)
def test_a_store_that_cannot_be_chosen_is_one_sentence(tmp_path, there, name, sentence):
    for known in there:
        (tmp_path / f"{known}.h5").touch()
    with pytest.raises(SedmtlError, match=sentence):
        choose_store(tmp_path, name, "sedmtl features")


def test_features_of_the_papers_size_take_at_most_85_kb_per_clip(path):
    n, n_classes, n_events = 40, 41, 3
    row = np.repeat(np.arange(n, dtype=np.int32), n_events)
    seconds = np.zeros(len(row), np.float32)
    events = EventTable(row, row.astype(np.int16), seconds, seconds, seconds, ["0" * 12] * len(row))
    clips = ClipTable(
        [f"mix_{i:04d}.wav" for i in range(n)],
        np.zeros((n, n_classes), np.uint8),
        np.ones(n, np.uint8),
        np.zeros(n, np.uint8),
        ["audio/metro_station-stockholm-168-5077-a.wav"] * n,
        events,
    )
    attributes = {**ATTRIBUTES, "classes": ["Acoustic_guitar"] * n_classes}
    recorded = {"config": "x" * 2_000}
    logmel = RowArray((311, 64), np.float32)
    with StoreWriter(path, {"logmel": logmel}, clips, attributes, recorded) as store:
        store.write(0, logmel=np.zeros((n, 311, 64), np.float32))
        store.finish()
    assert 311 * 64 * 4 < path.stat().st_size / n <= 85_000


def test_scores_are_read_back_and_invalid_ones_refused(tmp_path):
    path = tmp_path / "scores.h5"
    rng = np.random.default_rng(0)
    scores = HeldOutScores(
        classes=["bell", "Türglocke"],
        name=["a.wav", "b.wav", "c.wav"],
        target=np.array([[1, 0], [0, 1], [0, 0]], np.uint8),
        prior=np.array([0.5, 0.25], np.float32),
        score={key: rng.random((3, 2), np.float32) for key in ("honest", "paper")},
        epoch={"honest": 3, "paper": 7},
        frame=rng.random((3, 2, 7)).astype(np.float16),
        frame_edges_s=np.linspace(0.1, 0.8, 8),
        duration_s=1.0,
        events=CLIPS.events.of_clips(np.array([3, 5, 0])),
    )
    write_scores(path, scores)
    back = read_scores(path)
    assert (back.classes, back.name, back.epoch) == (scores.classes, scores.name, scores.epoch)
    assert back.duration_s == scores.duration_s
    assert list(back.events.mixture) == [0, 2, 2]
    assert list(back.events.source) == list(scores.events.source)
    for array in ("target", "prior", "frame", "frame_edges_s"):
        assert np.array_equal(getattr(back, array), getattr(scores, array))
    for key in scores.score:
        assert np.array_equal(back.score[key], scores.score[key])
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 1
    with pytest.raises(SedmtlError, match="schema 1, but this sedmtl reads 2"):
        read_scores(path)
    path.write_text("text")
    with pytest.raises(SedmtlError, match=r"cannot read .*scores\.h5: train the run again"):
        read_scores(path)
