"""Why somebody is in an audience or not: each condition with its answer, its figure and its events.

What would change the answer if nothing else happened is found by asking again at every instant at which a
timer of the rule rings for this person.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import Question, compile_answers, compile_rows, selected
from audiences.explain import explain_condition
from audiences.masked import masked
from audiences.meaning import conditions, selections
from audiences.rules import (
    AllOf,
    AnyOf,
    Compare,
    Exists,
    Held,
    InAudience,
    Node,
    Not,
    OneOf,
    Operand,
    Recurs,
    Relative,
)
from audiences.timers import EventTimer, TraitTimer, needs_everybody, timers
from identity.store.warehouse import Warehouse
from identity.tables import temporary, uuid

__all__ = ["Evidence", "Reason", "Why", "explain_membership"]

_SHOWN = 5
_FURTHEST = timedelta(days=366)
_MOST_INSTANTS = 400
_PERSON = "asked_about"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One event that a condition looked at.

    Attributes:
        name: the event's name.
        occurred_at: when, UTC.
        message_id: its id.
    """

    name: str
    occurred_at: datetime
    message_id: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One part of a rule, asked of one person.

    Attributes:
        words: what it asks.
        holds: the answer.
        figure: the figure or the value that it looked at, for people; None when there is none to show.
        count: how many events it looked at.
        events: the latest of them, newest first.
        parts: what it is made of.
    """

    words: str
    holds: bool
    figure: str | None = None
    count: int = 0
    events: tuple[Evidence, ...] = ()
    parts: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Why somebody is in an audience, or not.

    Attributes:
        audience: its key.
        member: whether they are in it, decisions by hand included.
        by_hand: `in` or `out` when somebody decided so; None when the rule decides.
        reason: the rule, part by part.
        as_of: the instant that was asked about, UTC.
        changes_at: when `member` changes if nothing else happens, UTC; None when it does not.
        known_until: how far into the future that was looked at, UTC.
    """

    audience: str
    member: bool
    by_hand: str | None
    reason: Reason
    as_of: datetime
    changes_at: datetime | None
    known_until: datetime


def explain_membership(warehouse: Warehouse, audience: Audience, question: Question, profile_id: str) -> Why:
    """Say why a profile is in an audience, or not.

    Args:
        warehouse: holds everything.
        audience: an audience of profiles.
        question: as of when, and with what.
        profile_id: who.

    Raises:
        RuleError: a rule that can't be computed.
    """
    with warehouse.scratch("asked_id", pa.table({"asked": pa.array([profile_id])})) as name:
        only = exp.select(exp.cast(exp.column("asked"), "UUID").as_("profile_id")).from_(name)
        warehouse.execute(temporary(_PERSON, only))
    about = replace(question, only=_PERSON)
    rules: dict[str, Node] = {}
    operands: dict[str, Operand] = {}
    _gather(audience.rule, question, rules, operands)
    found = _answers(warehouse, rules, operands, about, profile_id)
    by_hand = _by_hand(warehouse, audience.key, profile_id)
    reason = _reason(warehouse, audience.rule, about, found)
    member = reason.holds if by_hand is None else by_hand == "in"
    changes_at, until = _changes_at(warehouse, audience, about, profile_id, member)
    return Why(audience.key, member, by_hand, reason, question.as_of, changes_at, until)


def _gather(node: Node, question: Question, rules: dict[str, Node], operands: dict[str, Operand]) -> None:
    """Every part of a rule, and every figure in it, by the name of its column."""
    rules.setdefault(_name(node), node)
    match node:
        case Not(rule):
            _gather(rule, question, rules, operands)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                _gather(part, question, rules, operands)
        case InAudience(key):
            _gather(question.audiences[key].rule, question, rules, operands)
        case Compare(operand) | OneOf(operand) | Exists(operand) | Relative(operand) | Recurs(operand):
            operands.setdefault(_name(operand), operand)
        case Held(trait):
            operands.setdefault(_name(trait), trait)
        case _:
            pass


def _name(part: object) -> str:
    return f"{type(part).__name__} {hash(part):x}"


def _answers(
    warehouse: Warehouse,
    rules: dict[str, Node],
    operands: dict[str, Operand],
    question: Question,
    profile_id: str,
) -> dict[str, object]:
    if any(needs_everybody(rule) for rule in rules.values()):
        question = replace(question, only=None)
    query = compile_answers(rules, operands, question)
    rows = warehouse.query(
        exp.select("*").from_(query.subquery("asked")).where(exp.column("profile_id").eq(uuid(profile_id)))
    ).to_pylist()
    # somebody of whom nothing was known yet satisfies nothing
    return rows[0] if rows else dict.fromkeys([*rules, *operands])


def _reason(warehouse: Warehouse, node: Node, question: Question, found: dict[str, object]) -> Reason:
    holds = bool(found[_name(node)])
    match node:
        case Not(rule):
            inner = _reason(warehouse, rule, question, found)
            if isinstance(rule, (AllOf, AnyOf)):
                return Reason("not", holds, parts=(inner,))
            return replace(inner, words=explain_condition(node), holds=holds)
        case AllOf(parts) | AnyOf(parts):
            words = "all of" if isinstance(node, AllOf) else "any of"
            return Reason(
                words, holds, parts=tuple(_reason(warehouse, part, question, found) for part in parts)
            )
        case InAudience(key):
            inner = _reason(warehouse, question.audiences[key].rule, question, found)
            return Reason(explain_condition(node), holds, parts=(inner,))
        case _:
            count, events = _evidence(warehouse, node, question)
            return Reason(explain_condition(node), holds, _figure(node, found), count, events)


def _figure(node: Node, found: dict[str, object]) -> str | None:
    match node:
        case Compare(operand) | OneOf(operand) | Exists(operand) | Relative(operand) | Recurs(operand):
            value = found[_name(operand)]
        case Held(trait):
            value = found[_name(trait)]
        case _:
            return None
    if value is None:
        return "missing"
    if isinstance(value, float):
        return f"{int(value):,}" if value == int(value) else f"{value:,}"
    return json.dumps(masked(str(value)), ensure_ascii=False)


def _evidence(warehouse: Warehouse, node: Node, question: Question) -> tuple[int, tuple[Evidence, ...]]:
    """The events that a condition looks at, newest first."""
    found: dict[str, datetime] = {}
    for events in selections(node):
        rows = warehouse.query(compile_rows(events, question)).to_pylist()
        found.update((row["message_id"], row["occurred_at"]) for row in rows)
    newest = sorted(found, key=lambda each: (found[each], each), reverse=True)[:_SHOWN]
    if not newest:
        return 0, ()
    named = warehouse.query(
        exp.select("message_id", "name").from_("profile_events").where(exp.column("message_id").isin(*newest))
    ).to_pylist()
    names = {row["message_id"]: row["name"] for row in named}
    return len(found), tuple(Evidence(names[each], found[each].replace(tzinfo=UTC), each) for each in newest)


def _by_hand(warehouse: Warehouse, key: str, profile_id: str) -> str | None:
    states = warehouse.query(
        exp.select("state")
        .from_("manual_members")
        .where(exp.column("audience").eq(key), exp.column("profile_id").eq(uuid(profile_id)))
    )["state"].to_pylist()
    return "out" if "out" in states else "in" if states else None


def _changes_at(
    warehouse: Warehouse, audience: Audience, question: Question, profile_id: str, member: bool
) -> tuple[datetime | None, datetime]:
    """The next instant at which the answer is another one, and how far ahead that was looked at."""
    until = question.as_of + _FURTHEST
    if needs_everybody(audience.rule):
        return None, question.as_of
    name = "member"
    instants = sorted({each for each in _rings(warehouse, audience, question) if each <= until})
    for number, at in enumerate(instants):
        if number == _MOST_INSTANTS:
            return None, at
        then = replace(question, as_of=at)
        rules: dict[str, Node] = {name: InAudience(audience.key)}
        answer = _answers(warehouse, rules, {}, then, profile_id)[name]
        if bool(answer) != member:
            return at, at
    return None, until


def _rings(warehouse: Warehouse, audience: Audience, question: Question) -> Iterator[datetime]:
    """Every instant after `as_of` at which a timer rings for the person asked about."""
    mine = exp.column("profile_id").isin(query=exp.select("profile_id").from_(_PERSON))
    known = exp.select(exp.column("first_seen_at").as_("at")).from_("profiles").where(mine)
    for at in warehouse.query(known)["at"].to_pylist():
        if at.replace(tzinfo=UTC) > question.as_of:
            yield at.replace(tzinfo=UTC)
    for timer in _timers(audience, question):
        if isinstance(timer, EventTimer):
            clock = "occurred_at" if timer.clock == "occurred" else "received_at"
            of_them = selected(timer.selection, question.engine)
            query = exp.select(exp.column(clock).as_("at")).distinct().from_("profile_events")
            for at in warehouse.query(query.where(of_them, mine))["at"].to_pylist():
                yield from (each for each in timer.rings(at.replace(tzinfo=UTC)) if each > question.as_of)
        elif timer.recurs is not None:
            yield from _midnights(question.as_of, timer.recurs.zone)
        else:
            yield from _trait_rings(warehouse, timer, question, mine)


def _timers(audience: Audience, question: Question) -> Sequence[EventTimer | TraitTimer]:
    found = set(timers(audience.rule))
    waiting = [audience.rule]
    for rule in waiting:
        for key in _named(rule):
            inner = question.audiences[key].rule
            waiting.append(inner)
            found |= timers(inner)
    return tuple(found)


def _named(node: Node) -> Iterator[str]:
    for each in conditions(node):
        if isinstance(each, InAudience):
            yield each.key


def _trait_rings(
    warehouse: Warehouse, timer: TraitTimer, question: Question, mine: exp.Expr
) -> Iterator[datetime]:
    name, *inner = timer.trait.path
    changes = exp.select("value").from_("profile_traits").where(exp.column("name").eq(name), mine)
    if timer.held is not None:
        after = timer.held
        at: exp.Expr = exp.column("occurred_at")
        if not after:
            # it becomes visible when it has both occurred and come in
            at = exp.Greatest(this=at, expressions=[exp.column("received_at")])
        query = changes.select(at.as_("at"), append=False).distinct()
    else:
        after = timer.after or timedelta()
        value: exp.Expr = exp.column("value")
        for key in inner:
            value = question.engine.into(value, key)
        dates = question.engine.explode(exp.select(), question.engine.scalars(value), "date")
        at = question.engine.moment(exp.column("date", quoted=True))
        query = (
            exp.select(at.as_("at"))
            .distinct()
            .from_(dates.from_(changes.subquery("changes")).subquery("dates"))
        )
    for found in warehouse.query(query)["at"].to_pylist():
        if found is None:
            continue
        try:
            rings = found.replace(tzinfo=UTC) + after
        except OverflowError:
            continue
        if rings > question.as_of:
            yield rings


def _midnights(as_of: datetime, zone: str) -> Iterator[datetime]:
    today = as_of.astimezone(ZoneInfo(zone)).date()
    for number in range(1, 367):
        day = today + timedelta(days=number)
        yield datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
