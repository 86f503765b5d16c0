"""Stored values as the rule language reads them, in plain Python: paths, readings, comparisons, dates."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from audiences.rules import Compare, CompareOp, Exists, OneOf, Reading, Recurs, Relative
from audiences.terms import Flag, Instant, Number, Text, Value

MISSING: Final = object()

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ABOUT_TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda held, text: text in held,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "matches": lambda held, pattern: expression(pattern).search(held) is not None,
}
ISO_8601 = re.compile(
    r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-9]{2})?)?"
)
NUMERIC = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,9})?")
PART_OF_A_PATTERN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


# ------------------------------------------------------------------------------------------------ reading


def dig(value: Any, path: Sequence[str]) -> Any:
    """What lies at the end of a path; MISSING when nothing or null does.

    A key that meets an array goes into each of its elements: elements without it are dropped, and what is
    found in an array inside an element stands beside the others. Only an object has keys.
    """
    for key in path:
        value = under(value, key)
    return value


def under(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        found = value.get(key)
        return MISSING if found is None else found
    if isinstance(value, list):
        gathered: list[Any] = []
        for each in value:
            inner = under(each, key) if isinstance(each, dict) else MISSING
            if isinstance(inner, list):
                gathered.extend(inner)
            elif inner is not MISSING:
                gathered.append(inner)
        return gathered or MISSING
    return MISSING


def read(value: Any, reading: Reading) -> Any:
    """A stored value as it is, its numeric texts as numbers, or its texts without case and accents."""
    if isinstance(value, list):
        # an element that is no number stays an element, of which nothing is true
        return [None if each is MISSING else each for each in (read_one(each, reading) for each in value)]
    return read_one(value, reading)


def read_one(value: Any, reading: Reading) -> Any:
    match reading:
        case "plain":
            return value
        case "folded":
            return folded(value) if isinstance(value, str) else value
        case "number":
            if is_number(value):
                return value
            return float(value) if isinstance(value, str) and NUMERIC.fullmatch(value) else MISSING


def folded(text: str) -> str:
    """A text without accents, in lower case, letter by letter; both small sigmas are one."""
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text))
    return "".join(each.lower() for each in unicodedata.normalize("NFC", bare)).replace("\u03c2", "\u03c3")


def expression(pattern: str) -> re.Pattern[str]:
    """A stored pattern; `$` is the end of the text and nothing else, classes such as `\\d` are ASCII."""
    ends = PART_OF_A_PATTERN.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern)
    return re.compile(ends, re.ASCII)


def is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        return False
    return math.isfinite(value)


def place(value: Any) -> tuple[int, Any] | None:
    """Where a scalar stands: false, true, numbers by size, texts by code point; None for all else.

    Two scalars are one value when they stand at one place: 5 is 5.0, and neither is "5" or true.
    """
    if isinstance(value, bool):
        return (0, value)
    if is_number(value):
        return (1, float(value))
    return (2, value) if isinstance(value, str) else None


def scalars(value: Any) -> list[Any]:
    """The scalars that a value contributes: itself, or the elements of an array that are some."""
    several = value if isinstance(value, list) else [value]
    return [each for each in several if place(each) is not None]


# --------------------------------------------------------------------------------------------- comparing


def compare_holds(condition: Compare, held: Any) -> bool:
    """Whether a value, or an array's elements, satisfy a comparison."""
    return of_elements(held, condition.every, lambda one: compared(one, condition.op, condition.value))


def one_of_holds(condition: OneOf, held: Any) -> bool:
    """Whether a value, or an array's elements, equal one of the values."""
    return of_elements(
        held, condition.every, lambda one: any(compared(one, "==", value) for value in condition.values)
    )


def exists_holds(condition: Exists, held: Any) -> bool:
    """Whether there is a value; of what is read as numbers, whether there is a number."""
    if getattr(condition.operand, "read", "plain") == "number" and isinstance(held, list):
        return any(each is not None for each in held)
    return held is not MISSING


def of_elements(held: Any, every: bool, question: Callable[[Any], bool]) -> bool:
    """Any element of an array, or, with `every`, at least one element and each of them."""
    if isinstance(held, list):
        return bool(held) and (all if every else any)(map(question, held))
    return question(held)


def compared(held: Any, op: CompareOp, value: Value) -> bool:
    """Whether one stored value that is no array satisfies a comparison; types don't mix."""
    match value:
        case Text(text):
            return isinstance(held, str) and {**ORDER, **ABOUT_TEXT}[op](held, text)
        case Number(number):
            if isinstance(held, Fraction):
                return ORDER[op](held, Fraction(repr(number)))
            return is_number(held) and ORDER[op](float(held), number)
        case Flag(flag):
            return isinstance(held, bool) and ORDER[op](held, flag)
        case Instant(moment):
            told = instant(held)
            return told is not None and ORDER[op](told, moment)


# ------------------------------------------------------------------------------------------------- dates


def instant(value: Any) -> datetime | None:
    """The instant that an ISO 8601 text names, in UTC when it names no zone; None for all else.

    Years before 1000, with which some programs say "not set", are no dates.
    """
    if not isinstance(value, str) or not ISO_8601.fullmatch(value):
        return None
    try:
        told = datetime.fromisoformat(value)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def relative_holds(condition: Relative, held: Any, as_of: datetime) -> bool:
    """Whether a date lies so far before or after `as_of`."""
    length = condition.length.delta

    def question(one: Any) -> bool:
        told = instant(one)
        if told is None:
            return False
        match condition.relation:
            case "within_last":
                return as_of - length < told <= as_of
            case "before_last":
                return told <= as_of - length
            case "within_next":
                return as_of < told <= as_of + length
            case "after_next":
                return told > as_of + length

    return of_elements(held, False, question)


def recurs_holds(condition: Recurs, held: Any, as_of: datetime) -> bool:
    """Whether a date's day and month come from today on, for so many days more.

    The date is the one that is written, whatever the zone of the text; today is that of the condition's zone.
    """
    today = as_of.astimezone(ZoneInfo(condition.zone)).date()
    coming = [today + timedelta(days=number) for number in range(condition.days + 1)]

    def question(one: Any) -> bool:
        return instant(one) is not None and any(falls_on(date.fromisoformat(one[:10]), day) for day in coming)

    return of_elements(held, False, question)


def falls_on(first: date, day: date) -> bool:
    if (first.month, first.day) == (2, 29) and not is_leap(day.year):
        return (day.month, day.day) == (2, 28)
    return (day.month, day.day) == (first.month, first.day)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
