"""The demo: a small project, and what any user would run, against a practice platform on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from audiences.apply import Applied, apply_audiences
from audiences.explain import explain
from audiences.ledger import open_ledger
from audiences.plan import build_plan
from audiences.project import Definitions, load_definitions, open_stores
from audiences.show import (
    console,
    plain_table,
    resolved_sentence,
    show_held_back,
    show_ingest,
    show_plan,
    show_syncs,
    strong,
)
from audiences.start import create_project
from exporters.destination import Clock
from exporters.ledger import held_keys
from exporters.testing import PracticePlatform
from identity.ingest import IngestReport, ingest
from identity.privacy.suppression import suppress
from identity.profiles import identifier_token

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SUPPRESSED", "Demo", "run_demo", "walk"]

SUPPRESSED = ("user_id:u0019", "user_id:u0021", "user_id:u0041")
"""People of the sample who asked not to be sent anywhere."""

_TOKENS = {"META_ACCESS_TOKEN": "practice", "GOOGLE_ACCESS_TOKEN": "practice"}


class Demo:
    """What the demo did, for who wants to check it.

    Attributes:
        definitions: the project.
        ingested: what became of the sample's records.
        applied: what apply did.
        platform: the practice platform, stopped but with its members.
    """

    def __init__(
        self,
        definitions: Definitions,
        ingested: tuple[IngestReport, ...],
        applied: Applied,
        platform: PracticePlatform,
    ) -> None:
        self.definitions = definitions
        self.ingested = ingested
        self.applied = applied
        self.platform = platform


def run_demo(keep: Path | None, as_of: datetime, clock: Clock) -> None:
    """Run the whole way once and show it.

    Args:
        keep: folder to make the project in; None makes one for the time of the demo only.
        as_of: the instant of everything, UTC.
        clock: for talking to the practice platform.

    Raises:
        ConfigurationError: the folder holds a project already.
    """
    place = tempfile.TemporaryDirectory(prefix="audiences-demo-") if keep is None else nullcontext(str(keep))
    with place as folder:
        demo = walk(Path(folder), as_of, clock)
        _show_files(demo.definitions, kept=keep is not None, url=demo.platform.url)


def walk(folder: Path, as_of: datetime, clock: Clock) -> Demo:
    """Make a project in a folder, read its events, plan, apply, and print every step.

    Args:
        folder: where the project is made.
        as_of: the instant of everything, UTC.
        clock: for talking to the practice platform.
    """
    with PracticePlatform() as platform, _environment(_TOKENS):
        _title(1, "A project: definitions, sample events, a key  (audiences init)")
        for path in create_project(folder, as_of, platform_url=platform.url):
            console.print(f"  {path}")
        definitions = load_definitions(folder)
        with open_stores(definitions) as stores:
            _title(2, "Events in: checked, sealed, stored  (audiences ingest)")
            reports = tuple(
                ingest(
                    stores.warehouse,
                    stores.ledger,
                    stores.vault,
                    definitions.project.identity,
                    [folder / "events" / "sample.ndjson"],
                    as_of=as_of,
                    standard_input=BytesIO(),
                    purposes=definitions.project.purposes,
                )
            )
            show_ingest(reports, as_json=False)
            tokens = [identifier_token(stores.vault, definitions.project.identity, who) for who in SUPPRESSED]
            suppress(stores.ledger, tokens, "demo: asked not to be contacted", as_of)
            _title(3, "What would happen  (audiences plan)")
            show_plan(build_plan(stores, definitions, (), as_of), as_json=False)
            _title(4, "Do it, against a practice platform on this machine  (audiences apply)")
            applied = apply_audiences(stores, definitions, (), as_of, clock=clock)
            console.print(resolved_sentence(applied.resolved))
            _show_audiences(definitions, applied)
            show_syncs(applied.syncs)
            for failure in applied.failures:
                console.print(f"failed  {failure.audience} → {failure.destination}: {failure.reason}")
        _title(5, "What the platform holds now: hashed identifiers, under opaque names")
        _show_platform(definitions, platform)
        _title(6, "Who was held back, and why")
        show_held_back(applied.syncs)
        console.print("  Below the floor: fewer than 100 people could be sent, so nobody is.")
    return Demo(definitions, reports, applied, platform)


def _title(number: int, text: str) -> None:
    console.print(strong(f"\n{number}. {text}"))


def _show_audiences(definitions: Definitions, applied: Applied) -> None:
    sizes = {change.audience: change.size for change in applied.changes}
    for audience in definitions.audiences:
        console.print(strong(f"  {audience.key}", f"  {sizes[audience.key]:,} members: {explain(audience)}"))


def _show_platform(definitions: Definitions, platform: PracticePlatform) -> None:
    table = plain_table("audience", "platform", "named there", "identifiers>", "for example")
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger, ledger.reading() as cursor:
        rows = cursor.execute(
            "SELECT destination, audience, alias FROM remote_audiences ORDER BY audience, destination"
        ).fetchall()
        for destination, audience, alias in rows:
            held = held_keys(cursor, destination, audience)
            there = platform.members(alias) if not destination.startswith("file:") else None
            count = len(held) if there is None else len(there)
            example = next(iter(sorted(key.digest for key in held)), "")
            table.add_row(audience, destination, alias, f"{count:,}", f"{example[:8]}…" if example else "")
    console.print(table)
    console.print("  A hashed e-mail address is still personal data: whoever can guess it can recognise it.")


def _show_files(definitions: Definitions, *, kept: bool, url: str) -> None:
    _title(7, "Where the files lie")
    folder = definitions.folder
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            console.print(f"  {path}  {path.stat().st_size:,} bytes")
    if not kept:
        console.print(
            "\nThe folder is removed now; `audiences demo --keep DIR` leaves it to go on from there."
        )
        return
    port = url.rpartition(":")[2]
    console.print(
        f"\nGo on: cd {folder} && audiences status\n"
        "To apply again, start the practice platform in another terminal, and set its tokens:\n"
        f"  python -m exporters.testing --port {port}\n"
        "  export META_ACCESS_TOKEN=practice GOOGLE_ACCESS_TOKEN=practice"
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set, and take them back."""
    missing = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
