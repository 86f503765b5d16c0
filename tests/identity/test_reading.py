"""Reading files: every good record of a bad file, the place of every bad one, clear errors for the rest."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from identity.errors import ConfigurationError, InputError
from identity.events import Refusal
from identity.mapping import Mapped, Reading, load_mapping
from identity.reading import MAX_LINE, Record, read_records

GOOD = {"type": "track", "event": "A", "userId": "u"}


def read(path: Path, mapped: Mapped | None = None, stdin: bytes = b"") -> list[Record]:
    return list(read_records(path, mapped or Mapped(), io.BytesIO(stdin), lambda _: None))


def codes(records: list[Record]) -> list[str]:
    return [record.content.code if isinstance(record.content, Refusal) else "good" for record in records]


def written(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def lines(*rows: object) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def test_one_bad_line_loses_only_itself(tmp_path: Path) -> None:
    """Each refusal has its line and its byte offset."""
    path = written(
        tmp_path,
        "e.ndjson",
        lines(GOOD, b"{broken\n", GOOD, b"\xff\xfe{}\n", b"\n", GOOD, b'{"a": NaN}\n', b"[1]\n", b"{}"),
    )
    records = read(path)
    assert codes(records) == [
        "good", "broken_json", "good", "invalid_utf8", "good", "broken_json", "good", "good",
    ]  # fmt: skip
    content = path.read_bytes()
    for record in records:
        assert record.offset is not None
        assert content[: record.offset].count(b"\n") == record.line - 1
    assert "fe" not in str(records[3].content)


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    """Files come from everywhere."""
    content = b"\xef\xbb\xbf" + lines(GOOD, GOOD).replace(b"\n", b"\r\n")
    assert codes(read(written(tmp_path, "e.jsonl", content))) == ["good", "good"]


def test_a_line_of_64_mb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    """And the next line is read."""
    path = tmp_path / "e.ndjson"
    with path.open("wb") as file:
        file.write(lines(GOOD))
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + lines(GOOD))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert codes(read(path)) == ["good", "line_too_long", "good"]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 * 1024
    assert MAX_LINE < 64 << 20


def test_a_message_over_32_kb_is_refused(tmp_path: Path) -> None:
    """As Segment's own API does."""
    path = written(tmp_path, "e.ndjson", lines({**GOOD, "properties": {"x": "y" * 33_000}}, GOOD))
    assert codes(read(path)) == ["too_large", "good"]


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_deep_json_is_refused(tmp_path: Path, depth: int) -> None:
    """No recursion error ends the run."""
    assert codes(read(written(tmp_path, "e.ndjson", b"[" * depth + b"\n" + lines(GOOD)))) == [
        "broken_json",
        "good",
    ]


def test_a_packed_file_is_recognised_by_its_content(tmp_path: Path) -> None:
    """Whatever its name says, also with several members."""
    packed = gzip.compress(lines(GOOD)) + gzip.compress(lines(GOOD))
    assert codes(read(written(tmp_path, "e.ndjson.gz", packed))) == ["good", "good"]
    assert codes(read(written(tmp_path, "e.ndjson", packed))) == ["good", "good"]


def test_a_truncated_packed_file_gives_what_it_holds_and_says_where_it_broke(tmp_path: Path) -> None:
    """The lines before the break are kept."""
    many = b"".join(lines({**GOOD, "messageId": os.urandom(16).hex()}) for _ in range(5_000))
    found = codes(read(written(tmp_path, "e.ndjson.gz", gzip.compress(many)[:-9_000])))
    assert found[-1] == "truncated"
    assert found.count("good") > 1_000


def test_standard_input_is_read_as_lines() -> None:
    """`-` stands for it."""
    assert codes(read(Path("-"), stdin=lines(GOOD, GOOD))) == ["good", "good"]


def test_a_batch_request_is_taken_apart(tmp_path: Path) -> None:
    """Its one sentAt holds for every message in it."""
    body = {"batch": [GOOD, {**GOOD, "sentAt": "2020-01-01T00:00:00Z"}, 5], "sentAt": "2024-01-01T00:00:00Z"}
    records = read(written(tmp_path, "e.ndjson", lines(body)))
    assert [record.content["sentAt"] for record in records[:2]] == [
        "2024-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z",
    ]
    assert records[2].content == 5


def test_columns_with_dots_become_objects(tmp_path: Path) -> None:
    """A CSV of messages needs no mapping; empty cells are absent; `properties` may hold JSON."""
    path = written(
        tmp_path,
        "e.csv",
        b'type,event,userId,timestamp,properties.cart.value,traits\ntrack,A,u1,2024-01-01,"5,5",\n'
        b'identify,,u2,,,"{""plan"": ""free""}"\n',
    )
    assert [record.content for record in read(path)] == [
        {
            "type": "track",
            "event": "A",
            "userId": "u1",
            "timestamp": "2024-01-01",
            "properties": {"cart": {"value": "5,5"}},
        },
        {"type": "identify", "userId": "u2", "traits": {"plan": "free"}},
    ]


def test_a_stray_quote_does_not_swallow_the_lines_after_it(tmp_path: Path) -> None:
    """The broken line is refused, the swallowed ones are read again."""
    path = written(
        tmp_path, "e.csv", b'type,event,userId\ntrack,"A,u1\ntrack,A,u2\ntrack,A\ntrack,A,\xff\ntrack,A,u5\n'
    )
    records = read(path)
    assert [(record.line, code) for record, code in zip(records, codes(records), strict=True)] == [
        (2, "broken_csv"), (3, "good"), (4, "wrong_cells"), (5, "invalid_utf8"), (6, "good"),
    ]  # fmt: skip


def test_a_quoted_line_break_is_part_of_its_cell(tmp_path: Path) -> None:
    """The next record has the right line and offset."""
    path = written(tmp_path, "e.csv", b'type,event,userId\ntrack,"A\nB",u1\ntrack,C,u2\n')
    first, second = read(path)
    assert (first.content["event"], second.line, second.offset) == ("A\nB", 4, 33)


def test_parquet_rows_are_messages(tmp_path: Path) -> None:
    """Nested columns stay nested; instants keep their meaning."""
    path = tmp_path / "e.parquet"
    pq.write_table(
        pa.Table.from_pylist([{**GOOD, "properties": {"v": 1.5}}, {**GOOD, "properties": None}]), path
    )
    assert [record.content.get("properties") for record in read(path)] == [{"v": 1.5}, None]


def test_a_mapping_makes_messages_of_any_table(tmp_path: Path) -> None:
    """Constants, renamed columns, types, date formats; a cell of the wrong type refuses its row only."""
    mapping = written(
        tmp_path,
        "map.toml",
        b'[reading]\nformat = "csv"\ndelimiter = " "\nheader = ["who", "day", "paid"]\n[message]\n'
        b'type = { value = "track" }\nevent = { value = "Paid" }\nuserId = "who"\n'
        b'timestamp = { column = "day", format = "%Y%m%d" }\n'
        b'"properties.amount" = { column = "paid", as = "number" }\n',
    )
    records = read(
        written(tmp_path, "t.txt", b" 001  19970101   11.77\n 002 1997 5\n"), load_mapping(mapping)
    )
    assert codes(records) == ["good", "wrong_type"]
    assert records[0].content["properties"] == {"amount": 11.77}
    assert records[0].content["userId"] == "001"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[reading]\nformt = 1", "Did you mean 'format'"),
        ("[reading]\nformat = 'xml'", "format is one of"),
        ("[message]\nuserid = 'a'", "Did you mean 'userId'"),
        ("[message]\nuserId = 3", "column's name"),
        ("[message]\nuserId = {column='a', value='b'}", "either column or value"),
        ("[message]\nuserId = {column='a', as='int'}", "is one of text"),
        ("nonsense", "no TOML"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    """With the name that was probably meant."""
    path = written(tmp_path, "m.toml", text.encode())
    with pytest.raises(ConfigurationError, match=says):
        load_mapping(path)


@pytest.mark.parametrize("name", ["none.ndjson", "none.parquet"])
def test_a_missing_file_is_an_error(tmp_path: Path, name: str) -> None:
    """Named, with what is wrong."""
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["d.ndjson", "d.parquet"])
def test_a_directory_is_an_error_with_the_way_out(tmp_path: Path, name: str) -> None:
    """Name the files instead."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="is a directory; name its files"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("e.ndjson", b"", "is empty"),
        ("e.csv", b"", "is empty"),
        ("e.csv", b"type,userId\n", "is empty"),
        ("e.parquet", b"", "no readable Parquet"),
        ("e.parquet", b'{"type": "track"}\n', "no readable Parquet"),
        ("e.ndjson", b"PAR1xxxx", "Parquet file under another name"),
        ("e.csv", b"\x80\x81\x82,\xff\n1,2\n", "header is not valid UTF-8"),
    ],
)
def test_a_file_of_the_wrong_kind_is_an_error(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InputError, match=says):
        read(written(tmp_path, name, content))


def test_a_name_that_tells_no_format_is_an_error(tmp_path: Path) -> None:
    """A mapping can tell it."""
    path = written(tmp_path, "events.log", lines(GOOD))
    with pytest.raises(ConfigurationError, match=r"\[reading\] format"):
        read(path)
    assert codes(read(path, Mapped(Reading(format="ndjson")))) == ["good"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_an_error(tmp_path: Path) -> None:
    """Named, with what is wrong."""
    path = written(tmp_path, "e.ndjson", lines(GOOD))
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read(path)
