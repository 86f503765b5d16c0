"""The rule language in plain Python: slow, short, and obviously right; the oracle of the compiler.

Nothing here is shared with the compiler but the nodes of rules. `reference_values` reads and compares stored
values, `reference_events` chooses events and takes figures of them, `reference_sequence` tries sequences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any, Literal

from audiences.rules import (
    AllOf,
    AnyOf,
    Compare,
    Consented,
    Exists,
    FirstTime,
    Held,
    Identified,
    InAudience,
    InQuery,
    Latest,
    Measure,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Top,
)
from audiences.rules import Sequence as SequenceNode
from tests.reference_events import (
    Change,
    Event,
    Subject,
    figure,
    first_time_holds,
    held_holds,
    latest_holds,
    regularly_holds,
    seen,
    value_of,
)
from tests.reference_sequence import sequence_holds
from tests.reference_values import (
    MISSING,
    compare_holds,
    exists_holds,
    is_number,
    one_of_holds,
    recurs_holds,
    relative_holds,
)

__all__ = ["Account", "Change", "Event", "Group", "Kind", "Person", "World", "members", "value"]

Kind = Literal["profile", "account"]


@dataclass(frozen=True)
class Person:
    """What was said about a person; `identifiers` are types, `permitted` purposes."""

    events: Sequence[Event] = ()
    traits: Sequence[Change] = ()
    identifiers: Collection[str] = ()
    permitted: Collection[str] = ()


@dataclass(frozen=True)
class Account:
    """An account: when the message was received that made a profile one of its, and what was said of it."""

    joined: Mapping[str, datetime] = field(default_factory=dict)
    traits: Sequence[Change] = ()


@dataclass(frozen=True)
class World:
    """Everybody; `lists` are the people and accounts that were put into an audience by hand, by its key."""

    people: Mapping[str, Person] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    lists: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """An audience as far as its meaning goes; anything with these three attributes will do."""

    key: str
    rule: Node
    of: Kind = "profile"


def members(
    world: World,
    audiences: Iterable[Any],
    as_of: datetime,
    split_key: Callable[[str], str] = str,
) -> dict[str, set[str]]:
    """Who is in each audience, among the people or accounts of which anything was known at that instant.

    Args:
        world: everything that was ever said, what is received later too.
        audiences: objects with `key`, `rule` and `of`; every audience that a rule names is one of them.
        as_of: the instant.
        split_key: the text that stands for a split's name in the hash of `Sampled`.
    """
    scene = Scene(world, {audience.key: audience for audience in audiences}, as_of, split_key)
    return {
        key: {subject.id for subject in scene.everybody[audience.of] if scene.is_in(key, subject)}
        for key, audience in scene.audiences.items()
    }


def value(measure: Measure, person: Person, as_of: datetime) -> Any:
    """A person's figure as JSON has it: what a computed trait holds; None when it is missing."""
    found = figure(measure, Subject(seen(person.events, as_of), (), as_of))
    if found is MISSING:
        return None
    return float(found) if isinstance(found, Fraction) else found


def received(events: Iterable[Event], traits: Iterable[Change]) -> list[datetime]:
    """When each of these was received."""
    return [event.received_at for event in events] + [change.received_at for change in traits]


@dataclass(frozen=True)
class Scene:
    """A world at an instant, with the audiences that rules may name."""

    world: World
    audiences: Mapping[str, Any]
    as_of: datetime
    split_key: Callable[[str], str]

    @cached_property
    def everybody(self) -> dict[Kind, list[Subject]]:
        """Of whom something had been received."""
        return {"profile": list(self._profiles()), "account": list(self._accounts())}

    def _profiles(self) -> Iterator[Subject]:
        for name, person in self.world.people.items():
            joined = [each.joined[name] for each in self.world.accounts.values() if name in each.joined]
            if any(at <= self.as_of for at in (*received(person.events, person.traits), *joined)):
                events, traits = seen(person.events, self.as_of), seen(person.traits, self.as_of)
                yield Subject(
                    events, traits, self.as_of, name, "profile", person.identifiers, person.permitted
                )

    def _accounts(self) -> Iterator[Subject]:
        for name, account in self.world.accounts.items():
            joined = self._joined(name)
            events = [
                event
                for profile, person in self.world.people.items()
                for event in person.events
                if (event.account == name if event.account is not None else profile in joined)
            ]
            if joined or any(at <= self.as_of for at in received(events, account.traits)):
                yield Subject(
                    seen(events, self.as_of), seen(account.traits, self.as_of), self.as_of, name, "account"
                )

    def _joined(self, account: str) -> set[str]:
        """The profiles that belonged to an account."""
        return {
            profile
            for profile, at in self.world.accounts[account].joined.items()
            if at <= self.as_of and profile in self.world.people
        }

    def is_in(self, key: str, subject: Subject) -> bool:
        """Whether a profile or an account is a member of an audience of its kind."""
        audience = self.audiences[key]
        assert audience.of == subject.of, f"{key} is an audience of another kind"
        return subject.id in self.world.lists.get(key, ()) or self.holds(audience.rule, subject)

    def holds(self, node: Node, subject: Subject) -> bool:
        """Whether a rule is true of a profile or an account."""
        match node:
            case Not(rule):
                return not self.holds(rule, subject)
            case AllOf(rules):
                return all(self.holds(rule, subject) for rule in rules)
            case AnyOf(rules):
                return any(self.holds(rule, subject) for rule in rules)
            case Compare(operand):
                return compare_holds(node, value_of(operand, subject))
            case OneOf(operand):
                return one_of_holds(node, value_of(operand, subject))
            case Exists(operand):
                return exists_holds(node, value_of(operand, subject))
            case Relative(operand):
                return relative_holds(node, value_of(operand, subject), self.as_of)
            case Recurs(operand):
                return recurs_holds(node, value_of(operand, subject), self.as_of)
            case Held():
                return held_holds(node, subject)
            case FirstTime():
                return first_time_holds(node, subject)
            case Latest():
                return latest_holds(node, subject)
            case Regularly():
                return regularly_holds(node, subject)
            case SequenceNode():
                return sequence_holds(node, subject)
            case Identified(types):
                assert subject.of == "profile", "an account has no identifiers"
                return any(kind in subject.identifiers for kind in types)
            case Consented(purpose):
                assert subject.of == "profile", "an account consents to nothing"
                return purpose in subject.permitted
            case Sampled(split, start, stop):
                return start <= self.lot(split, subject.id) < stop
            case Top():
                return subject.id in self.first(node, subject.of)  # type: ignore[arg-type]
            case InAudience(key):
                return self.is_in(key, subject)
            case OfProfiles():
                assert subject.of == "account", "only an account has profiles"
                return self.of_profiles_holds(node, subject)
            case OfAccount(rule):
                assert subject.of == "profile", "only a profile belongs to an account"
                return any(
                    subject.id in self._joined(account.id) and self.holds(rule, account)
                    for account in self.everybody["account"]
                )
            case InQuery():
                raise AssertionError("a query is SQL: it has no meaning without a warehouse")

    def lot(self, split: str, name: str) -> Fraction:
        """Where the hash of a profile for a split lies in the unit interval."""
        digest = hashlib.md5(f"{self.split_key(split)}{name}".encode(), usedforsecurity=False).hexdigest()
        return Fraction(int(digest[:16], 16), 2**64)

    def first(self, top: Top, of: Kind) -> set[str]:
        """The first by a figure, among those who have it as a number."""
        ranked = sorted(
            (-found, subject.id)
            for subject in self.everybody[of]
            if is_number(found := figure(top.measure, subject))
        )
        count = top.count
        if top.share is not None:
            count = floor(Decimal(repr(top.share)) * len(ranked))
        return {name for _, name in ranked[:count]}

    def of_profiles_holds(self, node: OfProfiles, account: Subject) -> bool:
        """Whether any, all, none or enough of an account's profiles satisfy a rule."""
        joined = self._joined(account.id)
        answers = [
            self.holds(node.rule, profile) for profile in self.everybody["profile"] if profile.id in joined
        ]
        match node.quantifier:
            case "any":
                return any(answers)
            case "all":
                return bool(answers) and all(answers)
            case "none":
                return not any(answers)
            case "at_least":
                return sum(answers) >= node.number
