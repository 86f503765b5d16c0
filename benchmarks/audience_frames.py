"""Audiences by hand in pandas, in Polars and in Ibis, a computation each."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.audience_cases import (
    ORDER,
    Case,
    Counted,
    Either,
    Every,
    Figured,
    Filter,
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
from benchmarks.audience_events import AS_OF, FIELDS, NUMBERS, Data

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import polars as pl

__all__ = ["IBIS", "PANDAS", "POLARS"]


def _ago(days: int) -> datetime:
    return (AS_OF - timedelta(days=days)).replace(tzinfo=None)


def _events_of(leaf: Leaf) -> Selected:
    """The events that a condition is over; the first event ever is looked for in all of them."""
    assert not isinstance(leaf, Followed)
    return Selected(leaf.of.name, leaf.of.where) if isinstance(leaf, First) else leaf.of


def _test(leaf: Leaf, figure: Any) -> Any:
    """Compare a column of figures, of whichever library."""
    match leaf:
        case Counted(_, op, number) | Figured(_, _, _, op, number) | Varied(_, _, op, number):
            return ORDER[op](figure, number)
        case Picked(_, _, _, value):
            return figure == value
        case Recent(_, "<=", days):
            return figure > _ago(days + 1)
        case Recent(_, _, days):
            return figure <= _ago(days)
        case First(of):
            return figure > _ago(of.oldest or 0)
        case Followed():
            raise ValueError("a sequence is no figure")


# --------------------------------------------------------------------------------------------------- pandas


@contextmanager
def _pandas(data: Data) -> Iterator[tuple[pd.DataFrame, pd.Index[int]]]:
    texts = [field for field in FIELDS if field not in NUMBERS]
    columns = ["profile", "name", "occurred_at", *FIELDS]
    parts = [pq.read_table(part, columns=columns, read_dictionary=["name", *texts]) for part in data.parts]
    table = pa.concat_tables(parts).unify_dictionaries()
    del parts
    frame = table.to_pandas(split_blocks=True, self_destruct=True)
    yield frame, pq.read_table(data.people).to_pandas().set_index("profile").index


def _pandas_members(
    opened: tuple[pd.DataFrame, pd.Index[int]], cases: Sequence[Case]
) -> Iterator[tuple[str, pd.Index[int]]]:
    for case in cases:
        yield case.key, _pandas_rule(*opened, case.rule)


def _pandas_rule(frame: pd.DataFrame, everybody: pd.Index[int], rule: Rule) -> pd.Index[int]:
    match rule:
        case Every(rules):
            parts = (_pandas_rule(frame, everybody, each) for each in rules)
            return reduce(lambda left, right: left.intersection(right), parts)
        case Either(rules):
            parts = (_pandas_rule(frame, everybody, each) for each in rules)
            return reduce(lambda left, right: left.union(right), parts)
        case Followed(first, then, hours):
            return _pandas_followed(frame, first, then, hours)
        case _:
            figures = _pandas_figures(frame, rule)
            hit = _test(rule, figures)
            return everybody.difference(figures.index[~hit]) if of_nobody(rule) else figures.index[hit]


def _pandas_picked(frame: pd.DataFrame, of: Selected) -> pd.Series[bool]:
    mask = frame["name"] == of.name
    if of.oldest is not None:
        mask &= frame["occurred_at"] > _ago(of.oldest)
    if of.newest:
        mask &= frame["occurred_at"] <= _ago(of.newest)
    for each in of.where:
        column = frame[each.field]
        match each.op:
            case "contains":
                # a category is a text that came up: far fewer than rows
                mask &= column.isin([text for text in column.cat.categories if str(each.value) in text])
            case "in":
                mask &= column.isin(list(each.value))  # type: ignore[arg-type]
            case op:
                mask &= ORDER[op](column, each.value)  # type: ignore[arg-type]
    return mask


def _pandas_figures(frame: pd.DataFrame, leaf: Leaf) -> pd.Series[Any]:
    mask = _pandas_picked(frame, _events_of(leaf))
    match leaf:
        case Counted():
            return frame.loc[mask, ["profile"]].groupby("profile", sort=False).size()
        case Figured(_, "sum", field, _, _):
            return frame.loc[mask, ["profile", field]].groupby("profile", sort=False)[field].sum(min_count=1)
        case Figured(_, function, field, _, _):
            values = frame.loc[mask, ["profile", field]].groupby("profile", sort=False)[field]
            return values.agg("mean" if function == "avg" else function)
        case Varied(_, field, _, _):
            values = frame.loc[mask, ["profile", field]].dropna().drop_duplicates()
            return values.groupby("profile", sort=False).size()
        case Picked(_, which, field, _):
            values = frame.loc[mask, ["profile", "occurred_at", field]].dropna().sort_values("occurred_at")
            return values.drop_duplicates("profile", keep=which).set_index("profile")[field]
        case _:
            times = frame.loc[mask, ["profile", "occurred_at"]].groupby("profile", sort=False)["occurred_at"]
            return times.min() if isinstance(leaf, First) else times.max()


def _pandas_followed(frame: pd.DataFrame, first: Selected, then: Selected, hours: int) -> pd.Index[int]:
    import pandas as pd

    before, after = (
        frame.loc[_pandas_picked(frame, of), ["profile", "occurred_at"]].sort_values("occurred_at")
        for of in (first, then)
    )
    before["started_at"] = before["occurred_at"]
    found = pd.merge_asof(
        after,
        before,
        on="occurred_at",
        by="profile",
        tolerance=pd.Timedelta(hours=hours),
        allow_exact_matches=False,
    )
    return pd.Index(found.loc[found["started_at"].notna(), "profile"].unique())


PANDAS = Contender(open=_pandas, members=_pandas_members, numbers=lambda found: found.to_numpy(np.int64))
"""Everything in one frame in memory, texts as categories; a mask, then a group-by."""


# --------------------------------------------------------------------------------------------------- Polars


@contextmanager
def _polars(data: Data) -> Iterator[tuple[pl.LazyFrame, pl.LazyFrame]]:
    import polars as pl

    yield pl.scan_parquet(data.parts), pl.scan_parquet(data.people)


def _polars_members(
    opened: tuple[pl.LazyFrame, pl.LazyFrame], cases: Sequence[Case]
) -> Iterator[tuple[str, pl.DataFrame]]:
    for case in cases:
        yield case.key, _polars_rule(*opened, case.rule).collect()


def _polars_rule(events: pl.LazyFrame, everybody: pl.LazyFrame, rule: Rule) -> pl.LazyFrame:
    import polars as pl

    match rule:
        case Every(rules):
            parts = [_polars_rule(events, everybody, each) for each in rules]
            return reduce(lambda left, right: left.join(right, on="profile", how="semi"), parts)
        case Either(rules):
            return pl.concat([_polars_rule(events, everybody, each) for each in rules]).unique()
        case Followed(first, then, hours):
            before, after = (
                events.filter(_polars_picked(of)).select("profile", "occurred_at").sort("occurred_at")
                for of in (first, then)
            )
            found = after.join_asof(
                before.with_columns(started_at="occurred_at"),
                on="occurred_at",
                by="profile",
                tolerance=timedelta(hours=hours),
                allow_exact_matches=False,
                check_sortedness=False,
            )
            return found.filter(pl.col("started_at").is_not_null()).select("profile").unique()
        case _:
            figure, exists = _polars_figure(rule)
            chosen = events.filter(_polars_picked(_events_of(rule)), *exists)
            grouped = chosen.group_by("profile").agg(figure.alias("figure"))
            hit = _test(rule, pl.col("figure"))
            if of_nobody(rule):
                return everybody.join(grouped.filter(~hit), on="profile", how="anti")
            return grouped.filter(hit).select("profile")


def _polars_picked(of: Selected) -> pl.Expr:
    import polars as pl

    parts = [pl.col("name") == of.name]
    if of.oldest is not None:
        parts.append(pl.col("occurred_at") > _ago(of.oldest))
    if of.newest:
        parts.append(pl.col("occurred_at") <= _ago(of.newest))
    for each in of.where:
        column = pl.col(each.field)
        match each.op:
            case "contains":
                parts.append(column.str.contains(str(each.value), literal=True))
            case "in":
                parts.append(column.is_in(list(each.value)))  # type: ignore[arg-type]
            case op:
                parts.append(ORDER[op](column, each.value))  # type: ignore[arg-type]
    return reduce(operator.and_, parts)


def _polars_figure(leaf: Leaf) -> tuple[pl.Expr, list[pl.Expr]]:
    """A figure, and what must be there so that it isn't of nothing."""
    import polars as pl

    at = pl.col("occurred_at")
    match leaf:
        case Figured(_, function, field, _, _):
            function = "mean" if function == "avg" else function  # type: ignore[assignment]
            return getattr(pl.col(field), function)(), [pl.col(field).is_not_null()]
        case Varied(_, field, _, _):
            return pl.col(field).n_unique(), [pl.col(field).is_not_null()]
        case Picked(_, which, field, _):
            value = pl.col(field)
            return value.min_by(at) if which == "first" else value.max_by(at), [value.is_not_null()]
        case Recent():
            return at.max(), []
        case First():
            return at.min(), []
        case _:
            return pl.len(), []


POLARS = Contender(
    open=_polars,
    members=_polars_members,
    numbers=lambda found: found["profile"].to_numpy(),
)
"""Lazy scans of the Parquet files; collected in memory, a little faster here than streaming."""


# ----------------------------------------------------------------------------------------------------- Ibis


@contextmanager
def _ibis(data: Data) -> Iterator[tuple[ibis.Table, ibis.Table]]:
    import ibis

    connection = ibis.duckdb.connect(data.duckdb, read_only=True, threads=THREADS)
    connection.raw_sql("SET enable_progress_bar = false")
    yield connection.table("events"), connection.table("profiles")
    connection.disconnect()


def _ibis_members(
    opened: tuple[ibis.Table, ibis.Table], cases: Sequence[Case]
) -> Iterator[tuple[str, pa.Table]]:
    for case in cases:
        yield case.key, _ibis_rule(*opened, case.rule).to_pyarrow()


def _ibis_rule(events: ibis.Table, everybody: ibis.Table, rule: Rule) -> ibis.Table:
    if isinstance(rule, Followed):
        before, after = (
            events.filter(_ibis_picked(events, of)).select("profile", "occurred_at")
            for of in (rule.first, rule.then)
        )
        before = before.rename(started_at="occurred_at")
        found = after.asof_join(before, after.occurred_at > before.started_at, "profile")
        later = found.occurred_at.delta(found.started_at, unit="microsecond")
        return found.filter(later <= rule.hours * 3_600_000_000).select("profile").distinct()
    parts = list(leaves(rule))
    chosen = events.filter(reduce(operator.or_, (_ibis_picked(events, _events_of(leaf)) for leaf in parts)))
    figures = {f"c{nth}": _ibis_figure(chosen, leaf, alone=len(parts) == 1) for nth, leaf in enumerate(parts)}
    grouped = chosen.group_by("profile").agg(**figures)
    hit = _ibis_condition(rule, {leaf: grouped[f"c{nth}"] for nth, leaf in enumerate(parts)})
    if of_nobody(rule):
        return everybody.anti_join(grouped.filter(~hit.fill_null(False)), "profile")
    return grouped.filter(hit).select("profile")


def _ibis_condition(rule: Rule, figures: dict[Leaf, ibis.Value]) -> ibis.BooleanValue:
    match rule:
        case Every(rules):
            return reduce(operator.and_, (_ibis_condition(each, figures) for each in rules))
        case Either(rules):
            return reduce(operator.or_, (_ibis_condition(each, figures) for each in rules))
        case _:
            return _test(rule, figures[rule])


def _ibis_filter(events: ibis.Table, each: Filter) -> ibis.BooleanValue:
    column = events[each.field]
    match each.op:
        case "contains":
            return column.contains(each.value)
        case "in":
            return column.isin(each.value)
        case op:
            return ORDER[op](column, each.value)  # type: ignore[arg-type]


def _ibis_picked(events: ibis.Table, of: Selected) -> ibis.BooleanValue:
    parts = [events["name"] == of.name, *(_ibis_filter(events, each) for each in of.where)]
    if of.oldest is not None:
        parts.append(events.occurred_at > _ago(of.oldest))
    if of.newest:
        parts.append(events.occurred_at <= _ago(of.newest))
    return reduce(operator.and_, parts)


def _ibis_figure(events: ibis.Table, leaf: Leaf, *, alone: bool) -> ibis.Value:
    where = None if alone else _ibis_picked(events, _events_of(leaf))
    match leaf:
        case Figured(_, function, field, _, _):
            return getattr(events[field], "mean" if function == "avg" else function)(where=where)
        case Varied(_, field, _, _):
            return events[field].nunique(where=where)
        case Picked(_, "first", field, _):
            return events[field].argmin(events.occurred_at, where=where)
        case Picked(_, _, field, _):
            return events[field].argmax(events.occurred_at, where=where)
        case Recent():
            return events.occurred_at.max(where=where)
        case First():
            return events.occurred_at.min(where=where)
        case _:
            return events.count(where=where)


def _numbers(found: pa.Table) -> npt.NDArray[np.int64]:
    return found["profile"].to_numpy()  # type: ignore[no-any-return]


IBIS = Contender(open=_ibis, members=_ibis_members, numbers=_numbers)
"""Expressions on DuckDB's table in the order of arrival."""
