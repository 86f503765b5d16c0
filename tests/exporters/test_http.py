"""One request: bounded in time and size, carried nowhere else, its token shown nowhere."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from exporters import http
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.http import open_client, retry_after, secure
from exporters.testing import PracticePlatform, say, slow

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOKEN = "EAAcanary.token-1"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PRACTICE_TOKEN", TOKEN)
    return "PRACTICE_TOKEN"


@contextmanager
def raw_server(*answer: bytes) -> Iterator[str]:
    """A server that answers one request with these bytes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            # the client hangs up when it has had enough
            with connection, suppress(ConnectionError):
                connection.recv(1 << 16)
                for part in answer:
                    connection.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999_999_999.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Mon, 01 Jun 2026 12:00:30 GMT", 30.0),
        ("Mon, 01 Jun 2026 12:00:30", 30.0),
        ("Mon, 01 Jun 2020 12:00:30 GMT", 0.0),
        ("Mon, 01 Jun 2026 14:00:30 +0200", 30.0),
        ("Mon, 99 Jun 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nonsense(header: str | None, seconds: float | None) -> None:
    """Source: RFC 9110, 10.2.3. How long is really waited, the engine bounds."""
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://graph.facebook.com", True),
        ("http://127.0.0.1:8765", True),
        ("http://localhost:8765", True),
        ("http://graph.facebook.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com:80", False),
        ("ftp://127.0.0.1:21", False),
    ],
)
def test_a_token_goes_over_https_or_stays_on_this_machine(url: str, safe: bool) -> None:
    """Also when somebody made the name look like it."""
    assert secure(url) is safe


def test_an_answer_is_its_status_and_its_object(token: str) -> None:
    """Also one that says no."""
    with PracticePlatform() as platform, open_client(platform.url, token, lambda: NOW) as client:
        platform.fail_next(say(429, '{"error": {"code": 4}}', Retry_After="7"), say(200, '{"a": 1}'))
        refused, taken = client.send("POST", "/x", {}), client.send("POST", "/x", {})
    assert (refused.status, refused.body, refused.retry_after) == (429, {"error": {"code": 4}}, 7.0)
    assert (taken.status, taken.body, taken.retry_after) == (200, {"a": 1}, None)


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "naïve", "a\nb"])
def test_without_a_usable_token_there_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """It names the variable."""
    monkeypatch.delenv("PRACTICE_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("PRACTICE_TOKEN", value)
    with (
        pytest.raises(AuthError, match="PRACTICE_TOKEN") as caught,
        open_client("http://x", "PRACTICE_TOKEN", lambda: NOW),
    ):
        pass
    assert not (value or "").strip() or (value or "") not in str(caught.value)


def test_the_token_is_in_no_repr_and_no_error(token: str) -> None:
    """Logs and tracebacks print both, with what caused them."""
    with PracticePlatform() as platform, open_client(platform.url, token, lambda: NOW) as client:
        platform.fail_next(say(302, Location=platform.url), say(500, "<html>"))
        shown = [repr(client)]
        for _ in range(2):
            with pytest.raises((RejectedError, TransientError)) as caught:
                client.send("POST", "/x", {})
            shown += [repr(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)]
        assert all(TOKEN not in repr(request) for request in platform.seen)
    assert not any(TOKEN in text for text in shown)


def test_a_redirect_is_not_followed(token: str) -> None:
    """The token would go with it."""
    with PracticePlatform() as elsewhere, PracticePlatform() as platform:
        with open_client(platform.url, token, lambda: NOW) as client:
            for status in (301, 302, 307, 308):
                platform.fail_next(say(status, Location=f"{elsewhere.url}/x"))
                with pytest.raises(RejectedError, match="redirects"):
                    client.send("POST", "/x", {})
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000,
        b"HTTP/1.1 500 No\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
        + gzip.compress(b"x" * 50_000_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
    ids=["long", "long error", "bomb", "cut", "portal", "not HTTP", "nothing"],
)
def test_an_answer_that_is_none_leaves_open_what_happened(token: str, answer: bytes) -> None:
    """Too long, cut, of something in between: the request may have been applied."""
    with (
        raw_server(answer) as url,
        open_client(url, token, lambda: NOW) as client,
        pytest.raises(TransientError) as caught,
    ):
        client.send("POST", "/x", {})
    assert caught.value.unknown


def test_an_answer_that_does_not_come_ends_by_itself(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is one of silence."""
    monkeypatch.setattr(http, "_TIMEOUT", 0.05)
    with PracticePlatform() as platform, open_client(platform.url, token, lambda: NOW) as client:
        platform.fail_next(slow(0.2))
        with pytest.raises(TransientError, match="ReadTimeout") as caught:
            client.send("POST", "/x", {})
    assert caught.value.unknown


def test_an_answer_that_comes_byte_by_byte_ends_too(token: str) -> None:
    """The other limit is of the whole."""
    instants = iter(NOW + timedelta(seconds=60 * minute) for minute in range(9))
    answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\n{\r\n"] * 5]
    with (
        raw_server(*answer) as url,
        open_client(url, token, lambda: next(instants)) as client,
        pytest.raises(TransientError, match="takes longer"),
    ):
        client.send("POST", "/x", {})


def test_a_connection_that_was_never_made_brought_nothing(token: str) -> None:
    """So nothing has to be taken back."""
    with PracticePlatform() as platform:
        url = platform.url
    with open_client(url, token, lambda: NOW) as client, pytest.raises(TransientError) as caught:
        client.send("POST", "/x", {})
    assert not caught.value.unknown
