"""The benchmark of audiences compares like with like: the same events, the same rules, the same answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiences.meaning import conditions, fingerprint
from benchmarks.audience_cases import (
    ORDER,
    Counted,
    Either,
    Every,
    Figured,
    First,
    Followed,
    Picked,
    Recent,
    Rule,
    Selected,
    Varied,
    cases,
    leaves,
)
from benchmarks.audience_contender import digest
from benchmarks.audience_events import AS_OF, NAMES, Data, make, share_of
from benchmarks.audience_nodes import rule_of
from benchmarks.audience_rivals import RIVALS

NOW = AS_OF.replace(tzinfo=None)
NEEDS = {"pandas": "pandas", "polars": "polars", "ibis": "ibis", "posthog": "chdb", "dittofeed": "chdb"}
MADE = cases(80, 1)
Event = Mapping[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Ten thousand events of two hundred profiles."""
    return make(tmp_path_factory.mktemp("data"), 10_000, 1)


@pytest.fixture(scope="module")
def people(data: Data) -> dict[int, list[Event]]:
    """The events of every profile in order of time, those without any included."""
    with duckdb.connect(data.duckdb, read_only=True) as connection:
        rows = connection.execute("FROM events ORDER BY occurred_at")
        names = [each[0] for each in rows.description or ()]
        found: dict[int, list[Event]] = {number: [] for number in range(1, data.profiles + 1)}
        for row in rows.fetchall():
            event = dict(zip(names, row, strict=True))
            found[event["profile"]].append(event)
    return found


@pytest.fixture(scope="module")
def expected(people: dict[int, list[Event]]) -> dict[str, list[int]]:
    """The members of every audience, in order."""
    return {
        case.key: [number for number, events in people.items() if belongs(case.rule, events)] for case in MADE
    }


def chosen(of: Selected, events: Sequence[Event]) -> list[Event]:
    """The selected events, by reading them one after another."""
    oldest = NOW - timedelta(days=100_000 if of.oldest is None else of.oldest)
    newest = NOW - timedelta(days=of.newest)
    return [
        event
        for event in events
        if event["name"] == of.name
        and oldest < event["occurred_at"] <= newest
        and all(passes(event[each.field], each.op, each.value) for each in of.where)
    ]


def passes(held: Any, op: str, value: Any) -> bool:
    """Whether a property passes a filter."""
    if held is None:
        return False
    if op == "in":
        return held in value
    return value in held if op == "contains" else ORDER[op](held, value)


def belongs(rule: Rule, events: Sequence[Event]) -> bool:
    """Whether a profile with these events is in an audience, in plain Python."""
    match rule:
        case Every(rules):
            return all(belongs(each, events) for each in rules)
        case Either(rules):
            return any(belongs(each, events) for each in rules)
        case Counted(of, op, number):
            return ORDER[op](len(chosen(of, events)), number)
        case Varied(of, field, op, number):
            return ORDER[op](len({event[field] for event in chosen(of, events)} - {None}), number)
        case Figured(of, function, field, op, number):
            values = [event[field] for event in chosen(of, events) if event[field] is not None]
            figure = {"sum": sum, "min": min, "max": max, "avg": lambda all_: sum(all_) / len(all_)}[function]
            return bool(values) and ORDER[op](figure(values), number)
        case Picked(of, which, field, value):
            values = [event[field] for event in chosen(of, events) if event[field] is not None]
            return bool(values) and values[0 if which == "first" else -1] == value
        case Recent(of, op, days):
            found = chosen(of, events)
            return bool(found) and ORDER[op]((NOW - found[-1]["occurred_at"]).days, days)
        case First(of):
            ever = chosen(Selected(of.name, of.where), events)
            return bool(ever) and ever[0] in chosen(of, events)
        case Followed(first, then, hours):
            return any(
                timedelta(0) < after["occurred_at"] - before["occurred_at"] <= timedelta(hours=hours)
                for before in chosen(first, events)
                for after in chosen(then, events)
            )


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.filterwarnings("default")
def test_every_contender_finds_the_members_that_reading_event_by_event_finds(
    name: str, data: Data, expected: dict[str, list[int]]
) -> None:
    """Every contender finds exactly the members of the rules that it says it can say, each once."""
    if name in NEEDS and not find_spec(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed")
    contender = RIVALS[name]
    if contender.store:
        contender.store(data)
    said = [case for case in MADE if contender.says(case.rule)]
    with contender.open(data) as opened:
        found = {key: contender.numbers(each).tolist() for key, each in contender.members(opened, said)}
    assert len(said) >= len(MADE) // 4
    for case in said:
        assert sorted(found[case.key]) == expected[case.key], case


def test_the_same_seed_makes_the_same_events_in_other_parts(data: Data, tmp_path: Path) -> None:
    """Events are a function of their number and the seed: again they are equal, from another seed not."""
    with duckdb.connect() as connection:

        def rows(made: Data) -> list[tuple[Any, ...]]:
            return connection.execute("FROM read_parquet($1)", [made.parts]).fetchall()

        again, other = make(tmp_path, 10_000, 1), make(tmp_path, 10_000, 2)
        assert rows(again) == rows(data)
        assert rows(other) != rows(data)


def test_events_are_skewed_unsorted_and_never_in_the_future(people: dict[int, list[Event]]) -> None:
    """Names follow their shares, few profiles do much, some nothing, and arrival says nothing about time."""
    events = [event for each in people.values() for event in each]
    counted: dict[str, int] = defaultdict(int)
    for event in events:
        counted[event["name"]] += 1
    assert all(abs(counted[name] / len(events) - share_of(name)) < 0.02 for name in NAMES)
    sizes = sorted(map(len, people.values()), reverse=True)
    assert sizes[0] > 10 * sizes[len(sizes) // 2]
    assert sizes[-1] == 0
    assert max(event["occurred_at"] for event in events) <= NOW
    events.sort(key=lambda event: event["message_id"])
    later = sum(a["occurred_at"] < b["occurred_at"] for a, b in pairwise(events))
    assert 0.4 < later / len(events) < 0.6


def test_fewer_audiences_are_the_beginning_of_more() -> None:
    """Ten audiences are of ten kinds and stay what they are among five hundred."""
    many = cases(500, 1)
    assert many[:10] == cases(10, 1)
    assert len({case.kind for case in many[:10]}) == 10
    assert cases(500, 2) != many


def test_every_audience_is_a_rule_of_ours() -> None:
    """A described audience becomes one rule with as many conditions, and hardly two of them are the same."""
    rules = [rule_of(case.rule) for case in cases(500, 1)]
    for case, rule in zip(cases(500, 1), rules, strict=True):
        assert len(list(conditions(rule))) == len(list(leaves(case.rule)))
    assert len(set(map(fingerprint, rules))) > 480


def test_a_digest_tells_sets_apart_and_not_orders() -> None:
    """Two orders of a set have one digest; a member more, less, twice or another gives another one."""
    import numpy as np

    def of(*numbers: int) -> tuple[int, int]:
        return digest(np.array(numbers, dtype=np.int64))

    assert of(1, 2, 3) == of(3, 1, 2)
    assert len({of(1, 2, 3), of(1, 2), of(1, 2, 3, 3), of(1, 2, 4), of(0, 3, 3), of()}) == 6


def test_most_audiences_hold_somebody_and_not_everybody(data: Data, expected: dict[str, list[int]]) -> None:
    """Equal answers mean something: seven in ten audiences of a small shop have members and outsiders."""
    assert sum(0 < len(each) < data.profiles for each in expected.values()) > len(MADE) * 0.7
