"""The command line: arguments in, one call, one table out. Everything shown is masked."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiences.cli_consent import consent_app
from audiences.cli_identity import identity_app
from audiences.cli_members import members_app
from audiences.cli_options import (
    HERE,
    AsOfOption,
    JsonOption,
    ProjectOption,
    load,
    now,
    parse_as_of,
    real_clock,
)
from audiences.cli_rules import add_rule_commands
from identity.errors import AudienceEngineError, ConfigurationError

if TYPE_CHECKING:
    from audiences.project import Definitions

__all__ = [
    "EXIT_BUSY",
    "EXIT_FAILED",
    "EXIT_PARTIAL",
    "EXIT_USAGE",
    "app",
    "apply",
    "audience",
    "demo",
    "doctor",
    "ingest",
    "init",
    "main",
    "plan",
    "preview",
    "profile",
    "rejects",
    "resolve",
    "run",
    "sql",
    "status",
]

EXIT_FAILED = 1
"""Something went wrong; the last line on standard error says what and what to do."""
EXIT_USAGE = 2
"""The command, the project file or a setting is wrong; nothing was done."""
EXIT_PARTIAL = 4
"""Some of the work was done: a file ended early, or a destination failed; run again to go on."""
EXIT_BUSY = 75
"""Another process works on this project; try again later."""

app = typer.Typer(
    name="audiences",
    help="First-party events in, profiles, audiences, and only hashed identifiers of consenting people out.",
    epilog="Exit codes: 0 done · 1 failed · 2 wrong command or project · 4 done in part · 75 busy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
)
app.add_typer(consent_app, name="consent")
app.add_typer(identity_app, name="identity")
app.add_typer(members_app, name="members")


def main() -> None:
    """Run the command line; errors become one sentence on standard error and an exit code."""
    from audiences.errors import RuleError
    from audiences.scheduler import BusyError

    try:
        app()
    except BusyError as error:
        _fail(error, EXIT_BUSY)
    except (ConfigurationError, RuleError) as error:
        _fail(error, EXIT_USAGE)
    except AudienceEngineError as error:
        _fail(error, EXIT_FAILED)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; what was committed stays. Run the same command again to go on.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None


def _fail(error: Exception, code: int) -> None:
    sys.stderr.write(f"error: {error}\n")
    raise SystemExit(code) from None


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the project in.")] = HERE,
) -> None:
    """Make a project: definitions, sample events, a key."""
    from audiences.show import console
    from audiences.start import create_project

    for path in create_project(folder, now()):
        console.print(f"made  {path}")
    where = "" if folder == HERE else f"cd {folder} && "
    console.print(f"\nNext: {where}audiences ingest events/sample.ndjson && audiences plan")


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Folder to make the project in, to go on from there.")
    ] = None,
) -> None:
    """Run the whole way once, on sample events and a practice platform on this machine."""
    from audiences.demo import run_demo

    run_demo(keep, now(), real_clock())


@app.command()
def doctor(project: ProjectOption = HERE) -> None:
    """Check Python, libraries, project, key, stores and tokens, each with its remedy."""
    from audiences.doctor import check_all
    from audiences.show import show_checks

    checks = check_all(project, dict(os.environ))
    show_checks(checks)
    if not all(check.passed for check in checks):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def ingest(
    paths: Annotated[
        list[Path], typer.Argument(help="Files: .ndjson, .csv, .parquet (also .gz); - is standard input.")
    ],
    mapping: Annotated[
        Path | None, typer.Option("--map", help="TOML file that maps columns to message fields.")
    ] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Read files of messages; bad records go to quarantine, a message id counts once."""
    from audiences.project import open_stores
    from audiences.show import ingest_progress, show_ingest
    from identity.errors import InputError
    from identity.ingest import IngestReport
    from identity.ingest import ingest as ingest_files
    from identity.mapping import load_mapping

    definitions = load(project)
    mapped = load_mapping(mapping) if mapping else None
    reports: list[IngestReport] = []
    errors: list[InputError | ConfigurationError] = []
    with open_stores(definitions) as stores, ingest_progress(paths) as on_progress:
        for path in paths:
            try:
                reports.extend(
                    ingest_files(
                        stores.warehouse,
                        stores.ledger,
                        stores.vault,
                        definitions.project.identity,
                        [path],
                        as_of=now(),
                        standard_input=sys.stdin.buffer,
                        mapped=mapped,
                        purposes=definitions.project.purposes,
                        on_progress=on_progress,
                    )
                )
            except (InputError, ConfigurationError) as error:
                errors.append(error)
    show_ingest(reports, as_json=as_json)
    for each in errors:
        sys.stderr.write(f"error: {each}\n")
    if errors or any(report.truncated for report in reports):
        raise typer.Exit(EXIT_PARTIAL if reports else EXIT_FAILED)


@app.command()
def rejects(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to show.")] = 50,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List the records that were refused: file, line, byte offset, reason."""
    from audiences.project import open_stores
    from audiences.show import show_rejects
    from identity.quarantine import list_rejects

    with open_stores(load(project)) as stores:
        show_rejects(list_rejects(stores.warehouse, limit), as_json=as_json)


@app.command()
def resolve(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Work out who is who: merge the events' identifiers into profiles."""
    from audiences.project import open_stores, resolve_project
    from audiences.show import show_resolved

    definitions = load(project)
    with open_stores(definitions) as stores:
        report = resolve_project(stores, definitions, now())
    show_resolved(report, as_json=as_json)


@app.command()
def plan(
    select: Annotated[list[str] | None, typer.Argument(help="Audience keys; default: all.")] = None,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what apply would do, here and at every platform; writes and sends nothing."""
    from audiences.plan import build_plan
    from audiences.project import open_stores
    from audiences.show import show_plan

    definitions = load(project)
    with open_stores(definitions) as stores:
        show_plan(build_plan(stores, definitions, select or (), parse_as_of(as_of)), as_json=as_json)


@app.command()
def apply(
    select: Annotated[list[str] | None, typer.Argument(help="Audience keys; default: all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve, compute and sync: do what plan shows."""
    from audiences.plan import build_plan
    from audiences.project import open_stores
    from audiences.show import show_plan

    definitions = load(project)
    instant = parse_as_of(as_of)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("apply asks before it sends; without a terminal, say --yes.")
        with open_stores(definitions) as stores:
            show_plan(build_plan(stores, definitions, select or (), instant), as_json=False)
        typer.confirm("Apply?", abort=True)
    _apply(definitions, tuple(select or ()), instant, as_json)


def _apply(definitions: Definitions, select: tuple[str, ...], instant: datetime, as_json: bool) -> None:
    from audiences.apply import apply_audiences
    from audiences.project import open_stores
    from audiences.scheduler import only_runner
    from audiences.show import show_applied

    with open_stores(definitions) as stores, only_runner(stores.ledger, now) as renew:
        applied = apply_audiences(stores, definitions, select, instant, clock=real_clock(), renew=renew)
    show_applied(applied, as_json=as_json)
    if applied.failures:
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
def run(
    due: Annotated[
        bool, typer.Option("--due", help="Only audiences whose `every` has passed; for cron.")
    ] = False,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply without asking: everything, or only what is due."""
    from audiences.ledger import open_ledger
    from audiences.scheduler import due_audiences
    from audiences.show import console

    definitions = load(project)
    instant = parse_as_of(as_of)
    select: tuple[str, ...] = ()
    if due:
        with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
            select = tuple(audience.key for audience in due_audiences(ledger, definitions.audiences, instant))
        if not select:
            console.print("Nothing is due.") if not as_json else console.print("{}")
            return
    _apply(definitions, select, instant, as_json)


@app.command()
def status(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Show what every platform holds and the last runs, also while a job runs."""
    from audiences.ledger import open_ledger
    from audiences.scheduler import last_runs
    from audiences.show import show_status
    from exporters.ledger import delivery_status

    definitions = load(project)
    with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
        show_status(delivery_status(ledger), last_runs(ledger), definitions, as_json=as_json)


@app.command()
def audience(
    key: Annotated[str | None, typer.Argument(help="Audience key; default: list them all.")] = None,
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List the audiences, or show one: its rule in words, size, history, destinations."""
    from audiences.computations import read_computations
    from audiences.project import open_stores
    from audiences.show import show_audiences

    definitions = load(project)
    chosen = (definitions.audience(key),) if key else definitions.audiences
    with open_stores(definitions) as stores:
        known = read_computations(stores.warehouse)
    show_audiences(chosen, known, as_json=as_json)


@app.command()
def preview(
    key: Annotated[str, typer.Argument(help="Audience key.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="Members to show.")] = 10,
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute one audience without storing it; show its size and some members, masked."""
    from audiences.plan import preview_members
    from audiences.project import open_stores
    from audiences.show import show_preview

    definitions = load(project)
    with open_stores(definitions) as stores:
        size, members = preview_members(stores, definitions, key, parse_as_of(as_of), limit)
    show_preview(key, size, members, as_json=as_json)


@app.command()
def sql(
    key: Annotated[str, typer.Argument(help="Audience key.")],
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
) -> None:
    """Print the SQL that computes an audience."""
    from audiences.asking import question_of
    from audiences.compile import compile_audiences
    from audiences.plan import with_dependencies
    from audiences.project import open_stores

    definitions = load(project)
    wanted = definitions.audience(key)
    chosen = [each for each in with_dependencies(definitions, (key,)) if each.of == wanted.of]
    with open_stores(definitions) as stores:
        query = compile_audiences(chosen, question_of(stores, definitions, parse_as_of(as_of)))
        typer.echo(query.sql(dialect=stores.warehouse.dialect, pretty=True))


@app.command()
def profile(
    who: Annotated[str, typer.Argument(metavar="ID", help="Profile id, or TYPE:VALUE such as user_id:u1.")],
    project: ProjectOption = HERE,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one profile: identifiers, traits, events, consent; values masked."""
    from audiences.membership import audiences_of, values_of
    from audiences.project import open_stores
    from audiences.show import show_profile
    from identity.overrides import list_overrides
    from identity.privacy.consent import consent_of
    from identity.privacy.suppression import suppressed_at
    from identity.profiles import find_identifier, find_profile, subjects_of
    from identity.shown import show_profile as gather
    from identity.shown import show_profile_as_of

    definitions = load(project)
    rules, then = definitions.project.identity, parse_as_of(as_of)
    with open_stores(definitions) as stores:
        if as_of is None:
            found = find_profile(stores.warehouse, stores.vault, rules, who)
            subjects = subjects_of(stores.warehouse, found)
            shown = gather(stores.warehouse, stores.vault, found)
        else:
            if ":" in who:
                start: tuple[str, ...] = (find_identifier(stores.warehouse, stores.vault, rules, who),)
            else:
                found = find_profile(stores.warehouse, stores.vault, rules, who)
                start = subjects_of(stores.warehouse, found)
            overrides = list_overrides(stores.ledger)
            shown = show_profile_as_of(stores.warehouse, stores.vault, rules, overrides, start, then)
            subjects = tuple(each.identifier_id for each in shown.identifiers)
        records = [each for each in consent_of(stores.ledger, subjects) if each.captured_at <= then]
        since = suppressed_at(stores.ledger, subjects)
        since = None if since is None or since > then else since
        # what was stored is of the last run, and says nothing of another instant
        computed = values_of(stores.warehouse, shown.profile_id) if as_of is None else {}
        inside = audiences_of(stores.warehouse, shown.profile_id) if as_of is None else {}
    show_profile(shown, records, since, computed, inside, as_json=as_json)


add_rule_commands(app)

if __name__ == "__main__":
    main()
