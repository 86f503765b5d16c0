"""Commands on who is who: why, what to look at, and what a person decides."""

from __future__ import annotations

import getpass
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiences.cli_options import HERE, JsonOption, ProjectOption, load, now

if TYPE_CHECKING:
    from audiences.project import Definitions, Stores
    from identity.overrides import OverrideKind

__all__ = [
    "cluster",
    "explain",
    "identity_app",
    "merge",
    "never_merge",
    "overrides",
    "split",
    "suspects",
    "undo",
]

identity_app = typer.Typer(help="Explain, review and correct who is who.", no_args_is_help=True)

_Identifier = Annotated[
    str,
    typer.Argument(
        metavar="IDENTIFIER", help="TYPE:VALUE, such as email:ann@example.com, or an identifier id."
    ),
]
_Other = Annotated[str, typer.Argument(metavar="OTHER", help="Another identifier, written likewise.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; no personal data.")]
_Author = Annotated[str, typer.Option("--author", help="Who decides.", default_factory=getpass.getuser)]


def _known(stores: Stores, definitions: Definitions, text: str) -> str:
    from identity.profiles import find_identifier

    return find_identifier(stores.warehouse, stores.vault, definitions.project.identity, text)


def _start(stores: Stores, definitions: Definitions, text: str) -> str:
    """An identifier, or any one of a profile's."""
    from identity.errors import NotFoundError
    from identity.profiles import find_profile, subjects_of

    if ":" not in text:
        with suppress(NotFoundError):
            rules = definitions.project.identity
            return subjects_of(stores.warehouse, find_profile(stores.warehouse, stores.vault, rules, text))[0]
    return _known(stores, definitions, text)


@identity_app.command()
def explain(
    identifier: _Identifier, other: _Other, project: ProjectOption = HERE, as_json: JsonOption = False
) -> None:
    """Show the events that join two identifiers, or what refused to."""
    from audiences.project import open_stores
    from audiences.show_identity import show_explanation
    from identity.explanation import explain_identifiers
    from identity.overrides import list_overrides

    definitions = load(project)
    with open_stores(definitions) as stores:
        found = explain_identifiers(
            stores.warehouse,
            stores.vault,
            definitions.project.identity,
            list_overrides(stores.ledger),
            _known(stores, definitions, identifier),
            _known(stores, definitions, other),
        )
    show_explanation(found, as_json=as_json)


@identity_app.command()
def cluster(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="TYPE:VALUE, an identifier id, or a profile id.")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with a picture to this file.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show what an identifier hangs together with, and what holds it together."""
    from audiences.project import open_stores
    from audiences.show_identity import show_cluster
    from identity.explanation import show_cluster as gather
    from identity.overrides import list_overrides

    definitions = load(project)
    with open_stores(definitions) as stores:
        found = gather(
            stores.warehouse,
            stores.vault,
            definitions.project.identity,
            list_overrides(stores.ledger),
            _start(stores, definitions, identifier),
        )
    if html is not None:
        from identity.picture import cluster_page

        html.write_text(cluster_page(found), encoding="utf-8")
    show_cluster(found, html, as_json=as_json)


@identity_app.command()
def suspects(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to show.")] = 20,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List profiles that may be several people, and identifier types that make bad keys."""
    from audiences.project import open_stores
    from audiences.show_identity import show_suspects
    from identity.overrides import list_overrides
    from identity.suspects import find_suspects

    definitions = load(project)
    with open_stores(definitions) as stores:
        found = find_suspects(
            stores.warehouse,
            stores.vault,
            definitions.project.identity,
            list_overrides(stores.ledger),
            limit,
        )
    show_suspects(found, as_json=as_json)


def _decide(
    definitions: Definitions, kind: OverrideKind, identifier: str, other: str, reason: str, author: str
) -> None:
    from audiences.project import open_stores
    from audiences.show import console
    from identity.errors import ConfigurationError
    from identity.overrides import record_override
    from identity.profiles import profiles_of

    with open_stores(definitions) as stores:
        one, two = _known(stores, definitions, identifier), _known(stores, definitions, other)
        if kind == "split" and one != two:
            home, beside = profiles_of(stores.warehouse, [one, two])
            if home is None or home != beside:
                raise ConfigurationError(
                    "These two are not in one profile, so there is nothing to split; "
                    "`audiences identity explain` shows how they stand."
                )
        recorded = record_override(stores.ledger, kind, one, two, author=author, reason=reason, at=now())
    console.print(
        f"Override {recorded.number} recorded. `audiences plan` shows what it changes, `audiences resolve` "
        f"does it, `audiences identity undo {recorded.number}` takes it back."
    )


@identity_app.command()
def merge(
    identifier: _Identifier, other: _Other, reason: _Reason, author: _Author, project: ProjectOption = HERE
) -> None:
    """Decide that two identifiers are one person, whatever limits say."""
    _decide(load(project), "merge", identifier, other, reason, author)


@identity_app.command()
def split(
    identifier: _Identifier,
    other: Annotated[str, typer.Option("--from", metavar="OTHER", help="An identifier that stays.")],
    reason: _Reason,
    author: _Author,
    project: ProjectOption = HERE,
) -> None:
    """Take an identifier out of its profile; what events said of it until now links nobody."""
    _decide(load(project), "split", identifier, other, reason, author)


@identity_app.command("never-merge")
def never_merge(
    identifier: _Identifier, other: _Other, reason: _Reason, author: _Author, project: ProjectOption = HERE
) -> None:
    """Decide that two identifiers are never one person, whatever events say."""
    _decide(load(project), "apart", identifier, other, reason, author)


@identity_app.command()
def overrides(
    every: Annotated[bool, typer.Option("--all", help="Also those that were taken back.")] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List what persons decided about who is who."""
    from audiences.project import open_stores
    from audiences.show_identity import show_overrides
    from identity.overrides import list_overrides
    from identity.shown import show_identifiers

    with open_stores(load(project)) as stores:
        found = list_overrides(stores.ledger, undone=every)
        named = sorted({name for each in found for name in (each.identifier, each.other)})
        shown = show_identifiers(stores.warehouse, stores.vault, named)
    show_overrides(found, shown, as_json=as_json)


@identity_app.command()
def undo(
    number: Annotated[int, typer.Argument(help="The override's number.")],
    author: _Author,
    project: ProjectOption = HERE,
) -> None:
    """Take an override back; its record stays."""
    from audiences.ledger import open_ledger
    from audiences.show import console
    from identity.overrides import undo_override

    definitions = load(project)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        undo_override(ledger, number, author=author, at=now())
    console.print(f"Override {number} no longer holds from the next resolve on.")
