"""Laws of the sync engine under any course of events: joining, leaving, refusing, faults, crashes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporters.errors import ExportError
from exporters.ledger import held_keys, quarantined_keys
from exporters.sync import sync_audience
from identity.privacy.hashing import Candidate, HashedIdentifier
from identity.privacy.suppression import suppress, unsuppress
from tests.exporters.memory import (
    Crash,
    CrashingLedger,
    FakeClock,
    MemoryPlatform,
    key_of,
    opened,
    say,
)

NAMES = [f"p{number}" for number in range(7)]
KEYS = [key_of(name, kind) for name in ("k1", "k2", "k3", "k4", "k5") for kind in ("email", "phone")]
FAULTS = [
    "",
    "drop_before",
    "drop_after",
    "throttled",
    "refused",
    "unauthorised",
    "crash_before",
    "crash_after",
]
FLOOR = 2

people = st.sampled_from(NAMES)
some_keys = st.sets(st.sampled_from(KEYS), min_size=1, max_size=3)
few = st.sets(people, min_size=1, max_size=3)


class Delivery(RuleBasedStateMachine):
    """One audience at one destination; the model keeps who is a member, who said what, who has which keys.

    People share keys, so one person's no keeps another's key away. Consent may also change while the engine
    waits between two attempts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        opened(self.path).close()
        self.time = FakeClock()
        self.members: set[str] = set()
        self.keys: dict[str, set[HashedIdentifier]] = {name: set() for name in NAMES}
        self.consent: dict[str, str] = {}
        self.suppressed: set[str] = set()
        self.crashes = 0

    @initialize(
        batch=st.integers(1, 5),
        names_rows=st.booleans(),
        answers_rows=st.booleans(),
        keys=st.lists(some_keys, min_size=len(NAMES), max_size=len(NAMES)),
    )
    def start(
        self, batch: int, names_rows: bool, answers_rows: bool, keys: list[set[HashedIdentifier]]
    ) -> None:
        """Everybody is a member and agreed, so that the first sync has something to do."""
        self.platform = MemoryPlatform(batch=batch, names_rows=names_rows, answers_rows=answers_rows)
        self.platform.on_add = self.nobody_who_may_not_be_sent
        self.members = set(NAMES)
        self.keys = dict(zip(NAMES, keys, strict=True))
        self.says(set(NAMES), "granted")

    # what happens in the world

    @rule(names=few, joins=st.booleans())
    def join_or_leave(self, names: set[str], joins: bool) -> None:
        self.members = self.members | names if joins else self.members - names

    @rule(name=people, keys=some_keys)
    def has_keys(self, name: str, keys: set[HashedIdentifier]) -> None:
        self.keys[name] = keys

    @rule(names=few, state=st.sampled_from(["granted", "granted", "denied"]))
    def says(self, names: set[str], state: str) -> None:
        with opened(self.path) as ledger:
            for name in sorted(names):
                self.record(ledger, name, state)

    @rule(name=people)
    def is_suppressed_or_no_longer(self, name: str) -> None:
        with opened(self.path) as ledger:
            if name in self.suppressed:
                unsuppress(ledger, [f"token-{name}"])
            else:
                suppress(ledger, [f"token-{name}"], "letter", self.time.instant)
        self.suppressed ^= {name}

    @rule(key=st.sampled_from(KEYS))
    def platform_dislikes(self, key: HashedIdentifier) -> None:
        if len(self.platform.poison) < 2 and key not in self.platform.everybody():
            self.platform.poison.add(key)

    # what the engine does

    @rule()
    def syncs_in_peace(self) -> None:
        self.syncs([], [], None, False)

    @rule(
        faults=st.lists(st.sampled_from(FAULTS), max_size=8),
        changes=st.lists(st.tuples(people, st.sampled_from(["granted", "denied"])), max_size=2),
        crash_at=st.none() | st.integers(0, 12),
        committed=st.booleans(),
    )
    def syncs(
        self, faults: list[str], changes: list[tuple[str, str]], crash_at: int | None, committed: bool
    ) -> None:
        with CrashingLedger(self.path / "ledger.sqlite") as ledger:
            ledger.crash_at, ledger.committed = crash_at, committed
            waiting = list(changes)

            def on_sleep() -> None:
                if waiting:
                    with opened(self.path) as other:
                        self.record(other, *waiting.pop())

            self.time.on_sleep = on_sleep
            self.platform.on_crash = ledger.die
            self.platform.faults.extend(faults)
            try:
                self.sync(ledger)
            except (Crash, ExportError):
                self.crashes += 1
            self.platform.faults.clear()
            self.time.on_sleep = lambda: None

    # what always holds

    @invariant()
    def platform_holds_only_what_the_ledger_knows(self) -> None:
        if hasattr(self, "platform") and self.platform.members:
            with opened(self.path) as ledger, ledger.reading() as cursor:
                held = held_keys(cursor, self.platform.name, "big_spenders")
            assert self.platform.everybody() <= held.keys()

    def teardown(self) -> None:
        """Let everything heal: then who is there is who may be there."""
        try:
            if hasattr(self, "platform"):
                self.heal()
        finally:
            self.folder.cleanup()

    def heal(self) -> None:
        self.platform.faults.clear()
        with opened(self.path) as ledger:
            for _ in range(3):
                try:
                    self.sync(ledger)
                except ExportError:
                    # a batch of nothing but a disliked key can't be told from a platform that takes nothing
                    assert self.platform.poison
            with ledger.reading() as cursor:
                refused = {
                    key
                    for key in KEYS
                    if (key.recipe, key.digest)
                    in quarantined_keys(cursor, self.platform.name, "big_spenders")
                }
                held = held_keys(cursor, self.platform.name, "big_spenders")
        desired = self.desired(refused)
        assert self.platform.everybody() == desired - self.platform.poison
        assert {key for key, state in held.items() if state == "present"} >= self.platform.everybody()
        assert held.keys() <= desired

    # the model

    def record(self, ledger: object, name: str, state: str) -> None:
        self.time.instant += timedelta(seconds=1)
        say(ledger, name, state, self.time.instant)  # type: ignore[arg-type]
        self.consent[name] = state

    def sync(self, ledger: CrashingLedger | object) -> None:
        candidates = [
            Candidate(name, (f"token-{name}",), tuple(sorted(self.keys[name], key=repr)))
            for name in sorted(self.members)
        ]
        sync_audience(
            ledger,  # type: ignore[arg-type]
            self.platform,
            "big_spenders",
            "a1b2c3",
            candidates,
            clock=self.time.clock,
            run="run",
            floor=FLOOR,
        )

    def permitted(self, name: str) -> bool:
        return self.consent.get(name) == "granted" and name not in self.suppressed

    def refuses(self, name: str) -> bool:
        return self.consent.get(name) == "denied" or name in self.suppressed

    def nobody_who_may_not_be_sent(self, keys: Sequence[HashedIdentifier]) -> None:
        for key in keys:
            behind = [name for name in self.members if key in self.keys[name]]
            assert any(map(self.permitted, behind))
            assert not any(map(self.refuses, behind))

    def desired(self, quarantined: set[HashedIdentifier]) -> set[HashedIdentifier]:
        refused = {key for name in self.members if self.refuses(name) for key in self.keys[name]}
        usable = [self.keys[name] - refused - quarantined for name in self.members if self.permitted(name)]
        people_of = Counter(kind for keys in usable for kind in {key.kind for key in keys})
        return {key for keys in usable for key in keys if people_of[key.kind] >= FLOOR}


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=100, stateful_step_count=15, deadline=None)
