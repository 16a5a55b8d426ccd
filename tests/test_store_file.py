"""An HDF5 file is opened only if it contains all its data and unpacks to a limited size."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_stores import ARRAYS, ATTRIBUTES, CLIPS, WAVEFORM, interrupt, write, write_whole, writer

from sedmtl.runtime.errors import SedmtlError
from sedmtl.store import Store
from sedmtl.store.file import open_file

N = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mixtures" / "snr_10.h5"


def of_another_file(file, secret):
    del file["name"]
    file.create_dataset("name", (12,), "S3", external=[(str(secret), 0, 36)])


def of_several_files(file, secret):
    layout = h5py.VirtualLayout((12,), "S3")
    layout[:] = h5py.VirtualSource(secret, "x", (12,))
    file.create_virtual_dataset("more", layout)


def of_itself_by_a_map(file, _):
    layout = h5py.VirtualLayout((1000, *file["waveform"].shape), "i2")
    for k in range(1000):
        layout[k] = h5py.VirtualSource(file["waveform"])
    file.create_virtual_dataset("more", layout)


def a_link_outside(file, secret):
    file["more"] = h5py.ExternalLink(str(secret), "/x")


def a_link_to_a_name(file, _):
    file["more"] = h5py.SoftLink("/name")


def an_array_that_is_not_there(file, _):
    file.create_dataset("more", (N,), "u1")


def chunks_that_are_not_there(file, _):
    file.create_dataset("more", (1 << 40,), "u1", chunks=(N,))


def one_array_under_many_names(file, _):
    for k in range(60):
        file[f"more_{k}"] = file["waveform"]


def many_arrays(file, _):
    for k in range(65):
        file[f"more_{k}"] = k


def groups_in_a_ring(file, _):
    file["more"] = file["/"]


def zeros_packed_to_a_thousandth(file, _):
    zeros = file.create_dataset("more", (300, N), "u1", chunks=(1, N), compression="gzip")
    for k in range(300):
        zeros.id.write_direct_chunk((k, 0), zlib.compress(bytes(N)))


def a_chunk_larger_than_its_array(file, _):
    small = file.create_dataset("more", (1,), "u1", chunks=(1 << 31,), maxshape=(None,),
                                compression="gzip")  # fmt: skip
    assert small.shape == (1,)


def packed_by_another_filter(file, _):
    file.create_dataset("more", data=np.arange(N), chunks=(N,), scaleoffset=0)


def strings_of_any_width(file, _):
    file["more"] = ["a" * 1000] * 10


def an_attribute_of_any_width(file, _):
    file.attrs["more"] = ["a" * 1000] * 10


def references(file, _):
    file["more"] = np.array([file["name"].ref], h5py.ref_dtype)


TRICKS = [
    of_another_file, of_several_files, of_itself_by_a_map, a_link_outside, a_link_to_a_name,
    an_array_that_is_not_there, chunks_that_are_not_there,
    one_array_under_many_names, many_arrays, groups_in_a_ring, zeros_packed_to_a_thousandth,
    a_chunk_larger_than_its_array, packed_by_another_filter, strings_of_any_width,
    an_attribute_of_any_width, references,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("trick", TRICKS)
def test_a_store_with_false_sizes_or_links_is_refused_before_an_array_is_read(
    path, tmp_path, trick
):
    write_whole(path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"abc" * 12)
    with h5py.File(path, "r+") as file:
        trick(file, secret)
    with pytest.raises(ValueError, match=r"^its |^it has more than 64 arrays"):
        open_file(path)
    with pytest.raises(SedmtlError, match=r"is damaged \(.*\): delete it and rebuild it"):
        Store(path, "waveform")


def test_a_store_from_the_writer_is_opened_finished_or_not(path):
    interrupt(path, 6)
    (part,) = path.parent.glob(".*.part")
    open_file(part).close()
    write_whole(path)
    with open_file(path) as file:
        assert set(ARRAYS) <= set(file)
        assert set(ATTRIBUTES) <= set(file.attrs)


def test_constant_scores_do_not_exceed_the_packing_limit(tmp_path):
    """Such as those of a network that learned nothing, at the size of the paper's corpus."""
    with h5py.File(tmp_path / "scores.h5", "w") as file:
        file.create_dataset("frame", data=np.zeros((2000, 41, 311), np.float16),
                            chunks=(1, 41, 311), compression="gzip", compression_opts=1,
                            shuffle=True, fletcher32=True)  # fmt: skip
    open_file(tmp_path / "scores.h5").close()


def test_a_users_file_in_place_of_an_unfinished_store_stays_and_writing_starts_over(path, tmp_path):
    interrupt(path, 6)
    (part,) = path.parent.glob(".*.part")
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"x" * WAVEFORM.nbytes)
    with h5py.File(part, "r+") as file:
        del file["waveform"]
        file.create_dataset(
            "waveform", WAVEFORM.shape, "i2", external=[(str(theirs), 0, WAVEFORM.nbytes)]
        )
    with writer(path) as store:
        assert store.n_done == 0
        write(store)
        store.finish()
    assert theirs.read_bytes() == b"x" * WAVEFORM.nbytes
    with Store(path, "waveform") as store:
        assert np.array_equal(store.read(range(len(CLIPS.name))), WAVEFORM)


SOURCES = sorted((Path(__file__).parents[1] / "sedmtl" / "store").glob("*.py"))


def test_no_module_bypasses_this_check_of_hdf5():
    calls = [
        (path.name, line.strip())
        for path in SOURCES
        for line in path.read_text().splitlines()
        if "h5py.File(" in line and '"w"' not in line
    ]
    assert calls == [("file.py", "file = h5py.File(path, mode, locking=locking)")]
