"""One JSON request at a time over HTTPS; the only module that imports the HTTP library.

Failures become `exporters.errors`, by what the caller should do. Nothing is retried here: whether a request
may be repeated, and behind which gate, is the sync engine's to decide. Redirects are refused, bodies are
capped, and the access token is read when a connection is opened and shown nowhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from exporters.errors import AuthError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

__all__ = ["Answer", "Client", "open_client", "retry_after", "secure"]

_TIMEOUT = 60.0
_CONNECT_TIMEOUT = 10.0
_LONGEST_ANSWER = timedelta(seconds=120)
"""A read may take `_TIMEOUT`; an answer that comes byte by byte takes no longer than this as a whole."""
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A platform's answer.

    Attributes:
        status: HTTP status.
        body: the JSON object in it; empty when there was none.
        retry_after: seconds that the platform asks to wait, or None.
    """

    status: int
    body: Mapping[str, Any]
    retry_after: float | None


def secure(url: str) -> bool:
    """Say whether a base URL may carry a token: HTTPS, or this machine.

    Args:
        url: a platform's base URL.
    """
    local = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
    return url.startswith(("https://", *local))


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header.

    Args:
        header: seconds or an HTTP date (RFC 9110, 10.2.3).
        now: the instant, UTC.

    Returns:
        Seconds from now, at least 0; None when there is none or it is nonsense.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - now).total_seconds(), 0.0)


@contextmanager
def open_client(base_url: str, token_env: str, now: Callable[[], datetime]) -> Iterator[Client]:
    """Open connections to one platform.

    Args:
        base_url: such as `https://graph.facebook.com`.
        token_env: the environment variable that holds the access token.
        now: the clock, for Retry-After dates.

    Raises:
        AuthError: the variable is not set, or holds what can't be a token.
    """
    import httpx2

    token = os.environ.get(token_env, "").strip()
    if not token:
        raise AuthError(f"There is no access token: set {token_env} in the environment of this command.")
    if not re.fullmatch(r"[!-~]+", token):
        raise AuthError(f"What {token_env} holds is no access token: it has spaces or special characters.")
    with httpx2.Client(
        base_url=base_url,
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
        timeout=httpx2.Timeout(_TIMEOUT, connect=_CONNECT_TIMEOUT),
        follow_redirects=False,
        trust_env=base_url.startswith("https://"),
    ) as http:
        yield Client(http, now)


class Client:
    """Open connections to one platform."""

    def __init__(self, http: httpx2.Client, now: Callable[[], datetime]) -> None:
        self._http = http
        self._now = now

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Send one JSON request.

        Args:
            method: POST or DELETE.
            path: below the base URL.
            body: a JSON object.

        Returns:
            Any answer of the platform's own, also one that says no.

        Raises:
            TransientError: no answer, or not the platform's own; `unknown` is False only when the request
                surely never left.
            RejectedError: it redirects; a token is not carried elsewhere.
        """
        import httpx2

        try:
            with self._http.stream(method, path, json=body) as response:
                content = bytearray()
                begun = self._now()
                for chunk in response.iter_bytes():
                    content.extend(chunk)
                    if len(content) > _MOST_BYTES:
                        raise TransientError(f"The answer to {method} is longer than {_MOST_BYTES} bytes.")
                    if self._now() - begun > _LONGEST_ANSWER:
                        raise TransientError(f"The answer to {method} takes longer than {_LONGEST_ANSWER}.")
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TransientError(f"Can't connect ({type(error).__name__}).", unknown=False) from None
        except httpx2.HTTPError as error:
            raise TransientError(f"No answer to {method} ({type(error).__name__}).") from None
        wait = retry_after(response.headers.get("Retry-After"), self._now())
        status = response.status_code
        if 300 <= status < 400:
            raise RejectedError(f"The platform redirects ({status}); it is not followed.", code=str(status))
        try:
            parsed = json.loads(bytes(content) or b"{}")
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            if status < 300 or status >= 500:
                raise TransientError(
                    f"The answer ({status}) is not the platform's own: is something in between?",
                    retry_after=wait,
                )
            parsed = {}
        return Answer(status, parsed, wait)
