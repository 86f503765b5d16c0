"""Meta custom audiences (Marketing API, `/{audience}/users`).

One identifier a row, in a schema with a column for each match key, so that a removal names exactly what was
sent. Rows that Meta can't use are counted in its answer (`num_invalid_entries`), never named. Source: Meta,
"Customer file custom audiences" and the reference of `custom-audience/users`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from exporters.destination import Channel, Clock, Limits, Receipt
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.http import Answer, Client, open_client
from exporters.match import checked_base_url, checked_match, checked_purpose
from identity.errors import ConfigurationError
from identity.privacy.hashing import HashedIdentifier

__all__ = ["MetaCustomAudience", "custom_audience"]

_COLUMNS = {"email": "EMAIL", "phone": "PHONE"}
_BATCH = 10_000
_THROTTLED = {4, 17, 613, 80003}
_AGAIN = {1, 2, 341, 5000, 21009} | _THROTTLED
_AGAIN_SUBCODES = {1870145, 1870148}
"""With code 2650: a replace is in progress, or not finished."""
_TOKEN = {102, 190}


def custom_audience(
    account: str,
    *,
    match: Sequence[str],
    purpose: str,
    base_url: str = "https://graph.facebook.com",
    version: str = "v25.0",
    token_env: str = "META_ACCESS_TOKEN",
) -> MetaCustomAudience:
    """Send an audience to a Meta ad account, as a customer-file custom audience.

    Args:
        account: the ad account, `act_` and digits.
        match: match keys: `email`, `phone`.
        purpose: what people must have consented to, such as `advertising`.
        base_url: only for practice on this machine.
        version: of the Marketing API.
        token_env: environment variable of the access token (permission `ads_management`).

    Raises:
        ConfigurationError: anything that can't be meant.
    """
    place = "meta.custom_audience(…)"
    if not isinstance(account, str) or not re.fullmatch(r"act_\d+", account):
        raise ConfigurationError(f"{place}: the account is 'act_' and digits, such as 'act_42'.")
    if not re.fullmatch(r"v\d+\.\d+", version):
        raise ConfigurationError(f"{place}: version= is such as 'v25.0'.")
    return MetaCustomAudience(
        account,
        checked_match(place, "meta", match),
        checked_purpose(place, purpose),
        checked_base_url(place, base_url),
        version,
        token_env,
    )


@dataclass(frozen=True, slots=True)
class MetaCustomAudience:
    """One Meta ad account; made by `custom_audience`."""

    account: str
    match: tuple[str, ...]
    purpose: str
    base_url: str
    version: str
    token_env: str

    @property
    def name(self) -> str:
        """The key under which the ledger keeps what this account holds."""
        return f"meta:{self.account}"

    @property
    def platform(self) -> str:
        """Prefix of the hashing recipes."""
        return "meta"

    @property
    def limits(self) -> Limits:
        """10,000 rows a request."""
        return Limits(batch_rows=_BATCH)

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Channel]:
        """Open a channel.

        Args:
            clock: for Retry-After dates and session numbers.

        Raises:
            AuthError: there is no access token.
        """
        with open_client(self.base_url, self.token_env, clock.now) as client:
            yield _MetaChannel(self, client, clock)


class _MetaChannel:
    def __init__(self, destination: MetaCustomAudience, client: Client, clock: Clock) -> None:
        self._destination = destination
        self._client = client
        self._clock = clock

    def create_audience(self, alias: str) -> str:
        path = f"/{self._destination.version}/{self._destination.account}/customaudiences"
        answer = self._send(
            "POST",
            path,
            {
                "name": alias,
                "description": "Synced list",
                "subtype": "CUSTOM",
                "customer_file_source": "USER_PROVIDED_ONLY",
            },
        )
        remote_id = answer.body.get("id")
        if not isinstance(remote_id, str) or not remote_id.isdecimal():
            raise TransientError("Meta answered without the id of the audience that it made.")
        return remote_id

    def add(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._users("POST", remote_id, keys)

    def remove(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._users("DELETE", remote_id, keys)

    def _users(self, method: str, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        kinds = list(self._destination.match)
        kinds += sorted({key.kind for key in keys} - set(kinds))
        body = {
            "session": {
                # a number of its own for every request: an old session would swallow the batch in silence
                "session_id": int(self._clock.random() * (1 << 62)) + 1,
                "batch_seq": 1,
                "last_batch_flag": True,
                "estimated_num_total": len(keys),
            },
            "payload": {
                "schema": [_COLUMNS[kind] for kind in kinds],
                "data": [[key.digest if key.kind == kind else "" for kind in kinds] for key in keys],
            },
        }
        answer = self._send(method, f"/{self._destination.version}/{remote_id}/users", body)
        if answer.body.get("num_received") != len(keys):
            raise TransientError("Meta's answer does not say that it received every row.")
        invalid = answer.body.get("num_invalid_entries", 0)
        return Receipt(
            sent=len(keys),
            invalid=invalid if isinstance(invalid, int) else 0,
            request_id=str(answer.body.get("session_id", "")),
        )

    def _send(self, method: str, path: str, body: dict[str, object]) -> Answer:
        answer = self._client.send(method, path, body)
        if answer.status < 300 and "error" not in answer.body:
            return answer
        error = answer.body.get("error")
        error = error if isinstance(error, dict) else {}
        code, subcode = error.get("code"), error.get("error_subcode")
        shown = f"{code}/{subcode}" if subcode else str(code or answer.status)
        if code in _TOKEN or answer.status == 401:
            raise AuthError(
                f"Meta refuses the access token (code {shown}): renew {self._destination.token_env}."
            )
        if answer.status == 429 or code in _AGAIN or subcode in _AGAIN_SUBCODES:
            raise TransientError(
                f"Meta asks to wait (code {shown}).",
                retry_after=answer.retry_after,
                unknown=answer.status != 429 and code not in _THROTTLED,
            )
        if answer.status in (408, 409) or answer.status >= 500:
            raise TransientError(f"Meta can't answer now (code {shown}).", retry_after=answer.retry_after)
        if answer.status == 403 or code in (10, 200, 294):
            raise AuthError(f"Meta says that the token may not do this (code {shown}).")
        raise RejectedError(f"Meta refuses the request (code {shown}).", code=shown)
