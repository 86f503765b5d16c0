"""Random worlds: few names, keys, values and instants, so that they meet.

Names, keys and texts are hostile to SQL and JSON; most instants lie on an edge of some window, to the
microsecond. What Hypothesis draws is a text of bytes, of which each is a choice: a strategy a choice would
take hundreds of times as long, and bytes shrink as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.reference import Account, Change, Event, Person, World

AS_OF = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGINNING = AS_OF - timedelta(days=900)
PROFILES = [str(UUID(int=number)) for number in range(1, 6)]
ACCOUNTS = ["acme", "b'\"; --", "%"]
NAMES = ["Order", "order", 'it\'s "quoted"; --', "Ünï\u2028", "%_\\", " "]
KEYS = ["a", "A", "b.c", "d'\"", "é", "[0]"]
TEXTS = [
    "",
    "x",
    "X",
    "xy\n",
    "5",
    "-2.5",
    "+05.50",
    "1e3",
    " 5",
    "1234567890123456",
    "true",
    "null",
    "2026-05-01",
    "2026-05-31T23:59:59.5+02:00",
    "2026-13-01",
    "2024-02-29",
    "1990-06-01",
    "1985-06-08T23:30:00-05:00",
    "2026-02-30T10:00:00Z",
    "'; DROP TABLE events; --",
    '{"a": 1}',
    "[x]",
    "\\",
    "%_",
    "naïve",
    "NAÏVE",
    "\U0001f600",
]
NUMBERS = [-2.5, -1, 0, 0.1, 0.2, 0.3, 1, 5, 5.0, 100, 1e18]
PURPOSES = ["advertising", "analytics"]
TYPES = ["email", "phone", "user_id"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
SECONDS = [60, 120, 3_600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400]
T = TypeVar("T")


# Hypothesis also puts one draw where another was, which wants one length for all
data = st.binary(min_size=400, max_size=400)


class Choices:
    """Bytes as a row of choices; when they have run out, the first of everything."""

    def __init__(self, drawn: bytes) -> None:
        self._left = iter(drawn)

    def below(self, limit: int) -> int:
        """A number from 0, at most 255."""
        return next(self._left, 0) % limit

    def pick(self, of: Sequence[T]) -> T:
        """One of several."""
        return of[self.below(len(of))]

    def once_in(self, times: int) -> bool:
        """True so often; false in the end."""
        return self.below(times) == times - 1

    def some(self, make: Callable[[Choices], T], least: int, most: int) -> list[T]:
        """A few of what is made."""
        return [make(self) for _ in range(least + self.below(most - least + 1))]


def made(make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """A strategy for what is made of choices."""
    return data.map(lambda drawn: make(Choices(drawn)))


# ---------------------------------------------------------------------------------------------- instants


def midnights() -> list[datetime]:
    """The beginnings of days, weeks, months, quarters and years near AS_OF in all zones."""
    days = [date(2026, 6, 1), date(2026, 5, 31), date(2026, 5, 25), date(2026, 5, 1)]
    days += [date(2026, 4, 1), date(2026, 1, 1), date(2025, 1, 1)]
    return [datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) for day in days for zone in ZONES]


EDGES = [AS_OF - timedelta(seconds=seconds) for seconds in (0, *SECONDS, 180, 3 * 86_400, 37 * 86_400)]
MOMENTS = [AS_OF + timedelta(seconds=60), *midnights()]


def moment(choices: Choices) -> datetime:
    """An instant; two thirds are among the few from which lengths of time are measured."""
    at = choices.pick(MOMENTS if choices.once_in(3) else EDGES)
    return at + timedelta(microseconds=choices.pick([0, 0, 0, -1, 1]))


def delay(choices: Choices) -> timedelta:
    """From when something happened until it was received."""
    return timedelta(seconds=choices.pick([0, 0, 0, 0, 60, 86_400]))


# ------------------------------------------------------------------------------------------------ values


def text(choices: Choices) -> str:
    """A text, often the same."""
    several: list[list[str]] = [["x"], ["", "x", "X"], TEXTS]
    return choices.pick(choices.pick(several))


def number(choices: Choices) -> float:
    """A number, often the same."""
    several: list[list[float]] = [[1], [0, 1, 5], NUMBERS]
    return choices.pick(choices.pick(several))


def written(choices: Choices) -> str:
    """An instant before or after AS_OF, as a text."""
    at = moment(choices)
    if choices.once_in(3):
        at = AS_OF + timedelta(seconds=choices.pick(SECONDS), microseconds=choices.below(2))
    return at.astimezone(ZoneInfo(choices.pick(ZONES))).isoformat()


def value(choices: Choices, depth: int = 2) -> Any:
    """A value as JSON has it."""
    match choices.below(13 if depth else 10):
        case 0 | 1 | 2:
            return text(choices)
        case 3 | 4 | 5 | 6:
            return number(choices)
        case 7:
            return choices.pick([True, False])
        case 8:
            return written(choices)
        case 9:
            return None
        case 10 | 11:
            return choices.some(lambda _: value(choices, depth - 1), 0, 3)
        case _:
            return {key(choices): value(choices, depth - 1) for _ in range(choices.below(3))}


def key(choices: Choices) -> str:
    """A key, often the same."""
    return choices.pick(KEYS if choices.once_in(3) else ["a", "a", "A"])


def trait_name(choices: Choices) -> str:
    """A name of a trait, often the same."""
    return choices.pick(["a", "a", *KEYS[:3]])


def properties(choices: Choices) -> dict[str, Any]:
    """What an event says."""
    return {key(choices): value(choices) for _ in range(choices.below(5))}


# ------------------------------------------------------------------------------------------------ worlds


class Messages:
    """Makes what is said, with ids whose order is neither that of time nor that of a language."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._numbers = count()

    def message_id(self) -> str:
        return f"{self._choices.pick('mMé')}{next(self._numbers):03}"

    def event(self, accounts: Sequence[str]) -> Event:
        choices, at = self._choices, moment(self._choices)
        name = choices.pick(NAMES if choices.once_in(4) else NAMES[:2])
        account = choices.pick(accounts) if accounts and choices.once_in(2) else None
        return Event(name, self.message_id(), at, at + delay(choices), properties(choices), account)

    def change(self) -> Change:
        choices, at = self._choices, moment(self._choices)
        said = written(choices) if choices.once_in(3) else value(choices)
        return Change(trait_name(choices), said, self.message_id(), at, at + delay(choices))


def world(choices: Choices) -> World:
    """People, some of whom nobody has heard of, and accounts that some of them belong to.

    An event that names an account names one that its profile has belonged to since before.
    """
    messages = Messages(choices)
    joined = {
        account: dict.fromkeys(choices.some(lambda _: choices.pick(PROFILES), 0, 3), BEGINNING)
        for account in ACCOUNTS
    }
    people = {}
    for profile in PROFILES:
        own = [account for account in ACCOUNTS if profile in joined[account]]
        people[profile] = Person(
            choices.some(lambda _, own=own: messages.event(own), 0, 6),  # type: ignore[misc]
            choices.some(lambda _: messages.change(), 0, 4),
            frozenset(choices.some(lambda _: choices.pick(TYPES), 0, 2)),
            frozenset(choices.some(lambda _: choices.pick(PURPOSES), 0, 2)),
        )
    accounts = {
        account: Account(joined[account], choices.some(lambda _: messages.change(), 0, 3))
        for account in ACCOUNTS
    }
    return World(people, accounts)


def worlds() -> st.SearchStrategy[World]:
    """Worlds of five people and three accounts."""
    return made(world)
