"""Rules are written for engines that are not run here as well: whole queries that their dialects can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from audiences.compile import Question, compile_audiences
from audiences.engines import ENGINES
from tests.golden_rules import Golden
from tests.stored import audience

CASES = Path(__file__).parent.parent / "fixtures" / "golden" / "rule_cases.jsonl"
GOLDEN = [Golden(json.loads(line)) for line in CASES.read_text(encoding="utf-8").splitlines()]
NOT_RUN = ("spark", "bigquery", "snowflake")


@pytest.mark.parametrize("engine", NOT_RUN)
@pytest.mark.parametrize(
    "golden", [each for each in GOLDEN if each.error is None], ids=lambda each: each.name
)
def test_a_published_rule_is_written_for_every_engine(golden: Golden, engine: str) -> None:
    """One query that reads our relations only, and that its dialect's parser takes whole."""
    everything = [audience(group) for group in golden.audiences]
    for of in ("profile", "account"):
        chosen = [each for each in everything if each.of == of]
        if not chosen:
            continue
        known = {each.key: each for each in everything}
        question = Question(golden.as_of, ENGINES[engine], audiences=known)
        text = compile_audiences(chosen, question).sql(dialect=engine)
        read = sqlglot.parse_one(text, dialect=engine)
        own = {each.alias_or_name for each in read.find_all(exp.CTE)}
        named = {each.name for each in read.find_all(exp.Table)} - own
        ours = {"profile_events", "profile_traits", "profile_identifiers", "profiles", "account_traits"}
        # an exploded array stands where a table may stand
        assert {each for each in named if each.startswith(("profile", "account"))} <= ours
        assert {each.output_name for each in read.selects} >= {each.key for each in chosen}
