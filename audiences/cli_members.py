"""Commands on members by hand: whom a person puts into an audience, or out of it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer

from audiences.cli_options import HERE, JsonOption, ProjectOption, load, now, parse_instant

__all__ = ["decisions", "exclude", "include", "members_app", "undo"]

members_app = typer.Typer(help="Put people into an audience, or out of it, by hand.", no_args_is_help=True)

_Key = Annotated[str, typer.Argument(metavar="AUDIENCE", help="Audience key.")]
_Who = Annotated[
    str, typer.Argument(metavar="ID", help="Profile id, or TYPE:VALUE such as email:ann@example.com.")
]
_Reason = Annotated[str, typer.Option("--reason", help="Why; no personal data.")]
_Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="DATE",
        help="When it ends: a date (its first instant, UTC) or an ISO 8601 instant.",
    ),
]
_Author = Annotated[str, typer.Option("--author", help="Who decides.", default_factory=getpass.getuser)]


@members_app.command()
def include(
    key: _Key,
    who: _Who,
    reason: _Reason,
    author: _Author,
    until: _Until = None,
    project: ProjectOption = HERE,
) -> None:
    """Put somebody into an audience, whatever its rule says; consent is asked all the same."""
    _decide("in", key, who, reason, author, until, project)


@members_app.command()
def exclude(
    key: _Key,
    who: _Who,
    reason: _Reason,
    author: _Author,
    until: _Until = None,
    project: ProjectOption = HERE,
) -> None:
    """Keep somebody out of an audience, whatever its rule says."""
    _decide("out", key, who, reason, author, until, project)


def _decide(
    state: Literal["in", "out"],
    key: str,
    who: str,
    reason: str,
    author: str,
    until: str | None,
    project: Path,
) -> None:
    from audiences.manual import record_decision
    from audiences.project import open_stores
    from audiences.show import console
    from identity.errors import ConfigurationError
    from identity.profiles import find_identifier, find_profile, main_identifier, profiles_of

    definitions = load(project)
    if definitions.audience(key).of == "account":
        raise ConfigurationError(
            f"{key!r} is made of accounts; only people are put into an audience, or out of it, by hand."
        )
    ends_at = parse_instant(until, "--until") if until is not None else None
    with open_stores(definitions) as stores:
        rules = definitions.project.identity
        if ":" in who:
            subject = find_identifier(stores.warehouse, stores.vault, rules, who)
        else:
            found = find_profile(stores.warehouse, stores.vault, rules, who)
            subject = main_identifier(stores.warehouse, rules, found)
        number = record_decision(
            stores.ledger, key, subject, state, author=author, reason=reason, at=now(), until=ends_at
        )
        (profile,) = profiles_of(stores.warehouse, [subject])
    where = "into" if state == "in" else "out of"
    ends = f" until {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at else ""
    console.print(f"Decision {number}: {where} {key}{ends}, from the next apply on.")
    if profile is None:
        console.print("Nobody is known by that identifier yet; it counts as soon as somebody is.")


@members_app.command("list")
def decisions(
    key: Annotated[str | None, typer.Argument(metavar="AUDIENCE", help="Audience key; default: all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that ended or were taken back.")] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List whom persons put into audiences, or out of them; identifiers masked."""
    from audiences.manual import in_force, list_decisions
    from audiences.project import open_stores
    from audiences.show_rules import show_decisions
    from identity.shown import show_identifiers

    definitions = load(project)
    if key is not None:
        definitions.audience(key)
    instant = now()
    with open_stores(definitions) as stores:
        known = [each for each in list_decisions(stores.ledger) if key in (None, each.audience)]
        found = known if every else list(in_force(known, instant))
        subjects = sorted({each.subject for each in found})
        shown = show_identifiers(stores.warehouse, stores.vault, subjects)
    show_decisions(found, shown, instant, as_json=as_json)


@members_app.command()
def undo(
    number: Annotated[int, typer.Argument(help="The decision's number.")],
    author: _Author,
    project: ProjectOption = HERE,
) -> None:
    """Take a decision back; its record stays."""
    from audiences.ledger import open_ledger
    from audiences.manual import undo_decision
    from audiences.show import console

    definitions = load(project)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        undo_decision(ledger, number, author=author, at=now())
    console.print(f"Decision {number} no longer holds from the next apply on.")
