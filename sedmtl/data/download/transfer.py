"""A file from a web server, piece by piece, until it is all there. Knows nothing of corpora.

Of the standard library: what is hard is to go on in the middle of a file after a cut, and that
the retries of HTTP libraries, which repeat requests and not what was read of them, do not do.
Certificates are checked, proxies are those of the environment; `connection` has the rest of what a
request may do.
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
"""Failures in a row before giving up: somewhat over two minutes of waiting."""

PROGRESS_BYTES = 1 << 20
"""An answer that brought so much is not counted as one of them."""

FIRST_WAIT_S = 1.0
"""Doubled after each failure."""

LONGEST_WAIT_S = 3600.0
"""A server that asks for more (Retry-After) is not waited for."""

MAX_REASON = 200
"""Letters that are shown of a reason."""

NUMBER = "[0-9]{1,18}"
"""Bytes, as servers count them; Python refuses to read numbers of thousands of digits."""

Advance = Callable[[int], None]
Wait = Callable[[float, str], None]


class UnreachableError(SedmtlError):
    """The server does not answer, or not any more: others need not be asked of it, either."""


@dataclass(frozen=True)
class Remote:
    """What to fetch: its size, if known, and how much is written at most."""

    url: str
    n_bytes: int | None
    max_bytes: int


class _PassingError(Exception):
    """What may pass; `pause_s`: how long the server asks to wait, if it does."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def fetch(remote: Remote, part: Path, advance: Advance, wait: Wait) -> bool:
    """Fetch what is missing of a file.

    Cut connections, timeouts, 429 and 5xx are tried again after a pause that doubles, or as long
    as the server asks for; the next request is for the rest (RFC 9110, section 14). A server that
    ignores it sends all, which replaces what is there.

    Args:
        remote: The file.
        part: Where it is written; what is there is kept.
        advance: Called with the bytes just written, negative if thrown away; may raise to end it.
        wait: Called to wait so many seconds, and why; may raise, too.

    Returns:
        Whether it may have been pieced together: what was there before was kept.

    Raises:
        UnreachableError: The server fails again and again.
        SedmtlError: It refuses, it has another file, or the file cannot be written.
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
                    f"gave up on {remote.url}: {trouble}, {failures} times in a row{asks}; what "
                    "has come is kept, and the same command goes on there"
                ) from trouble
            wait(pause_s, str(trouble))


def _pause_s(trouble: _PassingError, failures: int) -> float:
    if trouble.pause_s is not None:
        return trouble.pause_s
    return FIRST_WAIT_S * 2.0 ** (failures - 1)


def _receive(remote: Remote, part: Path, advance: Advance) -> None:
    """One request, if one is needed; returns with the file complete."""
    if _size(part) == remote.n_bytes:
        return
    with Connection() as connection:
        try:
            _exchange(remote, part, advance, connection)
        except _PassingError:
            if not connection.is_too_slow:
                raise
    if connection.is_too_slow:  # hung up on, which looks like an end or an error
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
                return  # it was complete when an earlier attempt ended
            if error.code == 416:
                _discard(part, have, advance)
            raise _judge(error, remote.url) from error
    except (InvalidURL, ValueError) as error:
        raise SedmtlError(f"{remote.url} is, or leads to, no address: {_short(error)}") from error
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
    """At which byte of the file an answer begins, and how many the file has, if it says."""
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
    """What a server or the system says, as part of a sentence."""
    return " ".join(str(reason).split())[:MAX_REASON]


def _retry_after_s(headers: Message) -> float | None:
    """How long to wait: seconds, or a date, which is compared with the server's own."""
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
