"""What a destination is: a platform's account that holds sets of hashed identifiers.

A destination value says where and for what; its channel, opened for one sync, talks. Neither ever sees a
rule, a consent record or a plain value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from identity.privacy.hashing import HashedIdentifier

__all__ = ["Channel", "Clock", "Destination", "Limits", "Receipt"]


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, as arguments.

    Attributes:
        now: the instant, UTC.
        sleep: waits for so many seconds.
        random: a number from 0 up to 1.
    """

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a platform takes at once.

    Attributes:
        batch_rows: identifiers in one request.
    """

    batch_rows: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A platform's answer to one batch.

    Attributes:
        sent: rows in the request.
        invalid: rows that the platform says it could not use, when it tells only their number.
        request_id: the platform's name for the request, or an empty text.
        rejected: (index in the batch, code) of rows that it refused while taking the others.
    """

    sent: int
    invalid: int = 0
    request_id: str = ""
    rejected: tuple[tuple[int, str], ...] = ()


class Channel(Protocol):
    """An open connection to a destination. Every call is a set operation, safe to repeat."""

    def create_audience(self, alias: str) -> str:
        """Make an audience at the platform.

        Args:
            alias: its opaque name there.

        Returns:
            The platform's id for it.

        Raises:
            ExportError: it could not be made.
        """
        ...

    def add(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        """Add identifiers to an audience.

        Args:
            remote_id: the platform's id of the audience.
            keys: at most `limits.batch_rows` of them.

        Raises:
            ExportError: the batch was not taken, or it is not known whether it was.
        """
        ...

    def remove(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        """Remove identifiers from an audience; one that is not there is no error.

        Args:
            remote_id: the platform's id of the audience.
            keys: at most `limits.batch_rows` of them.

        Raises:
            ExportError: the batch was not taken, or it is not known whether it was.
        """
        ...


class Destination(Protocol):
    """Where an audience is sent, and for what purpose."""

    @property
    def name(self) -> str:
        """A stable key, such as `meta:act_42`; the ledger keeps what is held under it."""
        ...

    @property
    def platform(self) -> str:
        """Prefix of the hashing recipes, such as `meta`."""
        ...

    @property
    def purpose(self) -> str:
        """What consent is asked for, such as `advertising`."""
        ...

    @property
    def match(self) -> tuple[str, ...]:
        """Classes of identifiers that are sent, such as `("email", "phone")`."""
        ...

    @property
    def limits(self) -> Limits:
        """What the platform takes at once."""
        ...

    def open(self, clock: Clock) -> AbstractContextManager[Channel]:
        """Open a channel; the access token is read now, not before.

        Args:
            clock: for time limits and session numbers.

        Raises:
            AuthError: there is no access token.
        """
        ...
