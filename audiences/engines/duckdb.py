"""How DuckDB says it; stored values are VARIANTs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlglot import exp

from audiences.engines.engine import Kind, Question
from audiences.engines.template import fill
from audiences.engines.texts import DECIMAL, INSTANT, foldable
from audiences.rules import TextOp
from identity.tables import instant

__all__ = ["DuckDB"]

_NUMBERS = (
    "DOUBLE",
    "INT64",
    "UINT64",
    "INT32",
    "INT16",
    "INT8",
    "UINT32",
    "UINT16",
    "UINT8",
    "FLOAT",
    "INT128",
)
_TYPES: dict[Kind, str] = {"text": "TEXT", "number": "DOUBLE", "flag": "BOOLEAN"}
_LATEST = datetime.max.replace(tzinfo=UTC)
_FOLDED = """
REPLACE(LOWER(CASE WHEN REGEXP_FULL_MATCH(__text, __foldable) THEN STRIP_ACCENTS(__text)
ELSE NFC_NORMALIZE(__text) END), 'ς', 'σ')
"""
_EXACT = """
CASE WHEN ABS(__number) < 4194304 THEN CAST(__number AS DECIMAL(38, 9))
WHEN ABS(__number) < 4294967296 THEN CAST(CAST(__number AS DECIMAL(38, 6)) AS DECIMAL(38, 9))
WHEN ABS(__number) < 4398046511104 THEN CAST(CAST(__number AS DECIMAL(38, 3)) AS DECIMAL(38, 9))
ELSE CAST(CAST(TRUNC(__number) AS BIGINT) AS DECIMAL(38, 9)) END
"""


class DuckDB:
    """DuckDB 2."""

    name = "duckdb"

    def key(self, value: exp.Expr, key: str) -> exp.Expr:
        """The stored value under a key of an object; NULL when it is no object or has none."""
        return _call("variant_extract", value.copy(), exp.Literal.string(key))

    def into(self, value: exp.Expr, key: str) -> exp.Expr:
        """Like `key`; of an array, those of its elements, in one array (arrays spliced in), NULL if empty."""
        inner = self.key(exp.column("outer_element"), key)
        each = (
            exp.Case()
            .when(inner.is_(exp.null()), exp.cast(exp.Array(), _type("VARIANT[]")))
            .when(_is_array(inner), _elements(inner))
            .else_(exp.Array(expressions=[inner.copy()]))
        )

        def taken(held: exp.Expr) -> exp.Expr:
            spliced = _call(
                "flatten", _call("list_transform", _elements(held), _lambda("outer_element", each.copy()))
            )
            filled = exp.Case().when(_call("len", spliced) > 0, _variant(spliced.copy()))
            return exp.Case().when(_is_array(held), filled).else_(self.key(held, key))

        return _once(value, taken)

    def exists(self, value: exp.Expr) -> exp.Expr:
        """TRUE when a stored value is there and not null, else FALSE."""
        return value.copy().is_(exp.null()).not_()

    def any_element(self, value: exp.Expr, question: Question, *, every: bool) -> exp.Expr:
        """Ask of a value, or of the elements of an array: any of them, or all of at least one; never NULL."""

        def asked(held: exp.Expr) -> exp.Expr:
            elements = _elements(held)
            passing = _call(
                "len", _call("list_filter", elements, _lambda("element", question(exp.column("element"))))
            )
            enough: exp.Expr = exp.GT(this=passing, expression=exp.Literal.number(0))
            if every:
                all_ = exp.EQ(this=passing.copy(), expression=_call("len", elements.copy()))
                enough = exp.and_(enough, all_)
            return exp.Case().when(_is_array(held), enough).else_(question(held.copy()))

        return exp.Coalesce(this=_once(value, asked), expressions=[exp.false()])

    def text(self, value: exp.Expr) -> exp.Expr:
        """The text that a stored value is; NULL when it is none."""
        # a CASE, not an AND: casting an object to text fails as a whole when two keys differ in case only
        return exp.Case().when(_kind(value).eq("VARCHAR"), _try(value, "TEXT"))

    def number(self, value: exp.Expr) -> exp.Case:
        """The number that a stored value is, as 64-bit float; NULL when it is none, or too large for one."""
        # an AND would cast objects as well, see `text`
        finite = exp.Case().when(_call("isfinite", _try(value, "DOUBLE")), _try(value, "DOUBLE"))
        return exp.Case().when(_is_number(value), finite)

    def numeric(self, value: exp.Expr) -> exp.Expr:
        """Like `number`; also of a text that is a decimal of at most 15 digits before the point, 9 after."""
        text = self.text(value)
        is_decimal = _call("regexp_full_match", text, exp.Literal.string(DECIMAL))
        return self.number(value).when(is_decimal, _try(text.copy(), "DOUBLE"))

    def flag(self, value: exp.Expr) -> exp.Expr:
        """The truth that a stored value is; NULL when it is none."""
        return exp.Case().when(_kind(value).isin("BOOL_TRUE", "BOOL_FALSE"), _try(value, "BOOLEAN"))

    def known(self, value: exp.Expr, kind: Kind) -> exp.Expr:
        """The text, number or flag that a stored value is; only where it can be nothing else, or missing."""
        # a cast alone is read from the shredded column; asking for the type would rebuild every value
        return _try(value, _TYPES[kind])

    def moment(self, value: exp.Expr) -> exp.Expr:
        """The instant (naive UTC) that an ISO-8601 text says; NULL when it is none."""
        text = self.text(value)
        written = _call("regexp_full_match", text, exp.Literal.string(INSTANT))
        parsed = exp.paren(
            exp.AtTimeZone(this=_try(text.copy(), "TIMESTAMPTZ"), zone=exp.Literal.string("UTC"))
        )
        return exp.Case().when(exp.and_(written, parsed <= instant(_LATEST)), parsed.copy())

    def scalars(self, value: exp.Expr) -> exp.Expr:
        """The elements of an array, or the value alone: an array of stored values to `explode`."""
        alone = exp.Array(expressions=[value.copy()])
        return exp.Case().when(_is_array(value), _elements(value)).else_(alone)

    def explode(self, select: exp.Select, values: exp.Expr, name: str) -> exp.Select:
        """Add to a SELECT a column `name`: a row for each element of an array; no row for an empty one."""
        return select.select(exp.Unnest(expressions=[values]).as_(name, quoted=True))

    def stored(self, flag: exp.Expr, number: exp.Expr, text: exp.Expr) -> exp.Expr:
        """The stored value of the one of three that is not NULL."""
        first, *others = (_variant(each.copy()) for each in (flag, number, text))
        return exp.Coalesce(this=first, expressions=others)

    def wrapped(self, value: exp.Expr) -> exp.Expr:
        """The stored value of any SQL value."""
        return _variant(value.copy())

    def collected(self, value: exp.Expr, order: Sequence[exp.Expr]) -> exp.Expr:
        """Aggregate: stored values as one stored array, in ascending order of some expressions."""
        ordered = exp.Order(this=value.copy(), expressions=[_ascending(each) for each in order])
        return _variant(exp.ArrayAgg(this=ordered))

    def ordered_text(self, text: exp.Expr) -> exp.Expr:
        """A text that compares by code point."""
        return text

    def asks_text(self, text: exp.Expr, op: TextOp, given: str) -> exp.Expr:
        """TRUE when a text contains, starts with, ends with a given one, or matches a portable pattern."""
        functions = {"contains": "contains", "starts_with": "starts_with", "ends_with": "ends_with"}
        return _call(functions.get(op, "regexp_matches"), text.copy(), exp.Literal.string(given))

    def folded(self, text: exp.Expr) -> exp.Expr:
        """A text in lower case without accents."""
        whole = exp.Literal.string(foldable(lambda code: f"\\x{{{code:X}}}"))
        return fill("duckdb", _FOLDED, text=text, foldable=whole)

    def hash(self, text: exp.Expr) -> exp.Expr:
        """MD5 of a text's UTF-8 as 32 lower-case hexadecimal digits, comparing by code point."""
        return _call("md5", text.copy())

    def exact(self, number: exp.Expr) -> exp.Expr:
        """A float below 10^18 as a decimal with the digits after the point that it has for certain."""
        return fill("duckdb", _EXACT, number=number)

    def whole(self, number: exp.Expr) -> exp.Expr:
        """A whole number as an exact decimal that can be multiplied by an `exact` one of below 10^18."""
        return exp.cast(number.copy(), _type("DECIMAL(11, 0)"))

    def instant(self, moment: datetime) -> exp.Expr:
        """An aware instant as a literal, naive UTC, to the microsecond."""
        return instant(moment)

    def later(self, moment: exp.Expr, seconds: int) -> exp.Expr:
        """An instant some seconds later, or earlier when negative."""
        length = _call("to_seconds", exp.Literal.number(seconds))
        return exp.paren(exp.Add(this=moment.copy(), expression=length))

    def microseconds(self, later: exp.Expr, earlier: exp.Expr) -> exp.Expr:
        """Whole microseconds from one instant to another."""
        return exp.paren(_call("epoch_us", later.copy()) - _call("epoch_us", earlier.copy()))

    def local_date(self, moment: exp.Expr, zone: str) -> exp.Expr:
        """The date of a naive UTC instant in a time zone."""
        aware = exp.AtTimeZone(this=moment.copy(), zone=exp.Literal.string("UTC"))
        return exp.cast(exp.AtTimeZone(this=exp.paren(aware), zone=exp.Literal.string(zone)), "DATE")

    def filtered(self, aggregate: exp.Expr, where: exp.Expr | None) -> exp.Expr:
        """An aggregate over the rows that satisfy a condition."""
        if where is None:
            return aggregate
        return exp.Filter(this=aggregate, expression=exp.Where(this=where.copy()))

    def outermost(
        self, value: exp.Expr, order: Sequence[exp.Expr], where: exp.Expr | None, *, last: bool
    ) -> exp.Expr:
        """Aggregate: the value, NULL included, of the first or last row in the order of some expressions."""
        place = exp.Tuple(expressions=[each.copy() for each in order])
        return self.filtered(_call("arg_max_null" if last else "arg_min_null", value.copy(), place), where)

    def quantile(self, number: exp.Expr, share: float, where: exp.Expr | None) -> exp.Expr:
        """Aggregate: the interpolated quantile of floats; NULL for none."""
        return self.filtered(_call("quantile_cont", number.copy(), exp.Literal.number(repr(share))), where)

    def any_true(self, condition: exp.Expr) -> exp.Expr:
        """Aggregate: TRUE when a condition is TRUE in any row."""
        return exp.LogicalOr(this=condition.copy())


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _lambda(name: str, body: exp.Expr) -> exp.Expr:
    return exp.Lambda(this=body, expressions=[exp.to_identifier(name)], colon=True)


def _once(value: exp.Expr, said: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Say something of a value that may be long; what is said names it more than once."""
    if not value.find(exp.Case):
        return said(value)
    body = _lambda("held", said(exp.column("held")))
    return _call(
        "list_extract",
        _call("list_transform", exp.Array(expressions=[value.copy()]), body),
        exp.Literal.number(1),
    )


def _type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="duckdb")


def _try(value: exp.Expr, kind: str) -> exp.Expr:
    return exp.TryCast(this=value.copy(), to=_type(kind))


def _variant(value: exp.Expr) -> exp.Expr:
    return exp.cast(value, _type("VARIANT"))


def _kind(value: exp.Expr) -> exp.Expr:
    return _call("variant_typeof", value.copy())


def _is_array(value: exp.Expr) -> exp.Expr:
    return _call("starts_with", _kind(value), exp.Literal.string("ARRAY"))


def _is_number(value: exp.Expr) -> exp.Expr:
    is_decimal = _call("starts_with", _kind(value), exp.Literal.string("DECIMAL"))
    return exp.or_(_kind(value).isin(*_NUMBERS), is_decimal)


def _elements(value: exp.Expr) -> exp.Expr:
    # cast to VARIANT[] at once, they take thirty times as long
    parts = exp.TryCast(this=value.copy(), to=_type("JSON[]"))
    return _call("list_transform", parts, _lambda("part", _try(exp.column("part"), "VARIANT")))


def _ascending(value: exp.Expr) -> exp.Expr:
    return exp.Ordered(this=value.copy(), nulls_first=True)
