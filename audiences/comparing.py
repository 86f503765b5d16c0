"""Comparisons of SQL values: numbers, instants in windows, either side of an order."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from audiences.engines import Engine
from audiences.periods import span_of
from audiences.rules import CompareOp, OrderOp
from audiences.terms import Window

__all__ = ["as_number", "in_window", "is_order", "ordered"]

_ORDER: dict[OrderOp, type[exp.Binary]] = {
    "==": exp.EQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def in_window(window: Window | None, at: exp.Expr, as_of: datetime, engine: Engine) -> exp.Expr | None:
    """The condition that an instant lies in a window; None when every visible one does.

    Args:
        window: as in the rule.
        at: the instant's SQL.
        as_of: the instant of evaluation, aware.
        engine: whose SQL.
    """
    span = span_of(window, as_of)
    conditions: list[exp.Expr] = []
    if span.start is not None:
        start = engine.instant(span.start)
        conditions.append(ordered(at.copy(), ">=" if span.with_start else ">", start))
    # what lies at or before as_of is all that is visible
    if span.end is not None and not (span.end == as_of and span.with_end):
        end = engine.instant(span.end)
        conditions.append(ordered(at.copy(), "<=" if span.with_end else "<", end))
    return exp.and_(*conditions) if conditions else None


def ordered(left: exp.Expr, op: CompareOp, right: exp.Expr) -> exp.Expr:
    """Compare two SQL values.

    Args:
        left: the left side.
        op: one of the five orders.
        right: the right side.
    """
    match op:
        case "==" | "<" | "<=" | ">" | ">=":
            return _ORDER[op](this=left, expression=right)
        case _:
            raise AssertionError("only texts contain, start or end with something, or match")


def as_number(number: float) -> exp.Expr:
    """A number as a 64-bit float literal.

    Args:
        number: finite.
    """
    return exp.cast(exp.Literal.string(repr(number)), "DOUBLE")


def is_order(op: CompareOp) -> bool:
    """Whether a comparison is one of the five orders, which numbers and instants have as well.

    Args:
        op: any comparison.
    """
    return op in _ORDER
