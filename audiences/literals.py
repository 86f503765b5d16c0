"""What people write into rules, as data: paths, values, lengths of time, zones; and what can't be meant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from typing import cast, get_args
from zoneinfo import ZoneInfo, available_timezones

from audiences.errors import RuleError
from audiences.handles import PRECEDENCE, Combinable, Unfinished
from audiences.rules import (
    ActiveDays,
    Aggregate,
    CompareOp,
    Count,
    Distinct,
    Operand,
    Property,
    Quantile,
    Recency,
    Trait,
)
from audiences.terms import CalendarUnit, Duration, Flag, Instant, Number, Text, Value
from identity.errors import did_you_mean

__all__ = [
    "checked_length",
    "checked_text",
    "duration_of",
    "instant_of",
    "is_counted",
    "is_number",
    "listed",
    "misfit",
    "path_of",
    "text_of",
    "unit_of",
    "value_for",
    "value_of",
    "whole",
    "zone_of",
]

_LONGEST_DAYS = 36_500
_EXACT_INTEGER = 2**53
_LARGEST_SUM = 10**18
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})
_KINDS = {Text: "a text", Number: "a number", Flag: "true or false", Instant: "a date"}


def path_of(given: object, where: str) -> tuple[str, ...]:
    """Read a path: a name with dots, or a list of keys.

    Args:
        given: what was written.
        where: what to call it in an error.

    Raises:
        RuleError: not a path, or an empty name or key.
    """
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
    """Take a text that an event could hold.

    Args:
        text: what was written.
        where: what to call it in an error.

    Raises:
        RuleError: a NUL, or half a surrogate pair.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RuleError(f"{where} has a text with a NUL or half a surrogate pair, which no event can hold.")
    return text


def checked_text(given: object, where: str, example: str) -> str:
    """Take a text that is not empty.

    Args:
        given: what was written.
        where: what to call it in an error.
        example: what to write instead.

    Raises:
        RuleError: anything else.
    """
    if not isinstance(given, str) or not given.strip():
        raise RuleError(f"{where} takes a text that is not empty, for example {example}.")
    return text_of(given, where)


def listed(given: object, where: str, example: str) -> tuple[object, ...]:
    """Take a list that is not empty.

    Args:
        given: what was written.
        where: what to call it in an error.
        example: what to write instead.

    Raises:
        RuleError: not a list, or an empty one.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise RuleError(f"{where} takes a list, for example {example}.")
    found = tuple(given)
    if not found:
        raise RuleError(f"{where} takes at least one value, for example {example}.")
    return found


def value_of(given: object, where: str) -> Value:
    """Read what a value is compared with.

    Args:
        given: what was written.
        where: what to call it in an error.

    Raises:
        RuleError: nothing that compares.
    """
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


def value_for(operand: Operand, op: CompareOp, given: object, where: str) -> Value:
    """Read what a certain operand is compared with.

    Args:
        operand: the left side.
        op: the comparison.
        given: the right side, as written.
        where: what to call it in an error.

    Raises:
        RuleError: nothing that this operand compares with.
    """
    value = value_of(given, where)
    reason = misfit(operand, op, value)
    if reason:
        raise RuleError(f"{where} {reason}")
    return value


def misfit(operand: Operand, op: CompareOp, value: Value) -> str:
    """Say why a comparison can't be meant.

    Args:
        operand: the left side.
        op: the comparison.
        value: the right side.

    Returns:
        The rest of a sentence that starts with what was written; an empty text when nothing is wrong.
    """
    if is_number(operand):
        if not isinstance(value, Number):
            return f"is compared with a number, not with {_KINDS[type(value)]}."
        return _unfit_number(operand, value.value)
    if isinstance(value, Flag) and op != "==":
        return "has no meaning: true and false have no order; use ==."
    if isinstance(operand, (Trait, Property)):
        if operand.read == "number" and not isinstance(value, Number):
            return "reads numbers, so it is compared with a number; leave as_number() out for other values."
        if operand.read == "folded" and not isinstance(value, Text):
            return "reads texts, so it is compared with a text; leave folded() out for other values."
    return ""


def is_number(operand: Operand) -> bool:
    """Say whether an operand can be nothing but a number.

    Args:
        operand: any.
    """
    return isinstance(operand, (ActiveDays, Aggregate, Count, Distinct, Quantile, Recency))


def is_counted(operand: Operand) -> bool:
    """Say whether an operand is a count, which is 0 rather than missing.

    Args:
        operand: any.
    """
    return isinstance(operand, (ActiveDays, Count, Distinct))


def _unfit_number(operand: Operand, number: float) -> str:
    whole_only = is_counted(operand) or isinstance(operand, Recency)
    if whole_only and (number < 0 or number != int(number)):
        return "is a whole number, so it is compared with a whole number from 0."
    summed = isinstance(operand, Aggregate) and operand.function in ("sum", "avg")
    if summed and (abs(number) >= _LARGEST_SUM or round(number, 9) != number):
        return f"is exact to nine digits after the point and below 10^18; round {number!r}."
    return ""


def _number(given: int | float, where: str) -> Number:
    if isinstance(given, int) and abs(given) > _EXACT_INTEGER:
        raise RuleError(
            f"{where}: whole numbers are exact up to 2^53; track longer ids as texts and compare with a text."
        )
    if not math.isfinite(given):
        raise RuleError(f"{where}: {given} is no number that anything compares with.")
    return Number(float(given) + 0.0)  # −0.0 is 0.0


def whole(given: object, where: str, least: int, most: int) -> int:
    """Read a whole number within bounds.

    Args:
        given: what was written.
        where: what to call it in an error.
        least: the smallest that makes sense.
        most: the largest that makes sense.

    Raises:
        RuleError: anything else.
    """
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise RuleError(f"{where} is a whole number from {least} to {most:,}, not {given!r}.")
    return given


def instant_of(given: date) -> datetime:
    """Read a date, which begins at midnight UTC, or an aware datetime.

    Args:
        given: what was written.

    Raises:
        RuleError: a datetime without a time zone.
    """
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise RuleError("A datetime in a rule needs its time zone, for example tzinfo=UTC.")
    return given.astimezone(UTC)


def duration_of(n: object, seconds_each: int, unit: str) -> Duration:
    """Read a length of time.

    Args:
        n: how many.
        seconds_each: the unit's length.
        unit: the unit's name, for an error.

    Raises:
        RuleError: not a whole number above 0, or more than 100 years.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n <= 0:
        raise RuleError(f"{unit}(…) takes a whole number above 0; use a smaller unit for parts of one.")
    if n * seconds_each > _LONGEST_DAYS * 24 * 60 * 60:
        raise RuleError(f"{unit}({n}) is more than 100 years; leave the window out to look at all events.")
    return Duration(n * seconds_each)


def checked_length(given: object, where: str) -> Duration:
    """Take a length of time.

    Args:
        given: what was written.
        where: what to call it in an error.

    Raises:
        RuleError: anything else.
    """
    if not isinstance(given, Duration):
        raise RuleError(f"{where} takes a length of time, for example days(7) or hours(24).")
    return given


def unit_of(given: object, where: str) -> CalendarUnit:
    """Read the unit of a calendar period.

    Args:
        given: what was written.
        where: what to call it in an error.

    Raises:
        RuleError: no such unit.
    """
    units = get_args(CalendarUnit)
    if given not in units:
        raise RuleError(
            f"{where} takes one of {', '.join(units)}, not {given!r}.{did_you_mean(str(given), units)}"
        )
    return cast("CalendarUnit", given)


def zone_of(given: object, where: str) -> str:
    """Read a time zone's name.

    Args:
        given: what was written; None when nothing was.
        where: what to call it in an error.

    Raises:
        RuleError: no zone, or one that is not in the time zone database.
    """
    if given is None:
        raise RuleError(
            f"{where} depends on where midnight is: name the time zone, for example tz='Europe/Berlin'."
        )
    if not isinstance(given, str) or not _is_zone(given):
        near = did_you_mean(given, available_timezones()) if isinstance(given, str) else ""
        raise RuleError(f"{where}: {given!r} is no time zone, such as 'Europe/Berlin' or 'UTC'.{near}")
    return given


@cache
def _is_zone(name: str) -> bool:
    if name in _NO_ZONES or name.startswith(("posix/", "right/")):  # they depend on the machine
        return False
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return True
