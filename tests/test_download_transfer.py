"""Files from unreliable servers arrive complete, or the error says why not."""

from __future__ import annotations

import random
import shutil
import ssl
import subprocess
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from local_server import Reply, local_server

import sedmtl
from sedmtl.data.download import connection, transfer
from sedmtl.data.download.transfer import Remote, UnreachableError, fetch
from sedmtl.runtime.errors import SedmtlError

CONTENT = random.Random(0).randbytes(10_000)
NAME = "corpus.zip"


@pytest.fixture
def server():
    with local_server() as running:
        running.files[NAME] = CONTENT
        yield running


class Fetching:
    """Call `fetch` and record its messages."""

    def __init__(self, server, tmp_path, *, n_bytes=10_000, max_bytes=10_000):
        self.part = tmp_path / f".{NAME}.part"
        self.remote = Remote(f"{server.url}/{NAME}", n_bytes, max_bytes)
        self.advances, self.waits, self.reasons = [], [], []

    def wait(self, seconds, reason):
        self.waits.append(seconds)
        self.reasons.append(reason)

    def run(self):
        return fetch(self.remote, self.part, self.advances.append, self.wait)


@pytest.fixture
def fetching(server, tmp_path):
    return Fetching(server, tmp_path)


def test_a_file_arrives_whole_in_one_answer_under_its_own_name(server, fetching):
    assert fetching.run() is False
    assert fetching.part.read_bytes() == CONTENT
    assert sum(fetching.advances) == len(CONTENT)
    assert fetching.waits == []
    [(_, headers)] = server.requests
    assert headers["User-Agent"] == f"sedmtl/{sedmtl.__version__}"
    assert "Range" not in headers


def test_cut_connections_resume_and_nothing_is_sent_twice(server, fetching):
    server.replies = [Reply(cut_at=3000), Reply(cut_at=1), Reply(cut_at=0)]
    assert fetching.run() is True
    assert fetching.part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000-", "bytes=3001-", "bytes=3001-"]
    assert server.n_sent == sum(fetching.advances) == len(CONTENT)
    assert fetching.waits == [1, 2, 4]
    assert "cut after 3,000 of 10,000 bytes" in fetching.reasons[0]


def test_what_an_earlier_attempt_has_fetched_is_not_fetched_again(server, fetching):
    fetching.part.write_bytes(CONTENT[:4000])
    assert fetching.run() is True
    assert fetching.part.read_bytes() == CONTENT
    assert server.ranges == ["bytes=4000-"]
    assert sum(fetching.advances) == server.n_sent == 6000


def test_a_complete_file_is_not_requested(server, fetching):
    fetching.part.write_bytes(CONTENT)
    fetching.run()
    assert server.requests == []


def test_a_server_that_ignores_ranges_sends_everything_which_is_kept(server, fetching):
    server.replies = [Reply(ignores_range=True)]
    fetching.part.write_bytes(b"x" * 4000)
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert 4000 + sum(fetching.advances) == len(CONTENT)


def test_an_answer_with_another_range_is_discarded(server, fetching):
    server.replies = [Reply(shift=10)]
    fetching.part.write_bytes(CONTENT[:4000])
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert server.ranges == ["bytes=4000-", None]
    assert "sends byte 4,010 where 4,000 was asked for" in fetching.reasons[0]


def test_a_part_longer_than_the_file_is_discarded(fetching):
    fetching.part.write_bytes(CONTENT + b"more")
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert len(CONTENT) + 4 + sum(fetching.advances) == len(CONTENT)


def test_without_a_published_size_a_complete_part_is_recognised(server, tmp_path):
    fetching = Fetching(server, tmp_path, n_bytes=None)
    fetching.part.write_bytes(CONTENT)
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert server.n_sent == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_refusals_are_retried(server, fetching, status):
    server.replies = [Reply(status=status)] * 3
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.waits == [1, 2, 4]
    assert f"answers {status}" in fetching.reasons[0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        # A date is compared with the server's clock, which may differ from ours.
        (
            {
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            30,
        ),
        (
            {
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT",
            },
            0,
        ),
        ({"Retry-After": "soon"}, 1),
        ({}, 1),
    ],
)
def test_the_wait_that_a_server_requests_is_respected(headers, seconds):
    made = Message()
    for key, value in headers.items():
        made[key] = value
    trouble = transfer._judge(HTTPError("http://a/b", 429, "slow down", made, None), "http://a/b")
    assert transfer._pause_s(trouble, failures=1) == seconds


def test_retry_after_comes_from_the_wire(server, fetching):
    server.replies = [Reply(status=503, headers={"Retry-After": "42"})]
    fetching.run()
    assert fetching.waits == [42]


def test_a_requested_wait_of_hours_is_not_respected(server, fetching):
    server.replies = [Reply(status=429, headers={"Retry-After": "7200"})]
    with pytest.raises(UnreachableError, match=r"429.*asks to wait 2 h 00 min"):
        fetching.run()
    assert fetching.waits == []


def test_after_failures_in_a_row_it_gives_up_and_keeps_received_bytes(server, fetching):
    server.replies = [Reply(cut_at=500), *[Reply(status=503)] * 50]
    with pytest.raises(UnreachableError, match=r"503.* 8 times in a row; the partial file is kept"):
        fetching.run()
    assert fetching.waits == [1, 2, 4, 8, 16, 32, 64]
    assert fetching.part.read_bytes() == CONTENT[:500]


def test_answers_with_content_are_not_counted_as_failures(server, fetching, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS_BYTES", 100)
    n_cuts = 3 * transfer.N_TRIES
    server.replies = [Reply(cut_at=100)] * n_cuts
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.waits == [1] * n_cuts


def test_a_server_that_ignores_ranges_and_cuts_is_given_up(server, fetching, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS_BYTES", 100)
    server.replies = [Reply(ignores_range=True, cut_at=n) for n in (5000, 4000) * 20]
    with pytest.raises(UnreachableError):
        fetching.run()
    assert len(server.requests) == transfer.N_TRIES


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_retried(server, fetching, status):
    server.replies = [Reply(status=status)]
    with pytest.raises(SedmtlError, match=rf"{NAME}: the server answers {status}.*--mirror"):
        fetching.run()
    assert len(server.requests) == 1
    assert not fetching.part.exists()


def test_a_file_of_another_size_than_published_is_not_fetched(server, fetching):
    server.replies = [Reply(body=b"<html>please log in</html>")]
    with pytest.raises(SedmtlError, match=r"expected 10,000 bytes as published, the server has 26"):
        fetching.run()
    assert not fetching.part.exists()


@pytest.mark.parametrize("states_length", [True, False])
def test_more_than_the_limit_is_never_written(server, tmp_path, states_length):
    fetching = Fetching(server, tmp_path, n_bytes=None, max_bytes=9_999)
    server.replies = [Reply(states_length=states_length)]
    with pytest.raises(SedmtlError, match="expected at most 9,999 bytes, the server has more"):
        fetching.run()
    assert not fetching.part.exists() or fetching.part.stat().st_size <= 9_999


def test_an_answer_without_length_is_checked_against_the_published_size(server, fetching):
    server.replies = [Reply(states_length=False, cut_at=6000)]
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=6000-"]


def test_without_a_server_it_gives_up_with_the_reason(tmp_path):
    with local_server() as gone:
        pass
    fetching = Fetching(gone, tmp_path)
    with pytest.raises(UnreachableError, match=r"no connection .*refused"):
        fetching.run()
    assert len(fetching.waits) == transfer.N_TRIES - 1


def test_a_server_that_falls_silent_is_disconnected(server, fetching, monkeypatch):
    monkeypatch.setattr(connection, "TIMEOUT_S", 0.1)
    heard = threading.Event()
    server.replies = [Reply(hold=heard.wait)]
    fetching.run()
    heard.set()
    assert fetching.part.read_bytes() == CONTENT
    assert "timed out" in fetching.reasons[0]


def test_bytes_from_before_the_silence_are_kept(server, fetching, monkeypatch):
    monkeypatch.setattr(connection, "TIMEOUT_S", 0.1)
    heard = threading.Event()
    server.replies = [Reply(cut_at=4000, stall=heard.wait)]
    fetching.run()
    heard.set()
    assert fetching.part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=4000-"]


def test_redirections_are_followed_with_the_range(server, fetching):
    server.files["elsewhere"] = CONTENT
    server.replies = [Reply(status=302, headers={"Location": "/elsewhere"})]
    fetching.part.write_bytes(CONTENT[:4000])
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert server.names == [NAME, "elsewhere"]
    assert server.ranges == ["bytes=4000-"] * 2


@pytest.mark.parametrize(
    ("url", "to", "refused"),
    [
        ("https://a.org/x", "https://b.org/x", None),
        ("http://a.org/x", "http://a.org/y", None),
        ("http://a.org/x", "http://A.ORG:81/y", None),
        ("http://a.org/x", "https://a.org/x", None),
        ("http://a.org/x", "http://b.org/x", "from http to another host"),
        ("http://a.org/x", "https://b.org/x", "from http to another host"),
        ("http://a.org/x", "http://a.org@b.org/x", "from http to another host"),
        ("http://a.org/x", "ftp://a.org/x", "from http to another host"),
        ("https://a.org/x", "http://a.org/x", "from https to something else"),
        ("https://a.org/x", "ftp://b.org/x", "from https to something else"),
        ("https://a.org/x", "file:///etc/passwd", "from https to something else"),
    ],
)
def test_redirections_stay_within_https_or_on_the_host_of_a_mirror(url, to, refused):
    def redirect():
        return connection._StaySecure().redirect_request(
            Request(url), None, 302, "Found", Message(), to
        )

    if refused:
        with pytest.raises(HTTPError, match=f"it leads {refused}"):
            redirect()
    else:
        assert redirect().full_url == to


@pytest.mark.parametrize("where", ["http://[", "//["])
def test_a_redirection_to_an_invalid_address_is_one_sentence(server, fetching, where):
    server.replies = [Reply(status=302, headers={"Location": where})]
    with pytest.raises(SedmtlError, match=r"^[ -~]*$") as caught:
        fetching.run()
    assert len(str(caught.value)) < 500
    assert fetching.waits == []


SLOW = "the server sends less than 60,000 bytes in a minute"


@pytest.fixture
def drop(monkeypatch):
    """A `drip` that waits before each byte from `first` on; the limit of a minute is 0.1 s."""
    monkeypatch.setattr(connection, "WATCHED_S", 0.1)
    heard = threading.Event()
    yield lambda first: lambda n_bytes: n_bytes >= first and heard.wait(0.01)
    heard.set()


@pytest.mark.parametrize("first", [0, 1000], ids=["headers", "content"])
@pytest.mark.parametrize("n_bytes", [10_000, None])
def test_a_dripping_server_is_disconnected_and_its_bytes_are_kept(
    server, tmp_path, drop, first, n_bytes
):
    fetching = Fetching(server, tmp_path, n_bytes=n_bytes)
    server.replies = [Reply(drip=drop(first), states_length=False)]
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT
    assert fetching.reasons == [SLOW]
    assert bool(server.ranges[1]) == (first > 0)


@pytest.mark.slow
def test_a_server_that_only_drips_is_given_up(server, fetching, drop):
    server.replies = [Reply(drip=drop(0))] * 50
    with pytest.raises(
        UnreachableError, match=f"{SLOW}, 8 times in a row; the partial file is kept"
    ):
        fetching.run()
    assert len(server.requests) == transfer.N_TRIES


def test_a_server_that_sends_enough_is_waited_for(server, fetching, drop, monkeypatch):
    monkeypatch.setattr(connection, "LEAST_BYTES", 1)
    del server.files[NAME]
    server.replies = [Reply(drip=drop(180), body=CONTENT[:60])]  # takes more than half a second
    fetching.remote = Remote(fetching.remote.url, None, 60)
    fetching.run()
    assert fetching.part.read_bytes() == CONTENT[:60]
    assert fetching.waits == []


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "9" * 5000}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT" + "9" * 5000},
     {"Content-Range": f"bytes */{'9' * 5000}"}],
    ids=["seconds", "date", "range"],
)  # fmt: skip
@pytest.mark.parametrize("status", [416, 503])
def test_numbers_of_thousands_of_digits_are_ignored(server, fetching, headers, status):
    server.replies = [Reply(status=status, headers=headers)] * 8
    with pytest.raises(UnreachableError, match=f"the server answers {status}"):
        fetching.run()


def test_a_servers_message_is_one_short_line():
    said = "Slow\r\ndown \nerror: all is lost " + 1000 * "."
    refusal = HTTPError("http://a/b", 503, said, Message(), None)
    shown = str(transfer._judge(refusal, "http://a/b"))
    assert shown.startswith("the server answers 503 (Slow down error: all is lost ...")
    assert len(shown) < 250


def test_the_certificate_of_a_server_is_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    openssl = shutil.which("openssl") or pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
         certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        remote = Remote(f"https://localhost:{server.server_port}/{NAME}", None, 10)
        with pytest.raises(SedmtlError, match=r"certificate is not valid: self.signed"):
            fetch(remote, tmp_path / "part", len, lambda *_: pytest.fail("it was tried again"))
        thread.join()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is made of /dev/full")
def test_a_full_disk_is_named_and_not_retried(fetching, monkeypatch):
    full = Path("/dev/full")
    monkeypatch.setattr("sedmtl.data.download.transfer.open_own", lambda _, mode: full.open(mode))
    with pytest.raises(SedmtlError, match=r"cannot write .*part: No space left on device"):
        fetching.run()
    assert fetching.waits == []


def test_a_link_in_place_of_the_part_is_not_written_through(fetching, tmp_path):
    (tmp_path / "target").write_bytes(b"mine")
    fetching.part.symlink_to(tmp_path / "target")
    with pytest.raises(SedmtlError, match=r"cannot write .*part: expected a file, found a link"):
        fetching.run()
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    fetching = Fetching(server, tmp_path / "gone")
    with pytest.raises(SedmtlError, match=r"cannot write .*part: No such file"):
        fetching.run()


def test_the_caller_can_stop_it_and_received_bytes_are_kept(fetching):
    def end(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(fetching.remote, fetching.part, end, fetching.wait)
    assert CONTENT.startswith(fetching.part.read_bytes())
    assert fetching.part.stat().st_size > 0
