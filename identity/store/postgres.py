"""A warehouse in PostgreSQL 14 or newer, for teams that have one. The only module that imports its driver."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
from psycopg import pq, sql
from psycopg.types.string import TextLoader
from sqlglot import exp

from identity.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["PostgresWarehouse", "open_url"]

_SETTINGS = (
    sql.SQL("SET TIME ZONE 'UTC'"),
    sql.SQL("SET extra_float_digits = 1"),
    sql.SQL("SET jit = off"),
)
"""What results would otherwise depend on; compiling the many small conditions of rules takes it seconds."""
_COLUMNS = sql.SQL(
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
_AT_ONCE = 50_000
"""Rows that are held as Python objects at a time."""

_ABOUT_NAMES = frozenset(
    "3F000 42501 42701 42702 42703 42704 42712 42723 42725 42803 42804 42809 42846 42883 42P01 42P07 42P10 "
    "42P16 42P18".split()
)
"""States whose message speaks of names and types; others may quote a value."""
_OTHER_COLUMNS = "42P16"
"""A view can't be replaced by one whose first columns are others."""

_TYPES = {
    exp.DType.VARIANT: "JSONB",
    exp.DType.INT128: "DECIMAL(38, 0)",
    exp.DType.UBIGINT: "DECIMAL(20, 0)",
    exp.DType.UINT: "BIGINT",
}
"""Types that the tables' definitions may name and PostgreSQL has not."""
_BY_CODE_POINT = ' COLLATE "C"'
_ARROW: dict[str, Callable[[], Any]] = {
    "bool": pa.bool_,
    "int2": pa.int16,
    "int4": pa.int32,
    "int8": pa.int64,
    "float4": pa.float32,
    "float8": pa.float64,
    "text": pa.string,
    "varchar": pa.string,
    "bpchar": pa.string,
    "name": pa.string,
    "uuid": pa.string,
    "json": pa.string,
    "jsonb": pa.string,
    "bytea": pa.binary,
    "date": pa.date32,
    "timestamp": lambda: pa.timestamp("us"),
    "timestamptz": lambda: pa.timestamp("us", tz="UTC"),
}


def open_url(url: str) -> PostgresWarehouse:
    """Open `postgresql://user:secret@host:port/database`.

    Args:
        url: as libpq reads it; never shown, since it may hold a password.

    Raises:
        WarehouseError: no server answers there, it refuses the login, it is older than version 14, or the
            database is not in UTF-8.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError:
        raise WarehouseError(
            "The warehouse's URL can't be read; it has the form postgresql://user:secret@host:5432/database, "
            "and in the secret, characters such as @ / : % # are written %40 %2F %3A %25 %23."
        ) from None
    except psycopg.Error as error:
        raise WarehouseError(
            f"The PostgreSQL server of the warehouse{_place(url)} does not let us in "
            f"({type(error).__name__}): it can't be reached, or refuses the user, password or database."
        ) from None
    if connection.info.server_version < 140000:
        raise _unfit(connection, "PostgreSQL 14 or newer is needed for the warehouse.")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise _unfit(connection, "The warehouse's database must have the encoding UTF8.")
    for setting in _SETTINGS:
        connection.execute(setting)
    for name in ("uuid", "json", "jsonb"):
        connection.adapters.register_loader(name, TextLoader)
    return PostgresWarehouse(connection)


class PostgresWarehouse:
    """A warehouse in one PostgreSQL database, for one thread of one process."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: exp.Expr) -> int:
        """Run one statement and return the number of rows that it changed."""
        with self._refusals():
            if isinstance(statement, exp.Create) and statement.args.get("replace"):
                if statement.args.get("kind") == "VIEW":
                    self._replace_view(statement)
                else:
                    self._replace_table(statement)
                return 0
            cursor = self._connection.execute(_said(statement))
            changes = isinstance(statement, (exp.Insert, exp.Update, exp.Delete, exp.Merge))
            return cursor.rowcount if changes else 0

    def query(self, select: exp.Expr) -> pa.Table:
        """Run a query and return all of its rows; UUIDs come as text, jsonb as JSON text."""
        with self._refusals():
            cursor = self._connection.execute(_said(select))
            columns = cursor.description or []
            rows = cursor.fetchall()
            values: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
            return pa.Table.from_arrays(
                [self._array(column, each) for column, each in zip(columns, values, strict=True)],
                names=[column.name for column in columns],
            )

    def append(self, table: str, rows: pa.Table) -> int:
        """Append rows; a column's text is read as the type that the table has for it."""
        with self._refusals():
            quoted = sql.Identifier(table).as_string(self._connection)
            kinds = dict(self._connection.execute(_COLUMNS, [quoted]).fetchall())
            unknown = [name for name in rows.column_names if name not in kinds]
            if unknown:
                raise WarehouseError(f"Table {table!r} has no column {unknown[0]!r}.")
            stored = [kinds[name] == "jsonb" for name in rows.column_names]
            return self._copy(sql.Identifier(table), rows, stored)

    @contextlib.contextmanager
    def scratch(self, name: str, rows: pa.Table) -> Iterator[str]:
        """Lend an Arrow table to the engine as a temporary table of that name, until the context ends."""
        table = sql.Identifier("pg_temp", name)
        gone = _composed(sql.SQL("DROP TABLE IF EXISTS "), table)
        columns = [
            _composed(sql.Identifier(field.name), sql.SQL(" "), sql.SQL(_kind(field.type)))
            for field in rows.schema
        ]
        made = _composed(
            sql.SQL("CREATE TEMPORARY TABLE "),
            sql.Identifier(name),
            sql.SQL(" ("),
            sql.SQL(", ").join(columns),
            sql.SQL(")"),
        )
        with self._refusals():
            self._connection.execute(gone)
            self._connection.execute(made)
            self._copy(table, rows, [False] * rows.num_columns)
        try:
            yield name
        finally:
            # an aborted transaction refuses this as well, and must not hide why it was aborted
            with contextlib.suppress(psycopg.Error):
                self._connection.execute(gone)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside together, or nothing; an inner transaction is part of the outer one."""
        if self._status() != pq.TransactionStatus.IDLE:
            yield
            return
        with self._refusals(), self._connection.transaction():
            yield
            # otherwise the server would answer COMMIT by undoing everything, without a word
            if self._status() == pq.TransactionStatus.INERROR:
                raise WarehouseError("A statement of a transaction was refused, so nothing of it was kept.")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _status(self) -> pq.TransactionStatus:
        return self._connection.info.transaction_status

    def _replace_view(self, statement: exp.Create) -> None:
        try:
            with self._connection.transaction():
                self._connection.execute(_said(statement))
        except psycopg.Error as error:
            if error.sqlstate != _OTHER_COLUMNS:
                raise
            gone = _composed(sql.SQL("DROP VIEW "), sql.Identifier(_table(statement).name))
            with self._connection.transaction():
                self._connection.execute(gone)
                self._connection.execute(_said(statement))

    def _replace_table(self, statement: exp.Create) -> None:
        name = _table(statement).name
        # the query may read the table that it replaces
        fresh = statement.copy()
        fresh.set("replace", False)
        new = f"new {name}"[:63]
        _table(fresh).set("this", exp.to_identifier(new, quoted=True))
        schema = ("pg_temp",) if statement.find(exp.TemporaryProperty) else ()
        with self._connection.transaction():
            self._connection.execute(_said(fresh))
            self._connection.execute(
                _composed(sql.SQL("DROP TABLE IF EXISTS "), sql.Identifier(*schema, name))
            )
            self._connection.execute(
                _composed(
                    sql.SQL("ALTER TABLE "),
                    sql.Identifier(*schema, new),
                    sql.SQL(" RENAME TO "),
                    sql.Identifier(name),
                )
            )

    def _copy(self, table: sql.Identifier, rows: pa.Table, stored: list[bool]) -> int:
        """Send rows; in columns of stored values, JSON's null is no value."""
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in rows.column_names)
        with self._connection.cursor() as cursor:
            command = _composed(sql.SQL("COPY "), table, sql.SQL(" ("), columns, sql.SQL(") FROM STDIN"))
            with cursor.copy(command) as copy:
                for batch in rows.to_batches(max_chunksize=_AT_ONCE):
                    values = [
                        _plain(column, null="null" if is_stored else None)
                        for column, is_stored in zip(batch.columns, stored, strict=True)
                    ]
                    for row in zip(*values, strict=True):
                        copy.write_row(row)
            return cursor.rowcount

    def _array(self, column: psycopg.Column, values: Sequence[Any]) -> Any:
        info = self._connection.adapters.types.get(column.type_code)
        name = info.name if info else str(column.type_code)
        if name == "numeric":
            if column.precision is not None and column.precision <= 38:
                return pa.array(values, pa.decimal128(column.precision, column.scale or 0))
            return pa.array([None if each is None else float(each) for each in values], pa.float64())
        if name not in _ARROW:
            raise WarehouseError(
                f"A query's column {column.name!r} has the type {name!r}, which has no Arrow type here."
            )
        kind = _ARROW[name]()
        return pa.array(values, pa.list_(kind) if info and info.array_oid == column.type_code else kind)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            # PostgreSQL quotes the offending value in many messages: only those about names are safe to show
            message = error.diag.message_primary if error.sqlstate in _ABOUT_NAMES else None
            detail = f": {message}" if message else ""
            raise WarehouseError(
                f"The warehouse refused a statement ({type(error).__name__}){detail}"
            ) from None


def _composed(*parts: sql.Composable) -> sql.Composed:
    return sql.Composed(parts)


def _said(statement: exp.Expr) -> bytes:
    return statement.transform(_known_type).sql(dialect="postgres").encode()


def _known_type(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.DataType) and node.this in _TYPES:
        return exp.DataType.build(_TYPES[node.this], dialect="postgres")
    if isinstance(node, exp.ColumnDef) and node.kind and node.kind.is_type("text"):
        # texts of ours compare by code point, whatever the database's language
        by_code_point = exp.CollateColumnConstraint(this=exp.to_identifier("C", quoted=True))
        node.append("constraints", exp.ColumnConstraint(kind=by_code_point))
    return node


def _table(statement: exp.Create) -> exp.Table:
    made: exp.Table | exp.Schema = statement.this
    table: exp.Table = made.this if isinstance(made, exp.Schema) else made
    return table


def _plain(column: Any, null: str | None) -> list[Any]:
    """Values as Python objects, instants in naive UTC to the microsecond, and one text as no value."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"), safe=False)
    return [None if each == null else each for each in column.to_pylist()]


def _kind(kind: Any) -> str:
    """The PostgreSQL type of an Arrow type."""
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{_kind(kind.value_type).removesuffix(_BY_CODE_POINT)}[]"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    for is_kind, name in (
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_uint64, "DECIMAL(20, 0)"),
        (pa.types.is_integer, "BIGINT"),
        (pa.types.is_floating, "DOUBLE PRECISION"),
        (pa.types.is_binary, "BYTEA"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_timestamp, "TIMESTAMP"),
        (pa.types.is_string, f"TEXT{_BY_CODE_POINT}"),
        (pa.types.is_large_string, f"TEXT{_BY_CODE_POINT}"),
        (pa.types.is_null, "TEXT"),
    ):
        if is_kind(kind):
            return name
    raise WarehouseError(f"Rows with values of the Arrow type {kind} can't be lent to PostgreSQL.")


def _place(url: str) -> str:
    """Host and database of a URL, unless a slip in it could show a part of the password as one of them."""
    try:
        parts = urlsplit(url)
        host, port, database = parts.hostname, parts.port, parts.path
    except ValueError:
        return ""
    if not host or url.count("@") != parts.netloc.count("@") or url.count("@") > 1:
        return ""
    return f" at {host}{f':{port}' if port else ''}{database}"


def _unfit(connection: psycopg.Connection[tuple[Any, ...]], reason: str) -> WarehouseError:
    connection.close()
    return WarehouseError(reason)
