"""`sedmtl verify`: unpacked corpora -> what is missing or has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sedmtl.data.download.catalogue import CORPORA, Corpus
from sedmtl.data.download.manifest import Manifest, Problem
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.progress import progress


@dataclass(frozen=True)
class Report:
    """What was found of a corpus.

    Attributes:
        n_files: As unpacked.
        n_fine: Of these, as they were.
    """

    corpus: Corpus
    n_files: int
    n_fine: int
    problems: Sequence[Problem]


def verify(corpora: Sequence[Corpus], to_dir: Path) -> list[Report]:
    """Read every file of corpora and compare it with the manifest.

    Args:
        corpora: Which; without any, all that have a manifest.
        to_dir: The folder that `sedmtl download` filled.

    Raises:
        SedmtlError: A corpus has no manifest, or a file cannot be read.
    """
    manifests = [Manifest(corpus, to_dir) for corpus in corpora or CORPORA.values()]
    found = [manifest for manifest in manifests if manifest.path.exists()]
    missing = [manifest for manifest in manifests if not manifest.path.exists()]
    if missing and (corpora or not found):
        raise SedmtlError(
            f"expected the manifest {missing[0].path}, found no such file: 'sedmtl download' "
            "writes it, also of archives that you have (--from); --to names another folder"
        )
    return [_check(manifest) for manifest in found]


def _check(manifest: Manifest) -> Report:
    with progress(f"verifying {manifest.corpus.name}, files", manifest.n_files) as advance:
        found = {
            archive.name: manifest.check(archive, advance) for archive in manifest.corpus.archives
        }
    n_fine = sum(
        len(entries) - len(found[archive.name])
        for archive in manifest.corpus.archives
        if (entries := manifest.entries(archive)) is not None
    )
    return Report(manifest.corpus, manifest.n_files, n_fine, [*chain(*found.values())])


def table(reports: Sequence[Report]) -> str:
    """A line for each file that is not as it was, and one a corpus with the counts."""
    lines = [f"{problem.what} {problem.name}" for report in reports for problem in report.problems]
    rows: list[tuple[str, ...]] = [("corpus", "files", "fine", "missing", "changed")]
    for report in reports:
        counts = Counter(problem.what for problem in report.problems)
        numbers = (report.n_files, report.n_fine, counts["missing"], counts["changed"])
        rows.append((report.corpus.name, *(f"{number:,}" for number in numbers)))
    lines += [f"{row[0]:<14}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
    return "\n".join(lines)


def judge(reports: Sequence[Report]) -> None:
    """Complain unless everything is fine.

    Raises:
        SedmtlError: Something is missing or has changed; says how to repair it.
    """
    broken = [report.corpus.name for report in reports if report.problems]
    if broken:
        raise SedmtlError(
            f"{' and '.join(broken)}: not as published; delete the changed files, then 'sedmtl "
            f"download {' '.join(broken)}' brings back the archives that held them and the missing"
        )
