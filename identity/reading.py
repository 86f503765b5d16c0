"""Reading files and streams of messages, record by record, with the place of each.

NDJSON, CSV (both also gzipped) and Parquet. Memory stays bounded whatever a line holds. What can't be read at
all raises; a record that can't be read is yielded as a refusal and the next one follows.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from identity.errors import ConfigurationError, InputError
from identity.events import MAX_BYTES, Refusal
from identity.mapping import Format, Mapped, apply_mapping

__all__ = ["MAX_LINE", "Record", "detect_format", "read_records"]

MAX_LINE = 1 << 20
"""Bytes; a longer line is refused without being held in memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_FORMAT_OF = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_PARQUET_ROWS = 8192
_BROKEN = re.compile("[\udc80-\udcff]")
"""What bytes that are no UTF-8 become while a CSV is taken apart."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        line: 1 for the first line of the file (the first row of a Parquet file).
        offset: bytes before the record in the unpacked file; None for Parquet.
        content: the message as a dict, or why it can't be read.
    """

    line: int
    offset: int | None
    content: Any | Refusal


def detect_format(path: Path, mapped: Mapped) -> Format:
    """Tell a file's format from the mapping or from its name.

    Args:
        path: the file; `-` is standard input, NDJSON unless the mapping says otherwise.
        mapped: the mapping in use.

    Raises:
        ConfigurationError: the name tells nothing.
    """
    if mapped.reading.format:
        return mapped.reading.format
    if str(path) == "-":
        return "ndjson"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    found = _FORMAT_OF.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise ConfigurationError(
            f"{path}: the name does not tell the format; use .ndjson, .jsonl, .csv or .parquet (also .gz), "
            'or a mapping with [reading] format = "…".'
        )
    return cast("Format", found)


def read_records(
    path: Path, mapped: Mapped, standard_input: BinaryIO, on_bytes: Callable[[int], None]
) -> Iterator[Record]:
    """Read every record of one file.

    Args:
        path: the file, or `-` for standard input.
        mapped: how rows become messages.
        standard_input: the binary stream that `-` stands for.
        on_bytes: is told how many bytes of the file on disk have been read so far.

    Yields:
        Every record in order.

    Raises:
        InputError: no such file, a directory, no permission, empty, or of another format than its name says.
        ConfigurationError: the format can't be told.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory; name its files, for example {path}/*.ndjson")
    kind = detect_format(path, mapped)
    if kind == "parquet":
        yield from _parquet(path, mapped, on_bytes)
        return
    with _opened(path, standard_input) as (stream, position):
        lines = _lines(stream)
        records = _ndjson(lines, mapped) if kind == "ndjson" else _csv(lines, path, mapped)
        empty = True
        for record in records:
            empty = False
            on_bytes(position())
            yield record
        on_bytes(position())
    if empty:
        raise InputError(f"{path} is empty: it holds no record.")


@contextmanager
def _opened(path: Path, standard_input: BinaryIO) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    if str(path) == "-":
        counted = 0
        yield standard_input, lambda: counted
        return
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from None
    with raw:
        start = raw.peek(4)[:4]
        if start == _PARQUET_MAGIC:
            raise InputError(f"{path} is a Parquet file under another name; rename it to .parquet.")
        packed = start[:2] == _GZIP_MAGIC
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
        yield stream, raw.tell


def _lines(stream: BinaryIO) -> Iterator[tuple[int, int, bytes | Refusal]]:
    number, offset = 0, 0
    while True:
        number += 1
        start = offset
        try:
            line = stream.readline(MAX_LINE + 1)
            offset += len(line)
            too_long = len(line) > MAX_LINE and not line.endswith(b"\n")
            while too_long and line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
                offset += len(line)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield (
                number,
                start,
                Refusal("truncated", "The gzip stream ends or breaks here; the rest is lost."),
            )
            return
        if too_long:
            yield number, start, Refusal("line_too_long", f"The line is longer than {MAX_LINE} bytes.")
        elif not line:
            return
        else:
            yield number, start, line


def _ndjson(lines: Iterator[tuple[int, int, bytes | Refusal]], mapped: Mapped) -> Iterator[Record]:
    inside = mapped.reading.records.split(".") if mapped.reading.records else []
    for number, offset, line in lines:
        if isinstance(line, Refusal):
            yield Record(number, offset, line)
            continue
        text = line.strip(b"\xef\xbb\xbf \t\r\n") if number == 1 else line.strip()
        if not text:
            continue
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield Record(number, offset, _why_broken(text))
            continue
        for key in inside:
            content = content.get(key) if isinstance(content, dict) else None
        batch = _batch(content)
        if batch is None:
            if not inside and len(text) > MAX_BYTES:
                content = Refusal("too_large", f"The message is larger than {MAX_BYTES} bytes.")
            yield Record(number, offset, _mapped(mapped, content))
            continue
        for message in batch:
            if len(orjson.dumps(message)) > MAX_BYTES:
                yield Record(number, offset, Refusal("too_large", f"Larger than {MAX_BYTES} bytes."))
            else:
                yield Record(number, offset, _mapped(mapped, message))


def _mapped(mapped: Mapped, content: Any) -> Any:
    if isinstance(content, Refusal) or not mapped.message:
        return content
    if not isinstance(content, dict):
        return Refusal("not_an_object", "A record is a JSON object.")
    return apply_mapping(mapped, content)


def _batch(content: Any) -> list[Any] | None:
    """Take apart the body of a batch request; its one `sentAt` holds for all of its messages."""
    if not isinstance(content, dict) or not isinstance(content.get("batch"), list) or "type" in content:
        return None
    shared = {key: content[key] for key in ("sentAt", "receivedAt") if content.get(key) is not None}
    return [{**shared, **message} if isinstance(message, dict) else message for message in content["batch"]]


def _why_broken(text: bytes) -> Refusal:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refusal("invalid_utf8", f"Byte {error.start} of the line is not valid UTF-8.")
    return Refusal("broken_json", "The line is not valid JSON.")


def _csv(lines: Iterator[tuple[int, int, bytes | Refusal]], path: Path, mapped: Mapped) -> Iterator[Record]:
    reading = mapped.reading
    delimiter = reading.delimiter or ("\t" if ".tsv" in path.suffixes else ",")
    waiting: deque[tuple[int, int, bytes | Refusal]] = deque()
    taken: list[tuple[int, int, bytes | Refusal]] = []

    def source() -> Iterator[str]:
        while True:
            entry = waiting.popleft() if waiting else next(lines, None)
            if entry is None:
                return
            taken.append(entry)
            line = entry[2]
            # a lone surrogate marks what is no UTF-8, so that the reader still sees a line
            yield "\udcff\n" if isinstance(line, Refusal) else line.decode("utf-8", "surrogateescape")

    def reader() -> Iterator[list[str]]:
        return csv.reader(source(), delimiter=delimiter, skipinitialspace=delimiter == " ", strict=True)

    for _ in range(reading.skip_lines):
        next(lines, None)
    header = list(reading.header)
    rows = reader()
    while True:
        taken.clear()
        refusal: Refusal | None = None
        row: list[str] = []
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            refusal = Refusal("broken_csv", f"The line is not valid CSV: {error}.")
        if not taken:
            return
        number, offset, first = taken[0]
        if not row and refusal is None:
            continue
        if not header and refusal is None:
            header = [name.strip().removeprefix("\ufeff") for name in row]
            if _BROKEN.search("".join(header)):
                raise InputError(f"{path}: the header is not valid UTF-8 text; is it a CSV file?")
            continue
        if isinstance(first, Refusal):
            refusal = first
        elif refusal is None:
            if delimiter == " " and row and row[-1] == "":
                row.pop()
            if len(row) != len(header):
                refusal = Refusal("wrong_cells", f"The row has {len(row)} cells, the header {len(header)}.")
            elif _BROKEN.search("".join(row)):
                refusal = Refusal("invalid_utf8", "A cell is not valid UTF-8.")
        if refusal is not None:
            # a stray quote may have swallowed good lines: give them back
            waiting.extendleft(reversed(taken[1:]))
            rows = reader()
            yield Record(number, offset, refusal)
            continue
        yield Record(number, offset, apply_mapping(mapped, dict(zip(header, row, strict=True))))


def _parquet(path: Path, mapped: Mapped, on_bytes: Callable[[int], None]) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            total, done = max(file.metadata.num_rows, 1), 0
            if not file.metadata.num_rows:
                raise InputError(f"{path} is empty: it holds no record.")
            size = path.stat().st_size
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for row in batch.to_pylist():
                    done += 1
                    yield Record(done, None, apply_mapping(mapped, row))
                on_bytes(size * done // total)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except PermissionError:
        raise InputError(f"{path} can't be read: Permission denied.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no readable Parquet file ({type(error).__name__}).") from None
