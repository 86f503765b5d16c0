"""How BigQuery says it; stored values are JSON, instants DATETIME. Rendered from its documentation, not run.

A null inside JSON becomes SQL NULL where a value is taken out. There is no FILTER, and no quantile that
can be grouped by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlglot import exp

from audiences.engines.engine import Kind, Question
from audiences.engines.template import fill, only_where
from audiences.engines.texts import DECIMAL, INSTANT, ZONE, foldable, marks
from audiences.rules import TextOp
from identity.tables import instant

__all__ = ["BigQuery"]

_UNLESS_NULL = "CASE WHEN JSON_TYPE(__value) <> 'null' THEN __value END"
_INTO = """
CASE WHEN JSON_TYPE(__value) = 'array' THEN (
  SELECT CASE WHEN COUNT(*) > 0 THEN TO_JSON(ARRAY_AGG(part ORDER BY whole_place, part_place)) END
  FROM UNNEST(JSON_QUERY_ARRAY(__value)) AS whole WITH OFFSET AS whole_place
  CROSS JOIN UNNEST(
    CASE WHEN JSON_TYPE(__inner) = 'array' THEN JSON_QUERY_ARRAY(__inner)
    WHEN NOT __inner IS NULL THEN [__inner] END
  ) AS part WITH OFFSET AS part_place
) ELSE __outer END
"""
_ANY = """
COALESCE(CASE WHEN JSON_TYPE(__value) = 'array' THEN (
  SELECT __enough FROM UNNEST(JSON_QUERY_ARRAY(__value)) AS element
) ELSE __alone END, FALSE)
"""
_NUMERIC = """
CASE WHEN REGEXP_CONTAINS(__text, __written) THEN SAFE_CAST(__text AS FLOAT64) ELSE __number END
"""
_MOMENT = """
CASE WHEN REGEXP_CONTAINS(__text, __written)
THEN DATETIME(SAFE_CAST(REGEXP_REPLACE(__text, __short, __filled) AS TIMESTAMP), 'UTC') END
"""
_STORED = """
CASE WHEN NOT __flag IS NULL THEN TO_JSON(__flag) WHEN NOT __number IS NULL THEN TO_JSON(__number)
WHEN NOT __text IS NULL THEN TO_JSON(__text) END
"""
_FOLDED = """
REPLACE(LOWER(CASE WHEN REGEXP_CONTAINS(__text, __foldable)
THEN REGEXP_REPLACE(NORMALIZE(__text, NFD), __marks, '') ELSE NORMALIZE(__text, NFC) END), 'ς', 'σ')
"""
_EXACT = """
CASE WHEN ABS(__number) < 4194304 THEN CAST(__number AS NUMERIC)
WHEN ABS(__number) < 4294967296 THEN ROUND(CAST(__number AS NUMERIC), 6)
WHEN ABS(__number) < 4398046511104 THEN ROUND(CAST(__number AS NUMERIC), 3)
ELSE CAST(CAST(TRUNC(__number) AS INT64) AS NUMERIC) END
"""
_QUANTILE = """
__sorted[SAFE_OFFSET(CAST(FLOOR(__place) AS INT64))]
+ (__sorted[SAFE_OFFSET(CAST(CEIL(__place) AS INT64))] - __sorted[SAFE_OFFSET(CAST(FLOOR(__place) AS INT64))])
* (__place - FLOOR(__place))
"""


class BigQuery:
    """Google BigQuery."""

    name = "bigquery"

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        found = _sql("__value[__key]", value=value, key=exp.Literal.string(key))
        return _sql(_UNLESS_NULL, value=found)

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        inner = self.key(exp.column("whole"), key)
        return _once(value, lambda held: _sql(_INTO, value=held, inner=inner, outer=self.key(held, key)))

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        return _sql("COALESCE(JSON_TYPE(__value) <> 'null', FALSE)", value=value)

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""
        each = exp.Coalesce(this=question(exp.column("element")), expressions=[exp.false()])
        enough = exp.LogicalAnd(this=each) if every else exp.LogicalOr(this=each)
        return _once(value, lambda held: _sql(_ANY, value=held, enough=enough, alone=question(held.copy())))

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        return _sql("CASE WHEN JSON_TYPE(__value) = 'string' THEN JSON_VALUE(__value) END", value=value)

    def number(self, value: exp.Expr) -> exp.Expr:
        """The number that a stored value is, as 64-bit float; NULL when it is none."""
        return _sql("CASE WHEN JSON_TYPE(__value) = 'number' THEN LAX_FLOAT64(__value) END", value=value)

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        return _sql(_NUMERIC, text=self.text(value), written=_whole(DECIMAL), number=self.number(value))

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        return _sql("CASE WHEN JSON_TYPE(__value) = 'boolean' THEN LAX_BOOL(__value) END", value=value)

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        return {"text": self.text, "number": self.number, "flag": self.flag}[kind](value)

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that an ISO-8601 text says; NULL when it is none."""
        return _sql(
            _MOMENT,
            text=self.text(value),
            written=_whole(INSTANT),
            # the cast wants seconds
            short=_text(f"^(.{{13}}:[0-9]{{2}})({ZONE}?)$"),
            filled=_text(r"\1:00\2"),
        )

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        return _sql(
            "CASE WHEN JSON_TYPE(__value) = 'array' THEN JSON_QUERY_ARRAY(__value) ELSE [__value] END",
            value=value,
        )

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        column = exp.to_identifier(name, quoted=True)
        elements = exp.Unnest(expressions=[values], alias=exp.TableAlias(columns=[column]))
        known = _sql(_UNLESS_NULL, value=exp.column(column.copy()))
        return select.join(elements, join_type="cross").select(known.as_(name, quoted=True))

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        # of NULL, TO_JSON makes JSON's null
        return _sql(_STORED, flag=flag, number=number, text=text)

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        return _sql("CASE WHEN NOT __value IS NULL THEN TO_JSON(__value) END", value=value)

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        made = _sql(
            "CASE WHEN COUNT(*) > 0 THEN TO_JSON(ARRAY_AGG(__value ORDER BY __order)) END",
            value=value,
            order=exp.null(),
        )
        return _in_order(made, order, last=False)

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        return text

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        asks = {
            "contains": "INSTR(__text, __given) > 0" if given else "NOT __text IS NULL",
            "starts_with": "STARTS_WITH(__text, __given)",
            "ends_with": "ENDS_WITH(__text, __given)",
            "matches": "REGEXP_CONTAINS(__text, __given)",
        }
        return _sql(asks[op], text=text, given=_text(given))

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents."""
        return _sql(_FOLDED, text=text, foldable=_whole(foldable(_escape)), marks=_text(marks(_escape)))

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        return _sql("TO_HEX(MD5(__text))", text=text)

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal with the digits after the point that it has for certain."""
        return _sql(_EXACT, number=number)

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number as an exact decimal that can be multiplied by an `exact` one of below 10^18."""
        return _sql("CAST(__number AS NUMERIC)", number=number)

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        return instant(moment)

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        length = exp.Interval(this=exp.Literal.number(seconds), unit=exp.var("SECOND"))
        return exp.Anonymous(this="DATETIME_ADD", expressions=[moment.copy(), length])

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        return _sql("DATETIME_DIFF(__later, __earlier, MICROSECOND)", later=later, earlier=earlier)

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        return _sql("DATE(TIMESTAMP(__moment, 'UTC'), __zone)", moment=moment, zone=_text(zone))

    def filtered(self, aggregate: exp.Expr, where: exp.Expr | None) -> exp.Expr:
        """An aggregate over the rows that satisfy a condition."""
        return aggregate if where is None else only_where(aggregate, where)

    def outermost(
        self, value: exp.Expr, order: Sequence[exp.Expr], where: exp.Expr | None, *, last: bool
    ) -> exp.Expr:
        """Aggregate: the value, NULL included, of the first or last row in the order of some expressions."""
        row = _sql("STRUCT(__value AS held)", value=value)
        if where is not None:
            row = exp.Case().when(where.copy(), row)
        made = _sql(
            "ARRAY_AGG(__row IGNORE NULLS ORDER BY __order LIMIT 1)[SAFE_OFFSET(0)].held",
            row=row,
            order=exp.null(),
        )
        return _in_order(made, order, last=last)

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        asked = number if where is None else exp.Case().when(where.copy(), number.copy())
        place = _sql("__share * (COUNT(__asked) - 1)", share=exp.Literal.number(repr(share)), asked=asked)
        ordered = _sql("ARRAY_AGG(__asked IGNORE NULLS ORDER BY __asked)", asked=asked)
        return exp.paren(_sql(_QUANTILE, sorted=ordered, place=place))

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        return exp.LogicalOr(this=condition.copy())


def _sql(template: str, **parts: exp.Expr) -> exp.Expr:
    return fill("bigquery", template, **parts)


def _once(value: exp.Expr, said: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Say something of a value that may be long; what is said names it more than once."""
    if not value.find(exp.Case):
        return said(value)
    asked = said(exp.column("held"))
    query = _sql("SELECT __asked FROM UNNEST([__value]) AS held", value=value, asked=asked)
    # in parentheses it is a condition to sqlglot as well
    return exp.Paren(this=query)


def _text(text: str) -> exp.Expr:
    return exp.Literal.string(text)


def _whole(pattern: str) -> exp.Expr:
    return exp.Literal.string(f"^(?:{pattern})$")


def _escape(code: int) -> str:
    return f"\\x{{{code:X}}}"


def _in_order(aggregate: exp.Expr, order: Sequence[exp.Expr], *, last: bool) -> exp.Expr:
    keys = [exp.Ordered(this=each.copy(), desc=last, nulls_first=not last) for each in order]
    for each in aggregate.find_all(exp.Order):
        each.set("expressions", keys)
    return aggregate
