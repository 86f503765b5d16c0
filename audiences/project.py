"""A project: where its files lie, how people are recognised, and the audiences that it defines.

A project is one file `project.py`, or a folder `definitions/` of files. Files are loaded by path and never
from the import path, so a project's folder may be named anything but like one of our packages.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from audiences.audience import Audience
from audiences.computed import ComputedTrait, with_measures
from audiences.errors import RuleError
from audiences.order import in_order, with_parts
from audiences.rules import Measure
from identity.errors import AudienceEngineError, ConfigurationError, NotFoundError, did_you_mean
from identity.identifiers import IdentityRules

if TYPE_CHECKING:
    from datetime import datetime

    from exporters.destination import Destination
    from identity.privacy.vault import Vault
    from identity.resolve import ResolveReport
    from identity.store.ledger import Ledger
    from identity.store.warehouse import Warehouse

__all__ = [
    "Definitions",
    "Project",
    "Stores",
    "load_definitions",
    "open_stores",
    "open_vault_of",
    "resolve_project",
    "shadowing",
]

_PACKAGES = ("audiences", "exporters", "identity")


@dataclass(frozen=True, slots=True)
class Project:
    """The settings of a project; relative paths start at the folder of its `project.py`.

    Attributes:
        warehouse: URL of the warehouse, such as `duckdb:///shop.duckdb`; `?memory_limit=4GB` bounds the
            memory that it uses, and what does not fit is spilled to disk.
        ledger: file of the ledger (consent, what was sent, runs).
        key: file of the key that seals personal values; keep it out of backups of the two above.
        identity: how events become profiles.
        purposes: consent category, as your consent banner names it → purpose, as destinations name it; a
            category that is not named here is its own purpose, in lower case.
    """

    warehouse: str = "duckdb:///warehouse.duckdb"
    ledger: str = "ledger.sqlite"
    key: str = "audiences.key"
    identity: IdentityRules = field(default_factory=IdentityRules)
    purposes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse settings of the wrong type.

        Raises:
            ConfigurationError: a setting that can't be meant.
        """
        for name in ("warehouse", "ledger", "key"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"Project({name}=…) is a text that is not empty.")
        if not isinstance(self.identity, IdentityRules):
            raise ConfigurationError("Project(identity=…) is IdentityRules(…).")


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a project's files define.

    Attributes:
        folder: the project's folder, absolute.
        project: its settings.
        audiences: every audience, those that others are built on first.
        traits: every computed trait.
    """

    folder: Path
    project: Project
    audiences: tuple[Audience, ...]
    traits: tuple[ComputedTrait, ...] = ()

    def destinations(self, audience: Audience) -> tuple[Destination, ...]:
        """Where an audience is sent; relative folders of files start at the project's folder.

        Args:
            audience: one of the project's.
        """
        from exporters.file import HashedFile

        return tuple(
            each.located(self.folder) if isinstance(each, HashedFile) else cast("Destination", each)
            for each in audience.sync
        )

    def audience(self, key: str) -> Audience:
        """Find an audience by its key.

        Args:
            key: the audience's key.

        Raises:
            NotFoundError: no such audience.
        """
        for audience in self.audiences:
            if audience.key == key:
                return audience
        known = [audience.key for audience in self.audiences]
        raise NotFoundError(f"No audience {key!r} in {self.folder}.{did_you_mean(key, known)}")


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores of a project."""

    warehouse: Warehouse
    ledger: Ledger
    vault: Vault


def load_definitions(path: Path) -> Definitions:
    """Load a project by path.

    Args:
        path: its folder, its `project.py`, or a folder with `definitions/`.

    Raises:
        ConfigurationError: nothing there, no single Project, or an error in a file.
        RuleError: a rule that can't be meant, a key used twice, a circle; the text names file and line.
    """
    files = _files(path)
    folder = (path if path.is_dir() else path.parent).resolve()
    for name in shadowing(folder):
        raise ConfigurationError(
            f"{folder / name} has the name of one of our packages and would hide it in notebooks; rename it."
        )
    projects: dict[int, Project] = {}
    found: dict[int, Audience] = {}
    traits: dict[int, ComputedTrait] = {}
    for file in files:
        for value in vars(_load(file)).values():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, Project):
                    projects[id(each)] = each
                elif isinstance(each, Audience):
                    found[id(each)] = each
                elif isinstance(each, ComputedTrait):
                    traits[id(each)] = each
    if len(projects) != 1:
        raise ConfigurationError(
            f"{path} defines {'no' if not projects else 'more than one'} Project(…); exactly one is needed."
        )
    (project,) = projects.values()
    audiences = with_parts(found.values())
    computed = _by_key(traits.values(), audiences)
    measures = {key: cast("Measure", each.operand) for key, each in computed.items()}
    audiences = tuple(with_measures(each, measures) for each in audiences)
    return Definitions(folder, project, in_order(audiences), tuple(computed.values()))


def _by_key(traits: Iterable[ComputedTrait], audiences: Iterable[Audience]) -> dict[str, ComputedTrait]:
    """Computed traits by key, which is nobody else's."""
    places = {each.key: each.place for each in audiences}
    found: dict[str, ComputedTrait] = {}
    for each in traits:
        if each.key in places:
            raise RuleError(
                f"The key {each.key!r} is used twice; the other is at {places[each.key]}. Keys are for ever, "
                "so choose another for the newer one.",
                each.place,
            )
        places[each.key] = each.place
        found[each.key] = each
    return found


def shadowing(folder: Path) -> tuple[str, ...]:
    """Names in a folder that would hide one of our packages from a notebook that runs there.

    Args:
        folder: where a notebook would run.
    """
    ours = Path(__file__).resolve().parent.parent
    if folder.resolve() == ours:
        return ()
    return tuple(
        entry for package in _PACKAGES for entry in (package, f"{package}.py") if (folder / entry).exists()
    )


@contextmanager
def open_stores(definitions: Definitions) -> Iterator[Stores]:
    """Open a project's warehouse, ledger and vault, and close them at the end.

    Args:
        definitions: a loaded project.

    Raises:
        ConfigurationError: a warehouse that a project can't have.
        KeyFileError: the key is missing or not the one that sealed the data.
        WarehouseError: the warehouse is in use by another process.
        LedgerError: the ledger can't be opened.
    """
    from audiences.ledger import open_ledger
    from audiences.tables import create_audience_tables
    from identity.store.warehouse import open_warehouse
    from identity.tables import bind_key, create_tables

    project, folder = definitions.project, definitions.folder
    if not project.warehouse.startswith("duckdb:"):
        raise ConfigurationError(
            "A project's warehouse is a duckdb:/// file, since ingest and resolve run there only; rules run "
            "on PostgreSQL too, for a program that fills the tables itself (docs/rules.md)."
        )
    vault = open_vault_of(definitions)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(folder / project.ledger))
        warehouse = open_warehouse(_absolute(project.warehouse, folder))
        stack.callback(warehouse.close)
        create_tables(warehouse)
        create_audience_tables(warehouse)
        bind_key(warehouse, vault.key_id.hex())
        yield Stores(warehouse, ledger, vault)


def resolve_project(stores: Stores, definitions: Definitions, as_of: datetime) -> ResolveReport:
    """Work out who is who, by the project's rules and the overrides in its ledger.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        as_of: the instant of this resolve, UTC.

    Raises:
        SealError: blocked values changed, and a sealed identifier can't be opened.
    """
    from identity.overrides import list_overrides
    from identity.resolve import resolve

    return resolve(
        stores.warehouse,
        stores.vault,
        definitions.project.identity,
        list_overrides(stores.ledger),
        as_of=as_of,
    )


def open_vault_of(definitions: Definitions) -> Vault:
    """Open a project's vault alone, for what needs a token but no table.

    Args:
        definitions: a loaded project.

    Raises:
        KeyFileError: the key is missing or malformed.
    """
    from identity.privacy.vault import open_vault

    return open_vault(definitions.folder / definitions.project.key)


def _absolute(url: str, folder: Path) -> str:
    scheme, separator, path = url.partition(":///")
    if not separator or path == ":memory:":
        return url
    return f"{scheme}:///{folder / path}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / "project.py").is_file():
        return [path / "project.py"]
    files = sorted((path / "definitions").glob("*.py"))
    if not files:
        raise ConfigurationError(
            f"{path} holds no project.py and no definitions/*.py; make a project with "
            f"`audiences init {path}`, or name one with --project."
        )
    return files


def _load(file: Path) -> ModuleType:
    name = f"_project_{file.stem}_{abs(hash(file.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RuleError:
        raise
    except AudienceEngineError as error:
        raise type(error)(f"{_where(error, file)}: {error}") from None
    except SyntaxError as error:
        raise ConfigurationError(f"{file}:{error.lineno}: not valid Python: {error.msg}.") from None
    except Exception as error:  # whatever a project file does wrong is shown with its place
        raise ConfigurationError(f"{_where(error, file)}: {type(error).__name__}: {error}") from error
    return module


def _where(error: BaseException, file: Path) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file.resolve()
    ]
    return f"{file}:{lines[-1]}" if lines else str(file)
