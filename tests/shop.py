"""A project over a house: what a run makes of its audiences, beside a computation from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from audiences.asking import question_of
from audiences.audience import Audience
from audiences.computing import compute, compute_members
from audiences.manual import record_decision
from audiences.membership import current_members
from audiences.permissions import refresh_permissions
from audiences.project import Definitions, Project, Stores, resolve_project
from audiences.tables import create_audience_tables
from identity.privacy.consent import ConsentRecord, record_consent
from tests.conftest import NOW, House

__all__ = ["Shop"]


@dataclass(slots=True)
class Shop:
    """Twelve people, u1 to u12, who were seen once each, and the audiences of a project."""

    house: House
    audiences: Sequence[Audience]
    looked_at: dict[str, int | None] = field(default_factory=dict)
    said: int = 0

    def __post_init__(self) -> None:
        """Make the audiences' tables, and let everybody be seen."""
        create_audience_tables(self.house.warehouse)
        self.see(*({"userId": f"u{number}"} for number in range(1, 13)))

    @property
    def stores(self) -> Stores:
        """The house's stores, as a project has them."""
        return Stores(self.house.warehouse, self.house.ledger, self.house.vault)

    @property
    def definitions(self) -> Definitions:
        """The project."""
        project = Project(identity=self.house.rules)
        return Definitions(self.house.folder, project, tuple(self.audiences))

    def see(self, *identifiers: Mapping[str, object]) -> None:
        """Ingest one event for each, with those identifiers, and what else it says."""
        numbers = range(self.said, self.said + len(identifiers))
        self.said += len(identifiers)
        at = "2026-05-01T00:00:00Z"
        self.house.say(
            *(
                {"type": "track", "event": "Seen", "messageId": f"m{number}", "timestamp": at, **each}
                for number, each in zip(numbers, identifiers, strict=True)
            )
        )

    def decide(
        self,
        audience: str,
        who: str,
        state: Literal["in", "out"],
        at: datetime = NOW,
        until: datetime | None = None,
    ) -> int:
        """Put somebody in, or out, by hand."""
        subject = self.house.token(who)
        return record_decision(
            self.house.ledger, audience, subject, state, author="ann", reason="letter", at=at, until=until
        )

    def agree(
        self,
        who: str,
        state: Literal["granted", "denied"] = "granted",
        at: datetime = NOW,
        until: datetime | None = None,
    ) -> None:
        """Record what somebody says of advertising."""
        record = ConsentRecord(self.house.token(who), "advertising", state, at, "cli", f"{at} {state}", until)
        record_consent(self.house.ledger, [record])

    def run(self, at: datetime) -> dict[str, set[str]]:
        """Resolve, look permissions up, compute what changed; the members are those found from scratch.

        Returns:
            Audience key → its members, each by the user id, or else by the anonymous id.
        """
        stores, definitions = self.stores, self.definitions
        resolve_project(stores, definitions, at)
        refresh_permissions(stores, definitions, at)
        question = question_of(stores, definitions, at)
        changes = compute(stores.warehouse, self.audiences, question, run=f"run {at}")
        self.looked_at = {each.audience: each.looked_at for each in changes}
        assert [each.problem for each in changes] == [None] * len(changes)
        stored = {each.key: current_members(stores.warehouse, each.key, each.of) for each in self.audiences}
        assert {each.audience: each.size for each in changes} == {
            key: len(ids) for key, ids in stored.items()
        }
        for of in {each.of for each in self.audiences}:
            chosen = [each for each in self.audiences if each.of == of]
            scratch = compute_members(stores.warehouse, chosen, question)
            assert scratch == {each.key: stored[each.key] for each in chosen}
        return {key: self.named(ids) for key, ids in stored.items()}

    def named(self, ids: Sequence[str]) -> set[str]:
        """Profiles by the user id, or else by the anonymous id; accounts as they are."""
        names: dict[str, str] = {}
        for kind in ("anonymous_id", "user_id"):
            names |= {profile: value for value, profile in self.house.profile_of(kind).items()}
        return {names.get(each, each) for each in ids}
