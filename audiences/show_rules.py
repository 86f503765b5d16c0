"""How the command line shows what a rule means for somebody, and what computing rules takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.tree import Tree

from audiences.show import console, plain_table, print_json, strong

if TYPE_CHECKING:
    from audiences.checking import Checked
    from audiences.definition_changes import Comparison, DefinitionChange
    from audiences.manual import Decision
    from audiences.shared import SharedScan
    from audiences.why import Reason, Why
    from identity.shown import ShownIdentifier

__all__ = ["show_checked", "show_comparison", "show_decisions", "show_scans", "show_why"]


def show_why(why: Why, *, as_json: bool) -> None:
    """Show why somebody is in an audience or not: the rule as a tree, with figures and events."""
    if as_json:
        print_json(why)
        return
    inside = "is in" if why.member else "is not in"
    console.print(strong(why.audience, f"  {inside} as of {why.as_of:%Y-%m-%d %H:%M:%S} UTC"))
    if why.by_hand is not None:
        console.print(f"  put {why.by_hand} by hand, whatever the rule says (`audiences members list`)")
    tree = Tree(_line(why.reason))
    _grow(tree, why.reason)
    console.print(tree)
    if why.changes_at is not None:
        verb = "leaves" if why.member else "enters"
        console.print(f"{verb} at {why.changes_at:%Y-%m-%d %H:%M:%S} UTC if nothing else happens")
    elif why.known_until > why.as_of:
        console.print(f"no change before {why.known_until:%Y-%m-%d} if nothing else happens")
    else:
        console.print("depends on others as well, so nobody can say when it changes")


def _line(reason: Reason) -> str:
    answer = "✓" if reason.holds else "✗"
    figure = f"  [{reason.figure}]" if reason.figure is not None else ""
    return f"{answer} {reason.words}{figure}"


def _grow(tree: Tree, reason: Reason) -> None:
    for part in reason.parts:
        _grow(tree.add(_line(part)), part)
    for event in reason.events:
        tree.add(f"{event.occurred_at:%Y-%m-%d %H:%M:%S}  {event.name}  {event.message_id}")
    if reason.count > len(reason.events):
        tree.add(f"… and {reason.count - len(reason.events):,} earlier")


def show_checked(checked: Checked, *, as_json: bool) -> None:
    """Show what a comparison with a computation from scratch found."""
    if as_json:
        print_json(checked)
        return
    differing = {each.audience: each for each in checked.differences}
    table = plain_table("audience", "compared>", "missing>", "too many>", "for example")
    for key, count in checked.compared.items():
        found = differing.get(key)
        missing, extra = (found.missing, found.extra) if found else (0, 0)
        examples = ", ".join(found.examples) if found else ""
        table.add_row(key, f"{count:,}", f"{missing:,}", f"{extra:,}", examples)
    console.print(table)
    for key in checked.behind:
        console.print(f"{key}: not compared; it was not computed since its data changed (`audiences apply`)")
    if not checked.differences:
        console.print("What is stored is what a computation from scratch finds.")


def show_decisions(
    found: Sequence[Decision], shown: Mapping[str, ShownIdentifier], as_of: datetime, *, as_json: bool
) -> None:
    """Show whom persons put into audiences, or out of them."""
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("Nobody is in or out by hand; rules alone say who is in an audience.")
        return
    table = plain_table("no.>", "audience", "", "identifier", "by", "on (UTC)", "until (UTC)", "reason", "")
    for each in found:
        who = shown.get(each.subject)
        ended = "ended" if each.expires_at is not None and each.expires_at <= as_of else ""
        table.add_row(
            str(each.number),
            each.audience,
            each.state,
            f"{who.type}:{who.value}" if who else each.subject,
            each.author,
            f"{each.decided_at:%Y-%m-%d %H:%M}",
            f"{each.expires_at:%Y-%m-%d %H:%M}" if each.expires_at else "",
            each.reason,
            f"undone {each.undone_at:%Y-%m-%d} by {each.undone_by}" if each.undone_at else ended,
        )
    console.print(table)


def show_scans(scans: Sequence[SharedScan], *, as_json: bool) -> None:
    """Show which passes over the data computing the audiences takes."""
    if as_json:
        print_json(list(scans))
        return
    table = plain_table("one pass over", "audiences>", "figures asked for>", "worked out>")
    for scan in scans:
        table.add_row(scan.reads, f"{scan.audiences:,}", f"{scan.asked:,}", f"{scan.computed:,}")
    console.print(table)
    asked, computed = sum(each.asked for each in scans), sum(each.computed for each in scans)
    console.print(f"{asked:,} figures asked for, {computed:,} worked out in {len(scans):,} passes")


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Show how definitions differ from what is stored, and who moves."""
    if as_json:
        print_json(comparison)
        return
    for each in comparison.changes:
        console.print(strong(each.key, f"  {each.verdict or each.state}: {_moves(each)}"))
        if each.before is not None:
            console.print(f"  before: {each.before}")
        if each.now is not None:
            console.print(f"  now:    {each.now}")
        for edit in each.edits:
            console.print(f"  - {edit}")
    if comparison.unchanged:
        console.print(f"unchanged: {', '.join(comparison.unchanged)}")


def _moves(change: DefinitionChange) -> str:
    unit = {"profile": "members", "account": "accounts", "trait": "profiles with a value"}[change.kind]
    moved = f"+{change.entering:,} -{change.leaving:,}"
    moved += f" ~{change.changing:,}" if change.kind == "trait" else ""
    return f"{change.stored:,} → {change.computed:,} {unit}, {moved}"
