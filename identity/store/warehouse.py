"""The warehouse: runs sqlglot expressions, returns Arrow, knows no table.

One engine a file (`identity/store/duckdb.py`); only that file imports the engine's driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from identity.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from sqlglot import exp

__all__ = ["ENGINES", "EXTRAS", "Warehouse", "open_warehouse"]

ENGINES = {"duckdb": "identity.store.duckdb", "postgresql": "identity.store.postgres"}
"""Scheme of a warehouse URL → the module that serves it, each with an `open_url(url)`."""
EXTRAS = {"postgresql": "postgres"}
"""Scheme of a warehouse URL → the extra that installs its driver, where there is one."""


class Warehouse(Protocol):
    """What the engine asks of an analytical store."""

    dialect: str
    """sqlglot's name of the SQL that this engine speaks."""

    def execute(self, statement: exp.Expr) -> int:
        """Run one statement.

        Args:
            statement: a sqlglot expression in which every literal is a literal node.

        Returns:
            Number of rows changed; 0 for definitions.

        Raises:
            WarehouseError: the engine refused.
        """
        ...

    def query(self, select: exp.Expr) -> pa.Table:
        """Run a query and return all of its rows as an Arrow table (UUIDs as text, instants as naive UTC)."""
        ...

    def append(self, table: str, rows: pa.Table) -> int:
        """Append rows to a table, columns matched by name; VARIANT columns are given as JSON text."""
        ...

    def scratch(self, name: str, rows: pa.Table) -> AbstractContextManager[str]:
        """Lend rows to the engine as a temporary relation of that name, until the context ends."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside is committed together, or not at all; an inner one is part of the outer one."""
        ...

    def close(self) -> None:
        """Release the file and its lock."""
        ...


def open_warehouse(url: str) -> Warehouse:
    """Open the warehouse that a URL names.

    Args:
        url: `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb`, `duckdb:///:memory:` or
            `postgresql://user:secret@host:5432/database`.

    Returns:
        An open warehouse; the caller closes it.

    Raises:
        ConfigurationError: no such engine, or its driver is not installed.
        WarehouseError: the file is locked or not a warehouse; the server does not let us in.
    """
    scheme, _, _ = url.partition("://")
    if scheme not in ENGINES:
        raise ConfigurationError(
            f"No warehouse engine {scheme!r}; a URL starts with one of: "
            f"{', '.join(f'{name}://' for name in ENGINES)}.{did_you_mean(scheme, ENGINES)}"
        )
    try:
        module = import_module(ENGINES[scheme])
    except ModuleNotFoundError as error:
        if scheme not in EXTRAS:
            raise
        raise ConfigurationError(
            f"A warehouse {scheme}:// needs the package {error.name!r}: "
            f"pip install 'audience-engine[{EXTRAS[scheme]}]'"
        ) from None
    return cast("Warehouse", module.open_url(url))
