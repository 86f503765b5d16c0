"""One pass over the events of a selection, however many figures it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlglot import exp

from audiences.comparing import as_number, in_window
from audiences.conditions import Conditions, OfEvents
from audiences.engines.engine import Kind
from audiences.facts import Fact
from audiences.periods import span_of
from audiences.rules import Events, Node, Reading, Selection

__all__ = ["event_scan"]

_LARGEST = 1e18


def event_scan(
    conditions: Conditions, selection: Selection, source: exp.Select, columns: Mapping[Fact, str]
) -> exp.Select:
    """Write one pass over the events of a selection, with a column for each fact.

    What facts ask of a single event is worked out once an event, below the aggregates: facts often differ
    in their windows only.

    Args:
        conditions: writes conditions on single events.
        selection: which events.
        source: an empty SELECT from them; the owner's column is `id`.
        columns: fact → its column.
    """
    asked: dict[object, tuple[str, exp.Expr]] = {}
    reads: dict[exp.Expr, str] = {}
    events_at = OfEvents(selection, exp.column("properties"), reads)

    def of_event(about: object, make: Callable[[], exp.Expr]) -> exp.Expr:
        if about not in asked:
            asked[about] = (f"asked {len(asked)}", make())
        return exp.column(asked[about][0], quoted=True)

    columns_of: list[exp.Expr] = []
    for fact, column in columns.items():
        aggregate = _aggregate(conditions, fact, of_event, events_at)
        columns_of.append(exp.alias_(aggregate, column, quoted=True, copy=False))
    oldest = _oldest([fact.events for fact in columns], conditions.as_of)
    if oldest:
        source.where(exp.column("occurred_at") >= conditions.engine.instant(oldest), copy=False)
    of_them = ("id", "occurred_at", "received_at", "message_id")
    if reads:
        # a level of their own: what stands inside a CASE is not read from the shredded column
        source.select(*of_them, "properties", copy=False)
        for held, name in reads.items():
            source.select(exp.alias_(held, name, quoted=True, copy=False), copy=False)
        source = exp.select().from_(source.subquery("read_events", copy=False), copy=False)
    events = source.select(*of_them, copy=False)
    for name, condition in asked.values():
        events.select(exp.alias_(condition, name, quoted=True, copy=False), copy=False)
    each_event = events.subquery("each_event", copy=False)
    return (
        exp.select("id")
        .select(*columns_of, copy=False)
        .from_(each_event, copy=False)
        .group_by("id", copy=False)
    )


def _aggregate(
    asking: Conditions,
    fact: Fact,
    of_event: Callable[[object, Callable[[], exp.Expr]], exp.Expr],
    events_at: OfEvents,
) -> exp.Expr:
    events, engine = fact.events, asking.engine
    occurred_at = exp.column("occurred_at")
    at = occurred_at if events.clock == "occurred" else exp.column("received_at")
    order = (occurred_at, exp.column("message_id"))
    filters = [in_window(events.window, at, asking.as_of, engine)]
    where_node = events.where
    if where_node is not None:
        filters.append(of_event(where_node, lambda: asking.rule(where_node, events_at)))

    def where(*more: exp.Expr) -> exp.Expr | None:
        every = [each for each in (*filters, *more) if each is not None]
        return exp.and_(*every) if every else None

    def value() -> exp.Expr:
        return asking.property(events_at, fact.path)

    def number(*, exact: bool, read: object = "plain") -> exp.Expr:
        def make() -> exp.Expr:
            held = asking.number(events_at, fact.path, cast("Reading", read))
            if not exact:
                return held
            low, high = as_number(-_LARGEST), as_number(_LARGEST)
            small = exp.and_(exp.GT(this=held, expression=low), exp.LT(this=held.copy(), expression=high))
            return exp.Case().when(small, engine.exact(held))

        return of_event(("number", fact.path, exact, read), make)

    match fact.figure:
        case "count":
            return engine.filtered(exp.Count(this=exp.Star()), where())
        case "days":
            zone = cast("str", fact.detail)
            day = of_event(("day", zone), lambda: engine.local_date(occurred_at, zone))
            return engine.filtered(exp.Count(this=exp.Distinct(expressions=[day])), where())
        case "numbers" | "sum" | "min" | "max":
            exact = fact.figure in ("numbers", "sum")
            kind = {"numbers": exp.Count, "sum": exp.Sum, "min": exp.Min, "max": exp.Max}[fact.figure]
            return engine.filtered(kind(this=number(exact=exact, read=fact.detail)), where())
        case "quantile":
            return engine.quantile(number(exact=False), cast("float", fact.detail), where())
        case "first" | "last":
            if fact.detail is None:
                picked = of_event(("value", fact.path), value)
                there = engine.exists(picked)
            else:
                only = cast("Kind", fact.detail)
                picked = of_event((only, fact.path), lambda: asking.read(events_at, value(), only))
                there = picked.copy().is_(exp.null()).not_()
            return engine.outermost(picked, order, where(there), last=fact.figure == "last")
        case "first_at":
            # the first by when it occurred, and its instant by the clock that the window looks at
            if events.clock == "occurred":
                return engine.filtered(exp.Min(this=at), where())
            return engine.outermost(at, order, where(), last=False)
        case "last_at":
            return engine.filtered(exp.Max(this=occurred_at), where())
        case "has":
            has = cast("Node", fact.detail)
            answer = of_event(("has", has), lambda: asking.rule(has, events_at))
            return engine.outermost(answer, order, where(), last=True)


def _oldest(every: Sequence[Events], as_of: datetime) -> datetime | None:
    starts = []
    for events in every:
        start = span_of(events.window, as_of).start
        if start is None or events.clock == "received":
            return None
        starts.append(start)
    return min(starts)
