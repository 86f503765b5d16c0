"""Conditions on one stored value, as SQL: what `==`, `<`, `contains` mean for texts, numbers, dates, arrays.

Values are DuckDB VARIANTs. Types don't mix: 5 is not "5", true is not 1. A missing value satisfies nothing;
an array satisfies what any of its elements does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from sqlglot import exp

from audiences.rules import CompareOp, Flag, Instant, Number, OrderOp, Text, Value
from identity.tables import instant

__all__ = ["any_element", "as_number", "at", "compared", "exists", "number_of", "ordered"]

_NUMBERS = ("DOUBLE", "UINT64", "INT64")
_FLAGS = ("BOOL_TRUE", "BOOL_FALSE")
_TEXTS = ("VARCHAR",)
_ISO_8601 = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?"
_ORDER: dict[OrderOp, type[exp.Binary]] = {
    "==": exp.EQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def at(value: exp.Expr, path: tuple[str, ...]) -> exp.Expr:
    """Follow keys into a VARIANT; NULL when one is missing.

    Args:
        value: a VARIANT.
        path: keys from the outermost to the innermost, each taken as it is.
    """
    for key in path:
        value = exp.Anonymous(this="variant_extract", expressions=[value, exp.Literal.string(key)])
    return value


def ordered(left: exp.Expr, op: OrderOp, right: exp.Expr) -> exp.Expr:
    """Compare two SQL values.

    Args:
        left: the left side.
        op: how.
        right: the right side.
    """
    return _ORDER[op](this=left, expression=right)


def as_number(number: float) -> exp.Expr:
    """A number as a DOUBLE literal.

    Args:
        number: finite.
    """
    return exp.cast(exp.Literal.string(repr(number)), "DOUBLE")


def number_of(value: exp.Expr) -> exp.Expr:
    """A VARIANT's number as DOUBLE; NULL when it is none.

    Args:
        value: a VARIANT.
    """
    return exp.Case().when(_kind(value).isin(*_NUMBERS), exp.TryCast(this=value.copy(), to=_type("DOUBLE")))


def exists(value: exp.Expr) -> exp.Expr:
    """True when a VARIANT holds something other than null.

    Args:
        value: a VARIANT.
    """
    return value.is_(exp.null()).not_()


def any_element(value: exp.Expr, condition: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Ask a question of a value, or of each element when it is an array.

    Args:
        value: a VARIANT.
        condition: makes the question's SQL for one VARIANT; may be NULL.

    Returns:
        TRUE or FALSE, never NULL.
    """
    element = exp.to_identifier("element")
    passing = exp.Anonymous(
        this="list_filter",
        expressions=[
            exp.TryCast(this=value.copy(), to=exp.DataType.build("VARIANT[]", dialect="duckdb")),
            exp.Lambda(this=condition(exp.column("element")), expressions=[element], colon=True),
        ],
    )
    is_array = exp.Anonymous(this="starts_with", expressions=[_kind(value), exp.Literal.string("ARRAY")])
    asked = (
        exp.Case()
        .when(is_array, exp.GT(this=exp.Anonymous(this="len", expressions=[passing]), expression=_zero()))
        .else_(condition(value))
    )
    return exp.Coalesce(this=asked, expressions=[exp.false()])


def compared(op: CompareOp, given: Value) -> Callable[[exp.Expr], exp.Expr]:
    """The question "is it `op` that value", for one VARIANT that is no array.

    Args:
        op: how to compare.
        given: what to compare with.
    """

    def question(value: exp.Expr) -> exp.Expr:
        match given:
            case Text(text):
                held = exp.TryCast(this=value.copy(), to=_type("TEXT"))
                return _if_kind(value, _TEXTS, _about_text(held, op, exp.Literal.string(text)))
            case Number(number):
                held = exp.TryCast(this=value.copy(), to=_type("DOUBLE"))
                return _if_kind(value, _NUMBERS, ordered(held, _order_only(op), as_number(number)))
            case Flag(flag):
                held = exp.TryCast(this=value.copy(), to=_type("BOOLEAN"))
                return _if_kind(value, _FLAGS, ordered(held, _order_only(op), exp.Boolean(this=flag)))
            case Instant(moment):
                return _if_kind(value, _TEXTS, ordered(_moment(value), _order_only(op), instant(moment)))
            case _:
                assert_never(given)

    return question


def _if_kind(value: exp.Expr, kinds: tuple[str, ...], then: exp.Expr) -> exp.Expr:
    # a CASE, not an AND: casting an object to text fails as a whole when two of its keys differ in case only
    return exp.Case().when(_kind(value).isin(*kinds), then)


def _about_text(held: exp.Expr, op: CompareOp, text: exp.Expr) -> exp.Expr:
    if op == "contains":
        return exp.Anonymous(this="contains", expressions=[held, text])
    if op == "starts_with":
        return exp.Anonymous(this="starts_with", expressions=[held, text])
    return ordered(held, op, text)


def _order_only(op: CompareOp) -> OrderOp:
    match op:
        case "==" | "<" | "<=" | ">" | ">=":
            return op
        case _:
            raise AssertionError("only texts contain and start with something; the handles refuse the rest")


def _moment(value: exp.Expr) -> exp.Expr:
    text = exp.TryCast(this=value.copy(), to=_type("TEXT"))
    written = exp.Anonymous(this="regexp_full_match", expressions=[text, exp.Literal.string(_ISO_8601)])
    parsed = exp.TryCast(this=text.copy(), to=_type("TIMESTAMPTZ"))
    return exp.Case().when(written, exp.AtTimeZone(this=parsed, zone=exp.Literal.string("UTC")))


def _kind(value: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="variant_typeof", expressions=[value.copy()])


def _type(name: str) -> exp.DataType:
    return exp.DataType.build(name)


def _zero() -> exp.Expr:
    return exp.Literal.number(0)
