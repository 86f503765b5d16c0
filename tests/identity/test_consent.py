"""The consent gate: nothing recorded means no, and deny wins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.errors import LedgerError
from identity.privacy import consent, suppression
from identity.privacy.consent import ConsentRecord, Decision, consent_of, decide, record_consent
from identity.privacy.suppression import suppress, suppressed_at, unsuppress
from identity.store.ledger import Ledger, open_ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MIGRATIONS = (*consent.MIGRATIONS, *suppression.MIGRATIONS)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.sqlite", MIGRATIONS) as opened:
        yield opened


def said(subject: str, state: str, days_ago: float = 1, **more: object) -> ConsentRecord:
    fields = {"purpose": "advertising", "source": "event", "evidence": f"{subject}{state}{days_ago}", **more}
    return ConsentRecord(subject=subject, state=state, captured_at=NOW - timedelta(days=days_ago), **fields)  # type: ignore[arg-type]


def asked(ledger: Ledger, *subjects: str, purpose: str = "advertising", at: datetime = NOW) -> Decision:
    with ledger.transaction() as cursor:
        return decide(cursor, [("p", subjects)], purpose, at)["p"]


def test_nothing_recorded_means_no(ledger: Ledger) -> None:
    """Also for somebody without any identifier, and for another purpose."""
    record_consent(ledger, [said("a", "granted")])
    assert asked(ledger, "a") == Decision.PERMITTED
    assert asked(ledger, "b") == Decision.NO_CONSENT
    assert asked(ledger) == Decision.NO_CONSENT
    assert asked(ledger, "a", purpose="analytics") == Decision.NO_CONSENT


def test_the_newest_record_of_an_identifier_counts_in_any_order_of_arrival(ledger: Ledger) -> None:
    """A late old grant does not undo a newer denial."""
    record_consent(ledger, [said("a", "denied", 1)])
    record_consent(ledger, [said("a", "granted", 2)])
    assert asked(ledger, "a") == Decision.DENIED
    record_consent(ledger, [said("a", "granted", 0.5)])
    assert asked(ledger, "a") == Decision.PERMITTED


def test_a_tie_denies(ledger: Ledger) -> None:
    """Two answers at the same instant: the careful one counts."""
    record_consent(ledger, [said("a", "granted"), said("a", "denied")])
    assert asked(ledger, "a") == Decision.DENIED


def test_a_denial_with_the_note_of_a_grant_is_not_lost(ledger: Ledger) -> None:
    """Two calls with one note, or one message whose two categories mean one purpose: no gets through."""
    record_consent(ledger, [said("a", "granted", 2, evidence="by phone")])
    record_consent(ledger, [said("a", "denied", 1, evidence="by phone")])
    assert asked(ledger, "a") == Decision.DENIED
    record_consent(
        ledger, [said("b", "granted", evidence="message-1"), said("b", "denied", evidence="message-1")]
    )
    assert asked(ledger, "b") == Decision.DENIED


def test_a_record_about_nobody_or_without_a_time_zone_is_refused(ledger: Ledger) -> None:
    """It would be consent of everybody who has no identifier, or hours off."""
    with pytest.raises(LedgerError, match="names an identifier"):
        record_consent(ledger, [said("", "granted")])
    with pytest.raises(LedgerError, match="time zone"):
        record_consent(ledger, [said("a", "granted", expires_at=datetime(2027, 1, 1))])
    with pytest.raises(LedgerError, match="time zone"):
        asked(ledger, "a", at=datetime(2026, 6, 1))
    assert consent_of(ledger, ["", "a"]) == []


def test_the_gate_can_be_asked_without_writing(ledger: Ledger) -> None:
    """A preview asks it in a read transaction; somebody named twice gets one answer, the careful one."""
    record_consent(ledger, [said("a", "granted"), said("b", "denied")])
    with ledger.reading() as cursor:
        people = [("p", ("a",)), ("q", ("a",)), ("q", ("b",)), ("r", ())]
        assert decide(cursor, people, "advertising", NOW) == {
            "p": Decision.PERMITTED,
            "q": Decision.DENIED,
            "r": Decision.NO_CONSENT,
        }


def test_a_denial_under_any_linked_identifier_denies_the_person(ledger: Ledger) -> None:
    """Consent follows the identity graph."""
    record_consent(ledger, [said("email", "granted", 1), said("old-phone", "denied", 300)])
    assert asked(ledger, "email") == Decision.PERMITTED
    assert asked(ledger, "email", "old-phone") == Decision.DENIED


def test_a_grant_expires(ledger: Ledger) -> None:
    """To the instant."""
    record_consent(ledger, [said("a", "granted", expires_at=NOW)])
    assert asked(ledger, "a", at=NOW - timedelta(microseconds=1)) == Decision.PERMITTED
    assert asked(ledger, "a") == Decision.EXPIRED


def test_a_grant_of_tomorrow_does_not_count_today_but_a_denial_does(ledger: Ledger) -> None:
    """A sender's wrong clock must not open the gate."""
    record_consent(ledger, [said("a", "granted", -1), said("b", "granted", 1), said("b", "denied", -1)])
    assert asked(ledger, "a") == Decision.NO_CONSENT
    assert asked(ledger, "b") == Decision.DENIED


def test_suppression_stands_above_consent(ledger: Ledger) -> None:
    """By any identifier, at once, and liftable."""
    record_consent(ledger, [said("a", "granted")])
    suppress(ledger, ["b"], "asked by letter", NOW)
    assert asked(ledger, "a", "b") == Decision.SUPPRESSED
    assert suppressed_at(ledger, ["a", "b"]) == NOW
    assert unsuppress(ledger, ["b", "c"]) == 1
    assert asked(ledger, "a", "b") == Decision.PERMITTED
    assert suppressed_at(ledger, ["a", "b"]) is None


def test_recording_again_changes_nothing(ledger: Ledger) -> None:
    """Events may be read twice."""
    records = [said("a", "granted"), said("b", "denied")]
    assert record_consent(ledger, records) == 2
    assert record_consent(ledger, records) == 0
    assert len(consent_of(ledger, ["a", "b"])) == 2


def reference(records: list[ConsentRecord], subjects: list[str]) -> Decision:
    states = []
    for subject in subjects:
        of_subject = [record for record in records if record.subject == subject]
        if of_subject:
            newest = max(record.captured_at for record in of_subject)
            last = {record.state for record in of_subject if record.captured_at == newest}
            states.append("denied" if "denied" in last else "granted")
    if "denied" in states:
        return Decision.DENIED
    return Decision.PERMITTED if states else Decision.NO_CONSENT


@settings(deadline=None)  # a commit waits for the disk
@given(
    records=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["granted", "denied"]), st.integers(0, 4)),
        max_size=12,
    ),
    people=st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=6),
    shuffled=st.randoms(),
)
def test_the_gate_agrees_with_plain_python_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[str, str, int]],
    people: list[list[str]],
    shuffled: object,
) -> None:
    """Law: the set of records decides, not their order; many people are asked at once."""
    written = [said(subject, state, days) for subject, state, days in records]
    order = list(written)
    shuffled.shuffle(order)  # type: ignore[attr-defined]
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with open_ledger(path, MIGRATIONS) as ledger:
        for record in order:
            record_consent(ledger, [record])
        with ledger.transaction() as cursor:
            found = decide(cursor, [(str(i), who) for i, who in enumerate(people)], "advertising", NOW)
    assert found == {str(i): reference(written, who) for i, who in enumerate(people)}
