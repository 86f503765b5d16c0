"""Commands about rules: what they mean, for whom, and whether what is stored is what they say."""

from __future__ import annotations

from typing import Annotated

import typer

from audiences.cli_options import HERE, AsOfOption, JsonOption, ProjectOption, load, parse_as_of

__all__ = ["add_rule_commands", "check", "diff", "explain", "why"]


def explain(
    key: Annotated[str | None, typer.Argument(help="Audience key; default: all.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the passes over the data that the audiences share.")
    ] = False,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in one sentence who is in an audience; with --plan, what computing the audiences reads."""
    from audiences.explain import explain as in_words
    from audiences.show import show_sentences

    definitions = load(project)
    if not plan:
        chosen = (definitions.audience(key),) if key else definitions.audiences
        show_sentences({each.key: in_words(each) for each in chosen}, as_json=as_json)
        return
    from audiences.asking import question_of
    from audiences.plan import with_dependencies
    from audiences.project import open_stores
    from audiences.shared import shared_scans
    from audiences.show_rules import show_scans

    audiences = with_dependencies(definitions, (key,) if key else ())
    with open_stores(definitions) as stores:
        question = question_of(stores, definitions, parse_as_of(as_of))
    scans = [
        scan
        for of in ("profile", "account")
        if (each := [audience for audience in audiences if audience.of == of])
        for scan in shared_scans(each, question)
    ]
    show_scans(scans, as_json=as_json)


def why(
    who: Annotated[str, typer.Argument(metavar="ID", help="Profile id, or TYPE:VALUE such as user_id:u1.")],
    key: Annotated[str, typer.Argument(help="Audience key.")],
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why somebody is in an audience or not: conditions, figures, events, the next change."""
    from audiences.asking import question_of
    from audiences.permissions import refresh_permissions
    from audiences.plan import taken_back
    from audiences.project import open_stores
    from audiences.show_rules import show_why
    from audiences.why import explain_membership
    from identity.errors import ConfigurationError
    from identity.profiles import find_profile

    definitions = load(project)
    audience = definitions.audience(key)
    if audience.of == "account":
        raise ConfigurationError(
            f"{key!r} is made of accounts; `audiences why` answers for audiences of profiles."
        )
    with open_stores(definitions) as stores:
        found = find_profile(stores.warehouse, stores.vault, definitions.project.identity, who)
        instant = parse_as_of(as_of)
        with taken_back(stores.warehouse):
            refresh_permissions(stores, definitions, instant)
            question = question_of(stores, definitions, instant)
            answer = explain_membership(stores.warehouse, audience, question, found)
    show_why(answer, as_json=as_json)


def check(
    select: Annotated[list[str] | None, typer.Argument(help="Audience keys; default: all.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare everybody, not only one profile in 32.")
    ] = False,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Compute audiences from scratch and compare with what is stored; stores nothing."""
    from audiences.asking import question_of
    from audiences.checking import check_memberships
    from audiences.cli_options import now
    from audiences.project import open_stores
    from audiences.show_rules import show_checked

    definitions = load(project)
    chosen = [definitions.audience(key) for key in select or ()] or list(definitions.audiences)
    with open_stores(definitions) as stores:
        question = question_of(stores, definitions, now())
        checked = check_memberships(stores.warehouse, chosen, question, sample=None if full else 0)
    show_checked(checked, as_json=as_json)
    if checked.differences:
        raise typer.Exit(1)


def diff(
    select: Annotated[
        list[str] | None, typer.Argument(help="Keys of audiences and computed traits; default: all.")
    ] = None,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how definitions differ from what was last computed, and who would move; stores nothing."""
    from audiences.definition_changes import compare_definitions
    from audiences.permissions import refresh_permissions
    from audiences.plan import taken_back
    from audiences.project import open_stores
    from audiences.show_rules import show_comparison

    definitions = load(project)
    instant = parse_as_of(as_of)
    with open_stores(definitions) as stores, taken_back(stores.warehouse):
        refresh_permissions(stores, definitions, instant)
        comparison = compare_definitions(stores, definitions, select or (), instant)
    show_comparison(comparison, as_json=as_json)


def add_rule_commands(app: typer.Typer) -> None:
    """Give a command line these commands.

    Args:
        app: the command line.
    """
    for command in (explain, why, check, diff):
        app.command()(command)
