"""An audience: a permanent key, rules that all must hold, how often to compute it and where to send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from audiences.errors import RuleError, definition_place
from audiences.handles import Combinable, all_of, as_rule, checked_key
from audiences.rules import (
    Compare,
    Duration,
    Exists,
    InAudience,
    Node,
    OneOf,
    Property,
    fingerprint,
    leaves,
)
from identity.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Audience", "SendsTo"]

_OPTIONS = ("description", "sync", "every")


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
    """A named set of profiles; use it inside other audiences like any rule.

    Attributes:
        key: permanent; ad platforms know the audience by it, so a new key is a new audience.
        rule: what members satisfy, as data.
        description: for people.
        sync: the destinations that members are sent to.
        every: how often to compute it; None is only on request.
        place: `file:line` of the definition.
        based_on: the audiences that its rules name as objects.

    >>> Audience("loyal", did("Order Completed").within(days(90)) >= 3, trait("plan") != "free")
    """

    key: str
    rule: Node
    description: str
    sync: tuple[SendsTo, ...]
    every: Duration | None
    place: str = field(compare=False, repr=False)
    based_on: tuple[Audience, ...] = field(repr=False)

    def __init__(
        self,
        key: str,
        *rules: Combinable,
        description: str = "",
        sync: Sequence[SendsTo] = (),
        every: Duration | None = None,
        **unknown: object,
    ) -> None:
        """Define an audience.

        Args:
            key: lower-case letters, digits and underscores, starting with a letter; chosen once for ever.
            rules: one or more rules that all must hold.
            description: one or two sentences for people.
            sync: destinations.
            every: for example `hours(6)`.
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
        rule = all_of(*(as_rule(each) for each in rules))
        for leaf in leaves(rule.as_node()):
            if isinstance(leaf, (Compare, OneOf, Exists)) and isinstance(leaf.field, Property):
                raise RuleError(
                    f"Audience({key!r}) has a condition on prop({'.'.join(leaf.field.path)!r}) outside of an "
                    "event; write did('…').where(prop(…) == …), or trait(…) for the profile's own value."
                )
        if not isinstance(description, str):
            raise RuleError(f"Audience({key!r}, description=…) is a text.")
        if every is not None and not isinstance(every, Duration):
            raise RuleError(f"Audience({key!r}, every=…) is a duration, for example hours(6).")
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "rule", rule.as_node())
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "sync", _destinations(key, sync))
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "place", definition_place())
        based_on = tuple(each for each in rule.uses() if isinstance(each, Audience))
        object.__setattr__(self, "based_on", based_on)

    @property
    def fingerprint(self) -> str:
        """Identifies what the rule means; a new description, order of rules or destination keeps it."""
        return fingerprint(self.rule)

    def as_node(self) -> Node:
        """Membership of this audience, as data."""
        return InAudience(self.key)

    def uses(self) -> tuple[Combinable, ...]:
        """This audience itself: rules that are made of it are built on it."""
        return (self,)


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
