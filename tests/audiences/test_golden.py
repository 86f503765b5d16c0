"""Golden cases: what other systems' documentation and tests say of a rule's members.

`pytest tests/audiences/test_golden.py --golden DIR` runs the `rule_cases.jsonl` of another folder; without a
path of tests, write `--golden=DIR`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from audiences import Audience, RuleError, days, did, in_audience
from audiences.order import in_order
from identity.store.warehouse import Warehouse
from tests.golden_rules import Golden
from tests.reference import Group, World, members
from tests.stored import evaluate as stored
from tests.stored import fill, make_tables

Evaluate = Callable[[World, Iterable[Group], datetime], dict[str, set[str]]]
"""Says who is in each audience, by its key."""


@pytest.fixture(scope="module", params=["reference", "duckdb", "postgres"])
def evaluate(request: pytest.FixtureRequest, open_engine: Callable[[str], Warehouse]) -> Evaluate:
    """The rule language in plain Python, and compiled on every engine that is here."""
    if request.param == "reference":
        return members
    warehouse = open_engine(request.param)
    make_tables(warehouse)

    def compiled(world: World, groups: Iterable[Group], as_of: datetime) -> dict[str, set[str]]:
        fill(warehouse, world)
        return stored(warehouse, world, groups, as_of)

    return compiled


DIFFERS: Mapping[str, tuple[str, str]] = {
    "df_random_bucket": (
        "the lot of a person hangs on the profile's id and a key of the project's own, not on the user's id "
        "and the audience's name alone, so renaming an audience moves nobody",
        "Dittofeed",
    ),
}
"""Case → why ours comes out otherwise, and whose it is; all others must agree, these must not."""

REFUSED: Mapping[str, tuple[Callable[[], object], str]] = {
    "quiet must be shorter": (lambda: did("A").stopped(was=days(1), quiet=days(2)), "shorter"),
    "min periods > total": (lambda: did("A").regularly(at_least=4, of=3, period=days(1)), "at_least"),
    "cycle": (lambda: in_order([Audience("a", in_audience("b")), Audience("b", in_audience("a"))]), "circle"),
}
"""What a case says is wrong → the same mistake in our words, and a word of the error that refuses it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case of the chosen folder."""
    if "golden" in metafunc.fixturenames:
        path = Path(metafunc.config.getoption("golden")) / "rule_cases.jsonl"
        if not path.is_file():
            raise pytest.UsageError(f"--golden: there is no {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
        cases = [Golden(json.loads(line)) for line in lines if line.strip()]
        metafunc.parametrize("golden", [pytest.param(case, id=case.name) for case in cases])


def test_a_published_rule_has_the_published_members(golden: Golden, evaluate: Evaluate) -> None:
    """All of them and nobody else; or differs for the reason given; a wrong rule is one that we refuse."""
    if golden.error is not None:
        mistake, word = REFUSED[golden.error]
        with pytest.raises(RuleError, match=word):
            mistake()
        return
    found = evaluate(golden.world, golden.audiences, golden.as_of)["golden"]
    if golden.name in DIFFERS:
        reason, peer = DIFFERS[golden.name]
        assert found != golden.expected, f"it agrees with {peer} now; take it out of DIFFERS: {reason}"
    else:
        assert found == golden.expected, golden.case["notes"]
