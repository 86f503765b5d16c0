"""`audiences diff`: what became of a project's definitions, and who moves by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlglot import exp

from audiences.cli import EXIT_FAILED
from audiences.project import load_definitions, open_stores
from identity.privacy.vault import create_key_file
from tests.audiences.test_cli import Shell

NOW = datetime.now(UTC)
LATER = (NOW + timedelta(hours=1)).isoformat()
HEAD = """
from audiences import Audience, ComputedTrait, Project, account, days, did, in_audience, trait
p = Project()
O = did("Order").within(days(30))
"""
FIRST = """
buyers = Audience("buyers", O >= 2)
vip = Audience("vip", in_audience("buyers"), trait("plan") != "free")
known = Audience("known", trait("email") == "ann@example.com")
quiet = Audience("quiet", ~O)
steady = Audience("steady", O, trait("plan") == "plus")
firms = Audience("firms", account.any_user(O >= 2), of="account")
spend = ComputedTrait("spend", O.sum("v"))
orders = ComputedTrait("orders", O.count())
"""
SECOND = """
buyers = Audience("buyers", O >= 1)
vip = Audience("vip", in_audience("buyers"), trait("plan") != "free")
known = Audience("known", trait("email") == "bob@example.com")
steady = Audience("steady", trait("plan") == "plus", ~~O, description="In other words.")
fresh = Audience("fresh", did("Visit"))
firms = Audience("firms", account.at_least(2, O), of="account")
spend = ComputedTrait("spend", did("Order").within(days(90)).sum("v"))
orders = ComputedTrait("orders", O.count())
"""


def order(number: int, who: str, days_ago: float, **said: Any) -> dict[str, Any]:
    at = (NOW - timedelta(days=days_ago)).isoformat()
    message = {"messageId": f"m{number}", "type": "track", "event": "Order", "userId": who, "timestamp": at}
    return message | {"properties": {"v": 10}} | said


def person(who: str, plan: str, firm: str | None = None) -> Iterator[dict[str, Any]]:
    at = (NOW - timedelta(days=100)).isoformat()
    said = {"userId": who, "timestamp": at}
    traits = {"plan": plan, "email": f"{who}@example.com"}
    yield {"messageId": f"i-{who}", "type": "identify", "traits": traits, **said}
    if firm:
        yield {"messageId": f"g-{who}", "type": "group", "groupId": firm, "traits": {}, **said}


MESSAGES = [
    *person("ann", "plus", "acme"),
    *person("bob", "free", "acme"),
    *person("cat", "plus", "bolt"),
    *person("dan", "plus", "bolt"),
    order(1, "ann", 1),
    order(2, "ann", 2),
    order(3, "bob", 3),
    order(4, "cat", 4),
    order(5, "dan", 60),
    order(6, "ann", 70),
]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A project whose definitions were applied once."""
    monkeypatch.chdir(tmp_path)
    create_key_file(tmp_path / "audiences.key")
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(map(orjson.dumps, MESSAGES)))
    (tmp_path / "project.py").write_text(HEAD + FIRST)
    shell = Shell(tmp_path, None, capsys)  # type: ignore[arg-type]
    shell.run("ingest", "events.ndjson", "--json")
    shell.run("apply", "--yes", "--json")
    return shell


def differences(shell: Shell, *arguments: str) -> dict[str, dict[str, Any]]:
    found = json.loads(shell.run("diff", "--json", "--as-of", LATER, *arguments))
    return {each["key"]: each for each in found["changes"]}


def numbers(change: dict[str, Any]) -> tuple[int, ...]:
    return tuple(change[name] for name in ("stored", "computed", "entering", "leaving"))


def test_definitions_that_were_applied_are_unchanged(shell: Shell) -> None:
    """In one line."""
    assert shell.run("diff").strip() == "unchanged: buyers, known, quiet, steady, firms, vip, spend, orders"


def test_a_project_that_was_never_applied_is_new(shell: Shell) -> None:
    """Everybody would enter."""
    (shell.folder / "project.py").write_text(
        HEAD + 'a = Audience("a", O)\nt = ComputedTrait("t", O.count())\n'
    )
    found = differences(shell, "a", "t")
    assert (found["a"]["state"], found["a"]["before"], found["a"]["verdict"]) == ("new", None, None)
    assert numbers(found["a"]) == (0, 3, 3, 0)
    assert numbers(found["t"]) == (0, 4, 4, 0)


def test_what_changed_is_said_and_counted(shell: Shell) -> None:
    """Verdict, edits, and who moves, of audiences, audiences of accounts and computed traits."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    found = differences(shell)
    assert {key: each["verdict"] for key, each in found.items()} == {
        "buyers": "widened",
        "vip": "widened",
        "known": "changed",
        "fresh": None,
        "firms": "changed",
        "spend": "changed",
        "quiet": None,
    }
    assert numbers(found["buyers"]) == (1, 3, 2, 0)
    assert found["buyers"]["edits"] == ["“Order”: “at least 2 times” became “at least 1 time”"]
    assert found["buyers"]["before"].startswith("Everyone who did “Order” at least 2 times")
    assert found["buyers"]["now"].startswith("Everyone who did “Order” in the last 30 days")
    assert numbers(found["vip"]) == (1, 2, 1, 0)
    assert found["vip"]["edits"] == ["the audience buyers, on which it is built, was widened"]
    assert numbers(found["known"]) == (1, 1, 1, 1)
    assert (found["fresh"]["state"], found["quiet"]["state"]) == ("new", "gone")
    assert numbers(found["quiet"]) == (1, 0, 0, 1)
    assert found["quiet"]["before"] == "Everyone who did not do “Order” in the last 30 days."
    assert found["quiet"]["now"] is None
    assert numbers(found["firms"]) == (1, 1, 0, 0)
    assert (found["firms"]["kind"], found["spend"]["kind"]) == ("account", "trait")
    assert numbers(found["spend"]) == (3, 4, 1, 0)
    assert found["spend"]["changing"] == 1
    assert found["spend"]["now"] == "The sum of v over “Order” in the last 90 days."


def test_the_numbers_are_those_that_an_apply_then_reaches(shell: Shell) -> None:
    """And nothing was written: the apply finds what was stored."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    told = differences(shell)
    assert differences(shell) == told
    applied = json.loads(shell.run("apply", "--yes", "--json", "--as-of", LATER))
    for change in applied["changes"]:
        each = told.get(change["audience"])
        moved = (change["size"], change["entered"], change["exited"], change["changed"])
        if each is None:
            assert moved[1:] == (0, 0, 0)
        else:
            assert moved == (*numbers(each)[1:], each["changing"])
    assert differences(shell) == {}


def test_no_personal_value_is_shown_or_stored(shell: Shell) -> None:
    """A sealed literal is the beginning of its token, which tells two apart."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    shown = shell.run("diff") + json.dumps(differences(shell))
    assert "example.com" not in shown
    (edit,) = differences(shell)["known"]["edits"]
    assert edit.count("sealed ") == 2
    assert len(set(edit.split("“is ")[1:])) == 2
    assert b"ann@example.com" not in (shell.folder / "warehouse.duckdb").read_bytes()


def test_some_keys_are_compared_alone(shell: Shell) -> None:
    """Also one that is gone; an unknown one is an error that suggests another."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    assert set(differences(shell, "vip", "quiet", "steady")) == {"vip", "quiet"}
    assert "unchanged: orders" in shell.run("diff", "orders", "buyers")
    assert "Did you mean 'buyers'" in shell.run("diff", "buyer", code=EXIT_FAILED)


def test_the_screen_shows_it_line_by_line(shell: Shell) -> None:
    """For people."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    lines = shell.run("diff").splitlines()
    assert "buyers  widened: 1 → 3 members, +2 -0" in lines
    assert "  - “Order”: “at least 2 times” became “at least 1 time”" in lines
    assert "spend  changed: 3 → 4 profiles with a value, +1 -0 ~1" in lines
    assert "quiet  gone: 1 → 0 members, +0 -1" in lines
    assert lines[-1] == "unchanged: steady, orders"


def test_a_stored_rule_that_can_not_be_read_is_said_to_be_one(shell: Shell) -> None:
    """Another version stored it; who moves is known all the same."""
    (shell.folder / "project.py").write_text(HEAD + SECOND)
    definitions = load_definitions(shell.folder)
    with open_stores(definitions) as stores:
        unknown = exp.Literal.string('{"is":"Telepathy"}')
        stores.warehouse.execute(exp.update("computations", {"rule": unknown}))
    for key in ("buyers", "spend"):
        change = differences(shell)[key]
        assert (change["before"], change["verdict"]) == (None, "changed")
        assert "'Telepathy'" in change["edits"][0]
    assert numbers(differences(shell)["buyers"]) == (1, 3, 2, 0)


def test_a_key_that_changed_its_kind_is_changed(shell: Shell) -> None:
    """Profiles are no accounts: all go, all come."""
    text = FIRST.replace('Audience("quiet", ~O)', 'Audience("quiet", ~O, of="account")')
    (shell.folder / "project.py").write_text(HEAD + text)
    (change,) = differences(shell).values()
    assert (change["verdict"], change["edits"]) == (
        "changed",
        ["it was made of profiles, and is made of accounts"],
    )
    assert numbers(change) == (1, 0, 0, 1)
