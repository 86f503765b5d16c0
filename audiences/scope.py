"""What a rule is about, profiles or accounts, and which conditions make sense of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from audiences.errors import RuleError
from audiences.meaning import conditions
from audiences.rules import (
    Compare,
    Condition,
    Consented,
    Exists,
    Held,
    Identified,
    InAudience,
    InQuery,
    Node,
    OfAccount,
    OfProfiles,
    OneOf,
    Property,
    QueryValue,
    Sampled,
    Top,
)

__all__ = ["Subject", "check_subject", "named_audiences"]

Subject = Literal["profile", "account"]
"""What an audience is made of, and so what its rule is about."""

_OF_PROFILES_ONLY: dict[type, str] = {
    Consented: "consented(…)",
    Held: "trait(…).held(…)",
    Identified: "identified_by(…)",
    InQuery: "query(…)",
    OfAccount: "in_account(…)",
    Sampled: "sample(…) and split(…)",
    Top: "top(…)",
}


def check_subject(
    node: Node, of: Subject, where: str, audiences: Mapping[str, Subject] | None = None
) -> None:
    """Refuse a rule with a condition that makes no sense where it stands.

    Args:
        node: the rule; rules about the other kind inside its conditions were checked when they were written.
        of: what the rule is about.
        where: what to call the place in an error.
        audiences: what the audiences of some keys are made of, as far as it is known.

    Raises:
        RuleError: names the condition and the way out.
    """
    for each in conditions(node):
        operand = each.operand if isinstance(each, (Compare, OneOf, Exists)) else None
        if isinstance(operand, Property):
            raise RuleError(
                f"{where} has a condition on prop({'.'.join(operand.path)!r}) outside of an event; write "
                "did('…').where(prop(…) == …), or trait(…) for the profile's own value."
            )
        if of == "account":
            _check_of_account(each, operand, where)
        elif isinstance(each, OfProfiles):
            raise RuleError(
                f"{where} is about profiles, and account.any_user(…) asks about an account; put it into "
                "in_account(account.any_user(…)), or make an audience of accounts with of='account'."
            )
        if isinstance(each, InAudience) and (audiences or {}).get(each.key, of) != of:
            raise RuleError(
                f"{where} is about {of}s, and the audience {each.key!r} is not; "
                + ("in_account(audience)" if of == "profile" else "account.any_user(audience)")
                + " asks about it."
            )


def named_audiences(node: Node, of: Subject) -> Iterator[tuple[str, Subject]]:
    """Yield the audiences that a rule names, at any depth, with what each is to be made of.

    Args:
        node: the rule.
        of: what the rule is about.
    """
    for each in conditions(node):
        match each:
            case InAudience(key):
                yield key, of
            case OfProfiles(_, rule):
                yield from named_audiences(rule, "profile")
            case OfAccount(rule):
                yield from named_audiences(rule, "account")


def _check_of_account(condition: Condition, operand: object, where: str) -> None:
    name = "query_value(…)" if isinstance(operand, QueryValue) else _OF_PROFILES_ONLY.get(type(condition))
    if name:
        raise RuleError(
            f"{where} is about accounts, and {name} asks about a profile; account.any_user(…), all_users, "
            "no_user and at_least ask it of an account's profiles."
        )
