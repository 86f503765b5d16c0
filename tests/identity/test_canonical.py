"""Canonical forms and blocked values."""

from __future__ import annotations

import pytest

from identity.canonical import canonical, canonical_email, canonical_phone, looks_personal
from identity.errors import ConfigurationError
from identity.identifiers import (
    IdentifierType,
    IdentityRules,
    anonymous_id,
    custom,
    email,
    is_blocked,
    user_id,
)


@pytest.mark.parametrize(
    ("written", "canonical_form"),
    [
        (" Ann.Lee@Example.COM ", "ann.lee@example.com"),
        ("a+b@x.co", "a+b@x.co"),
        ("jörg@bücher.example", "jörg@xn--bcher-kva.example"),
        ("no-at.example.com", None),
        ("two@at@example.com", None),
        ("a@b", None),
        ("", None),
    ],
)
def test_an_address_has_one_spelling(written: str, canonical_form: str | None) -> None:
    """Trimmed, lower case, domain in ASCII; what is no address has none."""
    assert canonical_email(written) == canonical_form


@pytest.mark.parametrize(
    ("written", "region", "canonical_form"),
    [
        ("(415) 555-0132", "US", "+14155550132"),
        ("+1 415.555.0132", "GB", "+14155550132"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 (0)20 7946 0958", "US", "+442079460958"),
        ("+1\u2011800\u2011555\u20110100", "US", "+18005550100"),
        ("12345", "US", None),
        ("call me", "US", None),
    ],
)
def test_a_number_has_one_spelling(written: str, region: str, canonical_form: str | None) -> None:
    """E.164, with the region only for numbers that lack a country code."""
    assert canonical_phone(written, region) == canonical_form


def test_advertising_ids_ignore_case_and_other_ids_do_not() -> None:
    """Systems print the same advertising id in either case."""
    assert canonical("ios.idfa", "ABC", "US") == "abc"
    assert canonical("user_id", "ABC", "US") == "ABC"


@pytest.mark.parametrize(
    "value",
    [
        "null",
        " None ",
        "0000",
        "00000000-0000-0000-0000-000000000000",
        "-1",
        "anonymous",
        "{{user.id}}",
        "${id}",
        "+10000000000",
        "'null'",
        '"undefined"',
    ],
)
def test_values_that_stand_for_nobody_are_blocked(value: str) -> None:
    """Otherwise they would glue strangers into one profile."""
    assert is_blocked("anonymous_id", value, IdentityRules())


def test_a_project_adds_its_own_blocked_values() -> None:
    """Exact ones ignore case and spaces; patterns are searched."""
    rules = IdentityRules(blocked=["Test@Example.com"], blocked_patterns=["^qa-"])
    assert is_blocked("email", "test@example.com", rules)
    assert is_blocked("user_id", "qa-7", rules)
    assert not is_blocked("email", "ann@example.com", rules)


def test_a_type_has_blocked_values_of_its_own() -> None:
    """A shop's till is no person, though it may be somebody's user id elsewhere."""
    rules = IdentityRules(anonymous_id(blocked=["Till-1"]), custom("card", blocked=["0815"]))
    assert is_blocked("anonymous_id", "till-1", rules)
    assert is_blocked("card", "0815", rules)
    assert not is_blocked("user_id", "till-1", rules)


def test_types_are_ranked_user_id_email_then_alphabetically() -> None:
    """Naming one type leaves the other defaults in place."""
    names = [each.name for each in IdentityRules(custom("zeta", priority=1), anonymous_id(limit=2)).types]
    assert names[:4] == ["user_id", "zeta", "email", "android.id"]
    assert "anonymous_id" in names


@pytest.mark.parametrize(
    "build",
    [
        lambda: IdentifierType("Bad Name"),
        lambda: user_id(limit=0),
        lambda: user_id(limit=True),
        lambda: email(window="daily"),  # type: ignore[arg-type]
        lambda: IdentityRules(email(), email()),
        lambda: IdentityRules(default_region="usa"),
        lambda: IdentityRules(blocked_patterns=["("]),
        lambda: IdentityRules(conflict="guess"),  # type: ignore[arg-type]
        lambda: IdentityRules(max_merges=-1),
        lambda: IdentityRules(max_identifiers=0),
        lambda: IdentityRules(max_identifiers=True),
        lambda: IdentityRules(blocked="null"),
        lambda: user_id(blocked="null"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(build: object) -> None:
    """With a sentence, not with a wrong profile later."""
    with pytest.raises(ConfigurationError):
        build()  # type: ignore[operator]


def test_an_address_inside_a_text_is_noticed() -> None:
    """Also escaped in a query string."""
    assert looks_personal("/reset?email=ann%40example.com&x=1")
    assert looks_personal("mail ann@example.com now")
    assert not looks_personal("meet @ noon")
