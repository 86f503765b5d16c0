"""Compiles sequences: to one pass a step where that is exact, else to trying all choices.

Trying is left to the profiles for which a sequence that asks for less holds and one that asks for more
doesn't; both of these are found in one pass a step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import combinations

from sqlglot import exp

from audiences.chain_forms import chain, gaps, is_sorted, spanning, together
from audiences.chain_tables import EVERYTHING, Draft, Other, Rows, column, is_placed
from audiences.engines.engine import Engine
from audiences.rules import Events, Named, Selection, Sequence

__all__ = ["is_one_pass", "sequence_ids", "sequence_steps", "tried_choices"]


def sequence_ids(node: Sequence, rows: Rows, engine: Engine, as_of: datetime) -> exp.Select:
    """Write the query of the profiles for which a sequence holds.

    Args:
        node: the sequence.
        rows: selects the visible events of a selection, its window and `where`, with stored values of theirs.
        engine: whose SQL.
        as_of: the instant of evaluation, aware.

    Returns:
        A SELECT of `id`, each once.
    """
    if _is_repetition(node):
        node = replace(node, any_order=True)
    if is_one_pass(node):
        return _one_pass(Draft(node, rows, engine, as_of, identified=False))
    draft = Draft(node, rows, engine, as_of)
    sure = chain(draft, gaps(node, stricter=True))
    each_once = dict.fromkeys(range(len(node.steps)), 1)
    maybe = together(draft, each_once) if node.any_order else chain(draft, gaps(node, stricter=False))
    in_doubt = exp.except_(exp.select("id").from_(maybe), exp.select("id").from_(sure))
    doubt = draft.add("doubt", exp.select("id").from_(in_doubt.subquery("in_doubt", copy=False)))
    tried = draft.add("tried", tried_choices(draft, doubt))
    both = exp.union(exp.select("id").from_(sure), exp.select("id").from_(tried))
    return draft.finished(exp.select("id").from_(both.subquery("found", copy=False)))


def _one_pass(draft: Draft) -> exp.Select:
    node = draft.node
    if node.any_order:
        draft.narrowed = node.within is not None
        found = together(draft, _classes(node))
    else:
        between = gaps(node, stricter=False)
        draft.narrowed = is_sorted(node, between)
        draft.identified = is_placed(node) or any(gap.order == "message" for gap in between)
        found = chain(draft, between)
    return draft.finished(exp.select("id").distinct().from_(found))


def is_one_pass(node: Sequence) -> bool:
    """Whether a sequence is compiled to one pass a step; else choices of its events are tried.

    Args:
        node: the sequence.
    """
    if node.any_order:
        return not spanning(node) and _is_apart(node)
    if any(
        step.since == "first" and step.after is not None and step.after.seconds for step in node.steps[2:]
    ):
        return False
    return node.ties == "strict" or _is_distinct(node)


def sequence_steps(node: Sequence) -> tuple[Events, ...]:
    """Every selection of events that decides whether a sequence holds.

    Args:
        node: the sequence.

    Returns:
        Those of its steps and exclusions, and all events where positions among them matter; each once.
    """
    found = [step.events for step in node.steps] + [each.events for each in node.exclusions]
    return tuple(dict.fromkeys([*found, EVERYTHING] if is_placed(node) else found))


def tried_choices(draft: Draft, doubt: str | None) -> exp.Select:
    """Write the query that tries all choices of events.

    Args:
        draft: the query, to which tables are added; its events have message ids.
        doubt: the table of the profiles that it is about; None for all.

    Returns:
        A SELECT of `id`, each once.
    """
    node = draft.node
    select = exp.select(column("id", "s0")).distinct()
    for number in range(len(node.steps)):
        table = exp.to_table(_tried(draft, number, doubt)).as_(f"s{number}")
        if number == 0:
            select = select.from_(table)
            continue
        conditions = [draft.matching("s0", f"s{number}")]
        for earlier in range(number):
            conditions += _pair(draft, earlier, number)
        select = select.join(table, on=exp.and_(*conditions))
    return select


def _tried(draft: Draft, number: int, doubt: str | None) -> str:
    """What may be a step, with the last excluded event before it of every exclusion that ends there."""
    name = draft.candidates(number)
    if doubt is not None:
        wanted = exp.column("id").isin(query=exp.select("id").from_(doubt))
        # each row is distinct already; saying so keeps engines from joining all profiles before choosing
        chosen = exp.select(*draft.base).distinct().from_(name).where(wanted)
        name = draft.add("doubtful", chosen)
    ending = [(prior, each) for prior, _, before, each in spanning(draft.node) if before == number]
    if not ending:
        return name
    others = [Other(draft.scoped(each.events), {prior: exp.column("t")}, 3) for prior, each in ending]
    return draft.add("doubtful", draft.with_latest(name, others))


def _pair(draft: Draft, earlier: int, later: int) -> list[exp.Expr]:
    """What must hold between two steps."""
    node, engine = draft.node, draft.engine
    first, second = column("t", f"s{earlier}"), column("t", f"s{later}")
    conditions: list[exp.Expr] = []
    if _overlap(node.steps[earlier].events.selection, node.steps[later].events.selection):
        conditions.append(column("message_id", f"s{earlier}").neq(column("message_id", f"s{later}")))
    ends = {earlier, later} == {0, len(node.steps) - 1}
    if node.within is not None and (node.any_order or ends):
        conditions.append(second <= engine.later(first, node.within.seconds))
        if node.any_order:
            conditions.append(first <= engine.later(second, node.within.seconds))
    for prior, after, before, _ in spanning(node):
        if {after, before} == {earlier, later}:
            last = column(prior, f"s{before}")
            conditions.append(exp.or_(last.is_(exp.null()), last <= column("t", f"s{after}")))
    if node.any_order:
        return conditions
    step = node.steps[later]
    if later == earlier + 1:
        conditions.append(second > first if node.ties == "strict" else second >= first)
        places = 1 if node.adjacent else step.within_events
        if places is not None:
            here, there = column("place", f"s{earlier}"), column("place", f"s{later}")
            farthest = exp.Add(this=here, expression=exp.Literal.number(places))
            conditions += [there > here, there <= farthest]
    if earlier == (later - 1 if step.since == "previous" else 0):
        if step.within is not None:
            conditions.append(second <= engine.later(first, step.within.seconds))
        if step.after is not None:
            conditions.append(second >= engine.later(first, step.after.seconds))
    return conditions


def _is_repetition(node: Sequence) -> bool:
    """Whether the steps are alike, with nothing between them, so that their order means nothing."""
    first, *others = node.steps
    alike = all(step == first for step in others) and first.within_events is None
    free = first.within is None and first.after is None and not node.adjacent
    return node.ties == "loose" and alike and free and not _names_steps(node)


def _names_steps(node: Sequence) -> list[int]:
    return [step for each in node.exclusions for step in (each.after, each.before) if step is not None]


def _classes(node: Sequence) -> dict[int, int]:
    """The first step of each selection → how many steps have that selection."""
    selections = [step.events for step in node.steps]
    return {selections.index(events): times for events, times in Counter(selections).items()}


def _is_apart(node: Sequence) -> bool:
    """Whether no event can be two steps, but for steps that are alike in everything."""
    alike = Counter(step.events for step in node.steps)
    if any(alike[node.steps[number].events] > 1 for number in _names_steps(node)):
        return False
    return not any(_overlap(one.selection, other.selection) for one, other in combinations(alike, 2))


def _is_distinct(node: Sequence) -> bool:
    """Whether steps that may share an instant can't share an event."""
    found = gaps(node, stricter=False)
    for earlier, later in combinations(range(len(node.steps)), 2):
        between = found[earlier:later]
        if any(gap.after for gap in between) or all(gap.order == "message" for gap in between):
            continue
        if _overlap(node.steps[earlier].events.selection, node.steps[later].events.selection):
            return False
    return True


def _overlap(one: Selection, other: Selection) -> bool:
    """Whether an event can be in both selections."""
    if isinstance(one, Named) and isinstance(other, Named):
        return not set(one.names).isdisjoint(other.names)
    if isinstance(one, Named):
        one, other = other, one
    prefix = one.prefix if not isinstance(one, Named) else ""
    if isinstance(other, Named):
        return any(name.startswith(prefix) for name in other.names)
    return prefix.startswith(other.prefix) or other.prefix.startswith(prefix)
