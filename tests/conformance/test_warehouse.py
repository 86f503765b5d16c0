"""What the rest asks of a warehouse, over every engine that is here: one promise a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from sqlglot import exp, parse_one

from identity.errors import ConfigurationError, WarehouseError
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import TABLES, create_tables, get_setting, instant, set_setting, temporary
from tests.postgres_server import installations

ONE, TWO = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
NOON = datetime(2026, 6, 1, 12, 0, 0, 123456)
HOSTILE = [
    "",
    "'",
    '"',
    "\\",
    "\\N",
    "\t",
    "\n",
    "\r\n",
    "{}",
    "{a,b}",
    "NULL",
    "null",
    "%s",
    "é☕",
    "$1",
    ",",
    "--",
]
SECRET = "s3cret-value"


@pytest.fixture(params=["duckdb", *(f"postgresql {version}" for version in installations() or ["none"])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty warehouse of every engine."""
    name, _, version = request.param.partition(" ")
    if name == "duckdb":
        return f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    given: Callable[[str], str] = request.getfixturevalue("postgres_schemas")
    return given(version)


@pytest.fixture
def warehouse(url: str) -> Iterator[Warehouse]:
    opened = open_warehouse(url)
    yield opened
    opened.close()


def make(warehouse: Warehouse, name: str, **columns: str) -> None:
    defined = [
        exp.ColumnDef(
            this=exp.to_identifier(column, quoted=True), kind=exp.DataType.build(kind, dialect="duckdb")
        )
        for column, kind in columns.items()
    ]
    warehouse.execute(exp.Create(this=exp.Schema(this=exp.to_table(name), expressions=defined), kind="TABLE"))


def all_of(warehouse: Warehouse, name: str, *order: str) -> list[dict[str, object]]:
    query = exp.select("*").from_(name)
    rows: list[dict[str, object]] = warehouse.query(query.order_by(*order) if order else query).to_pylist()
    return rows


@contextmanager
def undone(warehouse: Warehouse) -> Iterator[None]:
    """A transaction that fails at its end."""
    try:
        with warehouse.transaction():
            yield
            raise ZeroDivisionError
    except ZeroDivisionError:
        return


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def test_a_statement_says_how_many_rows_it_changed(warehouse: Warehouse) -> None:
    """And 0 for definitions."""
    make(warehouse, "t", n="BIGINT")
    three = exp.values([(1,), (2,), (3,)])
    assert warehouse.execute(exp.insert(three, "t")) == 3
    assert warehouse.execute(exp.update("t", {"n": 5}, where=exp.column("n") > 1)) == 2
    assert warehouse.execute(exp.delete("t").where(exp.column("n").eq(1))) == 1
    assert warehouse.execute(exp.delete("t").where(exp.column("n").eq(1))) == 0
    assert warehouse.execute(temporary("copied", exp.select("n").from_("t"))) == 0
    assert all_of(warehouse, "copied") == [{"n": 5}, {"n": 5}]


def test_a_query_returns_arrow(warehouse: Warehouse) -> None:
    """UUIDs as text, instants naive, stored values as JSON, also when there are no rows."""
    make(
        warehouse,
        "t",
        text="VARCHAR",
        flag="BOOLEAN",
        whole="BIGINT",
        number="DOUBLE",
        money="DECIMAL(38, 9)",
        at="TIMESTAMP",
        day="DATE",
        id="UUID",
        ids="UUID[]",
        stored="VARIANT",
        sealed="BLOB",
    )
    kinds = {
        "text": pa.string(),
        "flag": pa.bool_(),
        "whole": pa.int64(),
        "number": pa.float64(),
        "money": pa.decimal128(38, 9),
        "at": pa.timestamp("us"),
        "day": pa.date32(),
        "id": pa.string(),
        "ids": pa.list_(pa.string()),
        "stored": pa.string(),
        "sealed": pa.binary(),
    }
    query = exp.select(*(exp.column(name, quoted=True) for name in kinds)).from_("t")
    assert dict(zip(kinds, warehouse.query(query).schema.types, strict=True)) == kinds
    row = {
        "text": "é",
        "flag": True,
        "whole": 2**62,
        "number": 0.1,
        "money": Decimal("1.000000001"),
        "at": NOON,
        "day": date(2026, 6, 1),
        "id": ONE,
        "ids": [TWO, ONE],
        "stored": '{"a":[1,"x"]}',
        "sealed": b"\x00\xff\\",
    }
    given = pa.table({name: pa.array([value, None], kinds[name]) for name, value in row.items()})
    assert warehouse.append("t", given) == 2
    found = warehouse.query(query.order_by("whole"))
    assert dict(zip(kinds, found.schema.types, strict=True)) == kinds
    first, second = sorted(found.to_pylist(), key=lambda each: each["text"] is None)
    assert first | {"stored": first["stored"].replace(" ", "")} == row
    assert second == dict.fromkeys(row)


def test_a_zoned_instant_comes_in_utc(warehouse: Warehouse) -> None:
    """Whatever the machine's zone."""
    zoned = exp.cast(exp.Literal.string("2026-06-01 14:00:00+02:00"), "TIMESTAMPTZ").as_("at")
    (row,) = warehouse.query(exp.select(zoned)).to_pylist()
    assert row["at"].astimezone(UTC) == datetime(2026, 6, 1, 12, tzinfo=UTC)
    local = exp.cast(exp.cast(exp.Literal.string("2026-06-01 12:00:00"), "TIMESTAMPTZ"), "TIMESTAMPNTZ")
    assert warehouse.query(exp.select(local.as_("at"))).to_pylist() == [{"at": datetime(2026, 6, 1, 12)}]


def test_rows_are_appended_by_name(warehouse: Warehouse) -> None:
    """In any order of columns; the others stay empty; texts become what the table has."""
    make(warehouse, "t", id="UUID", n="BIGINT", at="TIMESTAMP", other="VARCHAR")
    given = pa.table({"at": ["2026-06-01 12:00:00.123456", None], "n": ["5", "6"], "id": [ONE, TWO]})
    assert warehouse.append("t", given) == 2
    assert all_of(warehouse, "t", "n") == [
        {"id": ONE, "n": 5, "at": NOON, "other": None},
        {"id": TWO, "n": 6, "at": None, "other": None},
    ]
    assert warehouse.append("t", given.slice(0, 0)) == 0


def test_appended_instants_are_in_utc(warehouse: Warehouse) -> None:
    """Zoned ones too."""
    make(warehouse, "t", at="TIMESTAMP")
    aware = pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", tz="Europe/Berlin"))
    warehouse.append("t", pa.table({"at": aware}))
    assert all_of(warehouse, "t") == [{"at": NOON}]


def test_stored_values_are_appended_as_json(warehouse: Warehouse) -> None:
    """What comes back means the same; null is no value."""
    make(warehouse, "t", n="BIGINT", value="VARIANT")
    documents = ['{"b":1,"a":[true,null,"é\\\\"]}', '"5"', "5", "[]", "null", None]
    warehouse.append("t", pa.table({"n": range(6), "value": documents}))
    found = [row["value"] for row in all_of(warehouse, "t", "n")]
    assert [each and str(each).replace(" ", "") for each in found][1:] == ['"5"', "5", "[]", None, None]
    assert sorted(str(found[0]).replace(" ", "")) == sorted(str(documents[0]))
    missing = (
        exp.select(exp.Count(this=exp.Star()).as_("n")).from_("t").where(exp.column("value").is_(exp.null()))
    )
    assert warehouse.query(missing).to_pylist() == [{"n": 2}]


def test_no_text_is_changed_on_its_way(warehouse: Warehouse) -> None:
    """Not in rows, not in literals, not in lists."""
    make(warehouse, "t", n="BIGINT", word="VARCHAR", words="VARCHAR[]")
    warehouse.append(
        "t",
        pa.table({"n": range(len(HOSTILE)), "word": HOSTILE, "words": [[each, None] for each in HOSTILE]}),
    )
    found = all_of(warehouse, "t", "n")
    assert [row["word"] for row in found] == HOSTILE
    assert [row["words"] for row in found] == [[each, None] for each in HOSTILE]
    for word in HOSTILE:
        (row,) = warehouse.query(exp.select(exp.Literal.string(word).as_("word"))).to_pylist()
        assert row["word"] == word


def test_texts_of_tables_are_ordered_by_code_point(warehouse: Warehouse) -> None:
    """In every kind of table, whatever the database's language."""
    words = ["b", "B", "a", "é", "Z", "_", "ß", ""]
    make(warehouse, "t", word="VARCHAR", words="VARCHAR[]")
    rows = pa.table({"word": words})
    warehouse.append("t", rows)
    warehouse.execute(temporary("copied", exp.select("word").from_("t")))
    with warehouse.scratch("lent", rows):
        for name in ("t", "copied", "lent"):
            assert [row["word"] for row in all_of(warehouse, name, "word")] == sorted(words), name
            (least,) = warehouse.query(
                exp.select(exp.Max(this=exp.column("word")).as_("m")).from_(name)
            ).to_pylist()
            assert least == {"m": max(words)}
        both = exp.select("word").from_("t").join("lent", using="word").order_by("word")
        assert [row["word"] for row in warehouse.query(both).to_pylist()] == sorted(words)


def test_a_column_that_is_not_there_is_named(warehouse: Warehouse) -> None:
    """The name, never a value."""
    make(warehouse, "t", n="BIGINT")
    with pytest.raises(WarehouseError, match="Table 't' has no column 'm'") as refused:
        warehouse.append("t", pa.table({"n": [1], "m": [SECRET]}))
    assert SECRET not in str(refused.value)
    with pytest.raises(WarehouseError, match="none"):
        warehouse.query(exp.select("n").from_("none"))
    with pytest.raises(WarehouseError, match="missing"):
        warehouse.query(exp.select("missing").from_("t"))
    assert all_of(warehouse, "t") == []


def test_a_refusal_shows_no_value(warehouse: Warehouse) -> None:
    """Neither of a row nor of a statement; and the warehouse goes on working."""
    make(warehouse, "t", n="BIGINT")
    failures: list[Callable[[], object]] = [
        lambda: warehouse.append("t", pa.table({"n": [SECRET]})),
        lambda: warehouse.query(exp.select(exp.cast(exp.Literal.string(SECRET), "BIGINT"))),
        lambda: warehouse.execute(exp.insert(exp.values([(SECRET,)]), "t")),
        lambda: warehouse.query(exp.select(exp.cast(exp.Literal.string(SECRET), "UUID"))),
        lambda: warehouse.query(exp.select(exp.cast(exp.Literal.string(SECRET), "TIMESTAMP"))),
    ]
    for fails in failures:
        with pytest.raises(WarehouseError) as refused:
            fails()
        shown = refused.value
        assert SECRET not in str(shown)
        assert shown.__suppress_context__
    assert warehouse.query(exp.select(exp.Literal.number(1).as_("n"))).to_pylist() == [{"n": 1}]


def test_lent_rows_are_there_until_the_end(warehouse: Warehouse) -> None:
    """Under their name, with their types; inside a transaction as well."""
    rows = pa.table(
        {
            "n": pa.array([1, None], pa.int32()),
            "word": ["it's", None],
            "at": pa.array([NOON, None], pa.timestamp("us")),
            "x": [0.5, None],
            "flag": [True, None],
            "ids": [[ONE, TWO], None],
            "code": pa.array(["a", None]).dictionary_encode(),
            "empty": pa.array([None, None], pa.string()),
            "sealed": [b"\x00", None],
        }
    )
    with warehouse.scratch("lent", rows) as name:
        assert name == "lent"
        assert all_of(warehouse, name, "n NULLS LAST") == rows.to_pylist()
        kinds = dict(
            zip(rows.column_names, warehouse.query(exp.select("*").from_(name)).schema.types, strict=True)
        )
        assert pa.types.is_integer(kinds["n"])
        assert kinds["at"] == pa.timestamp("us")
    with pytest.raises(WarehouseError):
        all_of(warehouse, "lent")
    for value in (7, 8):
        with warehouse.transaction(), warehouse.scratch("lent", numbers(value)) as name:
            assert all_of(warehouse, name) == [{"n": value}]


def test_lent_rows_end_with_a_failure(warehouse: Warehouse) -> None:
    """Which is not hidden by the tidying up."""
    for _ in range(2):
        with (
            pytest.raises(WarehouseError, match="missing"),
            warehouse.transaction(),
            warehouse.scratch("lent", numbers(1)),
        ):
            warehouse.query(exp.select("missing").from_("lent"))
    with pytest.raises(ZeroDivisionError), warehouse.scratch("lent", numbers(1)):
        raise ZeroDivisionError
    with pytest.raises(WarehouseError):
        all_of(warehouse, "lent")


def test_a_temporary_table_replaces_one_of_its_name(warehouse: Warehouse) -> None:
    """Which its query may read; a real table of the name is not touched by it."""
    with warehouse.scratch("lent", numbers(1, 2)) as name:
        warehouse.execute(temporary("kept", exp.select("n").from_(name)))
    more = exp.select((exp.column("n") + 10).as_("n"), exp.Literal.string("x").as_("word")).from_("kept")
    warehouse.execute(temporary("kept", more))
    assert all_of(warehouse, "kept", "n") == [{"n": 11, "word": "x"}, {"n": 12, "word": "x"}]


def test_a_temporary_table_is_not_kept(url: str) -> None:
    """Nobody else sees it, now or later."""
    first = open_warehouse(url)
    first.execute(temporary("kept", exp.select(exp.Literal.number(1).as_("n"))))
    first.close()
    second = open_warehouse(url)
    with pytest.raises(WarehouseError):
        all_of(second, "kept")
    second.close()


def test_a_table_replaces_one_of_its_name(warehouse: Warehouse) -> None:
    """Other columns, other rows, at once; inside a transaction it can be undone."""
    make(warehouse, "t", n="BIGINT")
    warehouse.append("t", numbers(1))
    table = exp.Create(
        this=exp.to_table("t"),
        kind="TABLE",
        expression=exp.select(exp.cast(exp.column("n"), "TEXT").as_("word")).from_("t"),
        replace=True,
    )
    with undone(warehouse):
        warehouse.execute(table)
    assert all_of(warehouse, "t") == [{"n": 1}]
    warehouse.execute(table)
    assert all_of(warehouse, "t") == [{"word": "1"}]


def test_a_view_replaces_one_of_its_name(warehouse: Warehouse) -> None:
    """With more, fewer or other columns."""
    make(warehouse, "t", n="BIGINT", word="VARCHAR")
    warehouse.append("t", pa.table({"n": [1], "word": ["x"]}))
    for columns in (["n"], ["n", "word"], ["word"], ["word", "n"]):
        query = exp.select(*columns).from_("t")
        view = exp.Create(this=exp.to_table("v"), kind="VIEW", expression=query, replace=True)
        warehouse.execute(view)
        with warehouse.transaction():
            warehouse.execute(view)
        assert list(all_of(warehouse, "v")[0]) == columns


def test_a_transaction_keeps_everything_or_nothing(warehouse: Warehouse) -> None:
    """Also what an inner one did."""
    make(warehouse, "t", n="BIGINT")
    with warehouse.transaction():
        warehouse.append("t", numbers(1))
        with warehouse.transaction():
            warehouse.append("t", numbers(2))
    with undone(warehouse):
        with warehouse.transaction():
            warehouse.append("t", numbers(3))
        assert len(all_of(warehouse, "t")) == 3
    assert all_of(warehouse, "t", "n") == [{"n": 1}, {"n": 2}]


def test_a_transaction_in_which_a_statement_was_refused_says_so(warehouse: Warehouse) -> None:
    """The engine undoes all of it at the end, even when whoever ran it went on as if nothing had happened."""
    make(warehouse, "t", n="BIGINT")
    with pytest.raises(WarehouseError, match="nothing of it was kept"), warehouse.transaction():
        go_on_after_a_refusal(warehouse)
    assert all_of(warehouse, "t") == []
    with warehouse.transaction():
        warehouse.append("t", numbers(2))
    assert all_of(warehouse, "t") == [{"n": 2}]


def go_on_after_a_refusal(warehouse: Warehouse) -> None:
    warehouse.append("t", numbers(1))
    with pytest.raises(WarehouseError):
        warehouse.query(exp.select(exp.cast(exp.Literal.string(SECRET), "BIGINT")))


def test_what_was_committed_is_there_after_closing(url: str) -> None:
    """And nothing else."""
    first = open_warehouse(url)
    make(first, "t", n="BIGINT")
    first.append("t", numbers(1))
    first.close()
    second = open_warehouse(url)
    assert all_of(second, "t") == [{"n": 1}]
    second.close()


def test_the_tables_of_identity_can_be_made_and_made_again(warehouse: Warehouse) -> None:
    """Every column of every definition has a type here; what is in them stays."""
    for _ in range(2):
        create_tables(warehouse)
        for table in TABLES:
            held = warehouse.query(exp.select("*").from_(table.name).limit(0))
            assert held.column_names == list(table.columns)
        set_setting(warehouse, "key", "it's")
        assert get_setting(warehouse, "key") == "it's"
    found = warehouse.query(exp.select(instant(NOON.replace(tzinfo=UTC)).as_("at"))).to_pylist()
    assert found == [{"at": NOON}]


def test_tables_of_another_schema_are_not_ours(warehouse: Warehouse) -> None:
    """A database shared with another project is no warehouse of another version."""
    for statement in ("CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.settings (other TEXT)"):
        warehouse.execute(parse_one(statement))
    try:
        create_tables(warehouse)
        assert get_setting(warehouse, "schema_version") is not None
    finally:
        warehouse.execute(parse_one("DROP SCHEMA elsewhere CASCADE"))


WRONG = [
    f"postgresql://jo:{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:{SECRET}@127.0.0.1:port/acme",
    f"postgresql://jo:a/{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:a@{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:a#{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:a?{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:%zz{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo:5/{SECRET}@127.0.0.1:1/acme",
    f"postgresql://jo@127.0.0.1:1/acme?password={SECRET}",
    f"postgresql://jo@127.0.0.1:1/acme?passwort={SECRET}",
    f"postgresql://127.0.0.1:1,[{SECRET}/acme",
    f"postgres://jo:{SECRET}@127.0.0.1:1/acme",
]


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_does_not_work_is_not_shown(url: str) -> None:
    """Nor any part of it that could be a password."""
    pytest.importorskip("psycopg")
    with pytest.raises((WarehouseError, ConfigurationError)) as refused:
        open_warehouse(url)
    shown: BaseException | None = refused.value
    assert shown is not None
    assert SECRET not in str(shown)
    assert shown.__suppress_context__ or shown.__context__ is None


def test_the_server_that_is_meant_is_named() -> None:
    """When the URL is in order."""
    pytest.importorskip("psycopg")
    with pytest.raises(WarehouseError, match=r"at 127\.0\.0\.1:1/acme does not let us in"):
        open_warehouse(WRONG[0])


def test_a_driver_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel alone has no driver for PostgreSQL."""
    monkeypatch.delitem(sys.modules, "identity.store.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"audience-engine\[postgres\]"):
        open_warehouse(WRONG[0])
