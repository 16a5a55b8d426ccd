"""The one exception that users see.

Its text is one sentence: what was expected, what was found, where, and what to do. The command
line prints it and exits with 1; any other exception that escapes is a bug.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

from sedmtl.runtime.text import counted

TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES}
"""Errors of this process and its rights, not of a file."""

OUT_OF_MEMORY = (
    "out of memory",
    "t allocate memory",
    "t start new thread",
    "failed to map segment",
    # Of Python's compiler and of pybind11, when an allocation fails:
    "error return without exception set",
    "without setting an exception",
)
"""Texts of errors that there is no memory for arrays, threads, libraries, or code."""


class SedmtlError(Exception):
    """Bad input or an impossible request, explained in one sentence."""


@contextmanager
def explained(failure: str, advice: str = "") -> Iterator[None]:
    """Turn an `OSError` in the block into a sentence: the failure, the reason, the advice."""
    try:
        yield
    except OSError as error:
        raise SedmtlError(f"{failure}: {error.strerror or error}{advice}") from error


def all_but(failed: Sequence[SedmtlError], noun: str) -> SedmtlError:
    """That some of many could not be written: the first reason, and the number of the others."""
    more = f" (and {counted(len(failed) - 1, f'more {noun}')})" if failed[1:] else ""
    return SedmtlError(f"{failed[0]}{more}; all else is written")


def pass_on_trouble(error: BaseException) -> None:
    """Raise an error that says nothing of the file, so that nobody calls that damaged.

    Raises:
        OSError: There are too many open files, there is no memory, or no permission.
    """
    if isinstance(error, OSError) and error.errno in TROUBLE:
        raise error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system or a GPU has no memory left, or a limit on it has been reached.

    There is no class for it: libraries, threads and torch each fail in their own words, and another
    error may have come of that.
    """
    words = str(error) if isinstance(error, ImportError | RuntimeError | SystemError) else ""
    cause = error.__cause__ or error.__context__
    return (
        isinstance(error, MemoryError)
        or any(text in words for text in OUT_OF_MEMORY)
        or (cause is not None and is_out_of_memory(cause))
    )


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: ``"did you mean 'seed'? Known here: onsets, seed"``."""
    known = list(known)
    nearest = get_close_matches(word, known, n=1)
    question = f"did you mean '{nearest[0]}'? Known" if nearest else "known"
    return f"{question} here: {', '.join(known) or 'nothing'}"
