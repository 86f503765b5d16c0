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

from tests.golden_rules import Golden
from tests.reference import Group, World, members

Evaluate = Callable[[World, Iterable[Group], datetime], dict[str, set[str]]]
"""Says who is in each audience, by its key."""

EVALUATORS: Mapping[str, Evaluate] = {"reference": members}

DIFFERS: Mapping[str, tuple[str, str]] = {
    "df_random_bucket": (
        "the lot of a person hangs on the profile's id and a key of the project's own, not on the user's id "
        "and the audience's name alone, so renaming an audience moves nobody",
        "Dittofeed",
    ),
}
"""Case → why ours comes out otherwise, and whose it is; all others must agree, these must not."""

REFUSED: Mapping[str, str] = {
    "quiet must be shorter": "`stopped` and `restarted` want a quiet time that is shorter than the whole",
    "min periods > total": "`regularly` can't want more periods than it looks at",
    "cycle": "audiences can't be built on each other in a circle",
}
"""What a case says is wrong → which error of ours refuses it when the rule is defined."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case of the chosen folder."""
    if "golden" in metafunc.fixturenames:
        path = Path(metafunc.config.getoption("golden")) / "rule_cases.jsonl"
        if not path.is_file():
            raise pytest.UsageError(f"--golden: there is no {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
        cases = [Golden(json.loads(line)) for line in lines if line.strip()]
        metafunc.parametrize("golden", [pytest.param(case, id=case.name) for case in cases])


@pytest.mark.parametrize("evaluate", EVALUATORS.values(), ids=EVALUATORS.keys())
def test_a_published_rule_has_the_published_members(golden: Golden, evaluate: Evaluate) -> None:
    """All of them and nobody else; or differs for the reason given; a wrong rule is one that we refuse."""
    if golden.error is not None:
        assert golden.error in REFUSED
        return
    found = evaluate(golden.world, golden.audiences, golden.as_of)["golden"]
    if golden.name in DIFFERS:
        reason, peer = DIFFERS[golden.name]
        assert found != golden.expected, f"it agrees with {peer} now; take it out of DIFFERS: {reason}"
    else:
        assert found == golden.expected, golden.case["notes"]
