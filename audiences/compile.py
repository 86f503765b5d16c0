"""From rules to one SQL query: every distinct question is a column of one scan, the rules only combine them.

Facts about events are gathered by what they select, so that each selection's events are read once; equal
questions of different audiences are one column. Reads the views `profile_events`, `profile_traits`,
`profile_identifiers`, `account_traits` and the table `profiles`, and relations that the caller lends. A row
counts at `as_of` when it was received and had happened by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, cast

from sqlglot import exp

from audiences.audience import Audience
from audiences.comparing import in_window
from audiences.computed import ComputedTrait
from audiences.conditions import Conditions, OfEvents, is_figure
from audiences.engines import ENGINES, Engine
from audiences.engines.engine import Kind
from audiences.facts import Facts
from audiences.kinds import Kinds
from audiences.meaning import normalise
from audiences.order import depends_on, in_order
from audiences.relations import Manual, relation
from audiences.rules import Events, Named, Node, OfAccount, OfProfiles, Operand, Path, Selection
from audiences.scans import event_scan
from audiences.scope import Subject
from audiences.sealed import NOTHING_PERSONAL, Privacy

__all__ = ["Question", "compile_answers", "compile_audiences", "compile_rows", "gathered_facts", "selected"]

_OWNER: dict[Subject, Literal["profile_id", "account"]] = {"profile": "profile_id", "account": "account"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a query is asked at, of whom, and with what.

    Attributes:
        as_of: the instant to compute for; aware.
        engine: whose SQL.
        privacy: which fields are sealed.
        audiences: every audience that a rule may name, by key; those that are computed when empty.
        manual: keys of the audiences that somebody was put into, or out of, by hand; the relation
            `manual_members` is lent then.
        kinds: which kinds of values properties have had; None when nobody knows.
        only: a relation of `profile_id` (of `account`): look at nobody else; None for everybody.
    """

    as_of: datetime
    engine: Engine = ENGINES["duckdb"]
    privacy: Privacy = NOTHING_PERSONAL
    audiences: Mapping[str, Audience] = field(default_factory=dict)
    manual: Collection[str] = ()
    kinds: Kinds | None = None
    only: str | None = None


def compile_audiences(
    audiences: Sequence[Audience],
    question: Question,
    traits: Sequence[ComputedTrait] = (),
) -> exp.Select:
    """Write the query that computes audiences and computed traits, all about profiles or all about accounts.

    Args:
        audiences: each key once, with all of their kind that they are built on.
        question: what is asked.
        traits: computed traits, about profiles.

    Returns:
        A query with a row for everybody known at `as_of`: `profile_id` (`account`), for each audience a
        BOOLEAN column of its key, for each computed trait a number or a stored value under its key.

    Raises:
        RuleError: a circle, an unknown audience, or a question that can't be asked of a sealed field.
    """
    of: Subject = audiences[0].of if audiences else "profile"
    known = question.audiences or {each.key: each for each in audiences}
    scope = _Scope(replace(question, audiences=known), of, lambda key: exp.column(key, quoted=True))
    asked_for = {each.key for each in audiences}
    chosen = [each for each in in_order(tuple(known.values())) if each.key in asked_for]
    columns = {audience.key: scope.membership(audience) for audience in chosen}
    values = [scope.trait(each).as_(each.key, quoted=True) for each in traits]
    query = scope.people()
    # an audience in an audience reads its column, so each level of them is a query around the one below
    for level in _levels(chosen):
        answers = [exp.alias_(columns[key], key, quoted=True, copy=False) for key in level]
        below = query.subquery("below", copy=False)
        query = exp.select("*").select(*answers, copy=False).from_(below, copy=False)
    asked = [exp.column(each.key, quoted=True) for each in audiences]
    everybody = query.subquery("all_of_them", copy=False)
    return exp.select(_OWNER[of], *asked).select(*values, copy=False).from_(everybody, copy=False)


def compile_answers(
    rules: Mapping[str, Node], values: Mapping[str, Operand], question: Question, of: Subject = "profile"
) -> exp.Select:
    """Write the query that answers some rules and figures by name; audiences that they name are worked out.

    Args:
        rules: name → rule.
        values: name → a trait, or a measure.
        question: what is asked.
        of: what all of them are about.

    Returns:
        A query with a row for everybody known at `as_of`: the owner's id, BOOLEAN columns, and values.

    Raises:
        RuleError: a question that can't be asked of a sealed field.
    """
    scope = _Scope(question, of, lambda key: scope.membership(question.audiences[key]))
    columns: dict[str, exp.Expr] = {
        name: exp.paren(scope.conditions.rule(normalise(rule))) for name, rule in rules.items()
    }
    columns |= {name: scope.value(operand) for name, operand in values.items()}
    people = scope.people().subquery("people", copy=False)
    answers = [exp.alias_(column, name, quoted=True, copy=False) for name, column in columns.items()]
    return exp.select(_OWNER[of]).select(*answers, copy=False).from_(people, copy=False)


def gathered_facts(audiences: Sequence[Audience], question: Question) -> Facts:
    """What computing some audiences asks of the data.

    Args:
        audiences: all about profiles, or all about accounts.
        question: what is asked.

    Raises:
        RuleError: a question that can't be asked of a sealed field.
    """
    scope = _Scope(question, audiences[0].of, lambda _: exp.false())
    for each in audiences:
        scope.membership(each)
    return scope.facts


def compile_rows(events: Events, question: Question, of: Subject = "profile") -> exp.Select:
    """Write the query of the visible events of a selection: `id`, `occurred_at`, `message_id`.

    Args:
        events: the selection, its window and `where`.
        question: what is asked.
        of: whose events.
    """
    return _Scope(question, of, lambda _: exp.false()).rows(events, {})


class _Scope:
    """Profiles or accounts: whose rows are read, and what is asked of them."""

    def __init__(self, question: Question, of: Subject, members: Callable[[str], exp.Expr]) -> None:
        self.question = question
        self.of = of
        self.owner = _OWNER[of]
        self.engine = question.engine
        self.facts = Facts()
        self.conditions = Conditions(
            question.engine,
            question.as_of,
            question.privacy,
            self.owner,
            members,
            self.facts,
            question.kinds,
        )

    def membership(self, audience: Audience) -> exp.Expr:
        """Who satisfies the rule or was put in by hand, and was not put out by hand."""
        self.conditions.place = audience.place
        condition = self.conditions.rule(normalise(audience.rule))
        if audience.key not in self.question.manual:
            return condition
        put_in, put_out = (
            exp.Coalesce(this=self.facts.of_relation(Manual(audience.key, state)), expressions=[exp.false()])
            for state in ("in", "out")
        )
        return exp.and_(exp.or_(condition, put_in), exp.not_(put_out))

    def trait(self, trait: ComputedTrait) -> exp.Expr:
        """The figure, or the stored value, of a computed trait."""
        self.conditions.place = trait.place
        return self.value(trait.operand)

    def value(self, operand: Operand) -> exp.Expr:
        """A number, or a stored value."""
        if is_figure(operand):
            return exp.cast(self.conditions.figure(operand), "DOUBLE")
        return self.conditions.value(operand)

    def people(self) -> exp.Select:
        """Everybody, with a column for every fact that was asked for."""
        query = (
            exp.select(exp.column(self.owner, "p").as_(self.owner))
            .from_(self._everybody())
            .where(exp.column("first_seen_at", "p") <= self.engine.instant(self.question.as_of))
        )
        if self.question.only is not None:
            query = query.where(self._only(exp.column(self.owner, "p")))
        # the answers are large, and copying them at every step would take most of the time
        for number, (select, columns) in enumerate(self._answers()):
            name = exp.to_identifier(f"answers {number}", quoted=True)
            theirs = exp.Column(this=exp.to_identifier("id"), table=name.copy())
            query.join(
                exp.Subquery(this=select, alias=exp.TableAlias(this=name)),
                on=exp.column(self.owner, "p").eq(theirs),
                join_type="left",
                copy=False,
            )
            quoted = (exp.to_identifier(column, quoted=True) for column in columns)
            query.select(*(exp.Column(this=each, table=name.copy()) for each in quoted), copy=False)
        return query

    def _answers(self) -> list[tuple[exp.Select, list[str]]]:
        """Queries of `id` and the facts' columns; writing one may ask for more facts."""
        answers: list[tuple[exp.Select, list[str]]] = []
        done: set[object] = set()
        nested: list[OfProfiles | OfAccount] = []
        while waiting := [about for about in self.facts.relations if about not in done]:
            done.update(waiting)
            for about in waiting:
                if isinstance(about, (OfProfiles, OfAccount)):
                    nested.append(about)
                    continue
                column = self.facts.relations[about]
                select = relation(about, self.conditions, self.rows, self._changes)
                answer = exp.column("answer").as_(column, quoted=True)
                asked = select.subquery("asked", copy=False)
                answers.append((exp.select("id", answer).from_(asked, copy=False), [column]))
        if nested:
            answers.append(self._nested(nested))
        for selection, columns in self.facts.scans.items():
            scan = event_scan(self.conditions, selection, self._events(selection), columns)
            answers.append((scan, list(columns.values())))
        if self.facts.traits:
            answers.append((self._trait_scan(), list(self.facts.traits.values())))
        return answers

    # ------------------------------------------------------------------------------------- events

    def rows(self, events: Events, columns: Mapping[str, Path], kind: Kind | None = None) -> exp.Select:
        """Visible events: id, occurred_at, message_id, and the values under some paths, read as one kind."""
        of_events = OfEvents(events.selection, exp.column("properties"))
        clock = exp.column("occurred_at" if events.clock == "occurred" else "received_at")
        conditions = [
            in_window(events.window, clock, self.question.as_of, self.engine),
            self.conditions.rule(events.where, of_events) if events.where else None,
        ]
        values = {name: self.conditions.property(of_events, path) for name, path in columns.items()}
        if kind is not None:
            values = {name: self.engine.known(value, kind) for name, value in values.items()}
        selected = [value.as_(name, quoted=True) for name, value in values.items()]
        return (
            self._events(events.selection)
            .select("id", "occurred_at", "message_id", *selected)
            .where(*(each for each in conditions if each is not None))
        )

    def _events(self, selection: Selection) -> exp.Select:
        """An empty SELECT from the visible events of a selection; the owner's column is `id`."""
        named = [selected(selection, self.engine)]
        columns = ("occurred_at", "received_at", "message_id", "properties")
        if self.of == "profile":
            source = exp.select(exp.column("profile_id").as_("id"), *columns).from_("profile_events")
            return exp.select().from_(
                source.where(*named, *self._visible(), *self._mine("profile_id")).subquery("events")
            )
        # an event that names its account is that account's; any other is every account's of its profile
        own = exp.select(exp.column("account").as_("id"), *columns).from_("profile_events")
        own = own.where(
            exp.column("account").is_(exp.null()).not_(), *named, *self._visible(), *self._mine("account")
        )
        shared = (
            exp.select(exp.column("account", "m").as_("id"), *(exp.column(each, "e") for each in columns))
            .from_("profile_events AS e")
            .join(self._belonging().subquery("m"), on="m.profile_id = e.profile_id")
            .where(
                exp.column("account", "e").is_(exp.null()),
                *(_aliased(each, "e") for each in (*named, *self._visible())),
                *self._mine("account", "m"),
            )
        )
        return exp.select().from_(exp.union(own, shared, distinct=False).subquery("events"))

    # ------------------------------------------------------------------------------------- traits

    def _trait_scan(self) -> exp.Select:
        """The newest value of every trait that a rule names; one that was removed is NULL."""
        order = (exp.column("occurred_at"), exp.column("message_id"))
        selected = [
            self.engine.outermost(exp.column("value"), order, exp.column("name").eq(name), last=True).as_(
                column, quoted=True
            )
            for name, column in self.facts.traits.items()
        ]
        return (
            exp.select(exp.column(self.owner).as_("id"), *selected)
            .from_(self._traits())
            .where(exp.column("name").isin(*self.facts.traits), *self._visible(), *self._mine(self.owner))
            .group_by(self.owner)
        )

    def _changes(self, name: str) -> exp.Select:
        return (
            exp.select(exp.column(self.owner).as_("id"), "value", "occurred_at", "message_id")
            .from_(self._traits())
            .where(exp.column("name").eq(name), *self._visible(), *self._mine(self.owner))
        )

    def _traits(self) -> str:
        return "profile_traits" if self.of == "profile" else "account_traits"

    # ------------------------------------------------------------------------- profiles and accounts

    def _everybody(self) -> exp.Expr:
        if self.of == "profile":
            return exp.to_table("profiles").as_("p")
        named = exp.column("account").is_(exp.null()).not_()
        seen = exp.union(
            exp.select("account", "received_at").from_("account_traits"),
            exp.select("account", "received_at").from_("profile_events").where(named),
            distinct=False,
        )
        first = exp.Min(this=exp.column("received_at")).as_("first_seen_at")
        return exp.select("account", first).from_(seen.subquery("seen")).group_by("account").subquery("p")

    def _belonging(self) -> exp.Select:
        """Which profile belongs to which account: it has a visible event that names it."""
        named = exp.column("account").is_(exp.null()).not_()
        return (
            exp.select("account", "profile_id")
            .distinct()
            .from_("profile_events")
            .where(named, *self._visible())
        )

    def _nested(self, rules: Sequence[OfProfiles | OfAccount]) -> tuple[exp.Select, list[str]]:
        """Rules about the profiles of each account, or the accounts of each profile: one row an owner."""
        other: Subject = "account" if self.of == "profile" else "profile"
        inner = replace(self.question, only=None)
        scope = _Scope(inner, other, lambda key: scope.membership(self.question.audiences[key]))
        scope.conditions.place = self.conditions.place
        answers = [
            exp.paren(scope.conditions.rule(normalise(each.rule))).as_(f"inner {number}", quoted=True)
            for number, each in enumerate(rules)
        ]
        people = scope.people()
        owners = exp.select(_OWNER[other], *answers).from_(people.subquery("inner_people"))
        columns = [self.facts.relations[each] for each in rules]
        selected = [
            self._quantified(each, exp.column(f"inner {number}", "o", quoted=True)).as_(column, quoted=True)
            for number, (each, column) in enumerate(zip(rules, columns, strict=True))
        ]
        joined = (
            exp.select(exp.column(self.owner, "m").as_("id"), *selected)
            .from_(self._belonging().subquery("m"))
            .join(owners.subquery("o"), on=f"o.{_OWNER[other]} = m.{_OWNER[other]}")
            .where(*self._mine(self.owner, "m"))
            .group_by(exp.column(self.owner, "m"))
        )
        return joined, columns

    def _quantified(self, node: OfProfiles | OfAccount, holds: exp.Expr) -> exp.Expr:
        if isinstance(node, OfAccount) or node.quantifier == "any":
            return self.engine.any_true(holds)
        yes = self.engine.filtered(exp.Count(this=exp.Star()), holds)
        match node.quantifier:
            case "all":
                return exp.EQ(this=yes, expression=exp.Count(this=exp.Star()))
            case "none":
                return exp.EQ(this=yes, expression=exp.Literal.number(0))
            case _:
                return exp.GTE(this=yes, expression=exp.Literal.number(node.number))

    def _visible(self) -> list[exp.Expr]:
        now = self.engine.instant(self.question.as_of)
        return [exp.column("received_at") <= now, exp.column("occurred_at") <= now.copy()]

    def _mine(self, column: str, table: str | None = None) -> list[exp.Expr]:
        return [self._only(exp.column(column, table))] if self.question.only is not None else []

    def _only(self, column: exp.Expr) -> exp.Expr:
        return column.isin(query=exp.select(self.owner).from_(cast("str", self.question.only)))


def selected(selection: Selection, engine: Engine) -> exp.Expr:
    """The condition that a message is one of the events of a selection.

    Args:
        selection: which events; messages without a name, such as identify, are none.
        engine: whose SQL.
    """
    name = exp.column("name")
    if isinstance(selection, Named):
        return name.isin(*selection.names)
    if not selection.prefix:
        return name.neq("")
    return engine.asks_text(name, "starts_with", selection.prefix)


def _aliased(condition: exp.Expr, table: str) -> exp.Expr:
    def named(node: exp.Expr) -> exp.Expr:
        return exp.column(node.name, table) if isinstance(node, exp.Column) else node

    return condition.copy().transform(named)


def _levels(audiences: Sequence[Audience]) -> list[list[str]]:
    level: dict[str, int] = {}
    for audience in audiences:
        below = [level[key] + 1 for key in depends_on(audience) if key in level]
        level[audience.key] = max(below, default=0)
    levels: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for key, number in level.items():
        levels[number].append(key)
    return levels
