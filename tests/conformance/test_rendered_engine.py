"""How every engine writes what rules need: in its own dialect, and right where translation goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlglot import exp, parse_one

from audiences.engines import ENGINES, Engine

VALUE, WORD, AMOUNT, AT = (exp.column(name) for name in ("value", "word", "amount", "seen"))
HOSTILE = "a.b'\"$[\\x`; -- ☕"
COUNT = exp.Count(this=exp.Star())


def is_text(engine: Engine) -> Callable[[exp.Expr], exp.Expr]:
    return lambda value: engine.text(value).eq(HOSTILE)


FUNCTIONS: dict[str, Callable[[Engine], exp.Expr]] = {
    "key": lambda e: e.key(VALUE, HOSTILE),
    "into": lambda e: e.into(e.key(VALUE, "a"), HOSTILE),
    "exists": lambda e: e.exists(VALUE),
    "any": lambda e: e.any_element(e.into(VALUE, "a"), is_text(e), every=False),
    "every": lambda e: e.any_element(VALUE, is_text(e), every=True),
    "text": lambda e: e.text(VALUE),
    "number": lambda e: e.number(VALUE),
    "numeric": lambda e: e.numeric(VALUE),
    "flag": lambda e: e.flag(VALUE),
    "known": lambda e: e.known(VALUE, "number"),
    "wrapped": lambda e: e.wrapped(AMOUNT),
    "moment": lambda e: e.moment(VALUE),
    "scalars": lambda e: e.scalars(VALUE),
    "explode": lambda e: e.explode(exp.select("place").from_("given"), e.scalars(VALUE), "each one"),
    "stored": lambda e: e.stored(e.flag(VALUE), AMOUNT, WORD),
    "collected": lambda e: e.collected(VALUE, [AMOUNT, e.ordered_text(WORD)]),
    "ordered text": lambda e: e.ordered_text(WORD) < exp.Literal.string("a"),
    "contains": lambda e: e.asks_text(WORD, "contains", HOSTILE),
    "starts with": lambda e: e.asks_text(WORD, "starts_with", HOSTILE),
    "ends with": lambda e: e.asks_text(WORD, "ends_with", HOSTILE),
    "matches": lambda e: e.asks_text(WORD, "matches", r"^(?:a\.|[$\]])+$"),
    "folded": lambda e: e.folded(WORD),
    "hash": lambda e: e.hash(WORD),
    "exact": lambda e: e.exact(AMOUNT),
    "whole": lambda e: e.whole(COUNT.copy()),
    "instant": lambda e: e.instant(datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
    "later": lambda e: e.later(AT, -3600),
    "microseconds": lambda e: e.microseconds(e.later(AT, 60), AT),
    "local date": lambda e: e.local_date(AT, "Europe/Berlin"),
    "filtered": lambda e: e.filtered(COUNT.copy(), AMOUNT > 5),
    "filtered distinct": lambda e: e.filtered(
        exp.Count(this=exp.Distinct(expressions=[WORD.copy()])), AMOUNT > 5
    ),
    "last": lambda e: e.outermost(VALUE, [AT, e.ordered_text(WORD)], AMOUNT > 5, last=True),
    "first": lambda e: e.outermost(VALUE, [AT, e.ordered_text(WORD)], None, last=False),
    "quantile": lambda e: e.quantile(AMOUNT, 0.5, AMOUNT > 5),
    "any true": lambda e: e.any_true(AMOUNT > 5),
}


@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_written_in_the_dialect(dialect: str, function: str) -> None:
    """The dialect's own reader accepts it, and finds in it every text as it was given."""
    made = FUNCTIONS[function](ENGINES[dialect])
    written = made.sql(dialect=dialect)
    read = parse_one(written, dialect=dialect)
    assert not read.find(exp.Command)
    assert texts(made) <= texts(read) or read.sql(dialect=dialect) == written
    assert "__" not in written


def texts(made: exp.Expr) -> set[str]:
    return {each.this for each in made.find_all(exp.Literal) if each.is_string}


@pytest.mark.parametrize("dialect", ENGINES)
def test_what_comes_out_goes_into_more(dialect: str) -> None:
    """A value from deep inside is an operand, and a question of it a condition, like any other."""
    engine = ENGINES[dialect]
    deep = engine.into(engine.into(engine.key(VALUE, "a"), "b"), "c")
    asked = engine.any_element(deep, is_text(engine), every=False)
    for made in (asked, engine.exists(deep), engine.number(deep).eq(5), engine.text(deep).eq("x")):
        query = exp.select("place").from_("given").where(made).where(deep.is_(exp.null()).not_())
        parse_one(query.sql(dialect=dialect), dialect=dialect)


@pytest.mark.parametrize("dialect", ENGINES)
def test_what_is_put_in_is_not_changed(dialect: str) -> None:
    """An expression may serve in many places."""
    engine = ENGINES[dialect]
    for made in FUNCTIONS.values():
        made(engine)
    assert all(each.parent is None for each in (VALUE, WORD, AMOUNT, AT, COUNT))
    assert VALUE.sql() == "value"


TRAPS = {
    "key": {
        "duckdb": "VARIANT_EXTRACT(value, 'k')",
        "postgres": "NULLIF((value -> 'k'), 'null')",
        "spark": "CASE WHEN NOT IS_VARIANT_NULL(TRY_CAST(value AS MAP<STRING, VARIANT>)['k']) "
        "THEN TRY_CAST(value AS MAP<STRING, VARIANT>)['k'] END",
        "bigquery": "CASE WHEN JSON_TYPE(value['k']) <> 'null' THEN value['k'] END",
        "snowflake": "STRIP_NULL_VALUE(GET(value, 'k'))",
    },
    "flag": {
        "postgres": "CASE WHEN JSONB_TYPEOF(value) = 'boolean' THEN CAST(value AS BOOLEAN) END",
        "spark": "CASE WHEN SCHEMA_OF_VARIANT(value) = 'BOOLEAN' THEN TRY_CAST(value AS BOOLEAN) END",
        "bigquery": "CASE WHEN JSON_TYPE(value) = 'boolean' THEN LAX_BOOL(value) END",
        "snowflake": "AS_BOOLEAN(value)",
    },
    "hash": {
        "duckdb": "MD5(word)",
        "postgres": 'MD5(word) COLLATE "C"',
        "spark": "MD5(word)",
        "bigquery": "TO_HEX(MD5(word))",
        "snowflake": "MD5(word)",
    },
    "filtered": {
        "duckdb": "COUNT(*) FILTER(WHERE amount > 5)",
        "postgres": "COUNT(*) FILTER(WHERE amount > 5)",
        "spark": "COUNT(*) FILTER(WHERE amount > 5)",
        "bigquery": "COUNTIF(amount > 5)",
        "snowflake": "COUNT_IF(amount > 5)",
    },
    "filtered distinct": {
        "postgres": "COUNT(DISTINCT word) FILTER(WHERE amount > 5)",
        "bigquery": "COUNT(DISTINCT CASE WHEN amount > 5 THEN word END)",
        "snowflake": "COUNT(DISTINCT CASE WHEN amount > 5 THEN word END)",
    },
    "last": {
        "duckdb": "ARG_MAX_NULL(value, (seen, word)) FILTER(WHERE amount > 5)",
        "postgres": '(ARRAY_AGG(value ORDER BY seen DESC NULLS LAST, word COLLATE "C" DESC NULLS LAST) '
        "FILTER(WHERE amount > 5))[1]",
        "spark": "MAX_BY(value, STRUCT(seen AS key_0, word AS key_1)) FILTER(WHERE amount > 5)",
        "bigquery": "ARRAY_AGG(CASE WHEN amount > 5 THEN STRUCT(value AS held) END IGNORE NULLS "
        "ORDER BY seen DESC, word DESC LIMIT 1)[SAFE_OFFSET(0)].held",
        "snowflake": "STRIP_NULL_VALUE(GET(GET(ARRAY_AGG(CASE WHEN amount > 5 THEN "
        "OBJECT_CONSTRUCT('held', value) END) WITHIN GROUP (ORDER BY seen DESC NULLS LAST, "
        "word DESC NULLS LAST), 0), 'held'))",
    },
    "collected": {
        "postgres": 'JSONB_AGG(value ORDER BY amount NULLS FIRST, word COLLATE "C" NULLS FIRST)',
        "bigquery": "CASE WHEN COUNT(*) > 0 THEN TO_JSON(ARRAY_AGG(value ORDER BY amount ASC, word ASC)) END",
        "snowflake": "CASE WHEN COUNT(*) > 0 THEN TO_VARIANT(ARRAY_AGG(COALESCE(value, PARSE_JSON('null'))) "
        "WITHIN GROUP (ORDER BY amount ASC NULLS FIRST, word ASC NULLS FIRST)) END",
    },
    "instant": {
        "postgres": "CAST('2026-01-02 03:04:05.000006' AS TIMESTAMP)",
        "spark": "CAST('2026-01-02 03:04:05.000006' AS TIMESTAMP_NTZ)",
        "bigquery": "CAST('2026-01-02 03:04:05.000006' AS DATETIME)",
        "snowflake": "CAST('2026-01-02 03:04:05.000006' AS TIMESTAMPNTZ)",
    },
    "later": {
        "duckdb": "(seen + TO_SECONDS(-3600))",
        "postgres": "(seen + CAST('-3600 seconds' AS INTERVAL))",
        "spark": "DATE_ADD(SECOND, -3600, seen)",
        "bigquery": "DATETIME_ADD(seen, INTERVAL -3600 SECOND)",
        "snowflake": "DATEADD(SECOND, -3600, seen)",
    },
    "microseconds": {
        "postgres": "CAST(EXTRACT(EPOCH FROM (seen + CAST('60 seconds' AS INTERVAL)) - seen) * 1000000 "
        "AS BIGINT)",
        "spark": "TIMESTAMPDIFF(MICROSECOND, seen, DATE_ADD(SECOND, 60, seen))",
        "bigquery": "DATETIME_DIFF(DATETIME_ADD(seen, INTERVAL 60 SECOND), seen, MICROSECOND)",
        "snowflake": "DATEDIFF(MICROSECOND, seen, DATEADD(SECOND, 60, seen))",
    },
    "matches": {
        "postgres": r"word ~ '^(?:a\.|[$\]])+$'",
        "spark": r"word RLIKE '^(?:a\\.|[$\\]])+\\z'",
        "bigquery": r"REGEXP_CONTAINS(word, '^(?:a\\.|[$\\]])+$')",
        "snowflake": r"REGEXP_INSTR(word, '^(a\\.|[$\\]])+$') > 0",
    },
    "quantile": {
        "postgres": "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY amount) FILTER(WHERE amount > 5)",
        "spark": "PERCENTILE(amount, 0.5) FILTER(WHERE amount > 5)",
        "snowflake": "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY CASE WHEN amount > 5 THEN amount END)",
    },
}


@pytest.mark.parametrize(
    ("function", "dialect"), [(function, dialect) for function, texts in TRAPS.items() for dialect in texts]
)
def test_a_trap_of_translation_is_avoided(function: str, dialect: str) -> None:
    """Letter by letter, where a translated expression would fail or mean something else."""
    made = ENGINES[dialect].key(VALUE, "k") if function == "key" else FUNCTIONS[function](ENGINES[dialect])
    assert made.sql(dialect=dialect).upper() == TRAPS[function][dialect].upper()


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "spark", "duckdb"])
def test_no_text_is_read_by_a_cast_that_can_fail(dialect: str) -> None:
    """Every cast of a stored value is one that gives NULL instead."""
    engine = ENGINES[dialect]
    for made in (engine.text, engine.number, engine.numeric, engine.flag, engine.moment):
        for cast in made(VALUE).find_all(exp.Cast):
            assert isinstance(cast, exp.TryCast) or cast.this.is_string, cast.sql(dialect=dialect)
