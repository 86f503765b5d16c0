"""Rules as they are stored: what was written comes back, and no personal value is in it."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import given

from audiences import (
    Audience,
    ComputedTrait,
    RuleError,
    account,
    days,
    did,
    in_account,
    in_audience,
    prop,
    query,
    query_value,
    terms,
    trait,
)
from audiences import rules as nodes
from audiences.computations import read_computations
from audiences.computing import compute
from audiences.errors import StoredRuleError
from audiences.meaning import canonical_json, fingerprint
from audiences.privacy import FieldPrivacy
from audiences.rules import Node
from audiences.scope import Subject
from audiences.sealed import NOTHING_PERSONAL
from audiences.stored_rules import measure_from_json, rule_from_json, rule_json
from audiences.tables import create_audience_tables
from identity.privacy.vault import SEALED_PREFIX
from tests.conftest import NOW, House
from tests.reference import World
from tests.stored import ask
from tests.strategies import measures, rules


@given(rules(), rules("account", ("other",)))
def test_a_rule_comes_back_as_it_was(rule: Node, of_account: Node) -> None:
    """Every node, tuple, instant and number; and so its fingerprint."""
    for each in (rule, of_account):
        text = rule_json(each, NOTHING_PERSONAL)
        assert rule_from_json(text) == each
        assert rule_json(rule_from_json(text), NOTHING_PERSONAL) == text == canonical_json(each)
        assert fingerprint(rule_from_json(text)) == fingerprint(each)


@given(measures())
def test_a_measure_comes_back_as_it_was(measure: nodes.Measure) -> None:
    """Of a computed trait."""
    assert measure_from_json(rule_json(measure, NOTHING_PERSONAL)) == measure


def test_rules_that_only_a_warehouse_answers_come_back_too() -> None:
    """Queries, as they were written."""
    rule = query("SELECT profile_id FROM profiles") & (
        query_value("SELECT profile_id, 1 AS value FROM profiles") > 1
    )
    assert rule_from_json(rule_json(rule.as_node(), NOTHING_PERSONAL)) == rule.as_node()


def test_every_kind_of_node_and_term_is_known() -> None:
    """A new one is read back without another line of code."""
    for kind in (*get_args(nodes.Node), *get_args(nodes.Measure), *get_args(terms.Window)):
        parts = {each.name: None for each in fields(kind)}
        text = json.dumps({"is": kind.__name__, **parts})
        read = measure_from_json if kind in get_args(nodes.Measure) else rule_from_json
        if kind in get_args(terms.Window):
            text = json.dumps(
                {
                    "is": "Exists",
                    "operand": {
                        "is": "Events",
                        "selection": None,
                        "window": json.loads(text),
                        "where": None,
                        "clock": "occurred",
                    },
                }
            )
        assert is_dataclass(read(text))


UNREADABLE: list[tuple[Any, str]] = [
    ("", "no JSON"),
    ("{}", "does not know"),
    ('{"is":"Telepathy"}', "'Telepathy'"),
    ('{"is":"Text","value":"x"}', "no rule"),
    ('{"is":"Consented"}', "purpose"),
    ('{"is":"Consented","purpose":"ads","until":1}', "until"),
    ('{"is":["Consented"],"purpose":"ads"}', "does not know"),
    ('{"is":"Not","rule":{"is":"Instant","value":"yesterday"}}', "instant"),
]


@pytest.mark.parametrize(("text", "says"), UNREADABLE)
def test_what_another_version_stored_is_an_error_that_says_so(text: str, says: str) -> None:
    """Never a rule that means something else."""
    with pytest.raises(StoredRuleError, match=says):
        rule_from_json(text)
    with pytest.raises(StoredRuleError):
        measure_from_json('{"is":"Consented","purpose":"ads"}')


ADDRESS = "ann@example.com"
SEALED: list[tuple[Any, Subject]] = [
    (trait("email") == ADDRESS, "profile"),
    (trait("email") != f" {ADDRESS.upper()}", "profile"),
    (trait("email").is_in([ADDRESS, "bob@example.com"]), "profile"),
    (trait("email").held(ADDRESS, for_at_least=days(1)), "profile"),
    (did("A").where(prop("email") == ADDRESS) >= 2, "profile"),
    (did("A").latest(prop("email") == ADDRESS), "profile"),
    (did("A").last("email") == ADDRESS, "profile"),
    (did("A").where(prop("email") == ADDRESS).followed_by(did("B")), "profile"),
    (in_account(account.any_user(trait("email") == ADDRESS)), "profile"),
    (account.any_user(trait("email") == ADDRESS), "account"),
    (trait("email") == ADDRESS, "account"),
]


@pytest.mark.parametrize(("rule", "of"), SEALED, ids=[str(number) for number in range(len(SEALED))])
def test_a_literal_of_a_sealed_field_is_stored_as_its_token(house: House, rule: Any, of: Subject) -> None:
    """Wherever it stands; in canonical form, so that writing it in another way is no change."""
    privacy = FieldPrivacy(house.vault, house.rules)
    text = rule_json(rule.as_node(), privacy, of=of)
    assert SEALED_PREFIX in text
    assert "example.com" not in text.lower()
    token = privacy.tokenise("trait", ("email",), ADDRESS)
    assert token is not None
    assert token in text
    rule_from_json(text)


def test_other_literals_and_keys_stay(house: House) -> None:
    """Only what is sealed is hidden, and an audience stays a key."""
    privacy = FieldPrivacy(house.vault, house.rules)
    rule = (trait("plan") == "free") & in_audience("vip") & (did("A").where(prop("currency") == "EUR") >= 2)
    assert rule_json(rule.as_node(), privacy) == canonical_json(rule.as_node())


def test_a_sealed_literal_without_a_token_is_the_compilers_error(house: House) -> None:
    """With the place of the definition."""
    privacy = FieldPrivacy(house.vault, house.rules)
    for rule in (trait("email").contains("@example.com"), trait("email") == 5, trait("email") > "a"):
        with pytest.raises(RuleError, match=r"^shop.py:7: 'email' is personal"):
            rule_json(rule.as_node(), privacy, place="shop.py:7")


def test_a_run_stores_the_rule_beside_what_it_computed(house: House) -> None:
    """Of audiences, and of computed traits the measure; no address reaches the warehouse."""
    create_audience_tables(house.warehouse)
    ann = Audience("ann", trait("email") == ADDRESS, did("A").within(days(7)))
    count = ComputedTrait("count", did("A").where(prop("email") == ADDRESS).count())
    privacy = FieldPrivacy(house.vault, house.rules)
    question = replace(ask(house.warehouse, World(), [ann], NOW), privacy=privacy)
    compute(house.warehouse, [ann, count], question, run="one")
    known = read_computations(house.warehouse)
    assert rule_from_json(known["ann"].rule) == rule_from_json(rule_json(ann.rule, privacy))
    assert measure_from_json(known["count"].rule) == measure_from_json(rule_json(count.measure, privacy))
    assert "example.com" not in known["ann"].rule + known["count"].rule
