"""A web server in a thread that misbehaves on demand, and archives for it to serve."""

from __future__ import annotations

import io
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import IO, Any
from unittest import mock


@dataclass(frozen=True)
class Reply:
    """How to answer one request; by default as a good server does.

    Attributes:
        status: With anything but 200, no file is sent.
        headers: In addition to the usual ones.
        cut_at: Cut the connection after so many bytes of the answer.
        ignores_range: Send the whole file, whatever range was requested.
        body: Sent instead of the file.
        states_length: Whether to send a Content-Length.
        shift: Added to the first byte of the requested range.
        hold: Called before the answer.
        stall: Called after the answer, while the connection is open.
        drip: Called before each byte with the number of bytes sent so far.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    ignores_range: bool = False
    body: bytes | None = None
    states_length: bool = True
    shift: int = 0
    hold: Callable[[], object] = lambda: None
    stall: Callable[[], object] = lambda: None
    drip: Callable[[int], object] | None = None


class Dripping:
    """A stream that writes byte by byte."""

    def __init__(self, file: IO[bytes], drip: Callable[[int], object]) -> None:
        self._file, self._drip, self._n_bytes = file, drip, 0

    def write(self, content: bytes) -> None:
        for k in range(len(content)):
            self._drip(self._n_bytes)
            self._file.write(content[k : k + 1])
            self._n_bytes += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class LocalServer:
    """A running server.

    Attributes:
        url: Base address of the files, without a trailing slash.
        files: Contents by name.
        replies: Used for the next requests in order; later ones get the default.
        requests: Name and headers of each request.
        n_sent: Total bytes of files.
        busiest: Highest number of simultaneous requests.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, bytes] = {}
        self.replies: list[Reply] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.n_sent = 0
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [headers.get("Range") for _, headers in self.requests]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.requests]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.partition("?")[0].lstrip("/")
        with self._lock:
            reply = self.replies.pop(0) if self.replies else Reply()
            self.requests.append((name, dict(handler.headers)))
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            reply.hold()
            if reply.drip:
                handler.wfile = Dripping(handler.wfile, reply.drip)
            self._send(handler, reply, self.files.get(name))
        finally:
            with self._lock:
                self._busy -= 1

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, content: bytes | None) -> None:
        body = reply.body if reply.body is not None else content
        status = reply.status if reply.status != 200 or body is not None else 404
        if status != 200 or body is None:
            handler.send_response(status)
            _send_headers(handler, reply.headers)
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if asked and not reply.ignores_range:
            start = int(asked[1]) + reply.shift
        if start >= len(body) > 0:
            handler.send_response(416)
            _send_headers(handler, {"Content-Range": f"bytes */{len(body)}"})
            return
        handler.send_response(206 if start else 200)
        headers = dict(reply.headers)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if reply.states_length:
            headers["Content-Length"] = str(len(body) - start)
        _send_headers(handler, headers)
        end = len(body) if reply.cut_at is None else start + reply.cut_at
        with self._lock:
            self.n_sent += len(body[start:end])
        handler.wfile.write(body[start:end])
        reply.stall()


def _send_headers(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.end_headers()


NO_PROXY = {"no_proxy": "127.0.0.1,localhost"}


@contextmanager
def local_server() -> Iterator[LocalServer]:
    """Serve while the block runs, bypassing any proxy of the environment."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that disconnect are part of the tests

    with Server(("127.0.0.1", 0), Handler) as server, mock.patch.dict(os.environ, NO_PROXY):
        made = LocalServer(server.server_address[1])
        with in_thread(server):
            yield made


@contextmanager
def in_thread(server: BaseServer) -> Iterator[None]:
    """Serve while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
