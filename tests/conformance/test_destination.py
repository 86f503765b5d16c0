"""What every destination promises, played against its platform over real HTTP, or in files."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from exporters import file, google, meta
from exporters.destination import Channel, Clock, Destination
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.sync import SyncReport, sync_audience
from exporters.testing import PracticePlatform, drop, say
from identity.privacy.hashing import Candidate, HashedIdentifier, hash_value
from identity.store.ledger import Ledger
from tests.exporters import memory
from tests.exporters.memory import FakeClock, opened

ALIAS = "a1b2c3d4"


@dataclass(slots=True)
class Place:
    """A destination, and a way to look at what is there."""

    destination: Destination
    members: Callable[[], set[str]]
    platform: PracticePlatform | None = None


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[PracticePlatform]:
    monkeypatch.setenv("META_ACCESS_TOKEN", "secret-token-1")
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "secret-token-2")
    with PracticePlatform() as platform:
        yield platform


@pytest.fixture(params=["meta", "google"])
def online(request: pytest.FixtureRequest, platform: PracticePlatform) -> Place:
    """A destination behind HTTP."""
    match, members = ["email", "phone"], lambda: set(platform.everybody())
    if request.param == "meta":
        found: Destination = meta.custom_audience(
            "act_42", match=match, purpose="advertising", base_url=platform.url
        )
    else:
        found = google.customer_match(
            "123-456-7890", match=match, purpose="advertising", base_url=platform.url
        )
    return Place(found, members, platform)


@pytest.fixture(params=["meta", "google", "parquet", "csv"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Any destination."""
    if request.param in ("parquet", "csv"):
        folder = tmp_path / "sent"
        found = file.hashed_file(
            folder, match=["email", "phone"], purpose="advertising", format=request.param
        )
        return Place(found, lambda: rows_of(folder, request.param))
    platform = request.getfixturevalue("platform")
    match, url = ["email", "phone"], platform.url
    if request.param == "meta":
        return Place(
            meta.custom_audience("act_42", match=match, purpose="advertising", base_url=url),
            lambda: set(platform.everybody()),
            platform,
        )
    return Place(
        google.customer_match("123-456-7890", match=match, purpose="advertising", base_url=url),
        lambda: set(platform.everybody()),
        platform,
    )


def rows_of(folder: Path, kind: str) -> set[str]:
    found: set[str] = set()
    for path in folder.glob(f"*/members.{kind}"):
        if kind == "csv":
            with path.open(newline="") as lines:
                found |= {row["sha256"] for row in csv.DictReader(lines)}
        else:
            found |= set(pq.read_table(path, partitioning=None)["sha256"].to_pylist())
    return found


def keys(destination: Destination, count: int, prefix: str = "p") -> list[HashedIdentifier]:
    """E-mail addresses and telephone numbers by turns."""
    return [
        hash_value(f"{destination.platform}.email", f"{prefix}{number}@example.com")
        if number % 2
        else hash_value(f"{destination.platform}.phone", f"+4930{len(prefix)}{number:06d}")
        for number in range(count)
    ]


def digests(of: list[HashedIdentifier]) -> set[str]:
    return {key.digest for key in of}


@contextlib.contextmanager
def channel(destination: Destination) -> Iterator[Channel]:
    with destination.open(FakeClock().clock) as opened_channel:
        yield opened_channel


# Set operations


def test_what_is_added_is_there_and_what_is_removed_is_gone(place: Place) -> None:
    """Adding and removing again changes nothing, and removing who is not there is no error."""
    people = keys(place.destination, 7)
    with channel(place.destination) as talk:
        remote = talk.create_audience(ALIAS)
        assert talk.remove(remote, people[:1]).sent == 1
        for _ in range(2):
            receipt = talk.add(remote, people)
            assert (receipt.sent, receipt.invalid, receipt.rejected) == (7, 0, ())
            assert place.members() == digests(people)
        for _ in range(2):
            assert talk.remove(remote, people[2:5]).sent == 3
            assert place.members() == digests([*people[:2], *people[5:]])
        talk.remove(remote, [*people[:2], *people[5:]])
    assert place.members() == set()


def test_two_audiences_are_two_sets(place: Place) -> None:
    """A removal from one leaves the other."""
    people = keys(place.destination, 4)
    with channel(place.destination) as talk:
        one, other = talk.create_audience("one"), talk.create_audience("other")
        assert one != other
        talk.add(one, people)
        talk.add(other, people[:2])
        talk.remove(one, people)
    assert place.members() == digests(people[:2])


def test_a_full_batch_is_taken(place: Place) -> None:
    """As many identifiers as the destination says that it takes at once."""
    size = min(place.destination.limits.batch_rows, 10_000)
    people = keys(place.destination, size)
    with channel(place.destination) as talk:
        talk.add(talk.create_audience(ALIAS), people)
    assert place.members() == digests(people)


def test_a_destination_is_a_value(place: Place) -> None:
    """Making one reads no token, opens nothing, and shows no secret; equal ones are equal."""
    shown = repr(place.destination)
    assert "secret-token" not in shown
    assert hash(place.destination) == hash(place.destination)
    assert place.destination.name.partition(":")[0] in ("meta", "google", "file")
    assert place.destination.match == ("email", "phone")
    assert place.destination.purpose == "advertising"


# A whole sync


def sync(ledger: Ledger, destination: Destination, people: list[Candidate], clock: Clock) -> SyncReport:
    return sync_audience(ledger, destination, "big_spenders", ALIAS, people, clock=clock, run="r", floor=1)


def crowd(ledger: Ledger, destination: Destination, count: int) -> list[Candidate]:
    return [
        Candidate(each.profile_id, each.subjects, (key,))
        for each, key in zip(memory.crowd(ledger, count), keys(destination, count), strict=True)
    ]


def test_a_sync_brings_the_platform_in_line(place: Place, ledger: Ledger) -> None:
    """In, out, and in again."""
    people = crowd(ledger, place.destination, 9)
    clock = FakeClock().clock
    for desired in (people[:6], people[3:], people, people[:1], []):
        sync(ledger, place.destination, desired, clock)
        assert place.members() == {key.digest for each in desired for key in each.keys}


@pytest.mark.parametrize(
    "fault",
    [
        drop(applied=False),
        drop(applied=True),
        say(503),
        say(500, "<html>oops</html>"),
        say(429, "{}", Retry_After="7"),
        say(200, "<!doctype html><title>Welcome to our wireless network</title>"),
        say(200, '{"unexpected": true}'),
        say(200, "[]"),
        say(200, "x" * (2 << 20)),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.body[:5]}",
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_lost_answer_changes_nothing_in_the_end(
    online: Place, ledger: Ledger, fault: object, at: int
) -> None:
    """To making the audience, to adding, or to removing."""
    assert online.platform is not None
    people = crowd(ledger, online.destination, 6)
    time = FakeClock()
    if at == 2:
        sync(ledger, online.destination, people, time.clock)
    online.platform.fail_next(*([say(503)] * (at == 1)), fault)  # type: ignore[arg-type]
    sync(ledger, online.destination, people[:4], time.clock)
    assert online.members() == {key.digest for each in people[:4] for key in each.keys}
    assert len(time.slept) == 1 + (at == 1)
    if getattr(fault, "status", 0) == 429:
        assert 7.0 in time.slept


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthError), (403, AuthError), (400, RejectedError), (404, RejectedError), (302, RejectedError)],
)
def test_a_refusal_stops_with_an_error_and_nothing_is_in_flight(
    online: Place, ledger: Ledger, status: int, error: type[Exception]
) -> None:
    """What can't be sent isn't said to be there; when the platform is well again, everything goes."""
    assert online.platform is not None
    people = crowd(ledger, online.destination, 6)
    sync(ledger, online.destination, people[:2], FakeClock().clock)
    online.platform.fail_next(*[say(status, "{}", Location="http://127.0.0.1:9/")] * 60)
    with pytest.raises(error):
        sync(ledger, online.destination, people, FakeClock().clock)
    with ledger.reading() as cursor:
        assert cursor.execute("SELECT state, count(*) FROM held GROUP BY 1").fetchall() == [("present", 2)]
    online.platform.recover()
    assert sync(ledger, online.destination, people, FakeClock().clock).added == 4
    assert len(online.members()) == 6


def test_nobody_answers_at_all(online: Place, ledger: Ledger) -> None:
    """A connection that was never made has surely brought nothing there."""
    assert online.platform is not None
    people = crowd(ledger, online.destination, 3)
    online.platform.__exit__(None, None, None)
    with pytest.raises(TransientError) as caught:
        sync(ledger, online.destination, people, FakeClock().clock)
    assert not caught.value.unknown
    with ledger.reading() as cursor:
        assert cursor.execute("SELECT count(*) FROM held").fetchone() == (0,)


def test_without_a_token_nothing_is_asked(
    online: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable; the token is read when the channel is opened, not before."""
    assert online.platform is not None
    for name in ("META_ACCESS_TOKEN", "GOOGLE_ACCESS_TOKEN"):
        monkeypatch.setenv(name, " ")
    with pytest.raises(AuthError, match=r"set (META|GOOGLE)_ACCESS_TOKEN"):
        sync(ledger, online.destination, crowd(ledger, online.destination, 3), FakeClock().clock)
    assert online.platform.seen == []


# What leaves


def test_only_hashes_an_opaque_name_and_what_the_platform_requires_leave(
    online: Place, ledger: Ledger
) -> None:
    """No address, no number, no name of the audience, nobody's id, no token in the body."""
    assert online.platform is not None
    people = crowd(ledger, online.destination, 6)
    sync(ledger, online.destination, people, FakeClock().clock)
    sync(ledger, online.destination, people[:2], FakeClock().clock)
    sent = b"\n".join(
        request.path.encode() + b"\n" + request.body + repr(request.headers).encode()
        for request in online.platform.seen
    )
    assert {request.operation for request in online.platform.seen} == {"create", "add", "remove"}
    for secret in (b"example", b"4930", b"big_spenders", b"token", b"p000", b"secret"):
        assert secret not in sent.lower().replace(b"datamanager", b"").replace(b"localhost", b"")
    for request in online.platform.seen:
        json.loads(request.body)


def test_a_removal_names_exactly_what_was_sent(online: Place, ledger: Ledger) -> None:
    """One identifier a row: nothing that the platform can't match is left behind."""
    assert online.platform is not None
    people = crowd(ledger, online.destination, 6)
    sync(ledger, online.destination, people, FakeClock().clock)
    sync(ledger, online.destination, [], FakeClock().clock)
    rows = {request.operation: request.rows for request in online.platform.seen}
    assert rows == {"create": 0, "add": 6, "remove": 6}
