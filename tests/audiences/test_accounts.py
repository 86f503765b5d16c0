"""Rules about accounts, rules about profiles, and the two ways from one to the other."""

from __future__ import annotations

import pytest

from audiences import Audience, RuleError, account, did, in_account, in_audience, trait
from audiences.order import depends_on, in_order, with_parts
from audiences.rules import AllOf, InAudience, Not, OfAccount, OfProfiles

SEEN = did("Seen")
PEOPLE = Audience("people", SEEN)
BUSINESS = Audience("business", trait("tier") == "business", of="account")


def test_an_account_is_asked_about_its_profiles() -> None:
    """Any, all, none, at least so many; a rule or an audience of profiles."""
    seen = SEEN.as_node()
    assert account.any_user(SEEN).as_node() == OfProfiles("any", seen)
    assert account.all_users(~SEEN).as_node() == OfProfiles("all", Not(seen))
    assert account.no_user(SEEN).as_node() == OfProfiles("none", seen)
    assert account.at_least(3, PEOPLE).as_node() == OfProfiles("at_least", InAudience("people"), 3)


def test_a_profile_is_asked_about_its_account() -> None:
    """By a rule, an audience of accounts, or the key of one."""
    assert in_account(trait("tier") == "business").as_node() == OfAccount(BUSINESS.rule)
    assert in_account(BUSINESS).as_node() == OfAccount(InAudience("business"))
    assert in_account(in_audience("business") & ~BUSINESS).as_node() == OfAccount(
        AllOf((InAudience("business"), Not(InAudience("business"))))
    )


def test_both_ways_can_be_nested() -> None:
    """People whose account has somebody in an audience of people."""
    colleagues = Audience("colleagues", in_account(account.any_user(PEOPLE) & BUSINESS))
    assert colleagues.based_on == (PEOPLE, BUSINESS)
    assert depends_on(colleagues) == ("people", "business")
    keys = [each.key for each in in_order(with_parts([colleagues]))]
    assert keys.index("colleagues") == 2


def test_a_key_of_the_wrong_kind_is_found_when_all_are_known() -> None:
    """When an audience was named by its key alone."""
    for wrong, says in (
        (Audience("x", in_audience("business")), "looks for profiles in 'business'"),
        (Audience("x", in_account(in_audience("people"))), "looks for accounts in 'people'"),
        (Audience("x", account.no_user(in_audience("business")), of="account"), "looks for profiles"),
    ):
        with pytest.raises(RuleError, match=says) as caught:
            in_order([PEOPLE, BUSINESS, wrong])
        assert caught.value.place == wrong.place


def test_a_circle_through_accounts_is_a_circle() -> None:
    """And is named."""
    one = Audience("one", in_account(in_audience("two")))
    two = Audience("two", account.any_user(in_audience("one")), of="account")
    with pytest.raises(RuleError, match=r"in a circle: (one → two → one|two → one → two)"):
        in_order([one, two])


def test_an_unknown_key_at_any_depth_is_an_error_that_suggests_one() -> None:
    """Also inside a rule about an account."""
    wrong = Audience("x", in_account(in_audience("busines")))
    with pytest.raises(RuleError, match="Did you mean 'business'"):
        in_order([BUSINESS, wrong])
