"""Audiences in DuckDB's SQL by hand: a query each, in two forms, and a shared one a name of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.audience_cases import (
    Case,
    Counted,
    Either,
    Every,
    Figured,
    First,
    Followed,
    Leaf,
    Picked,
    Recent,
    Rule,
    Selected,
    Varied,
    leaves,
    of_nobody,
)
from benchmarks.audience_contender import THREADS, Contender
from benchmarks.audience_events import AS_OF, NAMES, Data

__all__ = ["FILTER", "SHARED", "WHERE", "connected", "numbers_of", "query"]


def query(rule: Rule, *, where: bool) -> str:
    """Write an audience as one query over `events` and `profiles`.

    Args:
        rule: who belongs to it.
        where: whether events are picked in WHERE; else only the aggregates have filters.

    Returns:
        A SELECT of `profile`.
    """
    if isinstance(rule, Followed):
        return _followed(rule)
    parts = list(leaves(rule))
    alone = where and len(parts) == 1
    figures = {each: _figure(each) if alone else _filtered(each) for each in parts}
    picked = " OR ".join(dict.fromkeys(f"({_picked(each)})" for each in parts))
    grouped = f"SELECT profile FROM events {f'WHERE {picked}' if where else ''} GROUP BY profile"
    condition = _condition(rule, figures)
    if of_nobody(rule):
        others = f"{grouped} HAVING NOT coalesce({condition}, false)"
        return f"SELECT profile FROM profiles ANTI JOIN ({others}) USING (profile)"
    return f"{grouped} HAVING {condition}"


def _followed(rule: Followed) -> str:
    """The nearest first event before each of the others is the best one."""
    return (
        "SELECT DISTINCT b.profile "
        f"FROM (SELECT profile, occurred_at FROM events WHERE {_selected(rule.then)}) b "
        f"ASOF JOIN (SELECT profile, occurred_at FROM events WHERE {_selected(rule.first)}) a "
        f"ON a.profile = b.profile AND a.occurred_at < b.occurred_at "
        f"WHERE b.occurred_at - a.occurred_at <= INTERVAL {rule.hours} HOUR"
    )


def _condition(rule: Rule, figures: dict[Leaf, str]) -> str:
    match rule:
        case Every(rules):
            return " AND ".join(f"({_condition(each, figures)})" for each in rules)
        case Either(rules):
            return " OR ".join(f"({_condition(each, figures)})" for each in rules)
        case _:
            return _test(rule, figures[rule])


def _figure(leaf: Leaf) -> str:
    match leaf:
        case Counted():
            return "count(*)"
        case Figured(_, function, field, _, _):
            return f"{function}({field})"
        case Varied(_, field, _, _):
            return f"count(DISTINCT {field})"
        case Picked(_, which, field, _):
            return f"arg_{'min' if which == 'first' else 'max'}({field}, occurred_at)"
        case Recent():
            return "max(occurred_at)"
        case First():
            return "min(occurred_at)"
        case Followed():
            raise ValueError("a sequence is no figure")


def _test(leaf: Leaf, figure: str) -> str:
    match leaf:
        case Counted(_, op, number) | Figured(_, _, _, op, number) | Varied(_, _, op, number):
            return f"{figure} {op} {number}"
        case Picked(_, _, _, value):
            return f"{figure} = '{value}'"
        case Recent(_, "<=", days):
            return f"{figure} > {_ago(days + 1)}"
        case Recent(_, _, days):
            return f"{figure} <= {_ago(days)}"
        case First(of):
            return f"{figure} > {_ago(of.oldest or 0)}"
        case Followed():
            raise ValueError("a sequence is no figure")


def _filtered(leaf: Leaf) -> str:
    return f"{_figure(leaf)} FILTER (WHERE {_picked(leaf)})"


def _picked(leaf: Leaf) -> str:
    """The events that a figure is over; the first event ever is looked for in all of them."""
    assert not isinstance(leaf, Followed)
    return _selected(Selected(leaf.of.name, leaf.of.where) if isinstance(leaf, First) else leaf.of)


def _selected(of: Selected, *, named: bool = True) -> str:
    parts = [f"name = '{of.name}'"] if named else []
    if of.oldest is not None:
        parts.append(f"occurred_at > {_ago(of.oldest)}")
    if of.newest:
        parts.append(f"occurred_at <= {_ago(of.newest)}")
    for each in of.where:
        match each.op:
            case "contains":
                parts.append(f"contains({each.field}, '{each.value}')")
            case "in":
                parts.append(f"{each.field} IN {each.value!r}")
            case op:
                parts.append(f"{each.field} {op} {each.value!r}")
    return " AND ".join(parts) or "true"


def _ago(days: int) -> str:
    return f"TIMESTAMP '{AS_OF - timedelta(days=days):%Y-%m-%d %H:%M:%S}'"


@contextmanager
def connected(path: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file to read it.

    Args:
        path: the file.
    """
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"SET threads = {THREADS}; SET enable_progress_bar = false")
        yield connection


def numbers_of(found: pa.Table) -> npt.NDArray[np.int64]:
    """The members in an Arrow table whose first column is the profile.

    Args:
        found: such a table.
    """
    return found.column(0).to_numpy()  # type: ignore[no-any-return]


def _one_each(where: bool) -> Contender:
    def members(
        connection: duckdb.DuckDBPyConnection, cases: Sequence[Case]
    ) -> Iterator[tuple[str, pa.Table]]:
        for case in cases:
            yield case.key, connection.sql(query(case.rule, where=where)).to_arrow_table()

    return Contender(
        open=lambda data: connected(data.duckdb),
        members=members,
        numbers=numbers_of,
        says=lambda rule: where or not isinstance(rule, Followed),
    )


WHERE = _one_each(where=True)
"""A query an audience over events in the order of arrival, with the events picked in WHERE."""

FILTER = _one_each(where=False)
"""The same without WHERE: each aggregate has its filter. A sequence can't be said so."""


# -------------------------------------------------------------------- sorted events, one query for each name


def _store_sorted(data: Data) -> None:
    path = data.folder / "sorted.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(path) as connection:
        connection.execute(f"SET threads = {THREADS}; SET enable_progress_bar = false")
        # a sort of everything spills to disk beyond this
        connection.execute("SET memory_limit = '4GB'")
        connection.execute(f"CREATE TABLE profiles AS FROM read_parquet('{data.people}')")
        connection.execute(
            "CREATE TABLE events AS FROM read_parquet($1) ORDER BY name, profile, occurred_at", [data.parts]
        )


def _shared(connection: duckdb.DuckDBPyConnection, cases: Sequence[Case]) -> Iterator[tuple[str, pa.Table]]:
    by_name: dict[str, dict[Leaf, str]] = defaultdict(dict)
    place: dict[Leaf, tuple[str, str]] = {}
    for leaf in dict.fromkeys(leaf for case in cases for leaf in leaves(case.rule)):
        if not isinstance(leaf, Followed):
            column = f"c{len(by_name[leaf.of.name])}"
            by_name[leaf.of.name][leaf] = column
            place[leaf] = f"facts_{list(NAMES).index(leaf.of.name)}", column
    for name, columns in by_name.items():
        connection.execute(_facts(name, columns))
    for case in cases:
        sql = _followed(case.rule) if isinstance(case.rule, Followed) else _from_facts(case.rule, place)
        yield case.key, connection.sql(sql).to_arrow_table()


def _facts(name: str, columns: dict[Leaf, str]) -> str:
    """Whether each condition on the events of a name holds, for the profiles that have any of them."""
    whole = any(
        isinstance(leaf, First) or leaf.of.oldest is None
        for leaf in columns
        if not isinstance(leaf, Followed)
    )
    oldest = max((leaf.of.oldest or 0 for leaf in columns if not isinstance(leaf, Followed)), default=0)
    scanned = _selected(Selected(name, oldest=None if whole else oldest))
    tests = ", ".join(
        f"coalesce({_test(leaf, _filtered(leaf))}, false) AS {column}" for leaf, column in columns.items()
    )
    table = f"facts_{list(NAMES).index(name)}"
    return (
        f"CREATE OR REPLACE TEMP TABLE {table} AS "
        f"SELECT profile, {tests} FROM events WHERE {scanned} GROUP BY profile"
    )


def _from_facts(rule: Rule, place: dict[Leaf, tuple[str, str]]) -> str:
    parts = list(leaves(rule))
    tables = list(dict.fromkeys(place[leaf][0] for leaf in parts))
    if len(tables) == 1 and not of_nobody(rule):
        return f"SELECT profile FROM {tables[0]} WHERE {_combined(rule, place)}"
    joins = " ".join(f"LEFT JOIN {table} USING (profile)" for table in tables)
    return f"SELECT profile FROM profiles {joins} WHERE {_combined(rule, place)}"


def _combined(rule: Rule, place: dict[Leaf, tuple[str, str]]) -> str:
    match rule:
        case Every(rules):
            return " AND ".join(f"({_combined(each, place)})" for each in rules)
        case Either(rules):
            return " OR ".join(f"({_combined(each, place)})" for each in rules)
        case _:
            table, column = place[rule]
            return f"coalesce({table}.{column}, {str(of_nobody(rule)).lower()})"


SHARED = Contender(
    open=lambda data: connected(str(data.folder / "sorted.duckdb")),
    members=_shared,
    numbers=numbers_of,
    store=_store_sorted,
    stored="sorted.duckdb",
)
"""Events sorted by name, profile and time, and one query a name with the conditions of all audiences."""
