"""The public corpora of the paper: archives, sizes, checksums and licences. A leaf module.

The figures are those of the Zenodo records. The MD5 sums of TAU Urban Acoustic Scenes 2019 come
from two public sources that agree, those of FSDKaggle2018 from one; a mismatch is an error that
names both sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

SLACK = 2
"""Tolerance of sizes that are not published: up to this multiple of our estimate is accepted."""


@dataclass(frozen=True)
class Archive:
    """A ZIP file of a corpus.

    Attributes:
        name: File name, also of the local copy, whatever a server calls it.
        md5: Published MD5 sum, in hexadecimal digits.
        exact: Whether the size is published rather than estimated.
    """

    name: str
    md5: str
    n_bytes: int
    exact: bool = True

    @property
    def max_bytes(self) -> int:
        """Largest acceptable size."""
        return self.n_bytes if self.exact else SLACK * self.n_bytes


@dataclass(frozen=True)
class Corpus:
    """A corpus as `sedmtl download` knows it.

    Attributes:
        name: Name on the command line and as `kind` in data.yaml.
        folder: Folder it is unpacked to, below the target folder; the `root` in data.yaml.
        record: Number of the Zenodo record.
        n_unpacked_bytes: Estimated size of all its files together.
        n_files: Number of recordings, without a few tables.
        archives: The archives that are needed, tables first.
    """

    name: str
    role: str
    folder: str
    record: int
    licence: str
    n_unpacked_bytes: int
    n_files: int
    archives: tuple[Archive, ...]

    @property
    def n_bytes(self) -> int:
        """Size of all its archives together."""
        return sum(archive.n_bytes for archive in self.archives)

    @property
    def exact(self) -> bool:
        """Whether `n_bytes` is published rather than estimated."""
        return all(archive.exact for archive in self.archives)

    @property
    def page(self) -> str:
        """Address of the record's web page."""
        return f"https://doi.org/10.5281/zenodo.{self.record}"

    def url(self, archive: Archive, mirror: str | None = None) -> str:
        """Address of an archive: in the record, or under its name below the mirror's address."""
        if mirror is not None:
            return f"{mirror.rstrip('/')}/{quote(archive.name)}"
        return f"https://zenodo.org/records/{self.record}/files/{quote(archive.name)}?download=1"


_TAU = "TAU-urban-acoustic-scenes-2019-development"

_TAU_AUDIO = (
    (1_657_550_587, "aca4ebfd9ed03d5f747d6ba8c24bc728"),
    (1_666_219_450, "c4f170408ce77c8c70c532bf268d7be0"),
    (1_817_901_591, "c7214a07211f10f3250290d05e72c37e"),
    (1_821_710_642, "a6a62110f6699cf4432072acb1dffda6"),
    (1_803_118_466, "091a0b6d3c84b8e60e46940aa7d4a8a0"),
    (1_789_566_029, "114f4ca13e074391b98a1cfd8140de65"),
    (1_747_953_866, "5951dd2968f7a514e2afbe279c4f060d"),
    (1_728_724_513, "b0b63dc95b327e1509857c8d8a663cc3"),
    (1_667_106_209, "3c32a693a6b111ffb957be3c1dd22e9b"),
    (1_632_636_175, "0ffbf60006da520cc761fb74c878b98b"),
    (1_671_793_546, "599055d93b4c11057c29be2df54538d4"),
    (1_672_592_150, "98b8d162ff3665695c4c910e6c372cc8"),
    (1_673_481_614, "a356c08b1a5a21d433eba37ef87587f4"),
    (1_666_137_450, "f8969771e7faf7dd471d1cf78b0cf011"),
    (1_675_127_004, "4758c4b0fb7484faa632266e78850820"),
    (1_648_240_966, "a18acad9ede8ea76574216feb887f0bc"),
    (1_698_414_214, "1af7703484632f340da5c33662dc9632"),
    (1_731_093_704, "b67402bf3e08f4da394a7c18756c0fd2"),
    (1_745_153_640, "035db315f19106eb848b6f9b32bcc47c"),
    (1_774_038_704, "9cb28c74911bf8a3eadcf53f50a5b5d6"),
    (1_333_808_800, "0e44ed85c88ec036a9725b4dd1dfaea0"),
)

CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="fsdkaggle2018",
            role="sound events: 9,473 training clips of 41 classes",
            folder="FSDKaggle2018",
            record=2552860,
            licence="Creative Commons, clip by clip: CC0, Attribution, or Attribution "
            "Noncommercial; the column 'license' of its table says which",
            n_unpacked_bytes=5_800_000_000,  # 18 h at 44.1 kHz, 16 bits, one channel
            n_files=9_473,
            archives=(  # sizes estimated: about 4.6 GiB for 20 h, of which these are 18 h
                Archive(
                    "FSDKaggle2018.meta.zip", "f16828ac8be0e5285b9175a12f90d784", 500_000, False
                ),
                Archive(
                    "FSDKaggle2018.audio_train.zip",
                    "a8b47ff4b52022c178f88fa5c6f080d0",
                    4_500_000_000,
                    False,
                ),
            ),
        ),
        Corpus(
            name="tau2019",
            role="background scenes: 14,400 recordings of 10 s from ten cities",
            folder=_TAU,
            record=2589280,
            licence="free for non-commercial academic use only; bars selling or distributing "
            "results achieved with it, too",
            n_unpacked_bytes=14_400 * 10 * 48_000 * 2 * 3,  # 10 s at 48 kHz, two channels, 24 bits
            n_files=14_400,
            archives=(
                Archive(f"{_TAU}.meta.zip", "09782f2097e4735687af73c44919329c", 156_863),
                *(
                    Archive(f"{_TAU}.audio.{number}.zip", md5, n_bytes)
                    for number, (n_bytes, md5) in enumerate(_TAU_AUDIO, start=1)
                ),
            ),
        ),
    )
}
"""Every corpus by name."""
