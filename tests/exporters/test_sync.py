"""The sync engine: the platform ends up with who may be there, whatever happens on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from math import ceil, log2
from pathlib import Path

import pytest

from exporters.desired import preview_audience
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.ledger import delivery_status, held_keys, still_held
from exporters.sync import ATTEMPTS, SyncReport, sync_audience
from identity.privacy.hashing import Candidate, HashedIdentifier, hash_value
from identity.privacy.suppression import suppress
from identity.store.ledger import Ledger
from tests.exporters.memory import (
    NOW,
    Crash,
    CrashingLedger,
    FakeClock,
    MemoryPlatform,
    crowd,
    key_of,
    opened,
    person,
    say,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        yield ledger


def sync(
    ledger: Ledger,
    platform: MemoryPlatform,
    people: list[Candidate],
    *,
    floor: int = 1,
    time: FakeClock | None = None,
    run: str = "run-1",
) -> SyncReport:
    clock = (time or FakeClock()).clock
    return sync_audience(
        ledger, platform, "big_spenders", "a1b2c3", people, clock=clock, run=run, floor=floor
    )


def held(ledger: Ledger, platform: MemoryPlatform) -> dict[HashedIdentifier, str]:
    with ledger.reading() as cursor:
        return {key: str(state) for key, state in held_keys(cursor, platform.name, "big_spenders").items()}


def keys(people: list[Candidate]) -> set[HashedIdentifier]:
    return {key for each in people for key in each.keys}


# Who is sent


def test_only_people_who_consented_are_sent_and_the_others_are_counted_by_reason(ledger: Ledger) -> None:
    """Nothing recorded, denied, expired, suppressed, without a key: each is said."""
    platform = MemoryPlatform()
    people = crowd(ledger, 4)
    nothing, no, old, never, nameless = (
        person(name) for name in ("nothing", "no", "old", "never", "nameless")
    )
    say(ledger, "no", "denied")
    say(ledger, "never", "granted")
    suppress(ledger, ["token-never"], "letter", NOW)
    say(ledger, "nameless", "granted")
    nameless = Candidate("nameless", nameless.subjects, ())
    report = sync(ledger, platform, [*people, nothing, no, old, never, nameless])
    assert platform.everybody() == keys(people)
    assert report.held_back == {"denied": 1, "no_consent": 2, "no_match_key": 1, "suppressed": 1}
    assert (report.members, report.eligible, report.added, report.removed) == (9, 4, 4, 0)


def test_who_leaves_refuses_or_changes_address_is_removed(ledger: Ledger) -> None:
    """Removals are what is held, less what is desired: no list of removals has to be kept."""
    platform = MemoryPlatform()
    people = crowd(ledger, 6)
    sync(ledger, platform, people)
    moved = Candidate("p000", people[0].subjects, (key_of("p000-new"),))
    say(ledger, "p001", "denied", NOW)
    suppress(ledger, ["token-p002"], "letter", NOW)
    report = sync(ledger, platform, [moved, *people[1:5]])
    assert platform.everybody() == {key_of("p000-new"), *keys(people[3:5])}
    assert (report.added, report.removed, report.unchanged) == (1, 4, 2)
    assert held(ledger, platform) == dict.fromkeys(platform.everybody(), "present")


def test_removals_go_before_adds_and_those_of_people_who_refused_before_the_others(ledger: Ledger) -> None:
    """Whatever stops the run later, they have left."""
    platform = MemoryPlatform(batch=2)
    people = crowd(ledger, 8)
    sync(ledger, platform, people)
    refused = people[6:]
    for each in refused:
        say(ledger, each.profile_id, "denied", NOW)
    platform.requests.clear()
    sync(ledger, platform, [*people[4:], *crowd(ledger, 2, "new")])
    assert [operation for operation, _ in platform.requests] == ["remove", "remove", "remove", "add"]
    assert set(platform.requests[0][1]) == keys(refused)


def test_a_second_sync_sends_nothing_and_needs_no_token(ledger: Ledger) -> None:
    """It has nothing to say."""
    platform = MemoryPlatform()
    people = crowd(ledger, 4)
    first = sync(ledger, platform, people)
    platform.opens = False
    second = sync(ledger, platform, people)
    assert (first.requests, second.requests) == (3, 0)
    assert second.unchanged == 4
    assert len(platform.aliases) == 1


def test_an_audience_without_members_is_emptied(ledger: Ledger) -> None:
    """So retiring an audience is a sync of nobody."""
    platform = MemoryPlatform()
    sync(ledger, platform, crowd(ledger, 7))
    sync(ledger, platform, [])
    assert platform.everybody() == set()
    assert still_held(ledger) == []


def test_below_the_floor_nobody_is_sent_and_who_is_there_is_removed(ledger: Ledger) -> None:
    """Emptied at once, not trickled; the floor counts people after consent, for each kind of key."""
    platform = MemoryPlatform()
    people = crowd(ledger, 5)
    without_consent = [person("nobody-asked")]
    assert sync(ledger, platform, [*people[:4], *without_consent], floor=5).held_back == {
        "below_floor": 4,
        "no_consent": 1,
    }
    assert platform.everybody() == set()
    sync(ledger, platform, people, floor=5)
    assert platform.everybody() == keys(people)
    say(ledger, "p000", "denied", NOW)
    assert sync(ledger, platform, people, floor=5).removed == 5
    assert platform.everybody() == set()


def test_a_kind_of_key_that_few_people_have_is_below_the_floor_by_itself(ledger: Ledger) -> None:
    """Two telephone numbers among five people would point at two of them."""
    platform = MemoryPlatform()
    people = crowd(ledger, 5)
    phones = [
        Candidate(each.profile_id, each.subjects, (*each.keys, key_of(each.profile_id, "phone")))
        for each in people[:2]
    ]
    report = sync(ledger, platform, [*phones, *people[2:]], floor=3)
    assert {key.kind for key in platform.everybody()} == {"email"}
    assert (report.eligible, report.held_back) == (5, {})


def test_a_key_shared_with_somebody_who_refused_is_not_sent(ledger: Ledger) -> None:
    """Deny wins over every person behind a key."""
    platform = MemoryPlatform()
    people = crowd(ledger, 2)
    shared = key_of("family")
    wife = Candidate("wife", ("token-wife",), (shared,))
    man = Candidate("man", ("token-man",), (shared, key_of("man")))
    say(ledger, "wife", "denied")
    say(ledger, "man", "granted")
    report = sync(ledger, platform, [*people, wife, man])
    assert platform.everybody() == {*keys(people), key_of("man")}
    say(ledger, "wife", "granted", NOW)
    assert sync(ledger, platform, [*people, wife, man]).added == 1
    say(ledger, "wife", "denied", NOW + timedelta(seconds=1))
    time = FakeClock(NOW + timedelta(seconds=2))
    assert sync(ledger, platform, [*people, wife, man], time=time).removed == 1
    assert report.held_back == {"denied": 1}
    assert shared not in platform.everybody()


def test_a_preview_says_what_the_sync_will_do_and_does_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """No token, no connection, no byte written."""
    platform = MemoryPlatform()
    people = crowd(ledger, 8)
    sync(ledger, platform, people[:5])
    say(ledger, "p000", "denied", NOW)
    platform.opens = False
    before = (tmp_path / "ledger.sqlite-wal").read_bytes()
    preview = preview_audience(ledger, platform, "big_spenders", people, as_of=NOW, floor=1)
    assert (tmp_path / "ledger.sqlite-wal").read_bytes() == before
    platform.opens = True
    report = sync(ledger, platform, people)
    for name in ("members", "eligible", "added", "removed", "unchanged", "held_back"):
        assert getattr(preview, name) == getattr(report, name)
    assert (preview.added, preview.removed, preview.unchanged) == (3, 1, 4)


# What happens on the way


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "throttled"])
@pytest.mark.parametrize("at", range(4))
def test_a_request_that_fails_once_is_repeated(ledger: Ledger, fault: str, at: int) -> None:
    """Every call is a set operation, so repeating it does no harm."""
    platform, time = MemoryPlatform(), FakeClock()
    people = crowd(ledger, 8)
    platform.faults.extend([*[""] * at, fault])
    report = sync(ledger, platform, people, time=time)
    assert not platform.faults
    assert platform.everybody() == keys(people)
    assert held(ledger, platform) == dict.fromkeys(keys(people), "present")
    assert report.requests == 5
    assert time.slept == [7.0 if fault == "throttled" else 0.5]


def test_waits_grow_by_chance_and_attempts_are_bounded(ledger: Ledger) -> None:
    """Full jitter: a random part of twice the last bound."""
    platform, time = MemoryPlatform(), FakeClock()
    people = crowd(ledger, 3)
    platform.faults.extend(["", *["drop_before"] * 9])
    with pytest.raises(TransientError, match="run again"):
        sync(ledger, platform, people, time=time)
    assert time.slept == [0.5, 1.0, 2.0, 4.0]
    assert platform.counted("add") == ATTEMPTS


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (7.0, 7.0), (3e7, 300.0)])
def test_the_platforms_own_wait_is_kept_up_to_a_bound(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, asked: float, waited: float
) -> None:
    """A year would be no wait, but the end of all syncs."""
    platform, time = MemoryPlatform(), FakeClock()
    answers = iter([TransientError("Wait.", retry_after=asked, unknown=False)])

    def on_add(_: object) -> None:
        for error in answers:
            raise error

    monkeypatch.setattr(platform, "on_add", on_add)
    sync(ledger, platform, crowd(ledger, 3), time=time)
    assert time.slept == [waited]


def test_an_answer_that_never_came_counts_as_present_for_removals_and_absent_for_adds(ledger: Ledger) -> None:
    """The platform may or may not hold the batch: it is repeated, or removed when nobody wants it now."""
    platform = MemoryPlatform()
    people = crowd(ledger, 3)
    platform.faults.extend(["", *["drop_after"] * ATTEMPTS])
    with pytest.raises(TransientError):
        sync(ledger, platform, people)
    assert platform.everybody() == keys(people)
    assert held(ledger, platform) == dict.fromkeys(keys(people), "add_inflight")
    report = sync(ledger, platform, people[:1])
    assert (report.added, report.removed) == (1, 2)
    assert platform.everybody() == keys(people[:1])
    assert held(ledger, platform) == dict.fromkeys(keys(people[:1]), "present")


def test_an_answer_is_about_its_own_batch(ledger: Ledger) -> None:
    """What another audience is told does not settle what is open here."""
    platform = MemoryPlatform()
    people = crowd(ledger, 3)
    platform.faults.extend(["", *["drop_before"] * ATTEMPTS])
    with pytest.raises(TransientError):
        sync(ledger, platform, people)
    clock = FakeClock().clock
    sync_audience(ledger, platform, "another", "d4e5f6", people, clock=clock, run="run-2", floor=1)
    assert set(held(ledger, platform).values()) == {"add_inflight"}
    sync_audience(ledger, platform, "another", "d4e5f6", [], clock=clock, run="run-3", floor=1)
    assert set(held(ledger, platform).values()) == {"add_inflight"}


def test_a_lost_removal_is_repeated_until_it_is_confirmed(ledger: Ledger) -> None:
    """Also when the person comes back meanwhile: then it is an add again."""
    platform = MemoryPlatform()
    people = crowd(ledger, 3)
    sync(ledger, platform, people)
    platform.faults.extend(["drop_before"] * ATTEMPTS)
    with pytest.raises(TransientError):
        sync(ledger, platform, people[2:])
    assert sorted(held(ledger, platform).values()) == ["present", "remove_inflight", "remove_inflight"]
    report = sync(ledger, platform, people[1:])
    assert (report.added, report.removed) == (1, 1)
    assert platform.everybody() == keys(people[1:])


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "throttled"])
def test_who_refuses_while_a_batch_waits_is_not_in_its_next_attempt(ledger: Ledger, fault: str) -> None:
    """The gate is asked for every attempt, and what the lost one may have brought there is removed."""
    platform = MemoryPlatform()
    people = crowd(ledger, 3)
    time = FakeClock()
    time.on_sleep = lambda: say(ledger, "p001", "denied", time.instant)
    platform.faults.extend(["", fault])
    sync(ledger, platform, people, time=time)
    attempts = [set(sent) for operation, sent in platform.requests if operation == "add"]
    assert attempts == [keys(people), {key_of("p000"), key_of("p002")}]
    assert platform.everybody() == {key_of("p000"), key_of("p002")}
    assert held(ledger, platform) == dict.fromkeys(platform.everybody(), "present")


def test_who_refuses_while_the_gate_is_open_is_removed_by_the_next_sync(ledger: Ledger) -> None:
    """Between the gate and the first byte nobody can look again."""
    platform = MemoryPlatform()
    people = crowd(ledger, 3)
    platform.on_add = lambda _: say(ledger, "p001", "denied", NOW)
    sync(ledger, platform, people)
    platform.on_add = lambda _: None
    assert sync(ledger, platform, people).removed == 1
    assert key_of("p001") not in platform.everybody()


# What the platform refuses


@pytest.mark.parametrize("answers_rows", [True, False])
def test_a_row_that_the_platform_names_is_set_aside_and_the_rest_goes(
    ledger: Ledger, answers_rows: bool
) -> None:
    """With its code; it is not sent again, and not counted as there."""
    platform = MemoryPlatform(batch=10, answers_rows=answers_rows)
    people = crowd(ledger, 9)
    platform.poison = {key_of("p003"), key_of("p007")}
    report = sync(ledger, platform, people)
    assert platform.everybody() == keys(people) - platform.poison
    assert (report.added, report.quarantined) == (7, 2)
    assert held(ledger, platform).keys() == platform.everybody()
    requests = len(platform.requests)
    again = sync(ledger, platform, people)
    assert len(platform.requests) == requests
    assert again.held_back == {"no_match_key": 2}
    assert delivery_status(ledger)[0].quarantined == 2


@pytest.mark.parametrize("at", [0, 499, 999])
def test_a_poisonous_row_that_nobody_names_is_found_by_halving(ledger: Ledger, at: int) -> None:
    """Its batch-mates go, after at most two requests for each halving."""
    platform = MemoryPlatform(batch=1000, names_rows=False)
    people = crowd(ledger, 1000)
    order = sorted(keys(people), key=lambda key: key.digest)
    platform.poison = {order[at]}
    report = sync(ledger, platform, people)
    assert platform.everybody() == keys(people) - platform.poison
    assert report.quarantined == 1
    assert platform.counted("add") <= 2 * ceil(log2(1000)) + 1


def test_a_platform_that_refuses_everything_is_left_alone_and_no_row_is_blamed(ledger: Ledger) -> None:
    """Terms not accepted, an audience flagged: nobody may be set aside for that."""
    platform = MemoryPlatform(batch=1000, adds=False)
    people = crowd(ledger, 1000)
    with pytest.raises(RejectedError, match="refuses every request") as caught:
        sync(ledger, platform, people)
    assert caught.value.code == "400"
    assert platform.counted("add") <= 40
    assert held(ledger, platform) == {}
    platform.adds = True
    report = sync(ledger, platform, people)
    assert (report.added, report.quarantined) == (1000, 0)


def test_the_only_row_of_a_sync_is_not_blamed_for_its_refusal(ledger: Ledger) -> None:
    """There is no other row that the platform took."""
    platform = MemoryPlatform(adds=False)
    people = crowd(ledger, 1)
    with pytest.raises(RejectedError, match="no row is blamed"):
        sync(ledger, platform, people)
    assert delivery_status(ledger)[0].outcome == "failed"
    platform.adds = True
    assert sync(ledger, platform, people).added == 1


def test_an_audience_that_can_not_be_made_leaves_nothing_in_flight(ledger: Ledger) -> None:
    """One request, one clear error."""
    platform = MemoryPlatform(creates=False)
    with pytest.raises(RejectedError) as caught:
        sync(ledger, platform, crowd(ledger, 50))
    assert caught.value.code == "terms"
    assert platform.requests == [("create", ())]
    assert held(ledger, platform) == {}


def test_without_access_nothing_is_sent_and_nothing_is_in_flight(ledger: Ledger) -> None:
    """And when access ends midway, what was confirmed stays confirmed."""
    platform = MemoryPlatform(opens=False)
    people = crowd(ledger, 9)
    with pytest.raises(AuthError):
        sync(ledger, platform, people)
    assert held(ledger, platform) == {}
    platform.opens = True
    platform.faults.extend(["", "", "unauthorised"])
    with pytest.raises(AuthError):
        sync(ledger, platform, people)
    assert held(ledger, platform) == dict.fromkeys(platform.everybody(), "present")
    assert sync(ledger, platform, people).added == 6


def test_a_refused_removal_is_said_and_stays_in_the_ledger(ledger: Ledger) -> None:
    """Nobody may believe that the person has left."""
    platform = MemoryPlatform()
    people = crowd(ledger, 6)
    sync(ledger, platform, people)
    platform.removes = False
    report = sync(ledger, platform, [*people[2:], *crowd(ledger, 1, "new")])
    assert (report.unremoved, report.removed, report.added) == (2, 0, 1)
    assert delivery_status(ledger)[0].outcome == "in part"
    assert keys(people) < held(ledger, platform).keys()
    platform.removes = True
    assert sync(ledger, platform, people[2:]).removed == 3
    assert platform.everybody() == keys(people[2:])


# What dies on the way


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("at", range(11))
def test_a_crash_at_any_transaction_loses_nothing(tmp_path: Path, at: int, committed: bool) -> None:
    """Before its commit or after; nobody is there whom the ledger does not know, and the next run goes on."""
    crash_and_recover(tmp_path, transaction=at, committed=committed)


@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
@pytest.mark.parametrize("at", range(5))
def test_a_crash_at_any_request_loses_nothing(tmp_path: Path, at: int, fault: str) -> None:
    """Before the platform did it or after."""
    crash_and_recover(tmp_path, faults=[*[""] * at, fault])


def crash_and_recover(
    tmp_path: Path,
    *,
    transaction: int | None = None,
    committed: bool = False,
    faults: tuple[str, ...] | list[str] = (),
) -> None:
    platform = MemoryPlatform()
    with opened(tmp_path) as ledger:
        people = crowd(ledger, 15)
        sync(ledger, platform, people[:8])
        say(ledger, "p000", "denied", NOW)
    desired = people[5:]
    platform.requests.clear()
    with CrashingLedger(tmp_path / "ledger.sqlite") as dying:
        dying.crash_at, dying.committed = transaction, committed
        platform.on_crash = dying.die
        platform.faults.extend(faults)
        with pytest.raises(Crash):
            sync(dying, platform, desired, run="run-2")
    with opened(tmp_path) as ledger:
        assert platform.everybody() <= held(ledger, platform).keys()
        sync(ledger, platform, desired, run="run-3")
        assert platform.everybody() == keys(desired)
        assert held(ledger, platform) == dict.fromkeys(keys(desired), "present")
    for operation in ("add", "remove"):
        sent = [key for each, batch in platform.requests if each == operation for key in batch]
        assert len(sent) - len(set(sent)) <= platform.batch


# What nobody may see


def test_neither_values_nor_digests_are_in_the_log_and_no_value_is_in_the_ledger(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger keeps digests, which are personal data: its file is its owner's alone."""
    caplog.set_level(logging.DEBUG)
    platform = MemoryPlatform()
    platform.poison = {key_of("p001")}
    people = crowd(ledger, 8)
    sync(ledger, platform, people)
    platform.removes = False
    sync(ledger, platform, people[4:])
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"example.com" not in kept
    assert "sync.succeeded" in caplog.text
    for each in keys(people):
        assert each.digest[:12] not in caplog.text
        assert each.digest not in repr(each)
    assert "example" not in caplog.text
    assert "big_spenders" not in repr(platform.aliases)


def test_a_repr_of_a_report_holds_numbers_and_names_only(ledger: Ledger) -> None:
    """Reports are printed, logged and mailed."""
    people = crowd(ledger, 3)
    shown = repr(sync(ledger, MemoryPlatform(), people))
    assert hash_value("meta.email", "p000@example.com").digest[:8] not in shown
    assert "example" not in shown
