"""The server of the review page: which requests it accepts."""

from __future__ import annotations

import http.client
import socket
from contextlib import contextmanager

import pytest
from local_server import in_thread

from sedmtl.review import server as serving
from sedmtl.review.server import HOST, MAX_BODY, PORT, TYPE, ReviewServer, Site
from sedmtl.review.verdicts import parse_line
from sedmtl.runtime.errors import SedmtlError


@contextmanager
def served(take=list):
    with ReviewServer(Site(lambda: "<p>ü</p>", take)) as server, in_thread(server):
        yield server


@pytest.fixture(scope="module")
def server():
    with served() as started:
        yield started


def ask(server, method="GET", path=None, body=None, **headers):
    """Send a request; returns the status, headers and text of the answer."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    path = f"/{server.token}/" if path is None else path
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def post(server, body, **headers):
    path = f"/{server.token}/reviews"
    return ask(server, "POST", path, body, **{"Content_Type": TYPE, **headers})


def test_the_page_is_served_with_its_token(server):
    status, headers, text = ask(server)
    assert (status, text) == (200, "<p>ü</p>")
    assert headers["Cache-Control"] == "no-store"
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"


@pytest.mark.parametrize(
    "path", ["/", "/x/", "/../../etc/passwd", "//etc/passwd", "/{token}", "/{token}/../x",
             "/{token}/%2e%2e/data.yaml", "/{token}/reviews"],
)  # fmt: skip
def test_nothing_else_is_served(server, path):
    path = path.replace("{token}", server.token)
    assert ask(server, path=path)[0] == 404


def test_only_this_machine_can_connect(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1", ""])
def test_another_host_is_refused(server, host):
    assert ask(server, Host=host)[0] == 421


def test_localhost_is_this_host(server):
    assert ask(server, Host=f"localhost:{server.server_port}")[0] == 200


def test_another_page_is_refused(server):
    assert post(server, "x", Origin="http://evil.example")[0] == 403
    assert post(server, "x", Origin="null")[0] == 403
    assert post(server, "x", Origin=server.url.rpartition(f"/{server.token}")[0])[0] == 204


def test_a_form_of_another_page_cannot_send_verdicts(server):
    """Content types that browsers send without a preflight request are refused."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert post(server, "x", Content_Type=kind)[0] == 400


def test_verdicts_arrive_line_by_line():
    lines = []
    with served(lines.extend) as server:
        assert post(server, "a\tb\nü".encode())[0] == 204
    assert lines == ["a\tb", "ü"]


def test_refusals_and_failed_writes_are_reported():
    def refuse(lines):
        raise {"wrong": ValueError("no verdict"), "full": SedmtlError("no space left")}[lines[0]]

    with served(refuse) as server:
        assert post(server, "wrong")[::2] == (400, "no verdict")
        assert post(server, "full")[::2] == (507, "no space left")
        assert post(server, b"\xff")[0] == 400


@pytest.mark.parametrize("line", ['"a', "a\rb", "", "a"])
def test_a_malformed_line_is_a_bad_request(line):
    with served(lambda lines: list(map(parse_line, lines))) as server:
        assert post(server, line)[0] == 400


def test_too_large_requests_are_not_read(server):
    assert post(server, "", Content_Length=str(MAX_BODY + 1))[0] == 413
    assert post(server, "", Content_Length="-1")[0] == 400


def test_a_port_in_use_is_skipped():
    with socket.socket() as other:
        try:
            other.bind((HOST, PORT))
            other.listen()
        except OSError:  # as intended
            pass
        with served() as server:
            assert server.server_port > PORT
            assert ask(server)[0] == 200


def test_no_free_port_is_one_sentence(monkeypatch):
    with served() as server:
        monkeypatch.setattr(serving, "N_PORTS", 1)
        monkeypatch.setattr(serving, "PORT", server.server_port)
        with pytest.raises(SedmtlError, match="all in use: write it with --no-serve"):
            ReviewServer(Site(str, print))
