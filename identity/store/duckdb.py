"""The embedded warehouse: one DuckDB file. The only module that imports its driver."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import duckdb
from sqlglot import exp

from identity.errors import ConfigurationError, WarehouseError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["DuckDBWarehouse", "open_url"]

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""Without these, an unknown function makes DuckDB look for an extension on the network."""


_OPTIONS = frozenset({"memory_limit", "threads"})
"""What a warehouse's URL may set."""

_ABOUT_NAMES = (duckdb.CatalogException, duckdb.BinderException)
"""Errors whose first line speaks of names and types; the others may quote a value."""


def open_url(url: str) -> DuckDBWarehouse:
    """Open `duckdb:///relative`, `duckdb:////absolute` or `duckdb:///:memory:`, with `?memory_limit=4GB`.

    The engine uses at most that much memory, by default four fifths of the machine's, and spills what does
    not fit into files beside the warehouse; `?threads=2` bounds how many it uses.

    Args:
        url: where the file lies; it is made when missing, its folder is not.

    Raises:
        ConfigurationError: an option that it does not have, or a value that it can't take.
        WarehouseError: the file is in use by another process, is no DuckDB file, or its folder is missing.
    """
    parts = urlsplit(url)
    path = parts.path.removeprefix("/")
    asked = dict(parse_qsl(parts.query))
    unknown = sorted(asked.keys() - _OPTIONS)
    if unknown:
        raise ConfigurationError(
            f"A warehouse has no option {unknown[0]!r}; it has {', '.join(sorted(_OPTIONS))}."
            + did_you_mean(unknown[0], _OPTIONS)
        )
    if path != ":memory:" and not Path(path).resolve().parent.is_dir():
        raise WarehouseError(f"The folder of the warehouse {path!r} does not exist; make it first.")
    try:
        connection = duckdb.connect(path, config={**_CONFIG, **asked})
    except (duckdb.InvalidInputException, duckdb.ParserException):
        raise ConfigurationError(
            f"The warehouse {path!r} takes memory_limit as in memory_limit=4GB, and threads as in threads=2."
        ) from None
    except duckdb.IOException as error:
        text = str(error)
        if "lock" in text:
            raise WarehouseError(
                f"The warehouse {path!r} is in use by another process; wait for it or stop it. "
                "(`audiences status` reads the ledger and works meanwhile.)"
            ) from None
        raise WarehouseError(f"{path!r} can't be opened as a DuckDB file: {text.splitlines()[0]}") from None
    connection.execute("SET TimeZone = 'UTC'")
    return DuckDBWarehouse(connection)


class DuckDBWarehouse:
    """A warehouse in one DuckDB file (or in memory), for one thread of one process."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._in_transaction = False
        self._refused = False

    def execute(self, statement: exp.Expr) -> int:
        """Run one statement and return the number of rows that it changed."""
        with self._refusals():
            cursor = self._connection.execute(statement.sql(dialect=self.dialect))
            if not isinstance(statement, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
                return 0
            row = cursor.fetchone()
            return int(row[0]) if row else 0

    def query(self, select: exp.Expr) -> pa.Table:
        """Run a query and return all of its rows; UUIDs come as text, VARIANTs as JSON text."""
        with self._refusals():
            relation = self._connection.sql(select.sql(dialect=self.dialect))
            if any(str(kind) == "VARIANT" for kind in relation.types):
                columns = zip(relation.columns, relation.types, strict=True)
                readable = (_readable(exp.column(name, quoted=True), str(kind)) for name, kind in columns)
                relation = relation.project(", ".join(each.sql(dialect=self.dialect) for each in readable))
            return relation.to_arrow_table()

    def append(self, table: str, rows: pa.Table) -> int:
        """Append rows; a column's text is cast to the type that the table has for it."""
        described = self.query(
            exp.select("column_name", "data_type")
            .from_("information_schema.columns")
            .where(exp.column("table_name").eq(table))
        )
        kinds = dict(
            zip(described["column_name"].to_pylist(), described["data_type"].to_pylist(), strict=True)
        )
        unknown = [name for name in rows.column_names if name not in kinds]
        if unknown:
            raise WarehouseError(f"Table {table!r} has no column {unknown[0]!r}.")
        with self.scratch("appended", rows) as name:
            values = [_typed(exp.column(column, quoted=True), kinds[column]) for column in rows.column_names]
            return self.execute(
                exp.insert(
                    exp.select(*values).from_(name),
                    exp.to_table(table),
                    columns=[exp.to_identifier(column, quoted=True) for column in rows.column_names],
                )
            )

    @contextlib.contextmanager
    def scratch(self, name: str, rows: pa.Table) -> Iterator[str]:
        """Lend an Arrow table to the engine as a relation of that name, until the context ends."""
        self._connection.register(name, rows)
        try:
            yield name
        finally:
            # an aborted transaction refuses this as well, and must not hide why it was aborted
            with contextlib.suppress(duckdb.TransactionException):
                self._connection.unregister(name)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside together, or nothing; an inner transaction is part of the outer one."""
        if self._in_transaction:
            yield
            return
        self._connection.execute("BEGIN TRANSACTION")
        self._in_transaction, self._refused = True, False
        try:
            yield
            # otherwise DuckDB would answer COMMIT by undoing everything, without a word
            if self._refused:
                raise WarehouseError("A statement of a transaction was refused, so nothing of it was kept.")
        except BaseException:
            self._in_transaction = False
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._in_transaction = False
        with self._refusals():
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Release the file and its lock."""
        self._connection.close()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            self._refused = True
            # DuckDB quotes the offending value in conversion errors: only the kind of error is safe to show.
            kind = type(error).__name__
            detail = f": {str(error).splitlines()[0]}" if isinstance(error, _ABOUT_NAMES) else ""
            raise WarehouseError(f"The warehouse refused a statement ({kind}){detail}") from None


def _readable(column: exp.Column, kind: str) -> exp.Expr:
    if kind != "VARIANT":
        return column
    return exp.cast(exp.cast(column, "JSON"), "TEXT").as_(column.name, quoted=True)


def _typed(column: exp.Column, kind: str) -> exp.Expr:
    if kind == "VARIANT":
        return exp.cast(exp.cast(column, "JSON"), "VARIANT")
    return exp.cast(column, exp.DataType.build(kind, dialect="duckdb"))
