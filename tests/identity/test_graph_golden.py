"""Golden cases: what Segment's and Adobe's documentation says comes out of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.identity.streams import Resolved, Said, Setting, kind, resolve_stream

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures/golden/identity_cases.jsonl").read_text().splitlines()
]
DAYS = {"weekly": 7, "monthly": 30, "annually": 365, "ever": None}
SECOND = 1_000_000

LEFT_OUT: Mapping[str, str] = {
    "seg_delete_identifier": "deleting one identifier from a profile comes later",
    "seg_cannot_delete_lookup_id": "deleting one identifier from a profile comes later",
}


def stream(case: Mapping[str, Any]) -> list[Said]:
    """The case's events in arrival order, without what it blocks; accounts are no persons' identifiers."""
    blocked = case["settings"].get("blocked", {})

    def links(identifier: str) -> bool:
        value = identifier.split(":", 1)[1]
        return not (
            kind(identifier) == "group_id"
            or value in blocked.get("exact", ())
            or value in blocked.get("by_type", {}).get(kind(identifier), ())
            or any(re.search(pattern, value) for pattern in blocked.get("regex", ()))
        )

    said = [
        Said(
            at=round(datetime.fromisoformat(event["ts"]).timestamp() * SECOND),
            message_id=event["id"],
            ids=tuple(each for each in event["ids"] if links(each)),
        )
        for event in case["events"]
    ]
    return [each for each in said if each.ids]


def setting(case: Mapping[str, Any]) -> Setting:
    """The case's rules; types without a priority come alphabetically after user_id and email."""
    given = case["settings"]
    priorities = given.get("priorities", {"user_id": 1, "email": 2})
    used = {kind(each) for event in case["events"] for each in event["ids"]}
    types = sorted(used | set(priorities), key=lambda name: (priorities.get(name, 99), name))
    limits = {
        name: each if isinstance(each, dict) else {"n": each}
        for name, each in given.get("limits", {}).items()
    }
    windows = {name: DAYS[each.get("window", "ever")] for name, each in limits.items()}
    no_limit = given["algorithm"] == "connected_components"
    return Setting(
        types=tuple(types),
        limits={name: each["n"] for name, each in limits.items()},
        default_limit=1000 if no_limit else given.get("default_limit", 5),
        windows={
            name: int(timedelta(days=days).total_seconds()) * SECOND for name, days in windows.items() if days
        },
        unique=frozenset(given.get("unique", ())),
        conflict="drop_links" if given["algorithm"] == "adobe" else "demote",
        max_merges=given.get("max_merges", 100),
        max_identifiers=given.get("max_mappings", 1000),
    )


def resolved(case: Mapping[str, Any]) -> Resolved:
    chosen = setting(case)
    return resolve_stream(stream(case), chosen, every_event=bool(chosen.windows))


def agrees(case: Mapping[str, Any], found: Resolved) -> bool:
    expected = case["expected"]
    if found.profiles != {frozenset(each) for each in expected["profiles"]}:
        return False
    if "events_by_profile" in expected:
        by_profile: dict[frozenset[str], set[str]] = {}
        for message_id, profile in found.owners.items():
            by_profile.setdefault(profile, set()).add(message_id)
        if sorted(map(sorted, by_profile.values())) != sorted(map(sorted, expected["events_by_profile"])):
            return False
    if "canonical_events" in expected:
        return expected["canonical_events"]["created_by"] in found.founders.values()
    return True


def named(case: Mapping[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", [each for each in CASES if each["name"] not in LEFT_OUT], ids=named)
def test_a_published_case_comes_out_as_published(case: Mapping[str, Any]) -> None:
    """Profiles, whose each event is, and which event a merged profile goes back to."""
    found = resolved(case)
    assert agrees(case, found), (case["why"], found)


@pytest.mark.parametrize("case", [each for each in CASES if each["name"] not in LEFT_OUT], ids=named)
def test_arrival_order_does_not_matter(case: Mapping[str, Any]) -> None:
    """Reversed and repeated, the same case resolves the same."""
    events, chosen = stream(case), setting(case)
    again = resolve_stream([*reversed(events), *events], chosen, every_event=bool(chosen.windows))
    assert again == resolved(case)


def test_merges_are_logged_as_segment_logs_them() -> None:
    """In the case study the later profile goes into the earlier, caused by the event that joins them."""
    (case,) = [each for each in CASES if each["name"] == "seg_profiles_sync_case_study"]
    assert resolved(case).merges == (("e3", "e1", "e4"),)
