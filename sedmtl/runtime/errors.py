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
"""Errors that stem from the process's limits or permissions, not from a damaged file."""

OUT_OF_MEMORY = (
    "out of memory",
    "t allocate memory",
    "t start new thread",
    "failed to map segment",
    # From Python's compiler and pybind11 when an allocation fails:
    "error return without exception set",
    "without setting an exception",
)
"""Parts of error messages raised when memory for arrays, threads, libraries or code runs out."""


class SedmtlError(Exception):
    """Bad input or an impossible request, explained in one sentence."""


@contextmanager
def explained(failure: str, advice: str = "") -> Iterator[None]:
    """Turn an `OSError` in the block into a `SedmtlError`: the failure, the reason, the advice."""
    try:
        yield
    except OSError as error:
        raise SedmtlError(f"{failure}: {error.strerror or error}{advice}") from error


def all_but(failed: Sequence[SedmtlError], noun: str) -> SedmtlError:
    """Combine the errors of files that could not be written: the first, and how many more."""
    more = f" (and {counted(len(failed) - 1, f'more {noun}')})" if failed[1:] else ""
    return SedmtlError(f"{failed[0]}{more}; all else is written")


def pass_on_trouble(error: BaseException) -> None:
    """Re-raise an error that does not concern the file, so that the file is not called damaged.

    Raises:
        OSError: There are too many open files, no memory is left, or permission is missing.
    """
    if isinstance(error, OSError) and error.errno in TROUBLE:
        raise error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system or a GPU has run out of memory, or a memory limit was reached.

    No exception class covers this: libraries, threads and torch each raise their own, and it may be
    the cause of another error.
    """
    words = str(error) if isinstance(error, ImportError | RuntimeError | SystemError) else ""
    cause = error.__cause__ or error.__context__
    return (
        isinstance(error, MemoryError)
        or any(text in words for text in OUT_OF_MEMORY)
        or (cause is not None and is_out_of_memory(cause))
    )


def suggest(word: str, known: Iterable[str]) -> str:
    """End of an error message: ``"did you mean 'seed'? Known here: onsets, seed"``."""
    known = list(known)
    nearest = get_close_matches(word, known, n=1)
    question = f"did you mean '{nearest[0]}'? Known" if nearest else "known"
    return f"{question} here: {', '.join(known) or 'nothing'}"
