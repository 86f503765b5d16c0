"""What the commands on identity print; values are masked before they come here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audiences.show import console, plain_table, print_json, strong

if TYPE_CHECKING:
    from identity.explanation import Cluster, Explanation, Step
    from identity.overrides import Override
    from identity.shown import ShownIdentifier
    from identity.suspects import Suspects

__all__ = ["show_cluster", "show_explanation", "show_overrides", "show_suspects"]

_WORDS = {"merge": "are one person", "split": "split off from", "apart": "never one person"}


def show_explanation(found: Explanation, *, as_json: bool) -> None:
    """Show why two identifiers are one person, or are not."""
    if as_json:
        print_json({"joined": found.joined, "explanation": found})
        return
    if found.joined:
        console.print(f"One person: both point to profile {found.left_profile}.")
    elif not found.steps:
        console.print("Not joined: no event, and no chain of events, ever carried both.")
    else:
        refused = sum(bool(step.refused) for step in found.steps)
        links = "link" if refused == 1 else "links"
        console.print(
            f"Not joined: the shortest chain between them needs {refused} {links} that did not hold."
        )
    if found.steps:
        console.print(_steps(found.steps))


def _steps(steps: Sequence[Step]) -> object:
    table = plain_table("from", "to", "at (UTC)", "event", "message", "")
    for step in steps:
        table.add_row(
            _name(step.left),
            _name(step.right),
            f"{step.occurred_at:%Y-%m-%d %H:%M:%S}",
            step.event,
            step.message_id,
            strong("refused:", f" {step.refused}", style="red") if step.refused else "held",
        )
    return table


def show_cluster(found: Cluster, page: Path | None, *, as_json: bool) -> None:
    """Show what an identifier hangs together with."""
    nodes = [
        {"identifier_id": node, "identifier": found.shown[node], **facts}
        for node, facts in found.graph.nodes(data=True)
    ]
    if as_json:
        edges = [{"from": one, "to": other, **facts} for one, other, facts in found.graph.edges(data=True)]
        print_json({"nodes": nodes, "edges": edges, "glue": found.glue, "bridges": found.bridges})
        return
    profiles = {facts["profile"] for _, facts in found.graph.nodes(data=True) if facts["profile"]}
    refused = sum(not facts["held"] for _, _, facts in found.graph.edges(data=True))
    console.print(
        f"{len(found.graph):,} identifiers in {len(profiles):,} profile{'' if len(profiles) == 1 else 's'}; "
        f"{found.graph.number_of_edges():,} links, {refused:,} of them refused."
    )
    for glue in found.glue:
        console.print(
            f"  this shared {glue.identifier.type} glues {glue.people} people: {glue.identifier.value} "
            f"({glue.neighbours:,} neighbours{', blocked' if glue.blocked else ''})"
        )
    if found.bridges:
        console.print("\nBridges: without one of these links its profile would fall in two.")
        table = plain_table("from", "to", "sides>", "at (UTC)", "event")
        for bridge in found.bridges:
            table.add_row(
                _name(bridge.step.left),
                _name(bridge.step.right),
                f"{bridge.sides[0]} | {bridge.sides[1]}",
                f"{bridge.step.occurred_at:%Y-%m-%d %H:%M}",
                bridge.step.event,
            )
        console.print(table)
    console.print()
    table = plain_table("identifier", "profile", "links>", "identifier id")
    rows = sorted(found.graph.degree, key=lambda each: (-each[1], each[0]))
    for node, degree in rows[:50]:
        facts = found.graph.nodes[node]
        profile = "blocked" if facts["blocked"] else facts["profile"] or "left out"
        table.add_row(_name(found.shown[node]), profile, f"{degree:,}", node)
    console.print(table)
    if len(rows) > 50:
        console.print(f"… and {len(rows) - 50:,} more; --json shows all.")
    if page is not None:
        console.print(f"Picture: {page}")


def show_suspects(found: Suspects, *, as_json: bool) -> None:
    """Show what a steward should look at."""
    if as_json:
        print_json(found)
        return
    console.print(strong("Identifier types"))
    table = plain_table(
        "type", "values>", "blocked>", "left out>", "a person>", "people a value>", "shared>", "verdict"
    )
    for each in found.types:
        table.add_row(
            each.type,
            f"{each.identifiers:,}",
            f"{each.blocked:,}",
            f"{each.left_out:,}",
            "–" if each.values_per_person is None else f"{each.values_per_person:.1f}",
            "–" if each.people_per_value is None else f"≤ {each.people_per_value:,}",
            "–" if each.shared is None else f"{each.shared:.1%}",
            each.verdict,
        )
    console.print(table)
    if found.shared:
        console.print(strong("\nIdentifiers that many share", " (block them, or split them off)"))
        table = plain_table("identifier", "people>", "neighbours>", "", "identifier id")
        for shared in found.shared:
            table.add_row(
                _name(shared.identifier),
                f"{shared.people:,}",
                f"{shared.neighbours:,}",
                "blocked" if shared.blocked else "",
                shared.identifier.identifier_id,
            )
        console.print(table)
    if found.profiles:
        console.print(strong("\nProfiles that may be several people", " (see `audiences profile ID`)"))
        table = plain_table("profile", "identifiers>", "why")
        for profile in found.profiles:
            table.add_row(profile.profile_id, f"{profile.identifiers:,}", "; ".join(profile.reasons))
        console.print(table)
    else:
        console.print("\nNo profile looks like several people.")


def show_overrides(found: Sequence[Override], shown: Mapping[str, ShownIdentifier], *, as_json: bool) -> None:
    """Show what persons decided."""
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("Nobody decided anything; events and rules alone say who is who.")
        return
    table = plain_table("no.>", "identifier", "", "other", "by", "on (UTC)", "reason", "")
    for each in found:
        one, other = (_name(shown[name]) if name in shown else name for name in (each.identifier, each.other))
        undone = f"undone {each.undone_at:%Y-%m-%d} by {each.undone_by}" if each.undone_at else ""
        table.add_row(
            str(each.number),
            one,
            _WORDS[each.kind],
            other,
            each.author,
            f"{each.decided_at:%Y-%m-%d %H:%M}",
            each.reason,
            undone,
        )
    console.print(table)


def _name(identifier: ShownIdentifier) -> str:
    return f"{identifier.type}:{identifier.value}"
