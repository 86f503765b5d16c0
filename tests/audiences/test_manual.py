"""Members by hand: in or out whatever the rule says, with a reason, until a date or until taken back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlglot import exp

from audiences import Audience, account, did
from audiences.cli import EXIT_FAILED, EXIT_USAGE
from audiences.manual import in_force, list_decisions, record_decision, undo_decision
from audiences.permissions import refresh_permissions
from audiences.plan import build_plan, preview_members
from identity.errors import ConfigurationError, NotFoundError
from identity.overrides import record_override
from identity.touched import touched_number
from tests.audiences.test_cli import Shell, shell
from tests.conftest import NOW, House
from tests.shop import Shop

__all__ = ["shell"]

DAY = timedelta(days=1)


@pytest.fixture
def shop(house: House) -> Shop:
    """Nobody bought anything, and everybody was seen."""
    buyers = Audience("buyers", did("Order Completed"))
    seen = Audience("seen", did("Seen"))
    return Shop(house, [buyers, seen, Audience("watched", seen, ~buyers)])


def everybody_but(*names: str) -> set[str]:
    return {f"u{number}" for number in range(1, 13)} - set(names)


def test_a_person_is_in_or_out_by_hand_whatever_the_rule_says(shop: Shop) -> None:
    """Others are as the rule says, and audiences that are built on it follow."""
    assert shop.run(NOW) == {"buyers": set(), "seen": everybody_but(), "watched": everybody_but()}
    shop.decide("buyers", "user_id:u1", "in")
    shop.decide("seen", "user_id:u2", "out")
    assert shop.run(NOW + DAY) == {
        "buyers": {"u1"},
        "seen": everybody_but("u2"),
        "watched": everybody_but("u1", "u2"),
    }
    assert shop.looked_at == {"buyers": 2, "seen": 2, "watched": 2}


def test_a_decision_is_about_one_audience(shop: Shop) -> None:
    """Out of one is not out of the other."""
    shop.decide("watched", "user_id:u3", "out")
    found = shop.run(NOW)
    assert (found["seen"], found["watched"]) == (everybody_but(), everybody_but("u3"))


def test_audiences_of_accounts_follow_the_decisions_on_their_people(shop: Shop) -> None:
    """An account has a buyer while one of its people is one by hand."""
    buyers = shop.audiences[0]
    shop.audiences = [*shop.audiences, Audience("firms", account.any_user(buyers), of="account")]
    for number, firm in ((1, "acme"), (2, "bolt")):
        shop.see({"userId": f"u{number}", "context": {"groupId": firm}})
    assert shop.run(NOW)["firms"] == set()
    shop.decide("buyers", "user_id:u1", "in", until=NOW + 2 * DAY)
    assert shop.run(NOW + DAY)["firms"] == {"acme"}
    assert shop.run(NOW + 2 * DAY)["firms"] == set()


def test_of_two_decisions_the_newest_counts(shop: Shop) -> None:
    """And the one before it again when the newest is taken back, or ends."""
    shop.decide("buyers", "user_id:u1", "in")
    newest = shop.decide("buyers", "user_id:u1", "out", until=NOW + 9 * DAY)
    shop.decide("buyers", "user_id:u2", "out")
    shop.decide("buyers", "user_id:u2", "in", until=NOW + 2 * DAY)
    assert shop.run(NOW + DAY)["buyers"] == {"u2"}
    assert shop.run(NOW + 2 * DAY)["buyers"] == set()
    undo_decision(shop.house.ledger, newest, author="ann", at=NOW + 3 * DAY)
    assert shop.run(NOW + 4 * DAY)["buyers"] == {"u1"}


def test_a_decision_ends_by_itself(shop: Shop) -> None:
    """At its instant, without any event, looking at that one person only."""
    shop.decide("buyers", "user_id:u1", "in", until=NOW + 2 * DAY)
    shop.decide("seen", "user_id:u2", "out", until=NOW + 3 * DAY)
    shop.run(NOW)
    before = shop.run(NOW + 2 * DAY - timedelta(microseconds=1))
    assert (before["buyers"], before["seen"]) == ({"u1"}, everybody_but("u2"))
    after = shop.run(NOW + 2 * DAY)
    assert (after["buyers"], after["seen"]) == (set(), everybody_but("u2"))
    assert shop.looked_at["buyers"] == 1
    assert shop.run(NOW + 3 * DAY)["seen"] == everybody_but()


def test_a_decision_that_is_taken_back_was_never_made(shop: Shop) -> None:
    """From the next run on; the first and the last decision on an audience need no full computation."""
    shop.run(NOW)
    number = shop.decide("buyers", "user_id:u1", "in")
    assert shop.run(NOW + DAY)["buyers"] == {"u1"}
    assert shop.looked_at["buyers"] == 1
    undo_decision(shop.house.ledger, number, author="ann", at=NOW + 2 * DAY)
    assert shop.run(NOW + 2 * DAY)["buyers"] == set()
    assert shop.looked_at["buyers"] == 1


def test_a_run_that_finds_nothing_new_looks_at_nobody(shop: Shop) -> None:
    """Decisions that hold on are no change."""
    shop.decide("buyers", "user_id:u1", "in")
    shop.run(NOW)
    seen = touched_number(shop.house.warehouse)
    assert shop.run(NOW + DAY)["buyers"] == {"u1"}
    assert shop.looked_at["buyers"] == 0
    assert touched_number(shop.house.warehouse) == seen


def test_a_decision_stays_with_a_person_who_is_merged(shop: Shop) -> None:
    """It is of an identifier, and follows whoever has it, also when they are split again."""
    shop.see({"anonymousId": "d1"})
    shop.decide("buyers", "anonymous_id:d1", "in")
    assert shop.run(NOW)["buyers"] == {"d1"}
    shop.see({"anonymousId": "d1", "userId": "u5"})
    assert shop.run(NOW + DAY)["buyers"] == {"u5"}
    one, two = shop.house.token("anonymous_id:d1"), shop.house.token("user_id:u5")
    record_override(shop.house.ledger, "apart", one, two, author="ann", reason="no", at=NOW)
    assert shop.run(NOW + 2 * DAY)["buyers"] == {"d1"}


def test_of_the_decisions_on_people_who_became_one_the_newest_counts(shop: Shop) -> None:
    """Whichever identifier it is of."""
    shop.see({"anonymousId": "d1"}, {"anonymousId": "d2"})
    shop.decide("buyers", "anonymous_id:d1", "in")
    shop.decide("buyers", "user_id:u5", "out")
    shop.decide("buyers", "user_id:u6", "out")
    shop.decide("buyers", "anonymous_id:d2", "in")
    assert shop.run(NOW)["buyers"] == {"d1", "d2"}
    shop.see({"anonymousId": "d1", "userId": "u5"}, {"anonymousId": "d2", "userId": "u6"})
    assert shop.run(NOW + DAY)["buyers"] == {"u6"}


def test_a_decision_on_an_identifier_that_nobody_has_waits(shop: Shop) -> None:
    """It counts once somebody has it."""
    shop.decide("buyers", "user_id:u77", "in")
    assert shop.run(NOW)["buyers"] == set()
    shop.see({"userId": "u77"})
    assert shop.run(NOW + DAY)["buyers"] == {"u77"}


def test_looking_ahead_or_back_stores_nothing(shop: Shop) -> None:
    """A plan and a preview follow the decisions of their instant, and leave everything as it was."""
    shop.run(NOW)
    shop.decide("buyers", "user_id:u1", "in", at=NOW + DAY, until=NOW + 3 * DAY)
    seen = touched_number(shop.house.warehouse)
    sizes = [
        preview_members(shop.stores, shop.definitions, "buyers", NOW + days * DAY, 5)[0] for days in (0, 1, 3)
    ]
    assert sizes == [0, 1, 0]
    planned = build_plan(shop.stores, shop.definitions, ["buyers"], NOW + 2 * DAY)
    assert [step.change.entered for step in planned.steps if hasattr(step, "change")] == [1]
    assert touched_number(shop.house.warehouse) == seen
    assert shop.run(NOW + 2 * DAY)["buyers"] == {"u1"}


def test_decisions_of_an_audience_that_is_gone_do_no_harm(shop: Shop) -> None:
    """They wait for it to come back."""
    shop.decide("buyers", "user_id:u1", "in")
    every = list(shop.audiences)
    shop.audiences = [every[1]]
    assert shop.run(NOW) == {"seen": everybody_but()}
    shop.audiences = every
    assert shop.run(NOW + DAY)["buyers"] == {"u1"}


def test_a_decision_is_kept_with_who_when_and_why(house: House) -> None:
    """Also after it was taken back; what it holds of a person is an identifier's id."""
    number = record_decision(
        house.ledger, "vip", "token", "in", author=" ann ", reason=" asked by phone ", at=NOW, until=NOW + DAY
    )
    undo_decision(house.ledger, number, author="bob", at=NOW + DAY)
    (kept,) = list_decisions(house.ledger)
    assert (kept.number, kept.audience, kept.subject, kept.state) == (number, "vip", "token", "in")
    assert (kept.author, kept.reason, kept.undone_by) == ("ann", "asked by phone", "bob")
    assert (kept.decided_at, kept.expires_at, kept.undone_at) == (NOW, NOW + DAY, NOW + DAY)
    assert kept.decided_at.tzinfo is UTC
    assert in_force([kept], NOW) == (kept,)
    assert in_force([kept], NOW - DAY) == ()
    assert in_force([kept], NOW + DAY) == ()


@pytest.mark.parametrize(
    ("author", "reason", "until", "says"),
    [
        ("ann", "  ", None, "needs a reason"),
        (" ", "letter", None, "and an author"),
        ("ann", "letter", NOW, "ends after it begins"),
    ],
)
def test_a_decision_that_nobody_could_follow_is_refused(
    house: House, author: str, reason: str, until: datetime | None, says: str
) -> None:
    """Nothing of it is kept."""
    with pytest.raises(ConfigurationError, match=says):
        record_decision(house.ledger, "vip", "t", "in", author=author, reason=reason, at=NOW, until=until)
    assert list_decisions(house.ledger) == ()


def test_a_decision_is_taken_back_once(house: House) -> None:
    """The first who did it stays on record."""
    number = record_decision(house.ledger, "vip", "t", "out", author="ann", reason="letter", at=NOW)
    undo_decision(house.ledger, number, author="bob", at=NOW)
    with pytest.raises(NotFoundError, match="No decision 1 holds"):
        undo_decision(house.ledger, number, author="eve", at=NOW)
    assert list_decisions(house.ledger)[0].undone_by == "bob"


def test_a_decision_survives_the_warehouse(shop: Shop) -> None:
    """What is in the warehouse of it is made again from the ledger."""
    shop.decide("buyers", "user_id:u1", "in")
    shop.run(NOW)
    shop.house.warehouse.execute(exp.delete("manual_members"))
    refresh_permissions(shop.stores, shop.definitions, NOW)
    assert shop.run(NOW)["buyers"] == {"u1"}


@pytest.fixture
def applied(shell: Shell) -> Shell:
    """A project whose big spenders include u0055 and not u0001, and are at the platforms."""
    shell.run("ingest", "events/sample.ndjson")
    shell.run("apply", "--yes")
    return shell


def is_member(shell: Shell, who: str) -> bool:
    found = json.loads(shell.run("why", who, "big_spenders", "--json"))
    assert isinstance(found["member"], bool)
    return found["member"]


def decisions(shell: Shell, *arguments: str) -> list[dict[str, object]]:
    found = json.loads(shell.run("members", "list", *arguments, "--json"))
    assert isinstance(found, list)
    return found


def test_a_steward_puts_people_in_and_out(applied: Shell) -> None:
    """The platform follows the next apply, and again when it is taken back."""
    sent = applied.platform.everybody()
    said = applied.run("members", "include", "big_spenders", "user_id:u0001", "--reason", "asked for it")
    assert "Decision 1: into big_spenders, from the next apply on." in said
    assert is_member(applied, "user_id:u0001")
    applied.run("apply", "--yes")
    assert len(applied.platform.everybody() - sent) == 2
    applied.run("members", "exclude", "big_spenders", "user_id:u0055", "--reason", "x", "--author", "ann")
    applied.run("members", "undo", "1", "--author", "ann")
    applied.run("apply", "--yes")
    assert applied.platform.everybody() < sent
    assert not is_member(applied, "user_id:u0055")
    assert "put out by hand" in applied.run("why", "user_id:u0055", "big_spenders")


def test_nobody_is_sent_by_hand_without_consent(applied: Shell) -> None:
    """u0003 said nothing of advertising."""
    sent = applied.platform.everybody()
    applied.run("members", "include", "big_spenders", "user_id:u0003", "--reason", "asked for it")
    applied.run("apply", "--yes")
    assert is_member(applied, "user_id:u0003")
    assert applied.platform.everybody() == sent


def test_a_person_is_named_by_any_identifier_or_by_the_profile(applied: Shell) -> None:
    """By the profile it is of the identifier that gives way last; no value is kept or printed."""
    profile = json.loads(applied.run("profile", "user_id:u0001", "--json"))["profile"]
    ids = {each["type"]: each["identifier_id"] for each in profile["identifiers"]}
    sample = (applied.folder / "events" / "sample.ndjson").read_text()
    email = next(
        json.loads(line)["traits"]["email"] for line in sample.splitlines() if '"m0001-join"' in line
    )
    said = applied.run("members", "include", "big_spenders", f"email:{email}", "--reason", "one")
    applied.run("members", "exclude", "big_spenders", profile["profile_id"], "--reason", "two")
    assert [each["subject"] for each in decisions(applied)] == [ids["email"], ids["user_id"]]
    said += applied.run("members", "list") + applied.run("members", "list", "--json")
    assert email not in said
    assert "user_id:u00" in said
    assert email.encode() not in (applied.folder / "ledger.sqlite").read_bytes()
    assert not is_member(applied, "user_id:u0001")


def test_the_list_is_of_what_holds(applied: Shell) -> None:
    """With `--all` also of what ended or was taken back; for one audience or for all."""
    for who, key, more in (
        ("user_id:u0001", "big_spenders", ("--until", "2999-01-01")),
        ("user_id:u0002", "big_spenders", ()),
        ("user_id:u0003", "repeat_buyers", ("--until", "2999-01-01T12:00:00+02:00")),
    ):
        applied.run("members", "include", key, who, "--reason", "[/why]", "--author", "ann", *more)
    applied.run("members", "undo", "2", "--author", "bob")
    assert [each["number"] for each in decisions(applied)] == [1, 3]
    assert [each["number"] for each in decisions(applied, "--all")] == [1, 2, 3]
    assert [each["number"] for each in decisions(applied, "repeat_buyers")] == [3]
    assert [each["expires_at"] for each in decisions(applied)] == [
        "2999-01-01T00:00:00+00:00",
        "2999-01-01T10:00:00+00:00",
    ]
    shown = applied.run("members", "list", "--all")
    for text in ("2999-01-01 10:00", "undone", "by bob", "[/why]", "user_id:u00"):
        assert text in shown
    assert "Nobody" in applied.run("members", "list", "checkout_without_order")


def test_a_decision_on_somebody_who_is_not_known_yet_says_so(shell: Shell) -> None:
    """After an ingest and before the resolve."""
    shell.run("ingest", "events/sample.ndjson")
    said = shell.run("members", "include", "big_spenders", "user_id:u0001", "--reason", "letter")
    assert "Nobody is known by that identifier yet" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("include", "big_spender", "user_id:u0001", "--reason", "x"), EXIT_FAILED, "mean 'big_spenders'"),
        (("exclude", "firms", "user_id:u0001", "--reason", "x"), EXIT_USAGE, "made of accounts"),
        (("include", "big_spenders", "user_id:nobody", "--reason", "x"), EXIT_FAILED, "No event carried"),
        (("include", "big_spenders", "nonsense", "--reason", "x"), EXIT_FAILED, "TYPE:VALUE"),
        (("include", "big_spenders", "user_id:u0001", "--reason", " "), EXIT_USAGE, "needs a reason"),
        (
            ("include", "big_spenders", "user_id:u0001", "--reason", "x", "--until", "soon"),
            EXIT_USAGE,
            "--until 'soon' is no ISO 8601",
        ),
        (
            ("include", "big_spenders", "user_id:u0001", "--reason", "x", "--until", "2020-01-01"),
            EXIT_USAGE,
            "ends after it begins",
        ),
        (("list", "big_spender"), EXIT_FAILED, "mean 'big_spenders'"),
        (("undo", "7"), EXIT_FAILED, "No decision 7 holds"),
    ],
)
def test_a_mistake_gets_a_sentence(shell: Shell, arguments: tuple[str, ...], code: int, says: str) -> None:
    """With the way out, and never the value; nothing is recorded."""
    shell.run("ingest", "events/sample.ndjson")
    with (shell.folder / "project.py").open("a") as project:
        project.write("\nfrom audiences import account\n")
        project.write('firms = Audience("firms", account.any_user(did("Signed In")), of="account")\n')
    said = shell.run("members", *arguments, code=code)
    assert says in said
    assert "nobody" not in said
    assert decisions(shell, "--all") == []
