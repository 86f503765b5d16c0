"""SQL in a rule reads three relations, calls what depends on its arguments alone, and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import pytest
from sqlglot import exp

from audiences import RuleError, sandbox
from audiences.sandbox import checked_query

IDS = ("profile_id",)
VALUES = ("profile_id", "value")

ALLOWED = [
    (IDS, "select profile_id from profile_events where name = 'A' group by profile_id having count(*) >= 3"),
    (
        IDS,
        "with b as (select profile_id, count(*) filter (where name = 'A') as a, sum(try_cast(variant_extract("
        "properties, 'v') as double)) as v from profile_events group by all) select "
            "profile_id from b where v > 10",
    ),
    (
        IDS,
        "select profile_id from profile_events where variant_extract(properties, 's')::varchar = 'x1' "
        "union select profile_id from profile_events where date_trunc('day', occurred_at) = "
            "date '2026-01-02'",
    ),
    (IDS, "(select profile_id from profiles) except (select profile_id from profile_traits)"),
    (IDS, "from profile_events select profile_id order by occurred_at, profile_id limit 3"),
    (
        IDS,
        "select profile_id from profile_events where regexp_matches(name, '^A') and name "
            "like 'A%' and occurred_at "
        "> timestamp '2026-01-01 00:00:00' + interval 3 day and name in ('A', 'B') and "
            "exists (select 1 from profiles)",
    ),
    (IDS, "select e.profile_id from profile_events e left join profiles p using (profile_id) "
            "where p.profile_id is not null"),
    (VALUES, "select profile_id, max(occurred_at) as value from profile_events group by 1"),
    (
        VALUES,
        "select profile_id, arg_max(variant_extract(properties, 'v')::double, (occurred_at, "
            "message_id)) as value "
        "from profile_events group by profile_id",
    ),
    (VALUES, "select profile_id, date_diff('day', min(occurred_at), max(occurred_at)) as value "
            "from profile_events group by 1"),
    (VALUES, "select profile_id, len(list_distinct(list_sort([1, 2, 1]))) as value from profile_events"),
    (
        VALUES,
        "select profile_id, lag(occurred_at) over (partition by profile_id order by "
            "occurred_at) as value from "
        "profile_events qualify row_number() over (partition by profile_id order by occurred_at desc) = 1",
    ),
    (
        VALUES,
        "select profile_id, case when count(*) > 3 then 'many' else lower('FEW') end as "
            "value from profile_events "
        "group by profile_id",
    ),
    (VALUES, "select profile_id, list_filter([1, 2, 3], lambda x: x > 1)[1] as value from profile_events"),
    (VALUES, "select profile_id, coalesce(median(try_cast(name as double)), 0) as value from "
            "profile_events group by 1"),
    (VALUES, "select profile_id, split_part(name, 'x', 1) || substr(name, 1, 1) as value from "
            "profile_events"),
    (VALUES, "select profile_id, year(occurred_at) + extract(month from occurred_at) as value "
            "from profile_events"),
    (VALUES, "select profile_id, strftime(occurred_at, '%Y-%m') as value from profile_events"),
    (VALUES, "with a as (select profile_id from profiles), b as (select profile_id, 1 as n from a) "
             "select profile_id, n as value from b"),
]  # fmt: skip


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """The three relations with a hundred events."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE profiles (profile_id VARCHAR)")
    connection.execute("INSERT INTO profiles SELECT 'p' || i FROM range(7) t(i)")
    connection.execute("CREATE TABLE profile_traits (profile_id VARCHAR, name VARCHAR, value VARIANT)")
    connection.execute(
        "CREATE TABLE profile_events AS SELECT 'p' || (i % 5) AS profile_id, 'm' || i AS message_id, "
        "CASE WHEN i % 3 = 0 THEN 'A' ELSE 'B' END AS name, TIMESTAMP '2026-01-01' + "
        "INTERVAL (i) HOUR AS occurred_at, "
        "{'v': i, 's': 'x' || (i % 4)}::VARIANT AS properties FROM range(100) t(i)"
    )
    yield connection
    connection.close()


@pytest.mark.parametrize(("columns", "sql"), ALLOWED, ids=[sql[:60] for _, sql in ALLOWED])
def test_an_allowed_query_means_what_it_meant(
    warehouse: duckdb.DuckDBPyConnection, columns: tuple[str, ...], sql: str
) -> None:
    """Its canonical text returns the same rows, and is its own canonical text."""
    canonical = checked_query(sql, columns)
    assert checked_query(canonical, columns) == canonical
    expected = sorted(map(repr, warehouse.execute(sql).fetchall()))
    assert sorted(map(repr, warehouse.execute(canonical).fetchall())) == expected
    assert expected


def test_layout_and_comments_do_not_matter() -> None:
    """So that a reformatted query keeps its fingerprint."""
    one = checked_query("select profile_id from profiles", IDS)
    assert checked_query("SELECT  profile_id -- all\nFROM profiles /* of them */", IDS) == one


REFUSED = [
    # other relations
    ("select profile_id from secret", "and not 'secret'"),
    ("select profile_id from profile_event", "Did you mean 'profile_events'"),
    ("select profile_id from main.profiles", "and not main.profiles"),
    ("select profile_id from information_schema.tables", "and not information_schema.tables"),
    ("select profile_id from 'people.csv'", "and not 'people.csv'"),
    ("select profile_id from read_csv('people.csv')", "and not READ_CSV"),
    ("select profile_id from range(5) t(profile_id)", "and not RANGE"),
    ("select profile_id from duckdb_settings()", "and not DUCKDB_SETTINGS"),
    ("select profile_id from query_table('secret')", "and not QUERY_TABLE"),
    ("select profile_id from profiles where exists (from secret select 1)", "and not 'secret'"),
    ("select profile_id from profiles where (select count(*) from secret) > 1", "and not 'secret'"),
    ("select profile_id from profiles semi join secret using (profile_id)", "and not 'secret'"),
    ("select profile_id from profiles where x in secret", "needs parentheses"),
    # a WITH part is seen where it is, and nowhere else
    (
        "select profile_id from secret union "
        "select profile_id from (with secret as (select profile_id from profiles) select "
            "profile_id from secret)",
        "and not 'secret'",
    ),
    ("with a as (select profile_id from b), b as (select profile_id from profiles) "
            "select profile_id from a", "not 'b'"),
    ("with a as (select profile_id from a) select profile_id from a", "not 'a'"),
    (
        "with recursive a as (select profile_id from profiles union select profile_id from "
            "a) select profile_id from a",
        "recursive",
    ),
    ("with profiles as (select 'x' as profile_id) select profile_id from profiles", "hides the relation"),
    # chance, clocks, files, settings
    ("select profile_id from profiles where random() < 0.5", "sample(…)"),
    ("select profile_id from profiles where uuid() = 'x'", "UUID()"),
    ("select profile_id from profiles where at < now()", "now(…)"),
    ("select profile_id from profiles where at < current_timestamp", "did(…).within(…)"),
    ("select profile_id from profiles where at < current_date", "did(…).within(…)"),
    ("select profile_id from profiles where at < cast('now' as timestamp)", "looks at the clock"),
    ("select profile_id from profiles where at < try_cast(' Today ' as date)", "looks at the clock"),
    ("select profile_id from profiles where getenv('HOME') = 'x'", "getenv(…)"),
    ("select profile_id from profiles where current_setting('x') = 'x'", "current_setting(…)"),
    ("select current_user as profile_id", "CURRENT_USER"),
    ("select profile_id from profiles where list_filter([1], lambda x: random() > x)", "RANDOM()"),
    ("select profile_id from profiles order by random()", "RANDOM()"),
    # the order of rows
    ("select profile_id from profiles limit 5", "without ORDER BY"),
    ("select profile_id from profiles offset 5", "without ORDER BY"),
    ("select any_value(profile_id) as profile_id from profiles", "min(…)"),
    ("select first(profile_id) as profile_id from profiles", "arg_min(…)"),
    ("select distinct on (a) profile_id from profiles", "DISTINCT ON"),
    ("select profile_id from profiles using sample 10%", "TableSample"),
    ("select profile_id from profiles positional join profiles b", "positional join"),
    # other constructs
    ("drop table profiles", "only reads; this starts with drop"),
    ("insert into profiles select 'x'", "only reads"),
    ("attach 'x.db'", "only reads"),
    ("copy profiles to 'x'", "only reads"),
    ("set x = 1", "only reads"),
    ("values ('x')", "only reads"),
    ("select profile_id from profiles; drop table profiles", "2 statements"),
    ("", "0 statements"),
    ("select profile_id into other from profiles", "an Into"),
    ("select profile_id from profiles for update", "a Lock"),
    ("select profile_id from profiles where a = ?", "a Placeholder"),
    ("select profile_id from profiles where a = $b", "a Placeholder"),
    ("select profile_id from profiles, lateral (select 1)", "a Lateral"),
    ("select unnest([profile_id]) as profile_id from profiles", "UNNEST"),
    ("select #1 as profile_id from profiles", "PositionalColumn"),
    ("select profile_id from profiles where a::some_type = 1", "cast to some_type"),
    ("select profile_id from profiles where wat(profile_id)", "wat(…)"),
    ("select profile_id from profiles where variant_extrct(a, 'b') = 1", "Did you mean 'variant_extract'"),
    # columns
    ("select * from profiles", "names its columns"),
    ("select p.* from profiles p", "names its columns"),
    ("select columns('profile.*') from profiles", "COLUMNS"),
    ("select profile_id, 1 as value from profiles", "exactly profile_id"),
    ("select profile_id as id from profiles", "The query returns id"),
    ("select profile_id from profiles union select name from profile_traits", "The query returns name"),
    ("select profile_id from profiles union all by name select profile_id from profiles", "BY NAME"),
    # not SQL at all
    ("select profile_id from", "can't be read as SQL"),
    ("hello", "only reads; this starts with hello"),
    ("select profile_id from profiles where " + "(" * 3_000 + "1" + ")" * 3_000, "too deeply"),
    ("select profile_id from profiles where a = '" + "x" * 10_000 + "'", "10,000 are the limit"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "says"), REFUSED, ids=[sql[:60] for sql, _ in REFUSED])
def test_what_is_on_no_list_is_refused(sql: str, says: str) -> None:
    """The text says what, and where there is one, the way out."""
    with pytest.raises(RuleError, match=re.escape(says)):
        checked_query(sql, IDS)


def test_the_lists_name_what_there_is() -> None:
    """Constructs and functions that sqlglot knows under these names, and no function among the constructs."""
    for name in sandbox._SYNTAX | sandbox._FUNCTIONS:
        assert issubclass(getattr(exp, name), exp.Expr)
    assert not any(issubclass(getattr(exp, name), exp.Func) for name in sandbox._SYNTAX)
    assert all(issubclass(getattr(exp, name), exp.Func) for name in sandbox._FUNCTIONS)
    assert set(exp.DType.__members__) >= sandbox._TYPES
