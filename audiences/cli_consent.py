"""Commands on consent and suppression."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audiences.cli_options import HERE, ProjectOption, load, now

if TYPE_CHECKING:
    from audiences.project import Definitions

__all__ = ["consent_app", "grant", "revoke", "suppress", "unsuppress"]

consent_app = typer.Typer(help="Record consent, and suppress people.", no_args_is_help=True)

_Who = Annotated[
    str, typer.Argument(metavar="ID", help="TYPE:VALUE, such as email:ann@example.com, or a profile id.")
]
_Purpose = Annotated[str, typer.Argument(help="Purpose, such as advertising.")]
_Note = Annotated[str, typer.Option("--note", help="Where the decision is written down; no personal data.")]


def _subjects(definitions: Definitions, who: str) -> tuple[str, ...]:
    """The identifiers that a person on the command line means: one by TYPE:VALUE, all of a profile by id."""
    from audiences.project import open_stores, open_vault_of
    from identity.profiles import find_profile, identifier_token, subjects_of

    rules = definitions.project.identity
    if ":" in who:
        return (identifier_token(open_vault_of(definitions), rules, who),)
    with open_stores(definitions) as stores:
        return subjects_of(stores.warehouse, find_profile(stores.warehouse, stores.vault, rules, who))


def _record(
    definitions: Definitions,
    who: str,
    purpose: str,
    state: Literal["granted", "denied"],
    *,
    note: str,
    days: int | None = None,
) -> None:
    from audiences.ledger import open_ledger
    from audiences.show import console
    from identity.privacy.consent import ConsentRecord, record_consent

    at = now()
    subjects = _subjects(definitions, who)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        record_consent(
            ledger,
            [
                ConsentRecord(
                    subject=subject,
                    purpose=purpose,
                    state=state,
                    captured_at=at,
                    source="cli",
                    evidence=f"{note} ({at.isoformat()})",
                    expires_at=at + timedelta(days=days) if days else None,
                )
                for subject in subjects
            ],
        )
    console.print(f"Recorded: {state} for {purpose}, under {len(subjects)} identifier(s).")


@consent_app.command()
def grant(
    who: _Who,
    purpose: _Purpose,
    note: _Note = "command line",
    days: Annotated[int | None, typer.Option("--days", min=1, help="Days until it expires.")] = None,
    project: ProjectOption = HERE,
) -> None:
    """Record that a person agreed to a purpose."""
    _record(load(project), who, purpose, "granted", note=note, days=days)


@consent_app.command()
def revoke(
    who: _Who,
    purpose: _Purpose,
    note: _Note = "command line",
    project: ProjectOption = HERE,
) -> None:
    """Record that a person refused a purpose; the next sync removes them everywhere."""
    _record(load(project), who, purpose, "denied", note=note)


@consent_app.command()
def suppress(who: _Who, note: _Note = "command line", project: ProjectOption = HERE) -> None:
    """Never send a person again, whatever consent says; the next sync removes them everywhere."""
    from audiences.ledger import open_ledger
    from audiences.show import console
    from identity.privacy.suppression import suppress as suppress_subjects

    definitions = load(project)
    subjects = _subjects(definitions, who)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        suppress_subjects(ledger, subjects, note, now())
    console.print(f"Suppressed {len(subjects)} identifier(s).")


@consent_app.command()
def unsuppress(who: _Who, project: ProjectOption = HERE) -> None:
    """Lift a suppression; consent decides again."""
    from audiences.ledger import open_ledger
    from audiences.show import console
    from identity.privacy.suppression import unsuppress as lift

    definitions = load(project)
    subjects = _subjects(definitions, who)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        console.print(f"Lifted {lift(ledger, subjects)} suppression(s).")
