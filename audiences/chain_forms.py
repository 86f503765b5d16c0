"""Sequences in one pass a step: chains of steps, and steps in any order.

A chain is found step by step. All that a step needs to know of the steps before it is when they were, and the
latest choice is the best: every limit but one says that an earlier step is not too long ago (`within`, no
excluded event since then, not too many events since then), and the one that says that it is long enough ago
(`after`) is about neighbours, so it only says which rows come into question. Among those, the last row has
the latest times of *all* steps before it, by induction: a later row may choose from the same rows and more.
So one running maximum over (profile, time) a step finds the choice that satisfies everything if any does,
and no two events are ever joined. What breaks this (an `after` that counts from the first step; an event that
could be two steps of one instant) is no chain, and `chains.py` finds it by trying.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from audiences.chain_tables import Draft, Other, column, is_placed
from audiences.rules import Exclusion, Sequence

__all__ = ["Gap", "chain", "gaps", "is_sorted", "spanning", "together"]


@dataclass(frozen=True, slots=True)
class Gap:
    """How a step follows the one before it.

    Attributes:
        order: at a later instant; at the same one too; or, at the same one, by message id.
        after: at least so many seconds later.
        within: at most so many seconds later.
        since_first: at most so many seconds after the first step.
        places: among the next so many events of the profile.
    """

    order: Literal["later", "same", "message"]
    after: int = 0
    within: int | None = None
    since_first: int | None = None
    places: int | None = None


def gaps(node: Sequence, *, stricter: bool) -> tuple[Gap, ...]:
    """How the steps of a sequence follow each other, as far as a chain can say it.

    A sequence that is no chain has no such gaps; then these ask for more than it does, or for less.

    Args:
        node: the sequence.
        stricter: rather for more: the steps in order, at different instants, an `after` that counts from the
            first step counting from the one before.

    Returns:
        One gap for every step but the first.
    """
    if node.any_order:
        return (Gap("later"),) * (len(node.steps) - 1)
    found = []
    for number, step in enumerate(node.steps[1:], start=1):
        from_first = step.since == "first" and number > 1
        after = 0 if step.after is None or (from_first and not stricter) else step.after.seconds
        within = None if step.within is None else step.within.seconds
        places = 1 if node.adjacent else step.within_events
        order: Literal["later", "same", "message"] = "same"
        if stricter or node.ties == "strict":
            order = "later"
        elif places is not None or (
            # events that can stand for each other can be chosen in this order, unless their places matter
            step.events == node.steps[number - 1].events and not is_placed(node)
        ):
            order = "message"
        found.append(
            Gap(order, after, None if from_first else within, within if from_first else None, places)
        )
    return tuple(found)


def spanning(node: Sequence) -> tuple[tuple[str, int, int, Exclusion], ...]:
    """The exclusions between two steps: a name, the earlier step, the later one, and the exclusion.

    Args:
        node: a sequence.

    Returns:
        Without those between a step and an earlier one, where nothing can lie if the steps are in order.
    """
    return tuple(
        (f"prior_{number}", each.after, each.before, each)
        for number, each in enumerate(node.exclusions)
        if each.after is not None and each.before is not None and each.after != each.before
        if node.any_order or each.after < each.before
    )


def chain(draft: Draft, found: tuple[Gap, ...]) -> str:
    """Find the events that end a chain of steps.

    Args:
        draft: the query, to which tables are added.
        found: how each step but the first follows the one before it.

    Returns:
        Name of the table of the last step's events.
    """
    name = draft.candidates(0)
    for number in range(1, len(found) + 1):
        name = _follow(draft, found, number, name)
    return name


def is_sorted(node: Sequence, found: tuple[Gap, ...]) -> bool:
    """Whether finding a chain takes more than the earliest event of each step.

    Args:
        node: the sequence.
        found: how each step but the first follows the one before it.
    """
    return not all(_is_free(node, found, number) for number in range(1, len(found) + 1))


def _is_free(node: Sequence, found: tuple[Gap, ...], number: int) -> bool:
    gap = found[number - 1]
    return gap.places is None and gap.order != "message" and not _carried(node, found, number)


def _follow(draft: Draft, found: tuple[Gap, ...], number: int, before: str) -> str:
    """The events of a step that follow an event of the table of the step before."""
    gap, carried = found[number - 1], _carried(draft.node, found, number)
    if _is_free(draft.node, found, number):
        return _follow_any(draft, gap, number, before)
    previous = f"t_{number - 1}"
    columns: dict[str, exp.Expr] = {f"t_{each}": exp.column(f"t_{each}") for each in carried}
    columns[previous] = exp.column("t")
    if gap.places is not None:
        columns["place_before"] = exp.column("place")
    excluded = [each for each in spanning(draft.node) if each[1] < each[2] == number]
    is_early = gap.after > 0 or gap.order == "same"
    others = [Other(before, columns, 0 if is_early else 2, gap.after)]
    others += [Other(draft.scoped(each.events), {name: exp.column("t")}, 3) for name, _, _, each in excluded]
    # only the first row after an event can matter, but for rows of one instant that differ
    is_plain = all(each.places is None and each.order != "message" for each in found)
    rows = draft.with_latest(
        draft.candidates(number),
        others,
        by_message=gap.order == "message" and gap.after == 0,
        nearest=number == len(found) and not excluded and is_plain,
    )
    conditions: list[exp.Expr] = [exp.column(previous).is_(exp.null()).not_()]
    limits = [(previous, gap.within), ("t_0", gap.since_first)]
    if number == len(found) and draft.node.within is not None:
        limits.append(("t_0", draft.node.within.seconds))
    for start, seconds in limits:
        if seconds is not None:
            conditions.append(exp.column("t") <= draft.engine.later(exp.column(start), seconds))
    if gap.places is not None:
        farthest = exp.Add(this=exp.column("place_before"), expression=exp.Literal.number(gap.places))
        conditions.append(exp.column("place") <= farthest)
    for name, earlier, _, _ in excluded:
        conditions.append(
            exp.or_(exp.column(name).is_(exp.null()), exp.column(name) <= exp.column(f"t_{earlier}"))
        )
    kept = [f"t_{each}" for each in _carried(draft.node, found, number + 1) if each != number]
    select = exp.select(*draft.base, *kept).from_(rows.subquery("found", copy=False)).where(*conditions)
    return draft.add("step", select)


def _follow_any(draft: Draft, gap: Gap, number: int, before: str) -> str:
    """The same where the earliest event of the step before is as good as any."""
    earliest = exp.select(*draft.keys, exp.Min(this=exp.column("t")).as_("t")).from_(before)
    bound: exp.Expr = column("t", "b")
    if gap.after:
        bound = draft.engine.later(bound, gap.after)
    in_order = exp.GTE if gap.after or gap.order == "same" else exp.GT
    select = (
        exp.select(*(column(each, "c") for each in draft.base))
        .from_(exp.to_table(draft.candidates(number)).as_("c"))
        .join(earliest.group_by(*draft.keys).subquery("b", copy=False), on=draft.matching("c", "b"))
        .where(in_order(this=column("t", "c"), expression=bound))
    )
    return draft.add("step", select)


def _carried(node: Sequence, found: tuple[Gap, ...], number: int) -> list[int]:
    """The earlier steps whose instants a step or a later one asks for."""
    asked: set[int] = set()
    for later in range(number, len(found) + 1):
        gap = found[later - 1]
        if gap.within is not None:
            asked.add(later - 1)
        if gap.since_first is not None or (later == len(found) and node.within is not None):
            asked.add(0)
        asked.update(earlier for _, earlier, before, _ in spanning(node) if before == later)
    return sorted(each for each in asked if each < number)


def together(draft: Draft, times: dict[int, int]) -> str:
    """Find the profiles that have events of several steps, close enough together, in any order.

    Args:
        draft: the query, to which tables are added.
        times: number of a step → how many of its events are needed.

    Returns:
        Name of the table of what was found, with an `id`.
    """
    within = draft.node.within
    if within is None:
        return draft.add("together", _enough_each(draft, times))
    parts: list[exp.Select] = []
    for number, needed in times.items():
        rows = exp.select(*draft.keys, "t").from_(draft.candidates(number))
        started: exp.Expr = exp.column("t")
        if needed > 1:
            partition = [exp.column(each) for each in draft.keys]
            back = exp.Lag(this=exp.column("t"), offset=exp.Literal.number(needed - 1))
            order = exp.Order(expressions=[exp.column("t")])
            started = exp.Window(this=back, partition_by=partition, order=order)
        values = [
            started.as_(f"t_{each}") if each == number else exp.cast(exp.null(), "TIMESTAMP").as_(f"t_{each}")
            for each in times
        ]
        parts.append(rows.select(*values))
    everything: exp.Query = parts[0]
    for part in parts[1:]:
        everything = exp.union(everything, part, distinct=False, copy=False)
    # the default frame holds the rows of the same instant
    latest = [
        exp.Window(
            this=exp.Max(this=exp.column(f"t_{each}")),
            partition_by=[exp.column(key) for key in draft.keys],
            order=exp.Order(expressions=[exp.column("t")]),
        ).as_(f"t_{each}")
        for each in times
    ]
    seen = exp.select("id", "t", *latest).from_(everything.subquery("everything", copy=False))
    near = (exp.column("t") <= draft.engine.later(exp.column(f"t_{each}"), within.seconds) for each in times)
    return draft.add(
        "together", exp.select("id").distinct().from_(seen.subquery("seen", copy=False)).where(*near)
    )


def _enough_each(draft: Draft, times: dict[int, int]) -> exp.Select:
    select = exp.select()
    for position, (number, needed) in enumerate(times.items()):
        counted = exp.select(*draft.keys).from_(draft.candidates(number)).group_by(*draft.keys)
        enough = counted.having(exp.Count(this=exp.Star()) >= needed).subquery(f"e{position}")
        if position == 0:
            select = select.select(column("id", "e0")).distinct().from_(enough)
        else:
            select = select.join(enough, on=draft.matching("e0", f"e{position}"))
    return select
