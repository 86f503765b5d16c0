"""How Spark 4 says it; stored values are VARIANTs, instants TIMESTAMP_NTZ.

A null inside a VARIANT becomes SQL NULL where a value is taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlglot import exp

from audiences.engines.engine import Kind, Question
from audiences.engines.template import fill
from audiences.engines.texts import DECIMAL, INSTANT, ZONE, accented, foldable, marks, rewritten
from audiences.rules import TextOp
from identity.tables import instant

__all__ = ["Spark"]

_LATEST = datetime.max.replace(tzinfo=UTC)
_UNLESS_NULL = "CASE WHEN NOT IS_VARIANT_NULL(__value) THEN __value END"
_INTO = """
CASE WHEN __is_array THEN (CASE WHEN SIZE(__spliced) > 0 THEN CAST(__spliced AS VARIANT) END) ELSE __outer END
"""
_SPLICED = "FLATTEN(TRANSFORM(TRY_CAST(__value AS ARRAY<VARIANT>), whole -> __parts))"
_PARTS = """
CASE WHEN __inner IS NULL THEN CAST(ARRAY() AS ARRAY<VARIANT>)
WHEN __is_array THEN TRY_CAST(__inner AS ARRAY<VARIANT>) ELSE ARRAY(__inner) END
"""
_ANY = """
COALESCE(CASE WHEN __is_array THEN EXISTS(TRY_CAST(__value AS ARRAY<VARIANT>), element -> __asked)
ELSE __alone END, FALSE)
"""
_EVERY = """
COALESCE(CASE WHEN __is_array THEN SIZE(TRY_CAST(__value AS ARRAY<VARIANT>)) > 0
AND FORALL(TRY_CAST(__value AS ARRAY<VARIANT>), element -> __asked) ELSE __alone END, FALSE)
"""
_NUMBER = """
CASE WHEN SCHEMA_OF_VARIANT(__value) RLIKE '^(BIGINT|DOUBLE|FLOAT|DECIMAL)'
AND ABS(TRY_CAST(__value AS DOUBLE)) < DOUBLE('Infinity') THEN TRY_CAST(__value AS DOUBLE) END
"""
_MOMENT = """
CASE WHEN __text RLIKE __written THEN
  CASE WHEN NOT __text RLIKE __zoned THEN TRY_CAST(__text AS TIMESTAMP_NTZ)
  WHEN __utc <= __latest THEN __utc END
END
"""
_UTC = """
TIMESTAMPADD(MICROSECOND,
  UNIX_MICROS(TRY_CAST(REGEXP_REPLACE(__text, __short, '$1:00$2') AS TIMESTAMP)), __epoch)
"""
_FOLDED = """
REPLACE(LOWER(CASE WHEN __text RLIKE __foldable
THEN REGEXP_REPLACE(TRANSLATE(__text, __accented, __bare), __marks, '') ELSE __text END), 'ς', 'σ')
"""
_EXACT = """
CASE WHEN ABS(__number) < 4194304 THEN CAST(__number AS DECIMAL(27, 9))
WHEN ABS(__number) < 4294967296 THEN CAST(CAST(__number AS DECIMAL(27, 6)) AS DECIMAL(27, 9))
WHEN ABS(__number) < 4398046511104 THEN CAST(CAST(__number AS DECIMAL(27, 3)) AS DECIMAL(27, 9))
ELSE CAST(CAST(__number AS BIGINT) AS DECIMAL(27, 9)) END
"""
_COLLECTED = """
CASE WHEN COUNT(*) > 0
THEN CAST(TRANSFORM(ARRAY_SORT(COLLECT_LIST(__row)), row -> __parsed) AS VARIANT) END
"""


class Spark:
    """Apache Spark 4."""

    name = "spark"

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        # a path would give meaning to dots and quotes in the key
        found = _sql(
            "TRY_CAST(__value AS MAP<STRING, VARIANT>)[__key]", value=value, key=exp.Literal.string(key)
        )
        return _sql(_UNLESS_NULL, value=found)

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        inner = self.key(exp.column("whole"), key)
        parts = _sql(_PARTS, inner=inner, is_array=_is_array(inner))

        def taken(held: exp.Expr) -> exp.Expr:
            spliced = _sql(_SPLICED, value=held, parts=parts)
            return _sql(_INTO, is_array=_is_array(held), spliced=spliced, outer=self.key(held, key))

        return _once(value, taken)

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        return _sql("__value IS NOT NULL AND NOT IS_VARIANT_NULL(__value)", value=value)

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""
        template = _EVERY if every else _ANY
        each = question(exp.column("element"))

        def asked(held: exp.Expr) -> exp.Expr:
            return _sql(
                template, value=held, is_array=_is_array(held), asked=each, alone=question(held.copy())
            )

        return _once(value, asked)

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        return _sql(
            "CASE WHEN SCHEMA_OF_VARIANT(__value) = 'STRING' THEN TRY_CAST(__value AS STRING) END",
            value=value,
        )

    def number(self, value: exp.Expr) -> exp.Expr:
        """The number that a stored value is, as 64-bit float; NULL when it is none, or too large for one."""
        return _sql(_NUMBER, value=value)

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        return _sql(
            "CASE WHEN __text RLIKE __written THEN TRY_CAST(__text AS DOUBLE) ELSE __number END",
            text=self.text(value),
            written=_whole(DECIMAL),
            number=self.number(value),
        )

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        return _sql(
            "CASE WHEN SCHEMA_OF_VARIANT(__value) = 'BOOLEAN' THEN TRY_CAST(__value AS BOOLEAN) END",
            value=value,
        )

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        return {"text": self.text, "number": self.number, "flag": self.flag}[kind](value)

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that an ISO-8601 text says; NULL when it is none."""
        text = self.text(value)
        # with a zone, the cast wants seconds
        utc = _sql(
            _UTC,
            text=text,
            short=exp.Literal.string(f"^(.{{13}}:[0-9]{{2}})({ZONE})$"),
            epoch=_instant(datetime(1970, 1, 1, tzinfo=UTC)),
        )
        zoned = exp.Literal.string(f"{ZONE}$")
        return _sql(
            _MOMENT, text=text, written=_whole(INSTANT), zoned=zoned, utc=utc, latest=_instant(_LATEST)
        )

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        return _sql(
            "CASE WHEN __is_array THEN TRY_CAST(__value AS ARRAY<VARIANT>) ELSE ARRAY(__value) END",
            value=value,
            is_array=_is_array(value),
        )

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        known = _sql("TRANSFORM(__values, element -> __known)", values=values, known=_known("element"))
        return select.select(_sql("EXPLODE(__values)", values=known).as_(name, quoted=True))

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        return _sql(
            "COALESCE(CAST(__flag AS VARIANT), CAST(__number AS VARIANT), CAST(__text AS VARIANT))",
            flag=flag,
            number=number,
            text=text,
        )

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        return _sql("CAST(__value AS VARIANT)", value=value)

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        # a VARIANT can't be compared, and what is sorted is compared as a whole
        fields = [each.copy().as_(f"key_{place}") for place, each in enumerate(order)]
        json = _sql("TO_JSON(__value)", value=value).as_("json")
        # sqlglot would leave a PARSE_JSON of its own out
        parsed = _call("PARSE_JSON", exp.column("json", "row"))
        return _sql(_COLLECTED, row=exp.Struct(expressions=[*fields, json]), parsed=parsed)

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        return text

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        asks = {
            "contains": "CONTAINS(__text, __given)",
            "starts_with": "STARTSWITH(__text, __given)",
            "ends_with": "ENDSWITH(__text, __given)",
            "matches": "__text RLIKE __given",
        }
        # Java's $ would overlook a newline at the end
        given = rewritten(given, {"$": r"\z"}) if op == "matches" else given
        return _sql(asks[op], text=text, given=exp.Literal.string(given))

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents."""
        letters, bare = accented()
        return _sql(
            _FOLDED,
            text=text,
            foldable=_whole(foldable(_escape)),
            accented=exp.Literal.string(letters),
            bare=exp.Literal.string(bare),
            marks=exp.Literal.string(marks(_escape)),
        )

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        return _sql("MD5(__text)", text=text)

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal with the digits after the point that it has for certain."""
        # with more digits before the point, a product would lose digits after it
        return _sql(_EXACT, number=number)

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number below 10^10 as an exact decimal that can be multiplied by an `exact` one."""
        return _sql("CAST(__number AS DECIMAL(10, 0))", number=number)

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        return _instant(moment)

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        return _sql(
            "TIMESTAMPADD(SECOND, __seconds, __moment)", seconds=exp.Literal.number(seconds), moment=moment
        )

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        return _sql("TIMESTAMPDIFF(MICROSECOND, __earlier, __later)", earlier=earlier, later=later)

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        return _sql(
            "CAST(CONVERT_TIMEZONE('UTC', __zone, __moment) AS DATE)",
            zone=exp.Literal.string(zone),
            moment=moment,
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
        place = exp.Struct(expressions=[each.copy().as_(f"key_{i}") for i, each in enumerate(order)])
        return self.filtered(_call("MAX_BY" if last else "MIN_BY", value.copy(), place), where)

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        return self.filtered(_call("PERCENTILE", number.copy(), exp.Literal.number(repr(share))), where)

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        return _call("BOOL_OR", condition.copy())


def _sql(template: str, **parts: exp.Expr) -> exp.Expr:
    return fill("spark", template, **parts)


def _instant(moment: datetime) -> exp.Expr:
    # a plain TIMESTAMP would be one of the session's time zone
    return exp.cast(instant(moment).this, exp.DType.TIMESTAMPNTZ)


def _once(value: exp.Expr, said: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Say something of a value that may be long; what is said names it more than once."""
    if not value.find(exp.Case):
        return said(value)
    asked = said(exp.column("held"))
    return _sql("TRANSFORM(ARRAY(__value), held -> __asked)[0]", value=value, asked=asked)


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _known(name: str) -> exp.Expr:
    return _sql(_UNLESS_NULL, value=exp.column(name))


def _is_array(value: exp.Expr) -> exp.Expr:
    return _sql("STARTSWITH(SCHEMA_OF_VARIANT(__value), 'ARRAY')", value=value)


def _whole(pattern: str) -> exp.Expr:
    return exp.Literal.string(f"^(?:{pattern})\\z")


def _escape(code: int) -> str:
    return f"\\x{{{code:X}}}"
