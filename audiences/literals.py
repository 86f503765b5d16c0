"""What people write into rules, as data: paths, texts, numbers, dates, durations; and what can't be meant."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import cast

from audiences.errors import RuleError
from audiences.handles import PRECEDENCE, Combinable, Unfinished
from audiences.rules import Aggregate, Count, Duration, Flag, Instant, Measure, Number, Text, Value

__all__ = ["described", "duration_of", "instant_of", "path_of", "text_of", "threshold_of", "value_of"]

_LONGEST_DAYS = 36_500
_EXACT_INTEGER = 2**53
_LARGEST_SUM = 10**18


def path_of(given: object, where: str) -> tuple[str, ...]:
    """Read a path: a name with dots, or a list of keys."""
    keys = given.split(".") if isinstance(given, str) else given
    if (
        not isinstance(keys, (list, tuple))
        or not keys
        or not all(isinstance(key, str) and key for key in keys)
    ):
        raise RuleError(
            f"{where} takes a name, with dots into nested values as in 'address.city', or a list of keys "
            "when a key has a dot itself; no name or key is empty."
        )
    return tuple(text_of(cast("str", key), where) for key in keys)


def text_of(text: str, where: str) -> str:
    """Take a text that an event could hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RuleError(f"{where} has a text with a NUL or half a surrogate pair, which no event can hold.")
    return text


def value_of(given: object, where: str) -> Value:
    """Read what a field is compared with."""
    match given:
        case bool():
            return Flag(given)
        case str():
            return Text(text_of(given, where))
        case int() | float():
            return _number(given, where)
        case date():  # datetime is a date
            return Instant(instant_of(given))
        case None:
            raise RuleError(f"{where} can't be compared with None; use exists(), or ~….exists() for missing.")
        case Combinable() | Unfinished():
            raise RuleError(f"{where} is compared with a value, not with another rule or field. {PRECEDENCE}")
        case _:
            raise RuleError(
                f"{where} is compared with a text, number, boolean, date or aware datetime, "
                f"not with a {type(given).__name__}."
            )


def _number(given: int | float, where: str) -> Number:
    if isinstance(given, int) and abs(given) > _EXACT_INTEGER:
        raise RuleError(
            f"{where}: whole numbers are exact up to 2^53; track longer ids as texts and compare with a text."
        )
    if not math.isfinite(given):
        raise RuleError(f"{where}: {given} is no number that anything compares with.")
    return Number(float(given) + 0.0)  # −0.0 is 0.0


def threshold_of(measure: Measure, given: object, where: str) -> Number:
    """Read what a count or a figure is compared with."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise RuleError(f"{where} is compared with a number, not with {described(given)}.")
    if isinstance(measure, Count) and (not isinstance(given, int) or given < 0):
        raise RuleError(f"{where} counts events, so it is compared with a whole number from 0.")
    number = _number(given, where)
    summed = isinstance(measure, Aggregate) and measure.function in ("sum", "avg")
    if summed and (abs(number.value) >= _LARGEST_SUM or round(number.value, 9) != number.value):
        raise RuleError(f"{where} is exact to nine digits after the point and below 10^18; round {given!r}.")
    return number


def described(given: object) -> str:
    """Name the kind of a mistake, without its value."""
    if given is None:
        return "None"
    return (
        "another rule or field"
        if isinstance(given, (Combinable, Unfinished))
        else f"a {type(given).__name__}"
    )


def instant_of(given: date) -> datetime:
    """Read a date or an aware datetime."""
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise RuleError("A datetime in a rule needs its time zone, for example tzinfo=UTC.")
    return given.astimezone(UTC)


def duration_of(n: object, minutes_each: int, unit: str) -> Duration:
    """Read a length of time."""
    if isinstance(n, bool) or not isinstance(n, int) or n <= 0:
        raise RuleError(f"{unit}(…) takes a whole number above 0; use a smaller unit for parts of one.")
    if n * minutes_each > _LONGEST_DAYS * 24 * 60:
        raise RuleError(f"{unit}({n}) is more than 100 years; leave the window out to look at all events.")
    return Duration(n * minutes_each)
