"""Whom a run has to look at again: whose data changed since the last one, and whose timers rang."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlglot import exp

from audiences.compile import Question, selected
from audiences.periods import calendar_days
from audiences.rules import Selection
from audiences.timers import EventTimer, TraitTimer
from identity.store.warehouse import Warehouse
from identity.tables import temporary
from identity.touched import touched_since

__all__ = ["gather_dirty"]


def gather_dirty(
    warehouse: Warehouse,
    question: Question,
    rings: Iterable[EventTimer | TraitTimer],
    since: datetime,
    touched: int,
    table: str,
) -> int:
    """Find the profiles whose answer can differ from that of an earlier run.

    Args:
        warehouse: holds the events.
        question: what is asked now.
        rings: the timers of every rule that is computed.
        since: the instant of the earlier run, aware.
        touched: the number that the earlier run had seen of touched profiles.
        table: name of the temporary table of `profile_id` to make.

    Returns:
        How many.
    """
    found: exp.Query = touched_since(touched)
    for each in _rung(question, list(rings), since):
        found = exp.union(found, each, distinct=False, copy=False)
    rows = found.subquery("found", copy=False)
    everybody = exp.select("profile_id").distinct().from_(rows, copy=False).where("profile_id IS NOT NULL")
    warehouse.execute(temporary(table, everybody))
    counted = warehouse.query(exp.select(exp.Count(this=exp.Star()).as_("n")).from_(table))
    return int(counted["n"][0].as_py())


def _rung(question: Question, rings: list[EventTimer | TraitTimer], since: datetime) -> Iterable[exp.Select]:
    """Profiles with an event, or a trait, whose timer rang in `(since, as_of]`."""
    by_selection: dict[Selection, list[exp.Expr]] = {}
    by_trait: dict[str, list[exp.Expr]] = {}
    for timer in rings:
        if isinstance(timer, EventTimer):
            spans = timer.spans(since, question.as_of)
            at = exp.column("occurred_at" if timer.clock == "occurred" else "received_at")
            conditions = [_between(question, at, *span) for span in spans]
            by_selection.setdefault(timer.selection, []).extend(conditions)
        else:
            by_trait.setdefault(timer.trait.path[0], []).append(_trait_rang(question, timer, since))
    # who was not known yet is nobody's member, not even where a rule asks for nothing
    yield (
        exp.select("profile_id")
        .from_("profiles")
        .where(_between(question, exp.column("first_seen_at"), since, question.as_of))
    )
    for selection, conditions in by_selection.items():
        if conditions:
            of_them = selected(selection, question.engine)
            query = exp.select("profile_id").from_("profile_events")
            yield query.where(of_them, exp.or_(*conditions))
    for name, conditions in by_trait.items():
        named = exp.column("name").eq(name)
        yield exp.select("profile_id").from_("profile_traits").where(named, exp.or_(*conditions))


def _trait_rang(question: Question, timer: TraitTimer, since: datetime) -> exp.Expr:
    engine, as_of = question.engine, question.as_of
    if timer.held is not None:
        rang = _between(question, exp.column("occurred_at"), since - timer.held, as_of - timer.held)
        if timer.held:
            return rang
        return exp.or_(rang, _between(question, exp.column("received_at"), since, as_of))
    value: exp.Expr = exp.column("value")
    for key in timer.trait.path[1:]:
        value = engine.into(value, key)
    if timer.recurs is not None:
        days, zone = timer.recurs.days, timer.recurs.zone
        changed = set(calendar_days(since, days, zone)) ^ set(calendar_days(as_of, days, zone))
        if not changed:
            return exp.false()

        def on_day(held: exp.Expr) -> exp.Expr:
            start, length = exp.Literal.number(6), exp.Literal.number(5)
            return exp.Substring(this=engine.text(held), start=start, length=length).isin(*sorted(changed))

        return engine.any_element(value, on_day, every=False)
    after = timer.after or timedelta()
    return engine.any_element(
        value,
        lambda held: _between(question, engine.moment(held), since - after, as_of - after),
        every=False,
    )


def _between(question: Question, at: exp.Expr, first: datetime, last: datetime) -> exp.Expr:
    engine = question.engine
    return exp.and_(
        exp.GTE(this=at.copy(), expression=engine.instant(first)),
        exp.LTE(this=at.copy(), expression=engine.instant(last)),
    )
