"""What all handles share: how rules are combined, compared, and refused where Python would guess.

A handle has no truth value, so `and`, `or`, `not`, `if` and chained comparisons are refused with the way out
instead of silently meaning something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from audiences.errors import RuleError
from audiences.rules import AllOf, AnyOf, InAudience, Node, Not, OrderOp

__all__ = [
    "PRECEDENCE",
    "Combinable",
    "Comparable",
    "Rule",
    "Unfinished",
    "all_of",
    "any_of",
    "as_rule",
    "checked_key",
    "combined",
    "everyone",
    "in_audience",
    "nobody",
    "none_of",
    "operand",
]

_KEY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_RESERVED = frozenset({"profile_id"})
_LONGEST_KEY = 64
PRECEDENCE = (
    "`&` and `|` bind more tightly than comparisons, so put each comparison in parentheses: "
    "(trait('plan') == 'plus') & (trait('age') >= 18)."
)
"""The way out of the slips that Python's operators invite."""


class Combinable:
    """Anything that answers yes or no for a profile: combine with `&`, `|`, `~`, any_of and all_of."""

    __slots__ = ()

    def as_node(self) -> Node:
        """The rule as data."""
        raise NotImplementedError

    def uses(self) -> tuple[Combinable, ...]:
        """The audiences that the rule was built on."""
        return ()

    def __and__(self, other: object) -> Rule:
        return combined(AllOf, (self, operand(other)))

    def __or__(self, other: object) -> Rule:
        return combined(AnyOf, (self, operand(other)))

    def __rand__(self, other: object) -> NoReturn:
        raise RuleError(PRECEDENCE)

    def __ror__(self, other: object) -> NoReturn:
        raise RuleError(PRECEDENCE)

    def __invert__(self) -> Rule:
        return Rule(Not(self.as_node()), self.uses())

    def __bool__(self) -> bool:
        raise _no_truth()


@dataclass(frozen=True, slots=True)
class Rule(Combinable):
    """A finished rule; equal to another when its nodes are."""

    node: Node
    audiences: tuple[Combinable, ...] = ()

    def as_node(self) -> Node:
        """The rule as data."""
        return self.node

    def uses(self) -> tuple[Combinable, ...]:
        """The audiences that the rule was built on."""
        return self.audiences


class Comparable:
    """The six comparisons; `!=` is exactly `~(==)`, so it includes the missing."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # handles build rules with ==, so they can't be keys

    def _compare(self, op: OrderOp, value: object) -> Rule:
        raise NotImplementedError

    def __eq__(self, value: object) -> Rule:  # type: ignore[override]
        return self._compare("==", value)

    def __ne__(self, value: object) -> Rule:  # type: ignore[override]
        return ~self._compare("==", value)

    def __lt__(self, value: object) -> Rule:
        return self._compare("<", value)

    def __le__(self, value: object) -> Rule:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Rule:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Rule:
        return self._compare(">=", value)


class Unfinished(Comparable):
    """Something that is no rule until it is compared."""

    __slots__ = ()

    def refuse(self) -> NoReturn:
        """Say that it is no rule yet.

        Raises:
            RuleError: always.
        """
        raise RuleError(f"{self!r} is not a rule until it is compared. {PRECEDENCE}")

    def __and__(self, other: object) -> NoReturn:
        self.refuse()

    __or__ = __rand__ = __ror__ = __and__

    def __invert__(self) -> NoReturn:
        self.refuse()

    def __bool__(self) -> bool:
        raise _no_truth()


def everyone() -> Rule:
    """Make the rule that is true of every profile (of every account, in an audience of accounts)."""
    return Rule(AllOf(()))


def nobody() -> Rule:
    """Make the rule that is true of no profile, for an audience that is to be empty for now."""
    return Rule(AnyOf(()))


def in_audience(key: str) -> Rule:
    """Make the rule that the profile is a member of another audience at the same instant.

    Args:
        key: that audience's key, for when the audience itself can't be named.

    Raises:
        RuleError: not a key.
    """
    return Rule(InAudience(checked_key(key)))


def any_of(*rules: Combinable) -> Rule:
    """Make the rule that at least one of the rules is true.

    Args:
        rules: one or more rules.

    Raises:
        RuleError: none, or something that is no rule.
    """
    return combined(AnyOf, _some(rules, "any_of"))


def all_of(*rules: Combinable) -> Rule:
    """Make the rule that all of the rules are true.

    Args:
        rules: one or more rules.

    Raises:
        RuleError: none, or something that is no rule.
    """
    return combined(AllOf, _some(rules, "all_of"))


def none_of(*rules: Combinable) -> Rule:
    """Make the rule that none of the rules is true.

    Args:
        rules: one or more rules.

    Raises:
        RuleError: none, or something that is no rule.
    """
    return ~combined(AnyOf, _some(rules, "none_of"))


def as_rule(given: object) -> Combinable:
    """Take what stands where a rule is expected.

    Args:
        given: a rule, an audience, or a mistake.

    Raises:
        RuleError: a mistake.
    """
    if isinstance(given, Combinable):
        return given
    if isinstance(given, Unfinished):
        given.refuse()
    if isinstance(given, bool):
        raise RuleError(f"{given} is not a rule; `==` between two rules gives it. Combine rules with & | ~.")
    if isinstance(given, (list, tuple)):
        raise RuleError("A list is not a rule; write the rules one after the other, or any_of(*rules).")
    raise RuleError(
        f"A {type(given).__name__} is not a rule; a rule starts with did(…), trait(…) or an audience."
    )


def checked_key(key: object, whose: str = "an audience") -> str:
    """Take the key of something that lasts.

    Args:
        key: lower-case letters, digits and underscores, starting with a letter, at most 64.
        whose: what has the key, for an error.

    Raises:
        RuleError: anything else.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key) or len(key) > _LONGEST_KEY or key in _RESERVED:
        raise RuleError(
            f"{key!r} can't be the key of {whose}: a key is lower-case letters, digits and underscores, "
            f"starts with a letter, has at most {_LONGEST_KEY} of them, is not {sorted(_RESERVED)[0]!r}, "
            "and stays for ever."
        )
    return key


def operand(other: object) -> Combinable:
    """Take what stands beside `&` or `|`.

    Args:
        other: a rule, or a mistake.

    Raises:
        RuleError: a mistake.
    """
    if isinstance(other, Unfinished):
        other.refuse()
    if isinstance(other, (str, int, float)):
        raise RuleError(PRECEDENCE)
    return as_rule(other)


def combined(kind: type[AllOf] | type[AnyOf], rules: Iterable[Combinable]) -> Rule:
    """Make one rule of several.

    Args:
        kind: all or any.
        rules: at least one.
    """
    nodes: list[Node] = []
    uses: dict[int, Combinable] = {}
    for rule in rules:
        node = rule.as_node()
        # a & b & c reads as one list of three, and explains as one
        nodes.extend(node.rules if isinstance(node, kind) else (node,))
        uses.update((id(each), each) for each in rule.uses())
    return Rule(nodes[0] if len(nodes) == 1 else kind(tuple(nodes)), tuple(uses.values()))


def _some(rules: Sequence[object], name: str) -> list[Combinable]:
    if not rules:
        raise RuleError(f"{name}() needs at least one rule.")
    return [as_rule(each) for each in rules]


def _no_truth() -> RuleError:
    return RuleError(
        "A rule is neither true nor false until it is evaluated for profiles: write & instead of `and`, "
        "| instead of `or`, ~ instead of `not`, two comparisons instead of `1 < x < 5`, and no `if`."
    )
