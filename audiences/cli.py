"""The command line: arguments in, one call, one table out. Everything shown is masked."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identity.errors import AudienceEngineError, ConfigurationError

if TYPE_CHECKING:
    from audiences.project import Definitions

__all__ = ["EXIT_BUSY", "EXIT_FAILED", "EXIT_PARTIAL", "EXIT_USAGE", "app", "main"]

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
consent_app = typer.Typer(help="Record and show consent and suppression.", no_args_is_help=True)
app.add_typer(consent_app, name="consent")

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="Folder of the project, or its project.py.")
]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="Instant to compute for, ISO 8601; default: now.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
HERE = Path()


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


def _as_of(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--as-of {text!r} is no ISO 8601 instant, such as 2026-11-23T18:00:00Z."
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _definitions(path: Path) -> Definitions:
    from audiences.project import load_definitions

    return load_definitions(path)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the project in.")] = HERE,
) -> None:
    """Make a project: definitions, sample events, a key."""
    from audiences.show import console
    from audiences.start import create_project

    for path in create_project(folder, _as_of(None)):
        console.print(f"made  {path}", highlight=False)
    where = "" if folder == HERE else f"cd {folder} && "
    console.print(f"\nNext: {where}audiences ingest events/sample.ndjson && audiences plan", highlight=False)


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Folder to make the project in, to go on from there.")
    ] = None,
) -> None:
    """Run the whole way once, on sample events and a practice platform on this machine."""
    from audiences.demo import run_demo

    run_demo(keep, _as_of(None))


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

    definitions = _definitions(project)
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
                        as_of=_as_of(None),
                        standard_input=sys.stdin.buffer,
                        mapped=mapped,
                        purposes=definitions.project.purposes,
                        on_progress=on_progress,
                    )
                )
            except (InputError, ConfigurationError) as error:
                errors.append(error)
    show_ingest(reports, as_json=as_json)
    for error in errors:
        sys.stderr.write(f"error: {error}\n")
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
    from identity.quarantine import list_quarantine

    with open_stores(_definitions(project)) as stores:
        show_rejects(list_quarantine(stores.warehouse, limit), as_json=as_json)


@app.command()
def resolve(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Work out who is who: merge the events' identifiers into profiles."""
    from audiences.project import open_stores
    from audiences.show import show_resolved
    from identity.resolve import resolve as resolve_profiles

    definitions = _definitions(project)
    with open_stores(definitions) as stores, stores.warehouse.transaction():
        report = resolve_profiles(stores.warehouse, stores.vault, definitions.project.identity)
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

    definitions = _definitions(project)
    with open_stores(definitions) as stores:
        show_plan(build_plan(stores, definitions, select or (), _as_of(as_of)), as_json=as_json)


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

    definitions = _definitions(project)
    instant = _as_of(as_of)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("apply asks before it sends; without a terminal, say --yes.")
        with open_stores(definitions) as stores:
            show_plan(build_plan(stores, definitions, select or (), instant), as_json=False)
        typer.confirm("Apply?", abort=True)
    _apply(definitions, tuple(select or ()), instant, as_json)


def _apply(definitions: Definitions, select: tuple[str, ...], instant: datetime, as_json: bool) -> None:
    from audiences.apply import apply_plan
    from audiences.project import open_stores
    from audiences.scheduler import only_runner
    from audiences.show import show_applied

    with open_stores(definitions) as stores, only_runner(stores.ledger, _owner(), lambda: datetime.now(UTC)):
        applied = apply_plan(stores, definitions, select, instant)
    show_applied(applied, as_json=as_json)
    if applied.failures:
        raise typer.Exit(EXIT_PARTIAL)


def _owner() -> str:
    return f"{os.uname().nodename}:{os.getpid()}" if hasattr(os, "uname") else str(os.getpid())


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

    definitions = _definitions(project)
    instant = _as_of(as_of)
    select: tuple[str, ...] = ()
    if due:
        with open_ledger(definitions.folder / definitions.project.ledger) as ledger:
            select = tuple(audience.key for audience in due_audiences(ledger, definitions.audiences, instant))
        if not select:
            console.print("Nothing is due.") if not as_json else console.print("{}")
            return
    _apply(definitions, select, instant, as_json)
