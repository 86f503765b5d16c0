"""Audiences as PostHog and Dittofeed compute them, on the ClickHouse engine of chdb.

Written from how the two describe it, over a MergeTree ordered by name, profile and time with typed columns,
where they keep texts of JSON. PostHog: a query a cohort; one scan of the names that it needs, no further back
than it needs, with a `countIf` a condition, and the conditions combined outside; a sequence is a second scan
with window functions. Dittofeed: an INSERT … SELECT a node that keeps `uniqState` and `argMaxState` for every
profile, then an INSERT … SELECT a segment that resolves these states to true or false, then the members. Its
windows are exact here, where it cuts the time into tenths of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

import pyarrow as pa

from benchmarks.audience_cases import (
    Case,
    Counted,
    Either,
    Every,
    First,
    Followed,
    Leaf,
    Picked,
    Rule,
    Selected,
    leaves,
    of_nobody,
)
from benchmarks.audience_contender import THREADS, Contender
from benchmarks.audience_duckdb import numbers_of
from benchmarks.audience_events import AS_OF, FIELDS, NUMBERS, Data

__all__ = ["DITTOFEED", "POSTHOG"]

Session = Any
"""A session of chdb, which has no types."""

STATES = """
    CREATE TABLE states (
        node UInt32, profile Int64,
        last_value AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
        unique_count AggregateFunction(uniq, Int64)
    ) ENGINE = AggregatingMergeTree ORDER BY (node, profile)
"""
ASSIGNMENTS = """
    CREATE TABLE assignments (segment String, profile Int64, value Bool, assigned_at DateTime64(6, 'UTC'))
    ENGINE = ReplacingMergeTree(assigned_at) ORDER BY (segment, profile)
"""


@contextmanager
def _connected(data: Data) -> Iterator[Session]:
    session: Session = import_module("chdb.session").Session(str(data.folder / "clickhouse"))
    session.query(f"SET max_threads = {THREADS}, max_insert_threads = {THREADS}")
    try:
        yield session
    finally:
        session.close()


def _store(data: Data) -> None:
    typed = [f"{field} {_type(field)}" for field in FIELDS]
    with _connected(data) as session:
        for table in ("events", "profiles"):
            session.query(f"DROP TABLE IF EXISTS {table} SYNC")
        session.query(
            "CREATE TABLE events (message_id Int64, profile Int64, name LowCardinality(String), "
            f"occurred_at DateTime64(6, 'UTC'), {', '.join(typed)}) "
            "ENGINE = MergeTree ORDER BY (name, profile, occurred_at)"
        )
        session.query("CREATE TABLE profiles (profile Int64) ENGINE = MergeTree ORDER BY profile")
        session.query(f"INSERT INTO profiles SELECT profile FROM file('{data.people}', Parquet)")
        for part in data.parts:
            session.query(f"INSERT INTO events SELECT * FROM file('{part}', Parquet)")
        session.query("OPTIMIZE TABLE events FINAL")


def _type(field: str) -> str:
    return "Nullable(Float64)" if field in NUMBERS else "LowCardinality(Nullable(String))"


def _read(session: Session, sql: str) -> pa.Table:
    return pa.ipc.open_file(session.query(sql, "Arrow").bytes()).read_all()


def _selected(of: Selected) -> str:
    parts = [f"name = '{of.name}'"]
    if of.oldest is not None:
        parts.append(f"occurred_at > {_ago(of.oldest)}")
    if of.newest:
        parts.append(f"occurred_at <= {_ago(of.newest)}")
    for each in of.where:
        match each.op:
            case "contains":
                parts.append(f"position({each.field}, '{each.value}') > 0")
            case "in":
                parts.append(f"{each.field} IN {each.value!r}")
            case op:
                parts.append(f"{each.field} {op} {each.value!r}")
    return " AND ".join(parts)


def _ago(days: int) -> str:
    return f"toDateTime64('{AS_OF - timedelta(days=days):%Y-%m-%d %H:%M:%S}', 6, 'UTC')"


def _combined(rule: Rule, columns: dict[Leaf, str]) -> str:
    match rule:
        case Every(rules):
            return " AND ".join(f"({_combined(each, columns)})" for each in rules)
        case Either(rules):
            return " OR ".join(f"({_combined(each, columns)})" for each in rules)
        case _:
            return columns[rule]


# -------------------------------------------------------------------------------------------------- PostHog


def _posthog_says(rule: Rule) -> bool:
    """Counts, first time, two steps, and what combines them; never only who did nothing."""
    return not of_nobody(rule) and all(isinstance(leaf, Counted | First | Followed) for leaf in leaves(rule))


def _posthog(session: Session, cases: Sequence[Case]) -> Iterator[tuple[str, pa.Table]]:
    for case in cases:
        sql = _steps(case.rule) if isinstance(case.rule, Followed) else _behaviour(case.rule)
        yield case.key, _read(session, sql)


def _behaviour(rule: Rule) -> str:
    columns: dict[Leaf, str] = {}
    fields, names, days = [], set(), 0
    for leaf in dict.fromkeys(leaves(rule)):
        columns[leaf] = f"condition_{len(columns)}"
        match leaf:
            case Counted(of, op, number):
                fields.append(f"countIf({_selected(of)}) {op} {number} AS {columns[leaf]}")
                days = max(days, of.oldest or 0)
            case First(of):
                # all of history has to be looked at
                ever, after = _selected(Selected(of.name, of.where)), _ago(of.oldest or 0)
                field = f"countIf({ever}) > 0 AND minIf(occurred_at, {ever}) > {after}"
                fields.append(f"{field} AS {columns[leaf]}")
                days = 10_000
        assert isinstance(leaf, Counted | First)
        names.add(f"'{leaf.of.name}'")
    return (
        f"SELECT profile FROM (SELECT profile, {', '.join(fields)} FROM events "
        f"WHERE name IN ({', '.join(sorted(names))}) "
        f"AND occurred_at <= {_ago(0)} AND occurred_at >= {_ago(days)} "
        f"GROUP BY profile) WHERE {_combined(rule, columns)}"
    )


def _steps(rule: Followed) -> str:
    oldest = max(rule.first.oldest or 0, rule.then.oldest or 0)
    return f"""
        SELECT profile FROM (
            SELECT profile, max(if(latest_1 <= latest_0 + INTERVAL {rule.hours} HOUR, 2, 1)) AS reached FROM (
                SELECT profile, latest_0, min(latest_1) OVER (
                    PARTITION BY profile ORDER BY occurred_at DESC
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS latest_1
                FROM (
                    SELECT profile, occurred_at, if({_selected(rule.first)}, occurred_at, NULL) AS latest_0,
                        if({_selected(rule.then)}, occurred_at, NULL) AS latest_1
                    FROM events
                    WHERE name IN ('{rule.first.name}', '{rule.then.name}')
                        AND occurred_at <= {_ago(0)} AND occurred_at > {_ago(oldest)}
                )
            ) WHERE latest_0 IS NOT NULL GROUP BY profile
        ) WHERE reached = 2
    """


# ------------------------------------------------------------------------------------------------ Dittofeed


def _dittofeed_says(rule: Rule) -> bool:
    """Counts within a length of time, the last event's property, and what combines them."""
    return all(_dittofeed_node(leaf) for leaf in leaves(rule))


def _dittofeed_node(leaf: Leaf) -> bool:
    if isinstance(leaf, Picked):
        return leaf.which == "last" and leaf.of.oldest is None
    if not isinstance(leaf, Counted) or leaf.of.newest:
        return False
    return all(each.op in ("==", ">=", "<") for each in leaf.of.where)


def _dittofeed(session: Session, cases: Sequence[Case]) -> Iterator[tuple[str, pa.Table]]:
    for table, made in (("states", STATES), ("assignments", ASSIGNMENTS)):
        session.query(f"DROP TABLE IF EXISTS {table} SYNC")
        session.query(made)
    node = 0
    for case in cases:
        tests: dict[Leaf, str] = {}
        first = node
        for leaf in dict.fromkeys(leaves(case.rule)):
            session.query(_state(node, leaf))
            tests[leaf] = _resolved(node, leaf)
            node += 1
        session.query(_assign(case, tests, range(first, node)))
        yield (
            case.key,
            _read(session, f"SELECT profile FROM assignments WHERE segment = '{case.key}' AND value"),
        )


def _state(node: int, leaf: Leaf) -> str:
    assert isinstance(leaf, Counted | Picked)
    value, exists = (leaf.field, f" AND {leaf.field} IS NOT NULL") if isinstance(leaf, Picked) else ("''", "")
    return (
        f"INSERT INTO states SELECT {node}, profile, "
        f"argMaxState(ifNull(toString({value}), ''), occurred_at), uniqState(message_id) "
        f"FROM events WHERE {_selected(leaf.of)}{exists} GROUP BY profile"
    )


def _resolved(node: int, leaf: Leaf) -> str:
    if isinstance(leaf, Picked):
        return f"anyIf(last, node = {node}) = '{leaf.value}'"
    assert isinstance(leaf, Counted)
    return f"sumIf(times, node = {node}) {leaf.op} {leaf.number}"


def _assign(case: Case, tests: dict[Leaf, str], nodes: range) -> str:
    states = (
        "SELECT node, profile, argMaxMerge(last_value) AS last, uniqMerge(unique_count) AS times FROM states "
        f"WHERE node >= {nodes.start} AND node < {nodes.stop} GROUP BY node, profile"
    )
    if of_nobody(case.rule):
        # a node that matches nothing has no state: everybody is looked at
        states += " UNION ALL SELECT 0xFFFFFFFF, profile, '', 0 FROM profiles"
    return (
        f"INSERT INTO assignments SELECT '{case.key}', profile, {_combined(case.rule, tests)}, {_ago(0)} "
        f"FROM ({states}) GROUP BY profile"
    )


def _contender(
    members: Callable[[Session, Sequence[Case]], Iterator[tuple[str, pa.Table]]],
    says: Callable[[Rule], bool],
) -> Contender:
    return Contender(
        open=_connected, members=members, numbers=numbers_of, says=says, store=_store, stored="clickhouse"
    )


POSTHOG = _contender(_posthog, _posthog_says)
"""A cohort's one scan with a column a condition."""

DITTOFEED = _contender(_dittofeed, _dittofeed_says)
"""A state a node, then a resolution a segment."""
