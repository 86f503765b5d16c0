"""The doctor: is everything here that a project needs, and if not, what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from sqlglot import exp

from audiences.project import Definitions, load_definitions, open_stores, shadowing
from identity.errors import AudienceEngineError

__all__ = ["Check", "check_all"]

_LIBRARIES = ("duckdb", "sqlglot", "pyarrow", "cryptography", "httpx2", "phonenumbers", "orjson", "scipy")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        passed: True when it is as it should be.
        detail: what was found, or what to do.
    """

    name: str
    passed: bool
    detail: str


def check_all(project: Path, environment: Mapping[str, str]) -> list[Check]:
    """Look at Python, libraries, packages, project, key, stores and tokens.

    Args:
        project: the project's folder or file.
        environment: variables, for the platforms' access tokens.

    Returns:
        Every check, in an order in which each makes sense only when those before it passed.
    """
    checks = [
        Check(
            "Python",
            sys.version_info >= (3, 11),
            f"{sys.version.split()[0]} (3.11 or newer is needed)",
        ),
        *(_library(name) for name in _LIBRARIES),
        _packages(),
    ]
    folder = project if project.is_dir() else project.parent
    hidden = shadowing(folder)
    checks.append(
        Check(
            "names in the folder",
            not hidden,
            f"rename {', '.join(hidden)}: it would hide our package in a notebook"
            if hidden
            else "none hides ours",
        )
    )
    loaded: list[Definitions] = []
    checks.append(_tried("project", lambda: _project(project, loaded)))
    for definitions in loaded:
        checks.append(_tried("key and stores", lambda found=definitions: _stores(found)))  # type: ignore[misc]
        checks.extend(_tokens(definitions, environment))
    return checks


def _library(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed; run: pip install audience-engine")


def _packages() -> Check:
    ours = Path(__file__).resolve().parent.parent
    for name in ("identity", "exporters"):
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
        if place != ours:
            return Check(
                "packages",
                False,
                f"`{name}` is imported from {place}, not from {ours}: rename or remove that one",
            )
    return Check("packages", True, f"all three from {ours}")


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except AudienceEngineError as error:
        return Check(name, False, str(error))


def _project(project: Path, loaded: list[Definitions]) -> str:
    definitions = load_definitions(project)
    loaded.append(definitions)
    return f"{len(definitions.audiences)} audiences in {definitions.folder}"


def _stores(definitions: Definitions) -> str:
    with open_stores(definitions) as stores:
        key = stores.vault.key_id.hex()
        limit = exp.Anonymous(this="current_setting", expressions=[exp.Literal.string("memory_limit")])
        memory = stores.warehouse.query(exp.select(limit.as_("memory")))["memory"][0].as_py()
    if not os.access(definitions.folder, os.W_OK):
        return f"key {key} fits; but {definitions.folder} can't be written"
    return f"key {key} fits the warehouse, which uses at most {memory} of memory; the ledger opens"


def _tokens(definitions: Definitions, environment: Mapping[str, str]) -> list[Check]:
    wanted: dict[str, str] = {}
    for audience in definitions.audiences:
        for destination in audience.sync:
            variable = getattr(destination, "token_env", None)
            if variable:
                wanted[variable] = destination.name
    return [
        Check(
            f"token {variable}",
            bool(environment.get(variable)),
            f"set, for {name}" if environment.get(variable) else f"set it in the environment, for {name}",
        )
        for variable, name in sorted(wanted.items())
    ]
