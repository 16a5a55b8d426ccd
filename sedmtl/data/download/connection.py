"""The requests of a download: who is followed where, and for how long.

A server that sends too little in a minute is hung up on, be it in the middle of a header: a
timeout alone, which counts from byte to byte, would let one byte a second go on for years.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)

CHUNK = 1 << 20

TIMEOUT_S = 30.0
"""A server that sends nothing for so long has lost us; it is also how late a stop may come."""

WATCHED_S = 60.0
"""How long a server is watched before it is judged, again and again."""

LEAST_BYTES = 60_000
"""What has to come in that time, once there is an answer: 1 kB a second, or 27 days for 2.4 GB."""


class Connection:
    """One request and its answer, watched until the block ends.

    Attributes:
        is_too_slow: Whether it was hung up on.
    """

    def __init__(self) -> None:
        self.is_too_slow = False
        self._n_bytes = 0
        self._sockets: list[socket.socket] = []
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for each in self._sockets:
            if each.fileno() >= 0:  # urllib leaves an answer open whose redirection is no address
                os.close(each.detach())

    def open(self, request: Request) -> Any:
        """Send a request; raises as `urllib.request.urlopen`."""
        opener = build_opener(_StaySecure, _Handler(self._sockets))
        return opener.open(request, timeout=TIMEOUT_S)

    def read(self, answer: Any) -> bytes:
        """What has come of an answer, without waiting for a whole chunk; nothing at its end."""
        chunk = bytes(answer.read1(CHUNK))
        self._n_bytes += len(chunk)
        return chunk

    def _watch(self) -> None:
        n_before = 0
        while not self._is_over.wait(WATCHED_S):
            if self._n_bytes < n_before + LEAST_BYTES:
                self.is_too_slow = True
                for each in self._sockets:
                    with suppress(OSError):  # it is closed already
                        # Not its own method: that of TLS would have the rest read undeciphered.
                        socket.socket.shutdown(each, socket.SHUT_RDWR)
            n_before = self._n_bytes


class _Plain(HTTPConnection):
    """Adds its socket to a list."""

    def __init__(self, sockets: list[socket.socket], host: str, **how: Any) -> None:
        super().__init__(host, **how)
        self._sockets = sockets

    def connect(self) -> None:
        super().connect()
        self._sockets.append(self.sock)


class _Secure(_Plain, HTTPSConnection):
    """The same over TLS, whose handshake is within the timeout."""


class _Handler(HTTPHandler, HTTPSHandler):
    """Opens connections that add their sockets to a list."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: Request) -> Any:
        return self.do_open(partial(_Plain, self._sockets), req)

    def https_open(self, req: Request) -> Any:
        return self.do_open(partial(_Secure, self._sockets), req)


class _StaySecure(HTTPRedirectHandler):
    """Follows redirections from https to https, and from http within the same host."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The next request; an `HTTPError` if it would lead elsewhere."""
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if here.scheme == "https":
            reason = "" if there.scheme == "https" else "it leads from https to something else"
        else:
            stays = there.hostname == here.hostname and there.scheme in ("http", "https")
            reason = "" if stays else "it leads from http to another host"
        if reason:
            raise HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
