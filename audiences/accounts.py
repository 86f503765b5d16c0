"""Rules that cross between profiles and the accounts that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audiences.audience import Audience
from audiences.errors import RuleError
from audiences.handles import Combinable, Rule, as_rule
from audiences.literals import whole
from audiences.rules import OfAccount, OfProfiles
from audiences.scope import check_subject

__all__ = ["AccountHandle", "account", "in_account"]

_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AccountHandle:
    """The account that a rule is about, asked about its profiles; use the one that is there, `account`."""

    def any_user(self, rule: Combinable) -> Rule:
        """Make the rule that at least one of the account's profiles satisfies a rule.

        Args:
            rule: about profiles.

        Raises:
            RuleError: not a rule about profiles.
        """
        return _of_profiles("any", rule, "any_user")

    def all_users(self, rule: Combinable) -> Rule:
        """Make the rule that the account has profiles, and all of them satisfy a rule.

        Args:
            rule: about profiles.

        Raises:
            RuleError: not a rule about profiles.
        """
        return _of_profiles("all", rule, "all_users")

    def no_user(self, rule: Combinable) -> Rule:
        """Make the rule that none of the account's profiles satisfies a rule; true of one without profiles.

        Args:
            rule: about profiles.

        Raises:
            RuleError: not a rule about profiles.
        """
        return _of_profiles("none", rule, "no_user")

    def at_least(self, n: int, rule: Combinable) -> Rule:
        """Make the rule that at least so many of the account's profiles satisfy a rule.

        Args:
            n: how many, from 1.
            rule: about profiles.

        Raises:
            RuleError: no such number, or not a rule about profiles.
        """
        return _of_profiles("at_least", rule, "at_least", whole(n, "account.at_least(…): n", 1, _MOST))


account = AccountHandle()
"""The account that a rule of an audience of accounts is about."""


def in_account(rule: Combinable) -> Rule:
    """Make the rule that a profile belongs to an account that satisfies a rule about accounts.

    Args:
        rule: about accounts, or an audience of accounts; `in_audience("key")` inside it names one too.

    Raises:
        RuleError: not a rule about accounts.
    """
    found = as_rule(rule)
    check_subject(found.as_node(), "account", "in_account(…)", _kinds(found))
    return Rule(OfAccount(found.as_node()), found.uses())


def _of_profiles(
    quantifier: Literal["any", "all", "none", "at_least"], rule: object, method: str, number: int = 1
) -> Rule:
    if isinstance(rule, AccountHandle):
        raise RuleError(f"account.{method}(…) takes a rule about profiles, for example did('Signed In').")
    found = as_rule(rule)
    check_subject(found.as_node(), "profile", f"account.{method}(…)", _kinds(found))
    return Rule(OfProfiles(quantifier, found.as_node(), number), found.uses())


def _kinds(rule: Combinable) -> dict[str, Literal["profile", "account"]]:
    return {each.key: each.of for each in rule.uses() if isinstance(each, Audience)}
