"""The small parts of golden cases in our words: comparisons, values, paths, lengths of time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from audiences.rules import (
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
    Exists,
    Node,
    Not,
    OneOf,
    Operand,
    Path,
    Reading,
    Relative,
    Trait,
)
from audiences.terms import Duration, Flag, Instant, Number, Text, Value

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
ORDERS: Mapping[str, CompareOp] = {"eq": "==", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
TEXTS: Mapping[str, CompareOp] = {
    "contains": "contains",
    "starts_with": "starts_with",
    "ends_with": "ends_with",
    "matches": "matches",
}
DATES: Mapping[str, Any] = {
    "within_last": "within_last",
    "older_than": "before_last",
    "within_next": "within_next",
    "after_next": "after_next",
}
NEGATIONS = {"ne": "eq", "not_in": "in", "not_contains": "contains", "includes_none": "includes_any"}
"""A negation → what it negates; it wants a value, unless it says `_or_missing`."""


def comparison(given: Mapping[str, Any], read: Callable[[Reading], Operand], plain: Operand) -> Node:
    """A published comparison as ours.

    Args:
        given: `cmp`, `value` and options.
        read: makes the operand, read in a way.
        plain: the operand, read as it is.
    """
    only(given, "path prop cmp value ci coerce")
    cmp: str = given["cmp"]
    value: Any = given.get("value")
    reading: Reading = "folded" if given.get("ci") else "number" if given.get("coerce") else "plain"
    operand = plain if reading == "plain" else read(reading)
    to_value = partial(literal, as_number=reading == "number")
    exists = Exists(plain)
    if cmp.endswith("_or_missing"):
        bare = cmp[: -len("_or_missing")]
        if bare in NEGATIONS:
            return Not(comparison({**given, "cmp": NEGATIONS[bare]}, read, plain))
        return AnyOf((Not(exists), comparison({**given, "cmp": bare}, read, plain)))
    if cmp in NEGATIONS:
        return AllOf((exists, Not(comparison({**given, "cmp": NEGATIONS[cmp]}, read, plain))))
    match cmp:
        case "eq" | "lt" | "lte" | "gt" | "gte" | "includes":
            return Compare(operand, ORDERS.get(cmp, "=="), to_value(value))
        case "between":
            least, greatest = map(to_value, value)
            return AllOf((Compare(operand, ">=", least), Compare(operand, "<=", greatest)))
        case "contains" | "starts_with" | "ends_with" | "matches":
            several = value if isinstance(value, list) else [value]
            found = tuple(Compare(operand, TEXTS[cmp], Text(each)) for each in several)
            return found[0] if len(found) == 1 else AnyOf(found)
        case "in" | "includes_any":
            return OneOf(operand, tuple(map(to_value, value)))
        case "includes_all":
            return AllOf(tuple(Compare(operand, "==", to_value(each)) for each in value))
        case "not_true":
            return Not(Compare(operand, "==", Flag(True)))
        case "exists":
            return exists
        case "not_exists":
            return Not(exists)
        case "before" | "after":
            moment = Instant(datetime.fromisoformat(value))
            return Compare(operand, "<" if cmp == "before" else ">", moment)
        case "within_last" | "older_than" | "within_next" | "after_next" if isinstance(operand, Trait):
            return Relative(operand, DATES[cmp], length(value))
        case unknown:
            raise ValueError(f"unknown comparison: {unknown}")


def literal(value: Any, *, as_number: bool = False) -> Value:
    """A published value as ours."""
    if isinstance(value, bool):
        return Flag(value)
    if isinstance(value, (int, float)) or as_number:
        return Number(float(value))
    if isinstance(value, str):
        return Text(value)
    raise ValueError(f"no value to compare with: {value!r}")


def path(given: str | list[str]) -> Path:
    """A published path as ours."""
    return tuple(given.split(".")) if isinstance(given, str) else tuple(given)


def length(given: str) -> Duration:
    """A published length of time as ours."""
    found = re.fullmatch(r"(\d+)([smhdw])", given)
    if found is None:
        raise ValueError(f"no length of time: {given!r}")
    return Duration(int(found[1]) * SECONDS[found[2]])


def optional_length(given: str | None) -> Duration | None:
    """A published length of time, if there is one."""
    return None if given is None else length(given)


def choice(given: str, *known: str) -> Any:
    """One of the values of an option."""
    if given not in known:
        raise ValueError(f"{given!r} is none of {known}")
    return given


def only(given: Mapping[str, Any], known: str) -> Mapping[str, Any]:
    """A published object that holds nothing that nobody has translated."""
    unknown = given.keys() - {*known.split(), "op"}
    if unknown:
        raise ValueError(f"unknown fields: {sorted(unknown)}")
    return given
