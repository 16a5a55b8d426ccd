"""Resumable download of a file from a web server. Knows nothing about corpora.

It uses the standard library: the hard part is to resume in the middle of a file after a lost
connection, and the retries of HTTP libraries repeat whole requests instead. Certificates are
checked and proxies are taken from the environment; `connection` has the other rules of a request.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

from sedmtl import __version__
from sedmtl.data.download.connection import LEAST_BYTES, Connection
from sedmtl.runtime.errors import SedmtlError, explained
from sedmtl.runtime.progress import duration
from sedmtl.runtime.regular import open_own

N_TRIES = 8
"""Consecutive failures before giving up: just over two minutes of waiting."""

PROGRESS_BYTES = 1 << 20
"""A response that delivered this much resets the count of failures."""

FIRST_WAIT_S = 1.0
"""Wait after the first failure; doubled after each further one."""

LONGEST_WAIT_S = 3600.0
"""Longest wait; a server that asks for more (Retry-After) is given up on."""

MAX_REASON = 200
"""Most characters of a reason that are shown."""

NUMBER = "[0-9]{1,18}"
"""Pattern of a byte count in a header; Python refuses to parse numbers of thousands of digits."""

Advance = Callable[[int], None]
Wait = Callable[[float, str], None]


class UnreachableError(SedmtlError):
    """The server does not respond or stopped responding: its other files are not tried, either."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch, its size if known, and the most bytes to write."""

    url: str
    n_bytes: int | None
    max_bytes: int


class _PassingError(Exception):
    """A temporary failure; `pause_s` is how long the server asks to wait, if it does."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def fetch(remote: Remote, part: Path, advance: Advance, wait: Wait) -> bool:
    """Fetch the missing part of a file.

    Lost connections, timeouts, 429 and 5xx are retried after a pause that doubles, or that the
    server asks for; the next request is for the remaining bytes (RFC 9110, section 14). If a
    server ignores the range and sends the whole file, it replaces the partial one.

    Args:
        remote: The file.
        part: Path to write to; an existing partial file is continued.
        advance: Called with the number of bytes just written, negative if discarded; may raise to
            stop.
        wait: Called with a number of seconds to wait and the reason; may raise to stop.

    Returns:
        Whether the file may be pieced together from several responses.

    Raises:
        UnreachableError: The server fails repeatedly.
        SedmtlError: The server refuses or has another file, or the file cannot be written.
    """
    pieced, failures, reached = False, 0, _size(part)
    while True:
        pieced = pieced or _size(part) > 0
        try:
            _receive(remote, part, advance)
            return pieced
        except _PassingError as trouble:
            failures = 1 if _size(part) >= reached + PROGRESS_BYTES else failures + 1
            reached = max(reached, _size(part))
            pause_s = _pause_s(trouble, failures)
            if failures == N_TRIES or pause_s > LONGEST_WAIT_S:
                asks = f"; it asks to wait {duration(pause_s)}" if trouble.pause_s else ""
                raise UnreachableError(
                    f"gave up on {remote.url}: {trouble}, {failures} times in a row{asks}; the "
                    "partial file is kept, and the same command resumes there"
                ) from trouble
            wait(pause_s, str(trouble))


def _pause_s(trouble: _PassingError, failures: int) -> float:
    if trouble.pause_s is not None:
        return trouble.pause_s
    return FIRST_WAIT_S * 2.0 ** (failures - 1)


def _receive(remote: Remote, part: Path, advance: Advance) -> None:
    """Send one request if needed; returns once the file is complete."""
    if _size(part) == remote.n_bytes:
        return
    with Connection() as connection:
        try:
            _exchange(remote, part, advance, connection)
        except _PassingError:
            if not connection.is_too_slow:
                raise
    if connection.is_too_slow:  # disconnecting looks like an end or an error
        raise _PassingError(f"the server sends less than {LEAST_BYTES:,} bytes in a minute")


def _exchange(remote: Remote, part: Path, advance: Advance, connection: Connection) -> None:
    have = _size(part)
    headers = {"User-Agent": f"sedmtl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = connection.open(Request(remote.url, headers=headers))
    except HTTPError as error:
        with error:
            if error.code == 416 and _total(error.headers) == have:
                return  # an earlier attempt had completed it
            if error.code == 416:
                _discard(part, have, advance)
            raise _judge(error, remote.url) from error
    except (InvalidURL, ValueError) as error:
        raise SedmtlError(f"{remote.url} is or leads to an invalid URL: {_short(error)}") from error
    except (OSError, HTTPException) as error:
        raise _judge_connection(error, remote.url) from error
    with answer:
        start, total = _extent(answer, have)
        _check_size(remote, total)
        if start != have:
            _discard(part, have, advance)
        if start not in (0, have):
            raise _PassingError(f"the server sends byte {start:,} where {have:,} was asked for")
        read = partial(_read, connection, answer)
        _append(read, part, total or remote.max_bytes, remote.url, advance)
    expected = total or remote.n_bytes
    if expected is not None and _size(part) < expected:
        raise _PassingError(f"the connection was cut after {_size(part):,} of {expected:,} bytes")


def _extent(answer: Any, have: int) -> tuple[int, int | None]:
    """First byte of the file in a response, and the size of the file if stated."""
    if answer.status == 206:
        begins = re.match(rf"bytes ({NUMBER})-", answer.headers.get("Content-Range", ""))
        return (int(begins[1]) if begins else have), _total(answer.headers)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(NUMBER, length) else None


def _total(headers: Message) -> int | None:
    total = re.search(rf"/({NUMBER})$", headers.get("Content-Range", ""))
    return int(total[1]) if total else None


def _check_size(remote: Remote, total: int | None) -> None:
    if total is None:
        return
    if remote.n_bytes is not None and total != remote.n_bytes:
        raise SedmtlError(
            f"{remote.url}: expected {remote.n_bytes:,} bytes as published, the server has "
            f"{total:,}: it is another file, and was not fetched"
        )
    if total > remote.max_bytes:
        raise _too_long(remote.url, remote.max_bytes)


def _append(read: Callable[[], bytes], part: Path, limit: int, url: str, advance: Advance) -> None:
    size = _size(part)
    with explained(f"cannot write {part}"), open_own(part, "ab") as file:
        while chunk := read():
            size += len(chunk)
            if size > limit:
                raise _too_long(url, limit)
            file.write(chunk)
            file.flush()
            advance(len(chunk))


def _read(connection: Connection, answer: Any) -> bytes:
    try:
        return connection.read(answer)
    except (OSError, HTTPException) as error:
        raise _PassingError(f"the connection was cut ({_name(error)})") from error


def _too_long(url: str, limit: int) -> SedmtlError:
    return SedmtlError(f"{url}: expected at most {limit:,} bytes, the server has more")


def _discard(part: Path, have: int, advance: Advance) -> None:
    part.unlink(missing_ok=True)
    advance(-have)


def _judge(error: HTTPError, url: str) -> Exception:
    reason = f"the server answers {error.code} ({_short(error.reason)})"
    if error.code in (408, 416, 429) or error.code >= 500:
        return _PassingError(reason, _retry_after_s(error.headers))
    return SedmtlError(f"{url}: {reason}; --mirror names another server, --from a folder")


def _judge_connection(error: OSError | HTTPException, url: str) -> Exception:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SedmtlError(f"{url}: the server's certificate is not valid: {reason.verify_message}")
    return _PassingError(f"no connection ({_name(reason)})")


def _name(reason: object) -> str:
    return _short(reason) or type(reason).__name__


def _short(reason: object) -> str:
    """A message of the server or the system, shortened to one line."""
    return " ".join(str(reason).split())[:MAX_REASON]


def _retry_after_s(headers: Message) -> float | None:
    """Seconds to wait: as stated, or from a date compared with the server's own clock."""
    asked = headers.get("Retry-After", "")
    if asked.isdecimal():
        return min(float(asked), 1e9)
    try:
        pause = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, pause.total_seconds())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
