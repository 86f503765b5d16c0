"""How PostgreSQL 14 or newer says it; stored values are jsonb, the database is in UTF-8.

No cast here can fail: each stands behind a CASE that looks at the value first. A null inside jsonb becomes
SQL NULL where a value is taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlglot import exp

from audiences.engines.engine import Kind, Question
from audiences.engines.template import fill
from audiences.engines.texts import DECIMAL, INSTANT, ZONE, capitals, foldable, marks
from audiences.rules import TextOp
from identity.tables import instant

__all__ = ["Postgres"]

_LATEST = datetime.max.replace(tzinfo=UTC)
_INTO = """
CASE WHEN JSONB_TYPEOF(__value) = 'array' THEN (
  SELECT JSONB_AGG(part.it ORDER BY whole.place, part.place)
  FROM JSONB_ARRAY_ELEMENTS(__value) WITH ORDINALITY AS whole(it, place)
  CROSS JOIN LATERAL JSONB_ARRAY_ELEMENTS(
    CASE WHEN JSONB_TYPEOF(__inner) = 'array' THEN __inner
    WHEN NOT __inner IS NULL THEN JSONB_BUILD_ARRAY(__inner) END
  ) WITH ORDINALITY AS part(it, place)
) ELSE __outer END
"""
_ANY = """
COALESCE(CASE WHEN JSONB_TYPEOF(__value) = 'array' THEN (
  SELECT __enough FROM JSONB_ARRAY_ELEMENTS(__value) AS each(element)
) ELSE __alone END, FALSE)
"""
_NUMBER = """
CASE WHEN JSONB_TYPEOF(__value) = 'number' THEN
  CASE WHEN ABS(CAST(__value AS DECIMAL)) < 2.5e-324 THEN CAST(0 AS DOUBLE PRECISION)
  WHEN ABS(CAST(__value AS DECIMAL)) <= 1.7976931348623157e308 THEN CAST(__value AS DOUBLE PRECISION) END
END
"""
_NUMERIC = """
CASE WHEN JSONB_TYPEOF(__value) = 'string' AND (__value #>> '{}') ~ __written
THEN CAST(__value #>> '{}' AS DOUBLE PRECISION) ELSE __number END
"""
_MOMENT = """
CASE WHEN JSONB_TYPEOF(__value) = 'string' AND (__value #>> '{}') ~ __written THEN
  CASE WHEN NOT (__value #>> '{}') ~ __zoned THEN CAST(__value #>> '{}' AS TIMESTAMP)
  WHEN CAST(__value #>> '{}' AS TIMESTAMPTZ) AT TIME ZONE 'UTC' <= __latest
  THEN CAST(__value #>> '{}' AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END
END
"""
_FOLDED = """
CASE WHEN OCTET_LENGTH(__text) = CHAR_LENGTH(__text) THEN LOWER(__text COLLATE "C")
WHEN __text ~ __foldable THEN REPLACE(TRANSLATE(LOWER(
  REGEXP_REPLACE(NORMALIZE(__text, NFD), __marks, '', 'g') COLLATE "C"), __capital, __small), 'ς', 'σ')
ELSE REPLACE(NORMALIZE(TRANSLATE(LOWER(
  NORMALIZE(__text, NFD) COLLATE "C"), __capital, __small), NFC), 'ς', 'σ') END
"""
_EXACT = """
CASE WHEN ABS(__number) < 4194304 THEN CAST(CAST(__number AS TEXT) AS DECIMAL(38, 9))
WHEN ABS(__number) < 4294967296 THEN CAST(CAST(CAST(__number AS TEXT) AS DECIMAL(38, 6)) AS DECIMAL(38, 9))
WHEN ABS(__number) < 4398046511104
THEN CAST(CAST(CAST(__number AS TEXT) AS DECIMAL(38, 3)) AS DECIMAL(38, 9))
ELSE CAST(CAST(TRUNC(__number) AS BIGINT) AS DECIMAL(38, 9)) END
"""


class Postgres:
    """PostgreSQL."""

    name = "postgres"

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        return _sql("NULLIF((__value -> __key), 'null')", value=value, key=exp.Literal.string(key))

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        inner = self.key(exp.column("it", "whole"), key)
        return _once(value, lambda held: _sql(_INTO, value=held, inner=inner, outer=self.key(held, key)))

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        return _sql("COALESCE(JSONB_TYPEOF(__value) <> 'null', FALSE)", value=value)

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""
        each = exp.Coalesce(this=question(exp.column("element", "each")), expressions=[exp.false()])
        enough = _call("BOOL_AND" if every else "BOOL_OR", each)
        return _once(value, lambda held: _sql(_ANY, value=held, enough=enough, alone=question(held.copy())))

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        return _sql("CASE WHEN JSONB_TYPEOF(__value) = 'string' THEN __value #>> '{}' END", value=value)

    def number(self, value: exp.Expr) -> exp.Expr:
        """The number that a stored value is, as 64-bit float; NULL when it is none, or too large for one."""
        return _sql(_NUMBER, value=value)

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        return _sql(_NUMERIC, value=value, written=_whole(DECIMAL), number=self.number(value))

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        return _sql(
            "CASE WHEN JSONB_TYPEOF(__value) = 'boolean' THEN CAST(__value AS BOOLEAN) END", value=value
        )

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        return {"text": self.text, "number": self.number, "flag": self.flag}[kind](value)

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that an ISO-8601 text says; NULL when it is none."""
        return _sql(
            _MOMENT,
            value=value,
            written=_whole(INSTANT),
            zoned=exp.Literal.string(f"{ZONE}$"),
            latest=instant(_LATEST),
        )

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        return _sql(
            "CASE WHEN JSONB_TYPEOF(__value) = 'array' THEN __value ELSE JSONB_BUILD_ARRAY(__value) END",
            value=value,
        )

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        element = _sql("NULLIF(JSONB_ARRAY_ELEMENTS(__values), 'null')", values=values)
        return select.select(element.as_(name, quoted=True))

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        return _sql(
            "COALESCE(TO_JSONB(__flag), TO_JSONB(__number), TO_JSONB(__text))",
            flag=flag,
            number=number,
            text=text,
        )

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        return _call("TO_JSONB", value.copy())

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        keys = [exp.Ordered(this=each.copy(), nulls_first=True) for each in order]
        return _call("JSONB_AGG", exp.Order(this=value.copy(), expressions=keys))

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        return _sql('__text COLLATE "C"', text=text)

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        asks = {
            "contains": "STRPOS(__text, __given) > 0",
            "starts_with": "STARTS_WITH(__text, __given)",
            "ends_with": "RIGHT(__text, LENGTH(__given)) = __given",
            "matches": "__text ~ __given",
        }
        return _sql(asks[op], text=text, given=exp.Literal.string(given))

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents; other capitals than Latin, Greek, Cyrillic ones stay."""
        capital, small = capitals()
        return _sql(
            _FOLDED,
            text=text,
            foldable=_whole(foldable(_escape)),
            marks=exp.Literal.string(marks(_escape)),
            capital=exp.Literal.string(capital),
            small=exp.Literal.string(small),
        )

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        return _sql('MD5(__text) COLLATE "C"', text=text)

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal with the digits after the point that it has for certain."""
        return _sql(_EXACT, number=number)

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number as an exact decimal that can be multiplied by an `exact` one of below 10^18."""
        return _sql("CAST(__number AS DECIMAL(11, 0))", number=number)

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        return instant(moment)

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        length = exp.cast(exp.Literal.string(f"{seconds} seconds"), "INTERVAL")
        return exp.paren(_sql("__moment + __length", moment=moment, length=length))

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        return _sql(
            "CAST(EXTRACT(EPOCH FROM __later - __earlier) * 1000000 AS BIGINT)", later=later, earlier=earlier
        )

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        return _sql(
            "CAST(__moment AT TIME ZONE 'UTC' AT TIME ZONE __zone AS DATE)",
            moment=moment,
            zone=exp.Literal.string(zone),
        )

    def filtered(self, aggregate: exp.Expr, where: exp.Expr | None) -> exp.Expr:
        """An aggregate over the rows that satisfy a condition."""
        if where is None:
            return aggregate
        return exp.Filter(this=aggregate, expression=exp.Where(this=where.copy()))

    def outermost(
        self, value: exp.Expr, order: Sequence[exp.Expr], where: exp.Expr | None, *, last: bool
    ) -> exp.Expr:
        """Aggregate: the value, NULL included, of the first or last row in the order of some expressions."""
        keys = [exp.Ordered(this=each.copy(), desc=last, nulls_first=not last) for each in order]
        collected = exp.ArrayAgg(this=exp.Order(this=value.copy(), expressions=keys))
        return _sql("(__rows)[1]", rows=self.filtered(collected, where))

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        found = _sql(
            "PERCENTILE_CONT(__share) WITHIN GROUP (ORDER BY __number)",
            share=exp.Literal.number(repr(share)),
            number=number,
        )
        return self.filtered(found, where)

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        return exp.LogicalOr(this=condition.copy())


def _sql(template: str, **parts: exp.Expr) -> exp.Expr:
    return fill("postgres", template, **parts)


def _once(value: exp.Expr, said: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Say something of a value that may be long; what is said names it more than once."""
    if not value.find(exp.Case):
        return said(value)
    asked = said(exp.column("it", "held"))
    # OFFSET keeps the planner from putting the value back everywhere
    query = _sql("SELECT __asked FROM (SELECT __value AS it OFFSET 0) AS held", value=value, asked=asked)
    # in parentheses it is a condition to sqlglot as well
    return exp.Paren(this=query)


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _whole(pattern: str) -> exp.Expr:
    return exp.Literal.string(f"^(?:{pattern})$")


def _escape(code: int) -> str:
    return f"\\U{code:08X}"
