"""The commands on identity, as a steward runs them, and what follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audiences.cli import EXIT_FAILED, EXIT_USAGE
from tests.audiences.test_cli import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def resolved(shell: Shell) -> Shell:
    shell.run("ingest", "events/sample.ndjson")
    shell.run("resolve")
    return shell


def test_a_shared_device_is_found_looked_at_and_explained(resolved: Shell, tmp_path: Path) -> None:
    """From the report to the events, and a picture."""
    report = json.loads(resolved.run("identity", "suspects", "--json"))
    counter = report["shared"][0]
    assert (counter["people"], counter["identifier"]["type"]) == (8, "anonymous_id")
    page = tmp_path / "cluster.html"
    shown = resolved.run("identity", "cluster", counter["identifier"]["identifier_id"], "--html", str(page))
    assert "this shared anonymous_id glues 8 people" in shown
    assert page.read_text().startswith("<!doctype html>")
    assert "<svg" in page.read_text()
    shown = resolved.run("identity", "explain", "user_id:u0012", "user_id:u0018")
    assert "Not joined" in shown
    assert "the profile would hold more than 1 user_id" in shown
    profile = json.loads(resolved.run("profile", "user_id:u0008", "--json"))["profile"]
    for each in profile["identifiers"]:
        if each["type"] != "user_id":
            assert "One person" in resolved.run("identity", "explain", "user_id:u0008", each["identifier_id"])


def test_an_override_is_planned_done_listed_and_taken_back(resolved: Shell) -> None:
    """And the plan says first what will change, and whose members it touches."""
    resolved.run("apply", "--yes")
    before = resolved.run("profile", "user_id:u0019", "--json")
    said = resolved.run(
        "identity", "merge", "user_id:u0019", "user_id:u0021", "--reason", "two accounts", "--author", "ann"
    )
    assert "Override 1 recorded" in said
    planned = resolved.run("plan")
    assert "1 profile merged" in planned
    assert "members touched: " in planned
    assert "big_spenders" in planned.split("members touched: ")[1].splitlines()[0]
    ended = json.loads(resolved.run("profile", "user_id:u0021", "--json"))["profile"]["profile_id"]
    assert "1 profile merged" in resolved.run("resolve")
    merged = json.loads(resolved.run("profile", ended, "--json"))["profile"]
    assert merged == json.loads(resolved.run("profile", "user_id:u0019", "--json"))["profile"]
    assert "identifiers in 1 profile;" in resolved.run("identity", "cluster", ended)
    assert "two accounts" in resolved.run("identity", "overrides")
    assert "One person" in resolved.run("identity", "explain", "user_id:u0019", "user_id:u0021")
    resolved.run("identity", "undo", "1", "--author", "ben")
    assert "1 split" in resolved.run("resolve")
    assert "Nobody decided anything" in resolved.run("identity", "overrides")
    assert "undone" in resolved.run("identity", "overrides", "--all")
    assert json.loads(resolved.run("profile", "user_id:u0019", "--json")) == json.loads(before)


def test_what_was_sent_follows_an_override_and_comes_back_with_its_undoing(resolved: Shell) -> None:
    """Merged with somebody who refused, a person is removed at the platform: deny wins across merges."""
    resolved.run("apply", "--yes")
    sent = resolved.platform.everybody()
    resolved.run(
        "identity", "merge", "user_id:u0019", "user_id:u0007", "--reason", "one person", "--author", "ann"
    )
    resolved.run("apply", "--yes")
    assert resolved.platform.everybody() < sent
    resolved.run("identity", "undo", "1", "--author", "ann")
    resolved.run("apply", "--yes")
    assert resolved.platform.everybody() == sent


def test_a_profile_as_of_an_instant_knows_nothing_later(resolved: Shell) -> None:
    """The tablet came a month after the browser."""
    now = json.loads(resolved.run("profile", "user_id:u0008", "--json"))["profile"]
    last = now["last_seen_at"]
    earlier = json.loads(
        resolved.run(
            "profile", "user_id:u0008", "--as-of", now["traits"]["firstName"]["occurred_at"], "--json"
        )
    )["profile"]
    assert earlier["profile_id"] == now["profile_id"]
    assert earlier["last_seen_at"] < last
    assert len(earlier["identifiers"]) < len(now["identifiers"])
    assert (earlier["merged"], len(now["merged"])) == ([], 1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("explain", "user_id:nobody", "user_id:u0001"), EXIT_FAILED, "No event carried that identifier"),
        (("explain", "emial:x", "user_id:u0001"), EXIT_FAILED, "Did you mean 'email'"),
        (("cluster", "nonsense"), EXIT_FAILED, "TYPE:VALUE"),
        (
            ("split", "user_id:u0001", "--from", "user_id:u0002", "--reason", "x"),
            EXIT_USAGE,
            "not in one profile",
        ),
        (("merge", "user_id:u0001", "user_id:u0001", "--reason", "x"), EXIT_USAGE, "same identifier"),
        (("merge", "user_id:u0001", "user_id:u0002", "--reason", " "), EXIT_USAGE, "needs a reason"),
        (("undo", "7"), EXIT_FAILED, "No override 7 holds"),
    ],
)
def test_a_stewards_mistake_gets_a_sentence(
    resolved: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """With the way out, and never the value."""
    said = resolved.run("identity", *arguments, code=code)
    assert says in said
    assert "nobody" not in said


def test_what_events_and_stewards_write_is_shown_as_it_is(shell: Shell) -> None:
    """A name that looks like markup of the terminal's is no markup."""
    at = "2026-01-01T00:00:00Z"
    lines = [
        {"type": "identify", "messageId": "[/m]", "userId": "a", "anonymousId": "x", "timestamp": at,
         "traits": {"plan": "[/red] pro [bold", "[/t]": 1}},
        {"type": "track", "messageId": "[/n]", "userId": "a", "anonymousId": "y", "timestamp": at,
         "event": "[/boo] Bought", "context": {"groupId": "[/acme]"}},
    ]  # fmt: skip
    (shell.folder / "hostile.ndjson").write_text("\n".join(json.dumps(line) for line in lines))
    shell.run("ingest", "hostile.ndjson")
    shell.run("resolve")
    shown = shell.run("profile", "user_id:a")
    for text in ("[/red] pro [bold", "[/t]", "by [/m]", "[/boo] Bought", "[/acme]"):
        assert text in shown
    assert "[/n]" in shell.run("identity", "explain", "user_id:a", "anonymous_id:y")
    shell.run("identity", "merge", "anonymous_id:x", "anonymous_id:y", "--reason", "[/why]")
    assert "[/why]" in shell.run("identity", "overrides")
    shell.run("identity", "cluster", "user_id:a")


def test_every_identity_command_that_reads_speaks_json(resolved: Shell) -> None:
    """One document each."""
    for command in (
        ("explain", "user_id:u0002", "user_id:u0008"),
        ("cluster", "user_id:u0008"),
        ("suspects",),
        ("overrides",),
    ):
        assert json.loads(resolved.run("identity", *command, "--json")) is not None
