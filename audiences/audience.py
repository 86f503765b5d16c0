"""An audience: a permanent key, rules that all must hold, how often to compute it and where to send it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, get_args

from audiences.errors import RuleError, definition_place
from audiences.handles import Combinable, Rule, all_of, as_rule, checked_key
from audiences.meaning import fingerprint
from audiences.rules import AllOf, InAudience, Node, Not
from audiences.scope import Subject, check_subject
from audiences.terms import Duration
from identity.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Audience", "SendsTo", "priority_list"]

_OPTIONS = ("description", "sync", "every", "of")


class SendsTo(Protocol):
    """What an audience knows of a destination."""

    @property
    def name(self) -> str:
        """Stable key of the destination, such as `meta:act_42`."""
        ...

    @property
    def purpose(self) -> str:
        """The purpose that people must have consented to."""
        ...


@dataclass(frozen=True, slots=True, init=False)
class Audience(Combinable):
    """A named set of profiles, or of accounts; use it inside other audiences like any rule.

    Attributes:
        key: permanent; ad platforms know the audience by it, so a new key is a new audience.
        rule: what members satisfy, as data.
        description: for people.
        sync: the destinations that members are sent to.
        every: how often to compute it; None is only on request.
        of: what it is a set of, `profile` or `account`.
        place: `file:line` of the definition.
        based_on: the audiences that its rules name as objects.

    >>> Audience("loyal", did("Order Completed").within(days(90)) >= 3, trait("plan") != "free")
    """

    key: str
    rule: Node
    description: str
    sync: tuple[SendsTo, ...]
    every: Duration | None
    of: Subject
    place: str = field(compare=False, repr=False)
    based_on: tuple[Audience, ...] = field(repr=False)

    def __init__(
        self,
        key: str,
        *rules: Combinable,
        description: str = "",
        sync: Sequence[SendsTo] = (),
        every: Duration | None = None,
        of: Subject = "profile",
        **unknown: object,
    ) -> None:
        """Define an audience.

        Args:
            key: lower-case letters, digits and underscores, starting with a letter; chosen once for ever.
            rules: one or more rules that all must hold.
            description: one or two sentences for people.
            sync: destinations.
            every: for example `hours(6)`.
            of: `account` makes a set of accounts, whose rules are about accounts.
            unknown: refused.

        Raises:
            RuleError: anything that can't be meant.
        """
        if unknown:
            option = next(iter(unknown))
            raise RuleError(
                f"Audience(…) has no option {option!r}; it has {', '.join(_OPTIONS)}."
                + did_you_mean(option, _OPTIONS)
            )
        checked_key(key)
        if not rules:
            raise RuleError(f"Audience({key!r}) needs at least one rule.")
        if of not in get_args(Subject):
            raise RuleError(f"Audience({key!r}, of=…) is 'profile' or 'account', not {of!r}.")
        rule = all_of(*(as_rule(each) for each in rules))
        named = tuple(each for each in rule.uses() if isinstance(each, Audience))
        check_subject(rule.as_node(), of, f"Audience({key!r})", {each.key: each.of for each in named})
        if not isinstance(description, str):
            raise RuleError(f"Audience({key!r}, description=…) is a text.")
        if every is not None and not isinstance(every, Duration):
            raise RuleError(f"Audience({key!r}, every=…) is a duration, for example hours(6).")
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "rule", rule.as_node())
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "sync", _destinations(key, sync))
        if self.sync and of == "account":
            raise RuleError(
                f"Audience({key!r}) is made of accounts, and destinations take people: sync an audience of "
                f"profiles with the rule in_account(in_audience({key!r}))."
            )
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "of", of)
        object.__setattr__(self, "place", definition_place())
        object.__setattr__(self, "based_on", named)

    @property
    def fingerprint(self) -> str:
        """Identifies what the rule means; a new description, order of rules or destination keeps it."""
        meaning = fingerprint(self.rule)
        if self.of == "profile":
            return meaning
        return hashlib.sha256(f"{self.of} {meaning}".encode()).hexdigest()

    def as_node(self) -> Node:
        """Membership of this audience, as data."""
        return InAudience(self.key)

    def uses(self) -> tuple[Combinable, ...]:
        """This audience itself: rules that are made of it are built on it."""
        return (self,)


def priority_list(*audiences: Audience) -> tuple[Audience, ...]:
    """Let everyone be only in the first of several audiences.

    Args:
        audiences: two or more, written in the call, the most important first.

    Returns:
        The same audiences under the same keys, each without the members of those before it.

    Raises:
        RuleError: fewer than two, a key twice, or audiences of profiles beside audiences of accounts.
    """
    if len(audiences) < 2 or not all(isinstance(each, Audience) for each in audiences):
        raise RuleError("priority_list(…) takes two audiences or more, the most important first.")
    if len({each.key for each in audiences}) < len(audiences):
        raise RuleError("priority_list(…) has an audience twice; each key stands in it once.")
    done: list[Audience] = []
    for each in audiences:
        done.append(_without(each, done) if done else each)
    return tuple(done)


def _without(audience: Audience, earlier: Sequence[Audience]) -> Audience:
    own = audience.rule.rules if isinstance(audience.rule, AllOf) else (audience.rule,)
    rule = AllOf((*own, *(Not(InAudience(each.key)) for each in earlier)))
    found = Audience(
        audience.key,
        Rule(rule, (*audience.based_on, *earlier)),
        description=audience.description,
        sync=audience.sync,
        every=audience.every,
        of=audience.of,
    )
    object.__setattr__(found, "place", audience.place)
    return found


def _destinations(key: str, sync: object) -> tuple[SendsTo, ...]:
    if not isinstance(sync, (list, tuple)):
        raise RuleError(f"Audience({key!r}, sync=…) is a list of destinations, for example sync=[…].")
    names: set[str] = set()
    for each in sync:
        name = getattr(each, "name", None)
        if not isinstance(name, str) or not isinstance(getattr(each, "purpose", None), str):
            raise RuleError(
                f"Audience({key!r}, sync=…) holds a {type(each).__name__}, which is no destination; "
                "make one with meta.custom_audience(…), google.customer_match(…) or file.hashed_file(…)."
            )
        if name in names:
            raise RuleError(f"Audience({key!r}, sync=…) names the destination {name!r} twice.")
        names.add(name)
    return tuple(sync)
