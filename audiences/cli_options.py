"""What every command shares: its options, the clock, and loading the project."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identity.errors import ConfigurationError

if TYPE_CHECKING:
    from audiences.project import Definitions
    from exporters.destination import Clock

__all__ = [
    "HERE",
    "AsOfOption",
    "JsonOption",
    "ProjectOption",
    "load",
    "now",
    "parse_as_of",
    "parse_instant",
    "real_clock",
]

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="Folder of the project, or its project.py.")
]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="Instant to compute for, ISO 8601; default: now.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
HERE = Path()


def now() -> datetime:
    """The only look at the clock that a command takes, UTC."""
    return datetime.now(UTC)


def real_clock() -> Clock:
    """The clock, sleep and chance of this machine, for whoever talks to a platform."""
    from exporters.destination import Clock

    return Clock(now=now, sleep=time.sleep, random=random.random)


def parse_as_of(text: str | None) -> datetime:
    """Read `--as-of`.

    Args:
        text: ISO 8601, in UTC when it names no zone; None for now.

    Raises:
        ConfigurationError: no such instant.
    """
    return now() if text is None else parse_instant(text, "--as-of")


def parse_instant(text: str, option: str) -> datetime:
    """Read an option that is an instant.

    Args:
        text: ISO 8601, in UTC when it names no zone; a date is its first instant.
        option: its name, for the error.

    Raises:
        ConfigurationError: no such instant.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is no ISO 8601 instant, such as 2026-11-23T18:00:00Z."
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def load(path: Path) -> Definitions:
    """Load the project that `--project` names.

    Args:
        path: its folder or file.
    """
    from audiences.project import load_definitions

    return load_definitions(path)
