"""Serves the listening page to this machine only; verdicts are saved before they are confirmed.

Access is restricted: the server listens on the loopback address only; every URL contains a random
token that other users of the machine and other pages in the browser cannot guess; requests for
another host name are refused (DNS rebinding); and verdicts must have a content type that browsers
let other pages send only after a preflight request. No files are served.
"""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from sedmtl.runtime.errors import SedmtlError, explained

HOST = "127.0.0.1"
PORT = 8765
N_PORTS = 50
"""Number of ports to try, starting at `PORT`."""

MAX_BODY = 1 << 20
"""Maximum bytes of verdicts per request: some thousand verdicts."""

TYPE = "text/tab-separated-values"

PATIENCE_S = 30.0
"""Timeout for receiving a request."""


class Site(NamedTuple):
    """The content of the server: renders the current page, and accepts lines of verdicts.

    `take` raises a ValueError for invalid lines, and a SedmtlError if it cannot write.
    """

    page: Callable[[], str]
    take: Callable[[list[str]], None]


class ReviewServer(ThreadingHTTPServer):
    """Serves one page until it is interrupted; a context manager.

    Raises:
        SedmtlError: No port is free.
    """

    daemon_threads = True
    # On Windows, reuse would take over another server's port.
    allow_reuse_address = os.name != "nt"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.token = secrets.token_urlsafe(16)
        self.writing = threading.Lock()
        with explained(f"cannot serve the page on {HOST}", ": write it with --no-serve"):
            self._bind()

    def _bind(self) -> None:
        for port in range(PORT, PORT + N_PORTS):
            try:
                super().__init__((HOST, port), _Handler)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, f"ports {PORT} to {PORT + N_PORTS - 1} are all in use")

    def server_bind(self) -> None:
        """Bind without the host name look-up, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> set[str]:
        """Values of the Host header in requests from this machine."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print unexpected errors, but not lost connections."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: ReviewServer
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        """Send the page."""
        if self._is_allowed(""):
            page = self.server.site.page().encode()
            self._answer(HTTPStatus.OK, page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Accept verdicts, one per line."""
        if not self._is_allowed("reviews"):
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != TYPE or not length.isdecimal():
            self._answer(HTTPStatus.BAD_REQUEST, f"expected {TYPE} and its length".encode())
        elif int(length) > MAX_BODY:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too many verdicts at a time")
        else:
            self._take(self.rfile.read(int(length)), int(length))

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""

    def _take(self, body: bytes, length: int) -> None:
        try:
            if len(body) < length:
                raise ValueError("the request was cut off")
            with self.server.writing:
                self.server.site.take(body.decode().split("\n"))
        except ValueError as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error).encode())
        except SedmtlError as error:
            self._answer(HTTPStatus.INSUFFICIENT_STORAGE, str(error).encode())
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def _is_allowed(self, place: str) -> bool:
        """Check the request's host, origin and token; refuse it if one is wrong."""
        hosts, origin = self.server.hosts, self.headers.get("Origin")
        if self.headers.get("Host") not in hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"this server has another name")
        elif origin is not None and origin not in {f"http://{host}" for host in hosts}:
            self._answer(HTTPStatus.FORBIDDEN, b"another page sent this")
        elif not hmac.compare_digest(self.path.encode(), f"/{self.server.token}/{place}".encode()):
            self._answer(HTTPStatus.NOT_FOUND, b"no such page")
        else:
            return True
        return False

    def _answer(self, status: HTTPStatus, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "frame-ancestors 'none'"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
