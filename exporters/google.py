"""Google customer match, through the Data Manager API v1.

One identifier a member, so that a removal names exactly what was sent. Google refuses a whole request for one
bad row and names it (`fieldViolations`), so that row is set aside and the rest is sent again. Source: Google,
Data Manager API, `audienceMembers.ingest`, `.remove`, and "Understand API errors".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from exporters.destination import Channel, Clock, Limits, Receipt
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.http import Answer, Client, open_client
from exporters.match import checked_base_url, checked_match, checked_purpose
from identity.errors import ConfigurationError
from identity.privacy.hashing import HashedIdentifier

__all__ = ["GoogleCustomerMatch", "customer_match"]

_FIELDS = {"email": "emailAddress", "phone": "phoneNumber"}
_BATCH = 10_000
_MEMBERSHIP_SECONDS = 540 * 86_400
_NAME_TAKEN = "DISPLAY_NAME_ALREADY_USED"
_ABOUT_A_ROW = {"INVALID_AUDIENCE_MEMBER", "INVALID_FORMAT", "INVALID_HEX_ENCODING", "INVALID_SHA256_FORMAT"}
"""Google names a row for other reasons too, such as a list of the wrong type: then no row is to blame."""
_ROW = re.compile(r"audience_?[mM]embers\[(\d+)\](?:\.|$)")


def customer_match(
    account: str,
    *,
    match: Sequence[str],
    purpose: str,
    login_account: str | None = None,
    base_url: str = "https://datamanager.googleapis.com",
    token_env: str = "GOOGLE_ACCESS_TOKEN",
) -> GoogleCustomerMatch:
    """Send an audience to a Google Ads account, as a customer-match user list.

    Args:
        account: the Google Ads customer id, digits; dashes are left out.
        match: match keys: `email`, `phone`.
        purpose: what people must have consented to, such as `advertising`.
        login_account: the manager account that the token belongs to, when it is another one.
        base_url: only for practice on this machine.
        token_env: environment variable of the access token (scope `datamanager`).

    Raises:
        ConfigurationError: anything that can't be meant.
    """
    place = "google.customer_match(…)"
    return GoogleCustomerMatch(
        _customer_id(place, account),
        checked_match(place, "google", match),
        checked_purpose(place, purpose),
        _customer_id(place, login_account) if login_account is not None else None,
        checked_base_url(place, base_url),
        token_env,
    )


def _customer_id(place: str, account: str) -> str:
    digits = account.replace("-", "") if isinstance(account, str) else ""
    if not re.fullmatch(r"\d{3,20}", digits):
        raise ConfigurationError(f"{place}: an account is a customer id in digits, such as '123-456-7890'.")
    return digits


@dataclass(frozen=True, slots=True)
class GoogleCustomerMatch:
    """One Google Ads account; made by `customer_match`."""

    account: str
    match: tuple[str, ...]
    purpose: str
    login_account: str | None
    base_url: str
    token_env: str

    @property
    def name(self) -> str:
        """The key under which the ledger keeps what this account holds."""
        return f"google:{self.account}"

    @property
    def platform(self) -> str:
        """Prefix of the hashing recipes."""
        return "google"

    @property
    def limits(self) -> Limits:
        """10,000 members a request."""
        return Limits(batch_rows=_BATCH)

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Channel]:
        """Open a channel.

        Args:
            clock: for Retry-After dates, and for a second name when a list's name is taken.

        Raises:
            AuthError: there is no access token.
        """
        with open_client(self.base_url, self.token_env, clock.now) as client:
            yield _GoogleChannel(self, client, clock)


class _GoogleChannel:
    def __init__(self, destination: GoogleCustomerMatch, client: Client, clock: Clock) -> None:
        self._destination = destination
        self._client = client
        self._clock = clock

    def create_audience(self, alias: str) -> str:
        try:
            return self._create(alias)
        except RejectedError as error:
            if not error.code.endswith(_NAME_TAKEN):
                raise
        # an earlier run made it, and lost the answer: that list stays empty, and names do not repeat
        return self._create(f"{alias}-{int(self._clock.random() * (1 << 32)):08x}")

    def _create(self, name: str) -> str:
        answer = self._send(
            f"/v1/accountTypes/GOOGLE_ADS/accounts/{self._destination.account}/userLists",
            {
                "displayName": name,
                "membershipDuration": f"{_MEMBERSHIP_SECONDS}s",
                "ingestedUserListInfo": {
                    "uploadKeyTypes": ["CONTACT_ID"],
                    "contactIdInfo": {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"},
                },
            },
        )
        remote_id = str(answer.body.get("id", ""))
        if not remote_id.isdecimal():
            raise TransientError("Google answered without the id of the user list that it made.")
        return remote_id

    def add(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._members(
            "ingest",
            remote_id,
            keys,
            {
                "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"},
                "termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"},
            },
        )

    def remove(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._members("remove", remote_id, keys, {})

    def _members(
        self, verb: str, remote_id: str, keys: Sequence[HashedIdentifier], more: dict[str, Any]
    ) -> Receipt:
        place: dict[str, Any] = {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": self._destination.account},
            "productDestinationId": remote_id,
        }
        if self._destination.login_account is not None:
            place["loginAccount"] = {
                "accountType": "GOOGLE_ADS",
                "accountId": self._destination.login_account,
            }
        members = [
            {"compositeData": {"userData": {"userIdentifiers": [{_FIELDS[key.kind]: key.digest}]}}}
            for key in keys
        ]
        answer = self._send(
            f"/v1/audienceMembers:{verb}",
            {"destinations": [place], "audienceMembers": members, "encoding": "HEX", **more},
        )
        request_id = answer.body.get("requestId")
        if not isinstance(request_id, str) or not request_id:
            raise TransientError("Google's answer has no requestId.")
        return Receipt(sent=len(keys), request_id=request_id)

    def _send(self, path: str, body: dict[str, Any]) -> Answer:
        answer = self._client.send("POST", path, body)
        if answer.status < 300:
            return answer
        error = answer.body.get("error")
        error = error if isinstance(error, dict) else {}
        code = str(error.get("status") or answer.status)
        if answer.status in (401, 403):
            raise AuthError(
                f"Google refuses the access token ({code}): renew {self._destination.token_env}, with the "
                "scope datamanager and access to the account."
            )
        if answer.status == 429:
            raise TransientError(
                f"Google asks to wait ({code}).", retry_after=answer.retry_after, unknown=False
            )
        if answer.status in (408, 409) or answer.status >= 500:
            raise TransientError(f"Google can't answer now ({code}).", retry_after=answer.retry_after)
        rows: dict[int, str] = {}
        for field, reason in _violations(error):
            found = _ROW.search(field)
            if not found or reason not in _ABOUT_A_ROW:
                raise RejectedError(f"Google refuses the request ({code}/{reason}).", code=f"{code}/{reason}")
            rows.setdefault(int(found[1]), reason)
        raise RejectedError(
            f"Google refuses the request ({code}).", code=code, rows=tuple(sorted(rows.items()))
        )


def _violations(error: dict[str, Any]) -> Iterator[tuple[str, str]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        violations = detail.get("fieldViolations") if isinstance(detail, dict) else None
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict):
                yield str(violation.get("field", "")), str(violation.get("reason", ""))
