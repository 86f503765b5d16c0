"""What the command line prints: tables for people, JSON for programs, never a plain personal value."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audiences.explain import explain
from audiences.masked import masked
from audiences.phrases import explain_duration

if TYPE_CHECKING:
    from audiences.apply import Applied
    from audiences.audience import Audience
    from audiences.computations import Computation
    from audiences.computing import MembershipChange
    from audiences.doctor import Check
    from audiences.plan import Plan
    from audiences.project import Definitions
    from exporters.desired import SyncPreview
    from exporters.ledger import HeldStatus
    from exporters.sync import SyncReport
    from identity.ingest import IngestReport
    from identity.privacy.consent import ConsentRecord
    from identity.quarantine import Reject
    from identity.resolve import ResolveReport
    from identity.shown import ShownAccount, ShownProfile, ShownTrait

__all__ = [
    "REASONS",
    "console",
    "ingest_progress",
    "plain_table",
    "print_json",
    "resolved_sentence",
    "show_applied",
    "show_audiences",
    "show_checks",
    "show_held_back",
    "show_ingest",
    "show_plan",
    "show_preview",
    "show_profile",
    "show_rejects",
    "show_resolved",
    "show_sentences",
    "show_status",
    "show_syncs",
    "strong",
]

console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
"""Standard output; a pipe gets long lines whole."""

REASONS = {
    "no_consent": "no consent",
    "denied": "consent refused",
    "expired": "consent expired",
    "suppressed": "suppressed",
    "no_match_key": "no match key",
    "below_floor": "below the floor",
}
"""Why people are held back, in words."""


def print_json(value: Any) -> None:
    """Print any of our values as JSON, instants in ISO 8601.

    Args:
        value: a dataclass, or mappings and sequences of them.
    """
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = {"step": type(value).__name__.lower()} if type(value).__module__ == "audiences.plan" else {}
        return shown | {
            each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.repr
        }
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


@contextmanager
def ingest_progress(paths: Sequence[Path]) -> Iterator[Callable[[Path, int, int], None]]:
    """A progress bar with rows a second on a terminal; nothing in a pipe.

    Args:
        paths: the files that will be read.

    Yields:
        A function that is told path, bytes and records so far.
    """
    if not sys.stderr.isatty():
        yield lambda _path, _bytes, _records: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TextColumn("{task.fields[speed]:,.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {
            path: progress.add_task(
                path.name, total=path.stat().st_size if path.is_file() else None, records=0, speed=0.0
            )
            for path in paths
        }

        def on_progress(path: Path, size: int, records: int) -> None:
            elapsed = progress.tasks[tasks[path]].elapsed or 0.0
            progress.update(
                tasks[path], completed=size, records=records, speed=records / elapsed if elapsed else 0.0
            )

        yield on_progress


def show_ingest(reports: Sequence[IngestReport], *, as_json: bool) -> None:
    """Show what became of the files' records."""
    if as_json:
        print_json(reports)
        return
    table = plain_table("file", "read>", "accepted>", "repeated>", "clock corrected>", "refused>")
    for report in reports:
        refused = sum(report.refused.values())
        table.add_row(
            report.source,
            *_numbers(report.read, report.accepted, report.duplicates, report.clamped, refused),
        )
    console.print(table)
    for report in reports:
        if report.refused:
            why = ", ".join(f"{code} {count:,}" for code, count in sorted(report.refused.items()))
            console.print(f"refused: {why}  (audiences rejects lists them)")
        if report.truncated:
            console.print(f"{report.source} ends before its end: what follows in it could not be read.")


def show_rejects(rejects: Sequence[Reject], *, as_json: bool) -> None:
    """Show refused records."""
    if as_json:
        print_json(rejects)
        return
    if not rejects:
        console.print("Nothing was refused.")
        return
    table = plain_table("file", "line>", "byte>", "code", "reason")
    for each in rejects:
        offset = "" if each.byte_offset is None else f"{each.byte_offset:,}"
        table.add_row(each.source, f"{each.line:,}", offset, each.code, each.reason)
    console.print(table)


def show_resolved(report: ResolveReport, *, as_json: bool) -> None:
    """Show what a resolve found."""
    if as_json:
        print_json(report)
        return
    console.print(resolved_sentence(report))


def resolved_sentence(report: ResolveReport) -> str:
    """Say in one line what a resolve found."""
    text = (
        f"{report.profiles:,} profiles from {report.events:,} events and {report.identifiers:,} identifiers; "
        f"{report.merges:,} merges"
    )
    if report.blocked:
        text += f"; {report.blocked:,} blocked identifiers"
    if report.left_out:
        text += f"; {report.left_out:,} left out by limits"
    changes = report.changes
    if changes.moved:
        profiles = "profile" if changes.merged == 1 else "profiles"
        text += (
            f"; changed: {changes.merged:,} {profiles} merged, {changes.split:,} split, "
            f"{changes.moved:,} identifiers moved"
        )
    if report.unattributed:
        text += f"; {report.unattributed:,} events belong to nobody"
    return text + "."


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Show a plan's steps."""
    if as_json:
        print_json(plan)
        return
    from audiences.plan import Compute, Resolve, Retire, Sync

    console.print(f"Plan as of {plan.as_of:%Y-%m-%d %H:%M:%S} UTC\n")
    for step in plan.steps:
        match step:
            case Resolve():
                console.print(f"resolve  {step.pending:,} new events → {resolved_sentence(step.report)}")
                touched = ", ".join(f"{key} ({count:,})" for key, count in step.touched.items())
                console.print(f"  members touched: {touched}\n" if touched else "")
            case Compute():
                console.print(strong(step.audience, f"  {_change(step.change)}"))
                console.print(f"  {step.sentence}")
            case Sync():
                console.print(f"  → {step.audience} to {step.destination}: {_preview(step.preview)}")
            case Retire():
                how = "remove" if step.reachable else "can't reach the destination to remove"
                console.print(
                    strong("retire", f"  {step.audience} at {step.destination}: {how} {step.held:,}")
                )


def _change(change: MembershipChange) -> str:
    if change.problem:
        return (
            f"{change.size:,} members, stale since {change.stale_since:%Y-%m-%d %H:%M} UTC: {change.problem}"
        )
    looked = "everybody" if change.looked_at is None else f"{change.looked_at:,} profiles"
    moved = f"+{change.entered:,} -{change.exited:,}" + (f" ~{change.changed:,}" if change.changed else "")
    return f"{change.size:,} members, {moved} (looked at {looked})"


def _preview(preview: SyncPreview) -> str:
    text = f"add {preview.added:,}, remove {preview.removed:,}, keep {preview.unchanged:,}"
    return text + _held(preview.held_back)


def _held(held_back: Mapping[str, int]) -> str:
    held = [f"{REASONS.get(reason, reason)} {count:,}" for reason, count in held_back.items() if count]
    return f"; held back: {', '.join(held)}" if held else ""


def show_applied(applied: Applied, *, as_json: bool) -> None:
    """Show what an apply did."""
    if as_json:
        print_json(applied)
        return
    console.print(resolved_sentence(applied.resolved))
    audiences = plain_table("audience", "members>", "entered>", "exited>", "looked at>", "")
    for change in applied.changes:
        looked = "everybody" if change.looked_at is None else f"{change.looked_at:,}"
        stale = f"stale since {change.stale_since:%Y-%m-%d %H:%M}" if change.stale_since else ""
        numbers = _numbers(change.size, change.entered, change.exited)
        audiences.add_row(change.audience, *numbers, "" if stale else looked, stale)
    console.print(audiences)
    if applied.syncs:
        show_syncs(applied.syncs, {each.audience for each in applied.changes if each.stale_since})
        console.print("\nHeld back:")
        show_held_back(applied.syncs)
    for failure in applied.failures:
        where = f"  {failure.audience}{f' → {failure.destination}' if failure.destination else ''}: "
        console.print(strong("failed", where + failure.reason, style="bold red"))


def show_syncs(syncs: Sequence[SyncReport], stale: Collection[str] = ()) -> None:
    """Show what was sent where, and of which audiences it was the last version instead of this one."""
    table = plain_table(
        "audience", "destination", "added>", "removed>", "kept>", "people sent>", "held back>"
    )
    for sync in syncs:
        numbers = (sync.added, sync.removed, sync.unchanged, sync.eligible, sum(sync.held_back.values()))
        audience = f"{sync.audience} (stale)" if sync.audience in stale else sync.audience
        table.add_row(audience, sync.destination, *_numbers(*numbers))
    console.print(table)


def show_held_back(syncs: Sequence[SyncReport]) -> None:
    """Show who was held back, and why, in people."""
    for sync in syncs:
        reasons = [
            f"{sync.held_back[reason]:,} {words}"
            for reason, words in REASONS.items()
            if reason in sync.held_back
        ]
        sent = f"{sync.eligible:,} of {sync.members:,} people sent"
        console.print(
            f"  {sync.audience} → {sync.destination}: {sent}; {', '.join(reasons) or 'nobody held back'}"
        )


def show_status(
    held: Sequence[HeldStatus], runs: Sequence[Mapping[str, Any]], definitions: Definitions, *, as_json: bool
) -> None:
    """Show what every destination holds, and the last runs."""
    if as_json:
        print_json({"held": held, "runs": runs})
        return
    last = {run["audience"]: run for run in runs}
    table = plain_table("audience", "last run (as of, UTC)", "outcome", "members>", "every")
    for audience in definitions.audiences:
        run = last.get(audience.key)
        table.add_row(
            audience.key,
            str(run["as_of"])[:19].replace("T", " ") if run else "never",
            _outcome(run) if run else "",
            f"{run['members']:,}" if run else "",
            f"every {explain_duration(audience.every)}" if audience.every else "by hand",
        )
    console.print(table)
    if not held:
        console.print("No destination holds anything.")
        return
    places = plain_table("destination", "audience", "present>", "in flight>", "quarantined>")
    for each in held:
        places.add_row(
            each.destination, each.audience, *_numbers(each.present, each.in_flight, each.quarantined)
        )
    console.print(places)


def _outcome(run: Mapping[str, Any]) -> str:
    if run["stale_since"]:
        return f"stale since {run['stale_since'][:16].replace('T', ' ')}"
    return "succeeded" if run["succeeded"] else "in part"


def show_audiences(audiences: Sequence[Audience], known: Mapping[str, Computation], *, as_json: bool) -> None:
    """Show audiences: rule, size, version, destinations."""
    if as_json:
        print_json([_shown_audience(each, known.get(each.key)) for each in audiences])
        return
    for audience in audiences:
        version = known.get(audience.key)
        members = "not computed yet"
        if version is not None:
            when = f"version {version.version} of {version.as_of:%Y-%m-%d %H:%M} UTC"
            members = f"{version.members:,} members, {when}"
        console.print(strong(audience.key, f"  {members}"))
        if version is not None and version.stale_since is not None:
            stale = f"  since {version.stale_since:%Y-%m-%d %H:%M} UTC: {version.problem}"
            console.print(strong("  stale", stale, style="bold red"))
        console.print(f"  {explain(audience)}")
        where = ", ".join(each.name for each in audience.sync) or "nowhere"
        often = f"every {explain_duration(audience.every)}" if audience.every else "by hand"
        console.print(f"  sent to {where}; {often}; {audience.place}")


def _shown_audience(audience: Audience, version: Computation | None) -> dict[str, Any]:
    return {
        "audience": audience.key,
        "of": audience.of,
        "members": version.members if version else None,
        "version": version.version if version else None,
        "as_of": version.as_of if version else None,
        "stale_since": version.stale_since if version else None,
        "problem": version.problem if version else None,
        "rule": explain(audience),
        "description": audience.description,
        "sync": [destination.name for destination in audience.sync],
        "every": explain_duration(audience.every) if audience.every else None,
        "defined_at": audience.place,
    }


def show_sentences(sentences: Mapping[str, str], *, as_json: bool) -> None:
    """Show rules in words."""
    if as_json:
        print_json(sentences)
        return
    for key, sentence in sentences.items():
        console.print(strong(key, f"  {sentence}"))


def show_preview(key: str, size: int, members: Sequence[ShownProfile], *, as_json: bool) -> None:
    """Show an audience's size and some of its members, masked."""
    if as_json:
        print_json({"audience": key, "members": size, "some": members})
        return
    console.print(strong(key, f"  {size:,} members"))
    table = plain_table("profile", "identifiers", "traits", "last seen (UTC)")
    for member in members:
        table.add_row(
            member.profile_id,
            ", ".join(f"{each.type}:{each.value}" for each in member.identifiers[:3]),
            ", ".join(f"{name}={trait.value}" for name, trait in list(member.traits.items())[:3]),
            f"{member.last_seen_at:%Y-%m-%d %H:%M}",
        )
    console.print(table)


def show_profile(
    profile: ShownProfile,
    consent: Sequence[ConsentRecord],
    suppressed: datetime | None,
    computed: Mapping[str, tuple[str, datetime]],
    audiences: Mapping[str, datetime],
    *,
    as_json: bool,
) -> None:
    """Show one profile, values masked."""
    if as_json:
        records = [
            {
                "purpose": each.purpose,
                "state": each.state,
                "captured_at": each.captured_at,
                "source": each.source,
            }
            for each in consent
        ]
        values = {name: {"value": masked(text), "since": since} for name, (text, since) in computed.items()}
        print_json(
            {
                "profile": profile,
                "computed_traits": values,
                "audiences": audiences,
                "consent": records,
                "suppressed_at": suppressed,
            }
        )
        return
    # an event's consent is recorded under each of its identifiers
    decisions = list(
        dict.fromkeys((f"{each.captured_at:%Y-%m-%d}", f"{each.purpose}: {each.state}") for each in consent)
    )
    console.print(strong(profile.profile_id))
    seen = (
        f"first seen {profile.first_seen_at:%Y-%m-%d %H:%M}, last {profile.last_seen_at:%Y-%m-%d %H:%M} UTC"
    )
    console.print(f"  {seen}")
    for title, rows in (
        ("identifiers", [(each.type, each.value) for each in profile.identifiers]),
        ("traits", [(name, str(trait.value), _source(trait)) for name, trait in profile.traits.items()]),
        ("computed traits", [_computed(name, *each) for name, each in computed.items()]),
        ("audiences", [(key, f"since {since:%Y-%m-%d %H:%M}") for key, since in audiences.items()]),
        ("accounts", [_account(each) for each in profile.accounts]),
        ("events", [(name, f"{count:,}") for name, count in profile.events.items()]),
        ("latest", [(f"{at:%Y-%m-%d %H:%M}", name or kind) for at, kind, name in profile.recent]),
        ("merged", [(f"{at:%Y-%m-%d %H:%M}", f"{who} by {cause}") for who, cause, at in profile.merged]),
        ("consent", decisions),
    ):
        if rows:
            table = Table.grid(padding=(0, 2))
            for row in rows:
                table.add_row("   ", *row)
            console.print(strong(f"  {title}"))
            console.print(table)
    if suppressed:
        console.print(strong("  suppressed", f" since {suppressed:%Y-%m-%d %H:%M} UTC", style="bold red"))


def _computed(name: str, text: str, since: datetime) -> tuple[str | Text, ...]:
    value = masked(text)
    shown = int(value) if isinstance(value, float) and value.is_integer() else value
    return name, Text(str(shown)), Text(f"since {since:%Y-%m-%d %H:%M}", style="dim")


def _source(trait: ShownTrait) -> Text:
    return Text(f"{trait.occurred_at:%Y-%m-%d %H:%M} by {trait.message_id}", style="dim")


def _account(account: ShownAccount) -> tuple[str | Text, ...]:
    traits = ", ".join(f"{name}={trait.value}" for name, trait in account.traits.items())
    return (account.account, traits, Text(f"since {account.first_seen_at:%Y-%m-%d}", style="dim"))


def show_checks(checks: Sequence[Check]) -> None:
    """Show what the doctor found."""
    for check in checks:
        sign, style = ("ok   ", "green") if check.passed else ("wrong", "bold red")
        console.print(strong(sign, f"  {check.name}: {check.detail}", style=style))


def strong(lead: str, rest: str = "", *, style: str = "bold") -> Text:
    """A line whose beginning stands out; texts from events are never read as markup."""
    return Text.assemble((lead, style), rest)


def plain_table(*columns: str) -> Table:
    """A plain table; a column's name that ends in `>` is set to the right."""
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    return table


def _numbers(*values: int) -> tuple[str, ...]:
    return tuple(f"{value:,}" for value in values)
