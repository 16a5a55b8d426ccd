"""HTTP requests of a download: which redirects to follow, and when to give up on a slow server.

A server that sends too little in a minute is disconnected, even in the middle of a header: a
timeout alone, which restarts with every byte, would tolerate one byte per second for years.
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
"""Time without data after which a connection counts as lost; a stop may take effect this late."""

WATCHED_S = 60.0
"""Interval at which a server's throughput is checked."""

LEAST_BYTES = 60_000
"""Fewest bytes to receive in each interval: 1 kB per second, or 27 days for 2.4 GB."""


class Connection:
    """One request and its response, watched until the block ends.

    Attributes:
        is_too_slow: Whether the server was disconnected for being too slow.
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
            if each.fileno() >= 0:  # urllib leaves a response with an invalid redirect open
                os.close(each.detach())

    def open(self, request: Request) -> Any:
        """Send a request; raises as `urllib.request.urlopen`."""
        opener = build_opener(_StaySecure, _Handler(self._sockets))
        return opener.open(request, timeout=TIMEOUT_S)

    def read(self, answer: Any) -> bytes:
        """Read the available bytes of a response, at most a chunk; empty at its end."""
        chunk = bytes(answer.read1(CHUNK))
        self._n_bytes += len(chunk)
        return chunk

    def _watch(self) -> None:
        n_before = 0
        while not self._is_over.wait(WATCHED_S):
            if self._n_bytes < n_before + LEAST_BYTES:
                self.is_too_slow = True
                for each in self._sockets:
                    with suppress(OSError):  # already closed
                        # Not the socket's own method: for TLS, the rest would be read undecrypted.
                        socket.socket.shutdown(each, socket.SHUT_RDWR)
            n_before = self._n_bytes


class _Plain(HTTPConnection):
    """An HTTP connection that adds its socket to a list."""

    def __init__(self, sockets: list[socket.socket], host: str, **how: Any) -> None:
        super().__init__(host, **how)
        self._sockets = sockets

    def connect(self) -> None:
        super().connect()
        self._sockets.append(self.sock)


class _Secure(_Plain, HTTPSConnection):
    """The same over TLS, with the handshake within the timeout."""


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
    """Follows redirects from https to https, and from http within the same host."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The next request; raises an `HTTPError` if it would lead elsewhere."""
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if here.scheme == "https":
            reason = "" if there.scheme == "https" else "it leads from https to something else"
        else:
            stays = there.hostname == here.hostname and there.scheme in ("http", "https")
            reason = "" if stays else "it leads from http to another host"
        if reason:
            raise HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
