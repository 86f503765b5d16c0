"""Every function that rules need of an engine, on every engine that is here: one promise a test."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Protocol

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from audiences.engines import ENGINES, Engine
from audiences.engines.texts import fold
from identity.store.warehouse import Warehouse, open_warehouse
from tests.postgres_server import installations

VALUE, WORD, AMOUNT, AT = (exp.column(name) for name in ("value", "word", "amount", "at"))
COLUMNS = {"place": "BIGINT", "value": "VARIANT", "word": "VARCHAR", "amount": "DOUBLE", "at": "TIMESTAMP"}
POSTGRES = [f"postgres {version}" for version in installations()] or ["postgres"]
HOSTILE = [
    "",
    "'",
    '"',
    "\\",
    "a'b\\",
    "{}",
    "$.a",
    "%s",
    "%",
    "_",
    "null",
    "x; DROP",
    "ß",
    "☕️",
    "\n",
    "\t",
    "--",
    "é",
]
Row = dict[str, Any]


class Kit(Protocol):
    """One engine at work on a table `given` of `place`, `value` (stored), `word`, `amount` and `at`."""

    engine: Engine

    def select(self, rows: Sequence[Row], query: exp.Select) -> list[Row]:
        """Fill the table and ask."""
        ...


@dataclass
class InWarehouse:
    """An engine that a warehouse speaks."""

    engine: Engine
    warehouse: Warehouse

    def select(self, rows: Sequence[Row], query: exp.Select) -> list[Row]:
        self.warehouse.execute(exp.delete("given"))
        table = pa.table(
            {
                "place": list(range(len(rows))),
                "value": pa.array([row.get("value") for row in rows], pa.string()),
                "word": pa.array([row.get("word") for row in rows], pa.string()),
                "amount": pa.array([row.get("amount") for row in rows], pa.float64()),
                "at": pa.array([row.get("at") for row in rows], pa.timestamp("us")),
            }
        )
        self.warehouse.append("given", table)
        answers: list[Row] = self.warehouse.query(query).to_pylist()
        return answers


@dataclass
class InSpark:
    """Spark in this process."""

    engine: Engine
    session: Any

    def select(self, rows: Sequence[Row], query: exp.Select) -> list[Row]:
        listed = [
            (place, *(row.get(name) for name in ("value", "word", "amount", "at")))
            for place, row in enumerate(rows)
        ]
        kinds = "place BIGINT, value STRING, word STRING, amount DOUBLE, at TIMESTAMP_NTZ"
        frame = self.session.createDataFrame(listed, kinds)
        stored = "CASE WHEN value <> 'null' THEN parse_json(value) END AS value"
        frame.selectExpr("place", stored, "word", "amount", "at").createOrReplaceTempView("given")
        return [
            {name: each.toJson() if hasattr(each, "toJson") else each for name, each in row.asDict().items()}
            for row in self.session.sql(query.sql(dialect="spark")).collect()
        ]


@pytest.fixture(scope="module", params=["duckdb", *POSTGRES, "spark"])
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """Every engine that can run here."""
    name, _, version = request.param.partition(" ")
    if name == "spark":
        yield from _spark()
        return
    url = "duckdb:///:memory:"
    if name == "postgres":
        url = request.getfixturevalue("postgres_schemas")(version)
    warehouse = open_warehouse(url)
    columns = [
        exp.ColumnDef(this=exp.to_identifier(column), kind=exp.DataType.build(kind, dialect="duckdb"))
        for column, kind in COLUMNS.items()
    ]
    warehouse.execute(
        exp.Create(this=exp.Schema(this=exp.to_table("given"), expressions=columns), kind="TABLE")
    )
    yield InWarehouse(ENGINES[name], warehouse)
    warehouse.close()


def _spark() -> Iterator[Kit]:
    if not shutil.which("java"):
        pytest.skip("Java is not on this machine, so Spark is not run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pyspark", reason="pyspark is not installed, so Spark is not run")
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.session.timeZone", "America/New_York")
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        yield InSpark(ENGINES["spark"], session)
        session.stop()


def of_values(kit: Kit, documents: Sequence[str], expression: exp.Expr) -> list[Any]:
    """What an expression says of each of some JSON texts."""
    query = exp.select(expression.as_("answer")).from_("given").order_by("place")
    return [row["answer"] for row in kit.select([{"value": each} for each in documents], query)]


def of_words(kit: Kit, words: Sequence[str | None], expression: exp.Expr) -> list[Any]:
    """What an expression says of each of some texts."""
    query = exp.select(expression.as_("answer")).from_("given").order_by("place")
    return [row["answer"] for row in kit.select([{"word": each} for each in words], query)]


def over_rows(kit: Kit, rows: Sequence[Row], expression: exp.Expr) -> Any:
    """What an aggregate says of some rows."""
    (answer,) = kit.select(rows, exp.select(expression.as_("answer")).from_("given"))
    return answer["answer"]


def loaded(answers: Sequence[str | None]) -> list[Any]:
    """Stored values as Python has them; SQL NULL as the text NULL, to tell it from JSON's null."""
    return ["NULL" if each is None else json.loads(each, parse_int=float) for each in answers]


def is_text(given: str) -> Callable[[Engine], Callable[[exp.Expr], exp.Expr]]:
    return lambda engine: lambda value: engine.text(value).eq(given)


# ------------------------------------------------------------------------------------------- stored values


def test_a_key_is_taken_as_it_is(kit: Kit) -> None:
    """Upper and lower case differ, no character in it means anything, and null is no value."""
    keys = ["a", "A", "a.b", "$", "[0]", *HOSTILE]
    document = json.dumps({key: place for place, key in enumerate(keys)})
    taken = [kit.engine.key(VALUE, key).as_(f"key {place}", quoted=True) for place, key in enumerate(keys)]
    (found,) = kit.select([{"value": document}], exp.select(*taken).from_("given"))
    assert loaded(list(found.values())) == list(range(len(keys)))


def test_a_key_of_something_else_is_no_value(kit: Kit) -> None:
    """Nothing fails: not on lists, texts, numbers, nor where the key is missing."""
    documents = ['{"b": 1}', '{"a": null}', '["a"]', '[{"a": 1}]', '"a"', "5", "true", "null", "{}", "[]"]
    found = of_values(kit, documents, kit.engine.key(VALUE, "a"))
    assert loaded(found) == ["NULL"] * len(documents)
    assert of_values(kit, ["[7, 8]"], kit.engine.key(VALUE, "0")) == [None]


def test_a_key_leads_into_the_elements_of_an_array(kit: Kit) -> None:
    """Arrays found there are spliced in, in order; elements without the key count for nothing."""
    cases: dict[str, Any] = {
        '{"a": [1, 2]}': [1, 2],
        '{"a": "x"}': "x",
        '[{"a": 1}, {"a": [2, null, [3]]}, {"b": 4}, {"a": null}, 5, {"a": {"c": 6}}]': [
            1,
            2,
            None,
            [3],
            {"c": 6},
        ],
        "[[{}], 1]": "NULL",
        '[{"a": []}]': "NULL",
        "[]": "NULL",
        "null": "NULL",
        "5": "NULL",
    }
    assert loaded(of_values(kit, list(cases), kit.engine.into(VALUE, "a"))) == list(cases.values())
    deep = kit.engine.into(kit.engine.into(VALUE, "a"), "b")
    document = '{"a": [{"b": 1}, {"b": [2, 3]}, {"B": 4}]}'
    assert loaded(of_values(kit, [document], deep)) == [[1, 2, 3]]
    twins = '[{"a": {"b": {"k": 1, "K": 2}}}, {"A": 3, "a": {"b": 4}}]'
    deeper = kit.engine.any_element(deep, lambda value: kit.engine.number(value).eq(4), every=False)
    assert of_values(kit, [document, twins], deeper) == [False, True]


def test_a_value_exists_unless_it_is_null(kit: Kit) -> None:
    """An empty text, array or object is a value."""
    documents = ["null", '""', "[]", "{}", "0", "false", "[null]"]
    assert of_values(kit, documents, kit.engine.exists(VALUE)) == [False] + [True] * 6
    missing = kit.engine.exists(kit.engine.key(VALUE, "a"))
    assert of_values(kit, ["{}", '{"a": null}', '{"a": 0}'], missing) == [False, False, True]


def test_a_question_is_asked_of_any_element(kit: Kit) -> None:
    """Or of the value itself; an array in an array is one element; the answer is never NULL."""
    cases = {
        '"x"': True,
        '["y", "x"]': True,
        '["y"]': False,
        "[]": False,
        '[["x"]]': False,
        '[null, 5, {"x": "x"}]': False,
        "null": False,
        '{"x": "x"}': False,
    }
    asked = kit.engine.any_element(VALUE, is_text("x")(kit.engine), every=False)
    assert of_values(kit, list(cases), asked) == list(cases.values())


def test_a_question_is_asked_of_all_elements(kit: Kit) -> None:
    """All of at least one."""
    cases = {
        '"x"': True,
        '["x", "x"]': True,
        '["x", "y"]': False,
        '["x", null]': False,
        "[]": False,
        "5": False,
    }
    asked = kit.engine.any_element(VALUE, is_text("x")(kit.engine), every=True)
    assert of_values(kit, list(cases), asked) == list(cases.values())


def test_a_question_follows_a_path_through_arrays(kit: Kit) -> None:
    """As in `products.price > 5`."""
    prices = kit.engine.into(kit.engine.key(VALUE, "products"), "price")
    documents = ['{"products": [{"price": 3}, {"price": [9]}]}', '{"products": [{"price": 3}]}', "{}"]

    def dear(value: exp.Expr) -> exp.Expr:
        return kit.engine.number(value) > 5

    assert of_values(kit, documents, kit.engine.any_element(prices, dear, every=False)) == [
        True,
        False,
        False,
    ]
    assert of_values(kit, documents, kit.engine.any_element(prices, dear, every=True)) == [False] * 3


def test_only_texts_are_texts(kit: Kit) -> None:
    """5 is not '5', and reading an object whose keys differ in case only fails nowhere."""
    cases = {json.dumps(each): each for each in ("", "5", "null", "é'\\\"", "\u2028", "x" * 300)}
    others = ["5", "true", "null", "[]", '["x"]', '{"a": 1, "A": 2}']
    found = of_values(kit, [*cases, *others], kit.engine.text(VALUE))
    assert found == [*cases.values(), *[None] * len(others)]


def test_only_numbers_are_numbers(kit: Kit) -> None:
    """As 64-bit floats, whatever their size; one that is too large for a float is none."""
    texts = ["0", "5", "5.0", "-1.5", "1e300", "-1e300", "1e-300", "1e-400", "5e-324", "0.1", "-0.0"]
    texts += [
        "9007199254740993",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1.7976931348623157e308",
    ]
    others = ['"5"', "true", "null", "[5]", '{"a": 5}', "1e400", "-1e400"]
    found = of_values(kit, [*texts, *others], kit.engine.number(VALUE))
    assert found == [*(float(each) for each in texts), *[None] * len(others)]


def test_a_decimal_text_is_read_as_a_number_where_it_is_asked_for(kit: Kit) -> None:
    """At most fifteen digits before the point and nine after, nothing around them."""
    texts = ["5", "-5.25", "+0.5", "007", "123456789012345.123456789"]
    others = [
        "",
        " 5",
        "5 ",
        "5.",
        ".5",
        "1e5",
        "0x1",
        "1234567890123456",
        "0.1234567890",
        "५",
        "5\n",
        "NaN",
        "1,5",
    ]
    documents = [json.dumps(each) for each in (*texts, *others)]
    found = of_values(kit, [*documents, "5.5", "true", "[5]", "null"], kit.engine.numeric(VALUE))
    assert found == [*(float(each) for each in texts), *[None] * len(others), 5.5, None, None, None]


def test_only_truths_are_truths(kit: Kit) -> None:
    """Neither 1 nor 'true'."""
    documents = ["true", "false", "1", "0", '"true"', "null", "[true]", "{}"]
    assert of_values(kit, documents, kit.engine.flag(VALUE)) == [True, False, *[None] * 6]


def test_a_value_whose_kind_is_known_is_read_as_that(kit: Kit) -> None:
    """And a missing one is missing."""
    engine = kit.engine
    assert of_values(kit, ['"x"', '""', "null"], engine.known(VALUE, "text")) == ["x", "", None]
    assert of_values(kit, ["5", "0.1", "null"], engine.known(VALUE, "number")) == [5, 0.1, None]
    assert of_values(kit, ["true", "false", "null"], engine.known(VALUE, "flag")) == [True, False, None]


def test_no_value_makes_a_reading_fail(kit: Kit) -> None:
    """Whatever is asked of it, next to values that are what was asked for."""
    twins = '{"a": 1, "A": 2}'
    documents = [
        twins,
        f"[{twins}]",
        f'{{"a": {twins}}}',
        f'{{"a": [{twins}, [{twins}]]}}',
        f"[[{twins}], 5]",
    ]
    documents += [
        "5",
        '"5"',
        '"2026-02-30"',
        '"2026-01-01"',
        "true",
        "1e400",
        '""',
        "[]",
        "{}",
        "[null]",
        "null",
    ]
    documents += ['"' + "9" * 400 + '"', "[" * 50 + "]" * 50, '{"a": ' * 20 + "1" + "}" * 20]
    engine = kit.engine
    once = engine.into(VALUE, "a")
    values = [VALUE, engine.key(VALUE, "a"), once, engine.into(once, "A")]
    # Spark would plan the long ones for a minute
    for value in values[:2] if engine.name == "spark" else values:
        readings = [engine.text, engine.number, engine.numeric, engine.flag, engine.moment, engine.exists]
        read = [reading(value).as_(f"reading {place}") for place, reading in enumerate(readings)]
        for place, reading in enumerate(readings[:5]):
            asked = engine.any_element(
                value, lambda each, ask=reading: ask(each).is_(exp.null()), every=bool(place % 2)
            )
            read.append(asked.as_(f"asked {place}"))
        query = exp.select(*read).from_("given").order_by("place")
        assert len(kit.select([{"value": each} for each in documents], query)) == len(documents)
        exploded = engine.explode(exp.select("place").from_("given"), engine.scalars(value), "each")
        assert len(kit.select([{"value": each} for each in documents], exploded)) >= len(documents) - 1


def plain_instant(text: str) -> datetime | None:
    """What a text says by Python's own reader; the rest is written out."""
    date_, time = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
    if (
        not re.fullmatch(f"{date_}([T ]{time}(Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?", text)
        or text < "1000"
        or text[11:13] == "24"
    ):
        return None
    try:
        read = datetime.fromisoformat(text)
        offset = read.utcoffset() or timedelta()
        if abs(offset) > timedelta(hours=14) or re.search("[+-]..:[6-9].$", text[16:]):
            return None
        return (read - offset).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


INSTANTS = [
    "2026-01-02", "2026-01-02T03:04", "2026-01-02 03:04", "2026-01-02T03:04:05", "2026-01-02T03:04:05.6",
    "2026-01-02T03:04:05.678901", "2026-01-02T03:04:05.6789012", "2026-01-02T03:04:05.",
    "2026-01-02T03:04Z", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05+05:30", "2026-01-02T03:04-00:00",
    "2026-01-02T03:04:05-13:59", "2026-01-02T03:04:05+14:00", "2026-01-02T03:04:05+14:01",
    "2026-01-02T03:04:05-15:00", "2026-01-02T03:04:05+05:60", "2026-01-02T03:04:05+5:30",
    "2026-01-02T03:04:05+0530", "2026-01-02T03:04:05 Z", "2026-01-02T24:00", "2026-01-02T24:00:00Z",
    "2026-01-02T23:60", "2026-01-02T03:04:60", "2026-13-01", "2026-00-10", "2026-02-30", "2026-02-29",
    "2024-02-29", "2000-02-29", "1900-02-29", "2026-04-31", "2026-01-32", "2026-01-00", "0000-01-01",
    "0001-01-01T00:00:00Z", "0999-12-31", "1000-01-01", "1000-01-01T00:00+05:00",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59-05:00", "9999-12-31", "10000-01-01", "2026-1-2",
    "2026-01-02t03:04", "2026-01-02T03:04:05z", "20260102", "2026-W01", "2026-01", "now", "today", "epoch",
    "infinity", "", " 2026-01-02", "2026-01-02 ", "2026-01-02T", "2026-01-02T3:04", "٢٠٢٦-٠١-٠٢",
    "2026-01-02\n", "1700000000", "2026-01-02T03", "2026-01-02Z", "1969-12-31T23:59:59.999999Z",
    "2026-03-29T02:30",
]  # fmt: skip


def test_an_instant_is_an_iso_text_of_a_day_that_exists(kit: Kit) -> None:
    """Impossible dates, other forms and other types are none, and fail nowhere; no zone means UTC."""
    others = ["5", "20260102", "null", "true", '["2026-01-02"]', '{"a": 1, "A": 2}']
    found = of_values(kit, [*map(json.dumps, INSTANTS), *others], kit.engine.moment(VALUE))
    assert dict(zip(INSTANTS, found, strict=False)) == {text: plain_instant(text) for text in INSTANTS}
    assert found[len(INSTANTS) :] == [None] * len(others)


def written_instants() -> st.SearchStrategy[str]:
    two = st.integers(0, 99).map("{:02}".format)
    day = st.builds("{:04}-{}-{}".format, st.integers(0, 9999), two, two)
    real = st.dates().map(str)
    time = st.builds(
        "{}{}:{}{}".format, st.sampled_from("T "), two, two, st.one_of(st.just(""), two.map(":{}".format))
    )
    fraction = st.sampled_from(["", ".5", ".123456", ".1234567"])
    zone = st.one_of(st.sampled_from(["", "Z"]), st.builds("{}{}:{}".format, st.sampled_from("+-"), two, two))
    return st.builds(
        "".join,
        st.tuples(
            st.one_of(day, real), st.one_of(st.just(""), st.builds("{}{}{}".format, time, fraction, zone))
        ),
    )


@settings(max_examples=15)
@given(st.lists(written_instants(), min_size=40, max_size=80))
def test_instants_are_read_as_python_reads_them(kit: Kit, texts: list[str]) -> None:
    """Also those that nobody thought of."""
    found = of_values(kit, [json.dumps(each) for each in texts], kit.engine.moment(VALUE))
    assert found == [plain_instant(each) for each in texts]


def test_a_row_for_each_element(kit: Kit) -> None:
    """Or for the value alone; none for an empty array; null is no value."""
    documents = ["[1, null, [2]]", "[]", '"x"', '{"a": 1}']
    query = exp.select("place").from_("given")
    query = kit.engine.explode(query, kit.engine.scalars(VALUE), "the element")
    rows = kit.select([{"value": each} for each in documents], query)
    found = [(row["place"], *loaded([row["the element"]])) for row in rows]
    assert sorted(found, key=str) == [(0, "NULL"), (0, 1), (0, [2]), (2, "x"), (3, {"a": 1})]


def test_a_stored_value_is_made_of_a_truth_a_number_or_a_text(kit: Kit) -> None:
    """The one of the three that is not NULL, and it reads back as what it was."""
    documents = ["true", "false", "5", "0.1", "1e300", '"5"', '"é\'\\\\"', '""', "[]", "null"]
    engine = kit.engine
    made = engine.stored(engine.flag(VALUE), engine.number(VALUE), engine.text(VALUE))
    assert loaded(of_values(kit, documents, made)) == [*loaded(documents[:8]), "NULL", "NULL"]
    for kind, expected in ((engine.flag, 2), (engine.number, 3), (engine.text, 3)):
        assert sum(each is not None for each in of_values(kit, documents, kind(made))) == expected


def test_any_sql_value_can_be_stored(kit: Kit) -> None:
    """Texts, floats, counts and truths; NULL stays NULL."""
    rows = [{"word": "it's", "amount": 0.5}, {}]
    for value, expected in ((WORD, "it's"), (AMOUNT, 0.5), (AMOUNT > 0, True), (AMOUNT * 0 + 7, 7)):
        wrapped = kit.engine.wrapped(value).as_("answer")
        found = kit.select(rows, exp.select(wrapped).from_("given").order_by("place"))
        assert loaded([row["answer"] for row in found]) == [expected, "NULL"]
    counted = kit.engine.wrapped(exp.Count(this=exp.Star())).as_("answer")
    (row,) = kit.select(rows, exp.select(counted).from_("given"))
    assert loaded([row["answer"]]) == [2]


def test_values_are_collected_in_order(kit: Kit) -> None:
    """As one stored array, by several expressions, missing ones first; nothing makes no array."""
    rows = [
        {"value": '"b"', "amount": 2.0, "word": "b"},
        {"value": "1", "amount": 1.0, "word": "z"},
        {"value": '"a"', "amount": 2.0, "word": "B"},
        {"value": "true", "amount": None, "word": "a"},
    ]
    engine = kit.engine
    collected = engine.collected(VALUE, [AMOUNT, engine.ordered_text(WORD)])
    assert json.loads(over_rows(kit, rows, collected)) == [True, 1, "a", "b"]
    assert over_rows(kit, [], collected) is None


# --------------------------------------------------------------------------------------------------- texts


def test_texts_are_ordered_by_code_point(kit: Kit) -> None:
    """Whatever the database's language: capitals first, accents and other scripts last."""
    words = ["b", "a", "B", "Z", "é", "z", "", "_", "ä", "Ω", "1", "☕", "\U0001f600", "\uffff", "a b", "ab"]
    query = exp.select("word").from_("given").order_by(kit.engine.ordered_text(WORD))
    found = [row["word"] for row in kit.select([{"word": each} for each in words], query)]
    assert found == sorted(words)
    less = kit.engine.ordered_text(WORD) < exp.Literal.string("a")
    assert of_words(kit, words, less) == [each < "a" for each in words]


@pytest.mark.parametrize("given", [*HOSTILE, "a", "ab", "b"])
def test_a_text_is_asked_for_another(kit: Kit, given: str) -> None:
    """Literally, whatever it holds."""
    words = ["", "a", "ab", "ba", "aba", *HOSTILE, *(f"x{each}y" for each in HOSTILE)]
    engine = kit.engine
    query = (
        exp.select("word")
        .select(engine.asks_text(WORD, "contains", given).as_("contains"))
        .select(engine.asks_text(WORD, "starts_with", given).as_("starts_with"))
        .select(engine.asks_text(WORD, "ends_with", given).as_("ends_with"))
        .from_("given")
    )
    for row in kit.select([{"word": each} for each in words], query):
        word = row["word"]
        assert row == {
            "word": word,
            "contains": given in word,
            "starts_with": word.startswith(given),
            "ends_with": word.endswith(given),
        }


PATTERNS = {
    "b": (["b", "abc", "x\nb"], ["", "B", "a"]),
    "^a": (["a", "ab"], ["ba", "x\na", ""]),
    "a$": (["a", "ba"], ["ab", "a\n", "a\nb"]),
    "^a$": (["a"], ["a\n", "aa", "\na"]),
    r"^\$5[.]0\\$": ([r"$5.0" + "\\"], ["$5x0\\", "5.0"]),
    "^(?:ab|cd)+$": (["ab", "abcd"], ["abc", "ac", ""]),
    "^[a-c]{2,3}$": (["ab", "abc"], ["a", "abcd", "AB"]),
    "^[^\n]*$": (["", "ab c", "é☕"], ["a\nb", "\n"]),
    "^[^a-z$]?x$": (["Ax", "x"], ["ax", "$x"]),
    "[0-9]+-[0-9]+": (["10-2", "x1-1y"], ["1-", "1−1"]),
    "^a{2}$": (["aa"], ["a", "aaa"]),
    "^$": ([""], ["\n", " "]),
    "'": (["it's"], ["its"]),
    "(?:é|☕)$": (["caf☕", "é"], ["e"]),
    r"^[\]\-\\^]$": (["]", "-", "\\", "^"], ["a", "["]),
}  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=ascii)
def test_a_text_matches_a_portable_pattern(kit: Kit, pattern: str) -> None:
    """`^` and `$` are the ends of the text, never of a line, and no newline is overlooked."""
    yes, no = PATTERNS[pattern]
    found = of_words(kit, [*yes, *no], kit.engine.asks_text(WORD, "matches", pattern))
    assert found == [True] * len(yes) + [False] * len(no)


FOLDED = {
    "ÀÉÎÕÜÇÑ": "aeioucn",
    "Ångström": "angstrom",
    "e\u0301": "e",
    "Straße": "straße",
    "ΟΔΟΣ": "οδοσ",
    "οδος": "οδοσ",
    "Ά ΐ Ὠ": "α ι ω",
    "Ёлка Й": "елка и",
    "İstanbul I ı": "istanbul i ı",
    "Łódź Ø Đ": "łodz ø đ",
    "CAFÉ ☕️ 5€": "cafe ☕ 5€",
    "हिंदी": "हिंदी",
    "がぎ": "がぎ",
    "한국어": "한국어",
    "مُحَمَّد": "مُحَمَّد",
    "É हि": "é हि",
    "plain ASCII": "plain ascii",
    "": "",
}


def test_a_text_is_folded(kit: Kit) -> None:
    """Lower case without accents; where a mark is a letter it stays."""
    assert {text: fold(text) for text in FOLDED} == FOLDED
    assert of_words(kit, list(FOLDED), kit.engine.folded(WORD)) == list(FOLDED.values())


def test_every_latin_greek_and_cyrillic_letter_is_folded_alike(kit: Kit) -> None:
    """One by one, as Python's tables have them."""
    blocks = (
        (0x20, 0x24F),
        (0x370, 0x482),
        (0x48A, 0x52F),
        (0x1E00, 0x1FFF),
        (0x2C60, 0x2C7F),
        (0xA722, 0xA787),
    )
    letters = [chr(code) for first, last in blocks for code in range(first, last + 1) if chr(code).isalpha()]
    found = of_words(kit, letters, kit.engine.folded(WORD))
    assert dict(zip(letters, found, strict=True)) == {letter: fold(letter) for letter in letters}


@settings(max_examples=10)
@given(
    st.lists(
        st.text(
            st.characters(min_codepoint=1, max_codepoint=0x52F, exclude_categories=["Cn", "Cs"]), max_size=12
        ),
        min_size=40,
        max_size=80,
    )
)
def test_texts_are_folded_as_python_folds_them(kit: Kit, texts: list[str]) -> None:
    """Any text of these scripts, marks in any order."""
    assert of_words(kit, texts, kit.engine.folded(WORD)) == [fold(each) for each in texts]


def test_a_hash_is_md5_of_utf_8(kit: Kit) -> None:
    """In lower-case hexadecimal digits, and it compares by code point."""
    words = ["", "a", "é", "☕", "\U0001f600"]
    digests = [hashlib.md5(each.encode()).hexdigest() for each in words]
    hashed = kit.engine.hash(WORD)
    assert of_words(kit, words, hashed) == digests
    assert of_words(kit, words, hashed < exp.Literal.string("6")) == [each < "6" for each in digests]


# ------------------------------------------------------------------------------------------------- numbers


def plain_exact(number: float) -> Decimal:
    """The decimal that a float is written as, rounded to the digits that its size allows."""
    size = abs(number)
    if size >= 2**42:
        return Decimal(math.trunc(number))
    digits = 9 if size < 2**22 else 6 if size < 2**32 else 3
    return Decimal(repr(number)).quantize(Decimal(10) ** -digits, ROUND_HALF_UP)


def test_money_is_summed_exactly(kit: Kit) -> None:
    """0.1 ten times is 1, in any order, and large amounts keep their cents."""
    total = exp.Sum(this=kit.engine.exact(AMOUNT))
    for amounts, expected in (
        ([0.1] * 10, "1"),
        ([1e17, 0.1, -1e17], "0.1"),
        ([98765432.17] * 3, "296296296.51"),
        ([1234567890123.25] * 4, "4938271560493"),
        ([0.1, 0.2], "0.3"),
        ([2.5, -2.5], "0"),
    ):
        equal = total.eq(exp.cast(exp.Literal.string(expected), "DECIMAL(38, 9)"))
        assert over_rows(kit, [{"amount": each} for each in amounts], equal) is True, amounts


@settings(max_examples=15)
@given(
    st.lists(
        st.one_of(
            st.decimals(-(10**6), 10**6, places=6).map(float),
            st.decimals(-(10**9), 10**9, places=3).map(float),
            st.decimals(-(10**12), 10**12, places=2).map(float),
            st.integers(-(2**53), 2**53).map(float),
            st.floats(-1, 1),
        ),
        min_size=40,
        max_size=80,
    )
)
def test_a_float_becomes_the_decimal_that_it_is_written_as(kit: Kit, numbers: list[float]) -> None:
    """To nine digits after the point, fewer for large ones, where a float has no more."""
    query = (
        exp.select(exp.cast(kit.engine.exact(AMOUNT), "TEXT").as_("answer")).from_("given").order_by("place")
    )
    rows = kit.select([{"amount": each} for each in numbers], query)
    assert [Decimal(row["answer"]) for row in rows] == [plain_exact(each) for each in numbers]


def test_a_count_times_a_number_is_exact(kit: Kit) -> None:
    """What an average is compared with, without dividing."""
    product = exp.Mul(this=kit.engine.exact(AMOUNT), expression=kit.engine.whole(exp.cast(WORD, "BIGINT")))
    given = [
        ("0.1", 3, "0.3"),
        ("1.000000001", 1000, "1000.000001"),
        ("12345678.25", 99999999, "1234567812654321.75"),
    ]
    for amount, count, expected in given:
        equal = product.eq(exp.cast(exp.Literal.string(expected), "DECIMAL(38, 9)"))
        query = exp.select(equal.as_("answer")).from_("given")
        assert kit.select([{"amount": float(amount), "word": str(count)}], query) == [{"answer": True}], (
            amount
        )


# ------------------------------------------------------------------------------------------------ instants


def test_an_instant_is_written_to_the_microsecond(kit: Kit) -> None:
    """In UTC, whatever zone it was given in."""
    given = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
    query = exp.select(kit.engine.instant(given).as_("answer")).from_("given")
    assert kit.select([{}], query) == [{"answer": datetime(2026, 3, 1, 12, 0, 0, 123456)}]


@pytest.mark.parametrize("seconds", [0, 1, -1, 86400, -604800, 315360000, 1800])
def test_an_instant_some_seconds_later(kit: Kit, seconds: int) -> None:
    """Days of change of clocks have 24 hours as well, and more arithmetic may follow."""
    moments = [
        datetime(2026, 3, 29, 0, 59, 59, 999999),
        datetime(2026, 10, 25, 0, 30),
        datetime(1969, 12, 31),
    ]
    later = kit.engine.later(AT, seconds)
    query = (
        exp.select(later.as_("once"))
        .select(kit.engine.later(later, -seconds).as_("twice"))
        .select((later > AT).as_("grows"))
        .from_("given")
        .order_by("place")
    )
    found = kit.select([{"at": each} for each in moments], query)
    assert found == [
        {"once": each + timedelta(seconds=seconds), "twice": each, "grows": seconds > 0} for each in moments
    ]


def test_microseconds_between_instants(kit: Kit) -> None:
    """Exactly, also over thousands of years."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [
        datetime(2026, 1, 1, 0, 0, 0, 1),
        datetime(2025, 12, 31, 23, 59, 59, 999999),
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        datetime(1000, 1, 1),
        datetime(2026, 7, 1),
    ]
    between = kit.engine.microseconds(AT, kit.engine.instant(start))
    query = exp.select(between.as_("answer")).from_("given").order_by("place")
    found = [row["answer"] for row in kit.select([{"at": each} for each in moments], query)]
    assert found == [(each.replace(tzinfo=UTC) - start) // timedelta(microseconds=1) for each in moments]


def test_the_local_date_of_an_instant(kit: Kit) -> None:
    """By the zone's own clock, summer time included."""
    cases = [
        ("Europe/Berlin", datetime(2026, 7, 1, 21, 59, 59), date(2026, 7, 1)),
        ("Europe/Berlin", datetime(2026, 7, 1, 22), date(2026, 7, 2)),
        ("Europe/Berlin", datetime(2026, 1, 1, 22, 30), date(2026, 1, 1)),
        ("America/New_York", datetime(2026, 3, 8, 4, 59), date(2026, 3, 7)),
        ("Asia/Kathmandu", datetime(2026, 1, 1, 18, 15), date(2026, 1, 2)),
        ("UTC", datetime(2026, 1, 1, 23, 59), date(2026, 1, 1)),
    ]
    for zone, moment, expected in cases:
        query = exp.select(kit.engine.local_date(AT, zone).as_("answer")).from_("given")
        assert kit.select([{"at": moment}], query) == [{"answer": expected}]


# ---------------------------------------------------------------------------------------------- aggregates


def test_an_aggregate_over_some_rows(kit: Kit) -> None:
    """Counts, sums, distinct counts and extremes, of rows that satisfy a condition."""
    rows = [
        {"amount": 1.0, "word": "a"},
        {"amount": 2.0, "word": "a"},
        {"amount": 4.0, "word": None},
        {"amount": None, "word": "b"},
    ]
    where = AMOUNT < 3
    distinct = exp.Count(this=exp.Distinct(expressions=[WORD.copy()]))
    for aggregate, some, all_ in (
        (exp.Count(this=exp.Star()), 2, 4),
        (exp.Sum(this=AMOUNT.copy()), 3, 7),
        (exp.Max(this=AMOUNT.copy()), 2, 4),
        (distinct, 1, 2),
    ):
        assert over_rows(kit, rows, kit.engine.filtered(aggregate.copy(), where)) == some
        assert over_rows(kit, rows, kit.engine.filtered(aggregate.copy(), None)) == all_
    assert over_rows(kit, [], kit.engine.filtered(exp.Count(this=exp.Star()), where)) == 0


def test_the_outermost_row_of_an_order(kit: Kit) -> None:
    """The value of the first or the last row, also when it is missing there; ties by the next expression."""
    early, late = datetime(2026, 1, 1), datetime(2026, 1, 2)
    rows = [
        {"at": early, "word": "b", "value": '"first b"', "amount": 1.0},
        {"at": early, "word": "B", "value": '"first B"', "amount": 1.0},
        {"at": late, "word": "a", "value": '"last a"', "amount": 1.0},
        {"at": late, "word": "z", "value": "null", "amount": None},
    ]
    order = [AT, kit.engine.ordered_text(WORD)]
    known = kit.engine.exists(VALUE)

    def outermost(where: exp.Expr | None, *, last: bool) -> Any:
        return over_rows(kit, rows, kit.engine.outermost(VALUE, order, where, last=last))

    assert json.loads(outermost(None, last=False)) == "first B"
    assert outermost(None, last=True) is None
    assert json.loads(outermost(known, last=True)) == "last a"
    assert json.loads(outermost(AMOUNT.eq(1), last=True)) == "last a"
    assert outermost(AMOUNT.eq(2), last=True) is None


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_a_quantile_is_interpolated(kit: Kit, share: float) -> None:
    """Between the two numbers next to it; missing numbers and other rows count for nothing."""
    numbers = [1.0, 2.0, 4.0, 8.0]
    rows = [{"amount": each, "word": "x"} for each in [8.0, 2.0, 1.0, 4.0]]
    rows += [{"amount": None, "word": "x"}, {"amount": 1000.0, "word": "y"}]
    place = share * (len(numbers) - 1)
    low, high = numbers[math.floor(place)], numbers[math.ceil(place)]
    found = over_rows(kit, rows, kit.engine.quantile(AMOUNT, share, WORD.eq("x")))
    assert found == pytest.approx(low + (high - low) * (place - math.floor(place)), rel=1e-15)
    assert over_rows(kit, rows, kit.engine.quantile(AMOUNT, share, WORD.eq("none"))) is None


def test_any_row_is_true(kit: Kit) -> None:
    """NULL is not true."""
    rows = [{"amount": 1.0}, {"amount": None}, {"amount": 3.0}]
    assert over_rows(kit, rows, kit.engine.any_true(AMOUNT > 2)) is True
    assert not over_rows(kit, rows, kit.engine.any_true(AMOUNT > 5))


def test_a_later_step_may_ask_again(kit: Kit) -> None:
    """What was collected, stored or picked is a stored value like any other."""
    engine = kit.engine
    rows = [{"value": '"b"', "word": "b"}, {"value": '"a"', "word": "a"}]
    gathered = exp.select(engine.collected(VALUE, [WORD]).as_("list")).from_("given").subquery("gathered")
    asked = engine.any_element(exp.column("list"), is_text("a")(engine), every=False)
    assert kit.select(rows, exp.select(asked.as_("answer")).from_(gathered)) == [{"answer": True}]
