"""How Snowflake says it; stored values are VARIANTs, instants TIMESTAMP_NTZ. Rendered from its documentation.

A null inside a VARIANT becomes SQL NULL where a value is taken out. There is no FILTER; patterns know groups
that capture only. The session's TIMESTAMP_INPUT_FORMAT is AUTO.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlglot import exp

from audiences.engines.engine import Kind, Question
from audiences.engines.template import fill, only_where
from audiences.engines.texts import DECIMAL, INSTANT, ZONE, accented, foldable, marks, rewritten
from audiences.rules import TextOp
from identity.tables import instant

__all__ = ["Snowflake"]

_LATEST = datetime.max.replace(tzinfo=UTC)
_INTO = """
CASE WHEN IS_ARRAY(__value) THEN (CASE WHEN ARRAY_SIZE(__spliced) > 0 THEN TO_VARIANT(__spliced) END)
ELSE __outer END
"""
_PARTS = """
CASE WHEN __inner IS NULL THEN ARRAY_CONSTRUCT() WHEN IS_ARRAY(__inner) THEN AS_ARRAY(__inner)
ELSE ARRAY_CONSTRUCT(__inner) END
"""
_ANY = """
COALESCE(CASE WHEN IS_ARRAY(__value) THEN ARRAY_SIZE(FILTER(AS_ARRAY(__value), element -> __asked)) > 0
ELSE __alone END, FALSE)
"""
_EVERY = """
COALESCE(CASE WHEN IS_ARRAY(__value) THEN ARRAY_SIZE(AS_ARRAY(__value)) > 0
AND ARRAY_SIZE(FILTER(AS_ARRAY(__value), element -> __asked)) = ARRAY_SIZE(AS_ARRAY(__value))
ELSE __alone END, FALSE)
"""
_NUMBER = """
CASE WHEN ABS(AS_REAL(__value)) < CAST('inf' AS DOUBLE) THEN AS_REAL(__value) END
"""
_NUMERIC = """
CASE WHEN REGEXP_LIKE(AS_VARCHAR(__value), __written) THEN TRY_TO_DOUBLE(AS_VARCHAR(__value))
ELSE __number END
"""
_MOMENT = """
CASE WHEN REGEXP_LIKE(__text, __written) THEN (CASE WHEN __utc <= __latest THEN __utc END) END
"""
_UTC = """
DATEADD(MINUTE, CASE WHEN REGEXP_LIKE(__text, '.*[+-][0-9]{2}:[0-9]{2}')
THEN CASE WHEN LEFT(RIGHT(__text, 6), 1) = '-' THEN 1 ELSE -1 END
  * (TRY_TO_NUMBER(LEFT(RIGHT(__text, 5), 2)) * 60 + TRY_TO_NUMBER(RIGHT(__text, 2)))
ELSE 0 END, TRY_TO_TIMESTAMP_NTZ(REGEXP_REPLACE(__text, __zone, '')))
"""
_FOLDED = """
REPLACE(LOWER(CASE WHEN REGEXP_LIKE(__text, __foldable)
THEN REGEXP_REPLACE(TRANSLATE(__text, __accented, __bare), __marks, '') ELSE __text END), 'ς', 'σ')
"""
_EXACT = """
CASE WHEN ABS(__number) < 4194304 THEN CAST(__number AS DECIMAL(38, 9))
WHEN ABS(__number) < 4294967296 THEN CAST(CAST(__number AS DECIMAL(38, 6)) AS DECIMAL(38, 9))
WHEN ABS(__number) < 4398046511104 THEN CAST(CAST(__number AS DECIMAL(38, 3)) AS DECIMAL(38, 9))
ELSE CAST(TRUNC(__number) AS DECIMAL(38, 9)) END
"""
_COLLECTED = """
CASE WHEN COUNT(*) > 0 THEN TO_VARIANT(
  ARRAY_AGG(COALESCE(__value, PARSE_JSON('null'))) WITHIN GROUP (ORDER BY __order)) END
"""
_OUTERMOST = """
STRIP_NULL_VALUE(GET(GET(ARRAY_AGG(__row) WITHIN GROUP (ORDER BY __order), 0), 'held'))
"""


class Snowflake:
    """Snowflake."""

    name = "snowflake"

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        return _sql("STRIP_NULL_VALUE(GET(__value, __key))", value=value, key=exp.Literal.string(key))

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        parts = _sql(_PARTS, inner=self.key(exp.column("whole"), key))
        spliced = _sql(
            "ARRAY_FLATTEN(TRANSFORM(AS_ARRAY(__value), whole -> __parts))", value=value, parts=parts
        )
        return _sql(_INTO, value=value, spliced=spliced, outer=self.key(value, key))

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        return _sql("NOT STRIP_NULL_VALUE(__value) IS NULL", value=value)

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""
        asked = question(exp.column("element"))
        return _sql(_EVERY if every else _ANY, value=value, asked=asked, alone=question(value.copy()))

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        return _sql("AS_VARCHAR(__value)", value=value)

    def number(self, value: exp.Expr) -> exp.Expr:
        """The number that a stored value is, as 64-bit float; NULL when it is none, or too large for one."""
        return _sql(_NUMBER, value=value)

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        return _sql(_NUMERIC, value=value, written=_pattern(DECIMAL), number=self.number(value))

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        return _sql("AS_BOOLEAN(__value)", value=value)

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        return {"text": self.text, "number": self.number, "flag": self.flag}[kind](value)

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that an ISO-8601 text says; NULL when it is none."""
        text = self.text(value)
        utc = _sql(_UTC, text=text, zone=_pattern(f"{ZONE}$"))
        return _sql(_MOMENT, text=text, written=_pattern(INSTANT), utc=utc, latest=_instant(_LATEST))

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        return _sql(
            "CASE WHEN IS_ARRAY(__value) THEN AS_ARRAY(__value) ELSE ARRAY_CONSTRUCT(__value) END",
            value=value,
        )

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        rows = exp.Lateral(
            this=_sql("FLATTEN(INPUT => __values)", values=values),
            alias=exp.TableAlias(this=exp.to_identifier("exploded")),
        )
        element = _sql("STRIP_NULL_VALUE(__value)", value=exp.column("VALUE", "exploded"))
        return select.join(rows, join_type="cross").select(element.as_(name, quoted=True))

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        return _sql(
            "COALESCE(TO_VARIANT(__flag), TO_VARIANT(__number), TO_VARIANT(__text))",
            flag=flag,
            number=number,
            text=text,
        )

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        return _sql("TO_VARIANT(__value)", value=value)

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        return _in_order(_sql(_COLLECTED, value=value, order=exp.null()), order, last=False)

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        return text

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        asks = {
            "contains": "CONTAINS(__text, __given)",
            "starts_with": "STARTSWITH(__text, __given)",
            "ends_with": "ENDSWITH(__text, __given)",
            # REGEXP_LIKE would match whole texts only
            "matches": "REGEXP_INSTR(__text, __given) > 0",
        }
        literal = _pattern(given) if op == "matches" else exp.Literal.string(given)
        return _sql(asks[op], text=text, given=literal)

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents."""
        letters, bare = accented()
        return _sql(
            _FOLDED,
            text=text,
            foldable=exp.Literal.string(foldable(chr)),
            accented=exp.Literal.string(letters),
            bare=exp.Literal.string(bare),
            marks=exp.Literal.string(marks(chr)),
        )

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        return _sql("MD5(__text)", text=text)

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal with the digits after the point that it has for certain."""
        return _sql(_EXACT, number=number)

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number as an exact decimal that can be multiplied by an `exact` one of below 10^18."""
        return _sql("CAST(__number AS DECIMAL(11, 0))", number=number)

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        return _instant(moment)

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        return _sql(
            "DATEADD(SECOND, __seconds, __moment)", seconds=exp.Literal.number(seconds), moment=moment
        )

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        return _sql("DATEDIFF(MICROSECOND, __earlier, __later)", earlier=earlier, later=later)

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        return _sql(
            "CAST(CONVERT_TIMEZONE('UTC', __zone, __moment) AS DATE)",
            zone=exp.Literal.string(zone),
            moment=moment,
        )

    def filtered(self, aggregate: exp.Expr, where: exp.Expr | None) -> exp.Expr:
        """An aggregate over the rows that satisfy a condition."""
        return aggregate if where is None else only_where(aggregate, where)

    def outermost(
        self, value: exp.Expr, order: Sequence[exp.Expr], where: exp.Expr | None, *, last: bool
    ) -> exp.Expr:
        """Aggregate: the stored value, NULL included, of the first or last row in an order of expressions."""
        # ARRAY_AGG leaves NULLs out, so the value goes inside an object
        row = _sql("OBJECT_CONSTRUCT('held', __value)", value=value)
        if where is not None:
            row = exp.Case().when(where.copy(), row)
        return _in_order(_sql(_OUTERMOST, row=row, order=exp.null()), order, last=last)

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        asked = number if where is None else exp.Case().when(where.copy(), number.copy())
        return _sql(
            "PERCENTILE_CONT(__share) WITHIN GROUP (ORDER BY __asked)",
            share=exp.Literal.number(repr(share)),
            asked=asked,
        )

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        return exp.LogicalOr(this=condition.copy())


def _sql(template: str, **parts: exp.Expr) -> exp.Expr:
    return fill("snowflake", template, **parts)


def _instant(moment: datetime) -> exp.Expr:
    # a plain TIMESTAMP would be one of the session's time zone
    return exp.cast(instant(moment).this, exp.DType.TIMESTAMPNTZ)


def _pattern(portable: str) -> exp.Expr:
    return exp.Literal.string(rewritten(portable, {"(?:": "("}))


def _in_order(aggregate: exp.Expr, order: Sequence[exp.Expr], *, last: bool) -> exp.Expr:
    keys = [exp.Ordered(this=each.copy(), desc=last, nulls_first=not last) for each in order]
    for each in aggregate.find_all(exp.Order):
        each.set("expressions", keys)
    return aggregate
