"""The table of verdicts on snippets, `reviews.tsv`, to which lines are only appended.

A verdict is on disk before it is confirmed. Of several lines on one snippet, the latest holds;
`undo` is also a line and reverts the one before it. The last column is a timestamp of fixed format,
which distinguishes a line truncated by a kill from one that only lacks its line break.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple, get_args

from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.lock import locked_file
from sedmtl.runtime.regular import read_bytes

COLUMNS = ("filename", "onset", "offset", "event_label", "verdict", "heard_label", "heard_onset",
           "heard_offset", "score", "run", "by", "of_recording", "of_class", "of_band", "reviewer",
           "time")  # fmt: skip

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

Answer = Literal["yes", "no", "unsure", "other", "undo"]
"""`other`: not this class but `heard_label`. `undo`: reverts the previous verdict."""


class Snippet(NamedTuple):
    """A question to a listener: is this class present here?

    Attributes:
        filename: Name of the recording in tables.
        label: The class.
        onset_s: Onset of the event; None if the question is about the whole recording.
        offset_s: Offset of the event; None likewise.
        score: The network's score, in [0, 1].
        run: The network that proposed it (`network_name`), or the tool.
        by: How it was chosen.
        of_recording: Number of proposals in the recording, of all classes.
        of_class: Number of proposals of this class in the recording.
        of_band: Number of proposals of this class in the same score band, in all recordings.
    """

    filename: str
    label: str
    onset_s: float | None
    offset_s: float | None
    score: float
    run: str
    by: str = ""
    of_recording: int = 1
    of_class: int = 1
    of_band: int = 1

    @property
    def key(self) -> tuple[str, ...]:
        """Identity of the snippet: the recording, the times and the class."""
        return (
            _plain(self.filename),
            _time(self.onset_s),
            _time(self.offset_s),
            _plain(self.label),
        )


@dataclass(frozen=True)
class Review:
    """One line of the table.

    Attributes:
        snippet: The question.
        verdict: The answer.
        heard_label: The actual class, if the verdict is `yes` or `other`; otherwise empty.
        heard_onset_s: Onset according to the listener; None if unknown.
        heard_offset_s: Offset according to the listener; None if unknown.
        reviewer: Name of the listener.
        time: UTC, to the millisecond: `2026-11-30T10:53:31.000Z`.
    """

    snippet: Snippet
    verdict: Answer
    heard_label: str
    heard_onset_s: float | None
    heard_offset_s: float | None
    reviewer: str
    time: str


class ReviewTable:
    """The table, opened for appending with exclusive access.

    Raises:
        SedmtlError: It cannot be written, or is of another version.

    Attributes:
        reviews: All lines.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        content = file.read()
        self.reviews, n_bytes = _parse(content, path)
        file.truncate(n_bytes)
        if not content.endswith(b"\n", 0, n_bytes):
            self._append(b"\n" if n_bytes else _line(COLUMNS))

    def add(self, reviews: Sequence[Review]) -> int:
        """Append the lines that are not in the table yet, and sync them to disk.

        Returns:
            The number of lines added.
        """
        known = set(map(_identity, self.reviews))
        new = [each for each in reviews if _identity(each) not in known]
        self._append(b"".join(_line(cells(each)) for each in new))
        self.reviews += new
        return len(new)

    def _append(self, content: bytes) -> None:
        with explained(f"cannot write {self._path}"):
            n_before = self._file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(content)
                while rest:  # unbuffered writes may be partial
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(n_before)
                raise


@contextmanager
def open_reviews(path: Path) -> Iterator[ReviewTable]:
    """Open or create the table.

    Raises:
        SedmtlError: As in `ReviewTable`, or another process has it open.
    """
    with locked_file(path) as (file, is_ours):
        if not is_ours:
            raise SedmtlError(
                f"{path} is in use by another 'sedmtl review': end it, or name another table with "
                "--reviews"
            )
        file.seek(0)
        yield ReviewTable(path, file)


def read_reviews(path: Path) -> list[Review]:
    """Read the lines of a table, which may be empty.

    Raises:
        SedmtlError: The table does not exist, is of another version, or is damaged.
    """
    with explained(f"cannot read {path}"):
        try:
            content = read_bytes(path)
        except FileNotFoundError:
            raise SedmtlError(
                f"no verdicts in {path}: give some with 'sedmtl review', or name their table with "
                "--reviews"
            ) from None
    return _parse(content, path)[0]


def _identity(review: Review) -> tuple[object, ...]:
    """Key by which repeated lines are recognised."""
    return review.snippet.key, review.verdict, review.reviewer, review.time


def standing(reviews: Iterable[Review]) -> list[Review]:
    """The valid verdict on each snippet, in chronological order.

    Lines are sorted by time, as those of merged tables may be in any order; duplicates are ignored.
    """
    lines = {_identity(review): review for review in reviews}
    given: dict[tuple[str, ...], list[tuple[int, Review]]] = {}
    for number, review in enumerate(sorted(lines.values(), key=lambda each: each.time)):
        earlier = given.setdefault(review.snippet.key, [])
        if review.verdict != "undo":
            earlier.append((number, review))
        elif earlier:
            earlier.pop()
    return [review for _, review in sorted(each[-1] for each in given.values() if each)]


def cells(review: Review) -> list[str]:
    """The cells of a review's line."""
    snippet = review.snippet
    return [
        *snippet.key,
        review.verdict,
        _plain(review.heard_label),
        _time(review.heard_onset_s),
        _time(review.heard_offset_s),
        f"{snippet.score:.4f}",
        _plain(snippet.run),
        snippet.by,
        *(str(count) for count in (snippet.of_recording, snippet.of_class, snippet.of_band)),
        _plain(review.reviewer),
        review.time,
    ]


def parse_line(line: str) -> Review:
    """Parse a line of the table.

    Raises:
        ValueError: The line is invalid.
    """
    try:
        (row,) = csv.reader([line], delimiter="\t", strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    each = dict(zip(COLUMNS, row, strict=True))
    verdict = each["verdict"]
    if verdict not in get_args(Answer):
        raise ValueError(f"no verdict '{verdict}'")
    snippet = Snippet(
        each["filename"], each["event_label"], _seconds(each["onset"]), _seconds(each["offset"]),
        float(each["score"]), each["run"], each["by"], int(each["of_recording"]),
        int(each["of_class"]), int(each["of_band"]),
    )  # fmt: skip
    onset_s, offset_s = _seconds(each["heard_onset"]), _seconds(each["heard_offset"])
    for span in ((snippet.onset_s, snippet.offset_s), (onset_s, offset_s)):
        if None in span and span != (None, None):
            raise ValueError("an onset without offset")
        if None not in span and not span[0] < span[1]:  # type: ignore[operator]
            raise ValueError("an onset after the offset")
    if (verdict in ("yes", "other")) != bool(each["heard_label"]):
        raise ValueError("expected a heard_label with yes and other, and with no other verdict")
    if not (0 <= snippet.score <= 1 and snippet.filename and snippet.label):
        raise ValueError("expected a score from 0 to 1, a filename and a label")
    if not TIME.fullmatch(each["time"]):
        raise ValueError("expected a time in UTC such as 2026-11-30T13:00:00.000Z")
    return Review(
        snippet, verdict, each["heard_label"], onset_s, offset_s, each["reviewer"], each["time"]  # type: ignore[arg-type]
    )  # fmt: skip


def _parse(content: bytes, path: Path) -> tuple[list[Review], int]:
    """The lines of a table, and its length in bytes up to the last complete line."""
    lines = content.splitlines(keepends=True)
    if lines and lines[0].rstrip(b"\r\n") != _line(COLUMNS).rstrip():
        whole = len(lines) > 1 or content.endswith(b"\n")
        if not whole and _line(COLUMNS).startswith(content):  # cut off
            return [], 0
        raise SedmtlError(
            f"{path} is not a table of verdicts, or is of another version: expected the "
            f"columns {', '.join(COLUMNS)}; name another table with --reviews"
        )
    reviews = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            reviews.append(parse_line(line.decode().rstrip("\r\n")))
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):  # cut off
                return reviews, len(content) - len(line)
            raise SedmtlError(
                f"{path}, line {number} is not a verdict ({error}): correct the line or remove it"
            ) from error
    return reviews, len(content)


def table_line(row: Sequence[str]) -> str:
    """Format cells as a line, without the line break."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="").writerow(row)
    return text.getvalue()


def _line(row: Sequence[str]) -> bytes:
    return f"{table_line(row)}\n".encode()


def _plain(text: str) -> str:
    """Replace control characters and surrogates by spaces, as in the tables of `predict`."""
    return CONTROL.sub(" ", text)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _seconds(text: str) -> float | None:
    seconds = float(text) if text else None
    if seconds is not None and not 0 <= seconds < 1e9:
        raise ValueError("a time is not a number of seconds")
    return seconds
