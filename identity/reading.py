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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import DEFAULT_BUFFER_SIZE, BufferedIOBase
from itertools import accumulate, count, islice
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from identity.errors import ConfigurationError, InputError
from identity.events import MAX_BYTES, Refusal
from identity.mapping import Format, Mapped, apply_mapping, nested

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_LINE", "Block", "Record", "detect_format", "messages_of", "read_blocks", "read_records"]

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
_LINES = 2048
"""Records taken together: what they hold should stay in the processor's cache."""

_CHUNK = 1 << 19
_PARQUET_ROWS = 32_768
_BROKEN = re.compile("[\udc80-\udcff]")
"""What bytes that are no UTF-8 become while a CSV is taken apart."""


_Place = tuple[int, int, Any | Refusal]
"""Line, offset, content."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records of a file.

    Attributes:
        lines: of each, 1 for the first line of the file (the first row of a Parquet file).
        offsets: of each, bytes before the record in the unpacked file; None for Parquet.
        contents: of each, the message as a dict, or why it can't be read; empty when there are `rows`.
        position: bytes of the file on disk that have been read.
        rows: of a Parquet file that needs no mapping, as the file has them.
    """

    lines: Sequence[int]
    offsets: Sequence[int | None]
    contents: Sequence[Any]
    position: int
    rows: pa.RecordBatch | None


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
    for block in read_blocks(path, mapped, standard_input):
        on_bytes(block.position)
        contents = block.contents if block.rows is None else messages_of(block.rows)
        for place in zip(block.lines, block.offsets, contents, strict=True):
            yield Record(*place)


def read_blocks(path: Path, mapped: Mapped, standard_input: BinaryIO) -> Iterator[Block]:
    """Read the records of one file, many at a time.

    Args:
        path: the file, or `-` for standard input.
        mapped: how rows become messages.
        standard_input: the binary stream that `-` stands for.

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
        yield from _parquet(path, mapped)
        return
    with _opened(path, standard_input) as (stream, position):
        blocks = (
            _ndjson(stream, mapped, position) if kind == "ndjson" else _csv(stream, path, mapped, position)
        )
        empty = True
        for block in blocks:
            empty = False
            yield block
    if empty:
        raise InputError(f"{path} is empty: it holds no record.")


def messages_of(rows: pa.RecordBatch | pa.Table) -> list[Any]:
    """The messages that rows of a Parquet file hold, column by column under the names of message fields.

    Args:
        rows: as the file has them.

    Returns:
        A message each, or why it can't be read.
    """
    return [row if isinstance(row, Refusal) else nested(row) for row in _row_dicts(rows)]


def _row_dicts(rows: pa.RecordBatch | pa.Table) -> list[dict[str, Any] | Refusal]:
    try:
        found: list[dict[str, Any] | Refusal] = rows.to_pylist(maps_as_pydicts="strict")
    except (KeyError, UnicodeDecodeError) as error:
        if rows.num_rows > 1:
            return [row for nth in range(rows.num_rows) for row in _row_dicts(rows.slice(nth, 1))]
        if isinstance(error, KeyError):
            return [Refusal("wrong_type", "A map holds one key twice.")]
        return [Refusal("invalid_utf8", "A text of the row is not valid UTF-8.")]
    return found


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


def _chunks(stream: BinaryIO) -> Iterator[bytes | Refusal]:
    """Read a stream; a packed one in the pieces that it is unpacked in: none is lost where it breaks."""
    read = cast("BufferedIOBase", stream).read1
    size = DEFAULT_BUFFER_SIZE if isinstance(stream, gzip.GzipFile) else _CHUNK
    pieces: list[bytes] = []
    held = 0
    broken = False
    try:
        while piece := read(size):
            pieces.append(piece)
            held += len(piece)
            if held >= _CHUNK:
                yield b"".join(pieces)
                pieces, held = [], 0
    except (EOFError, gzip.BadGzipFile, zlib.error):
        broken = True
    yield b"".join(pieces)
    if broken:
        yield Refusal("truncated", "The gzip stream ends or breaks here; the rest is lost.")


def _line_blocks(stream: BinaryIO) -> Iterator[tuple[int, int, list[bytes] | Refusal]]:
    """Yield lines without their ends, many at a time, with the number and the offset of the first."""
    too_long = Refusal("line_too_long", f"The line is longer than {MAX_LINE} bytes.")
    number, offset, skipped = 1, 0, 0
    rest = b""
    for chunk in _chunks(stream):
        if isinstance(chunk, Refusal):
            yield number, offset, chunk
            return
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if skipped and lines:
            yield number, offset, too_long
            number, offset, skipped = number + 1, offset + skipped + len(lines.pop(0)) + 1, 0
        whole = max(map(len, lines), default=0) <= MAX_LINE
        for some in [lines] if whole else [[line] for line in lines]:
            if some:
                yield number, offset, some if whole or len(some[0]) <= MAX_LINE else too_long
                number, offset = number + len(some), offset + sum(map(len, some)) + len(some)
        if skipped or len(rest) > MAX_LINE:
            skipped += len(rest)
            rest = b""
    if skipped:
        yield number, offset, too_long
    elif rest:
        yield number, offset, [rest]


def _lines(stream: BinaryIO) -> Iterator[tuple[int, int, bytes | Refusal]]:
    for number, offset, lines in _line_blocks(stream):
        if isinstance(lines, Refusal):
            yield number, offset, lines
            continue
        start = offset
        for nth, line in enumerate(lines):
            yield number + nth, start, line + b"\n"
            start += len(line) + 1


def _ndjson(stream: BinaryIO, mapped: Mapped, position: Callable[[], int]) -> Iterator[Block]:
    plain = not mapped.message and not mapped.reading.records
    for first, offset, lines in _line_blocks(stream):
        if isinstance(lines, Refusal):
            yield Block([first], [offset], [lines], position(), None)
            continue
        # each line ends one byte further than its length says
        starts = list(map(add, accumulate(map(len, lines), initial=0), count(offset)))
        for start in range(0, len(lines), _LINES):
            some = lines[start : start + _LINES]
            numbers = range(first + start, first + start + len(some))
            offsets = starts[start : start + len(some)]
            messages = _messages(some) if plain else None
            if messages is not None:
                yield Block(numbers, offsets, messages, position(), None)
            elif places := list(_one_by_one(zip(numbers, offsets, some, strict=True), mapped)):
                yield _block(places, position())


def _messages(lines: list[bytes]) -> list[Any] | None:
    """What the lines hold, when each of them holds one message."""
    if max(map(len, lines)) > MAX_BYTES:
        return None
    try:
        contents = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return None
    if any(content.__class__ is dict and "batch" in content for content in contents):
        return None
    return contents


def _one_by_one(lines: Iterable[tuple[int, int, bytes]], mapped: Mapped) -> Iterator[_Place]:
    inside = mapped.reading.records.split(".") if mapped.reading.records else []
    for number, offset, line in lines:
        text = line.strip(b"\xef\xbb\xbf \t\r\n") if number == 1 else line.strip()
        if not text:
            continue
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield number, offset, _why_broken(text)
            continue
        for key in inside:
            content = content.get(key) if isinstance(content, dict) else None
        batch = _batch(content)
        if batch is None:
            if not inside and len(text) > MAX_BYTES:
                content = Refusal("too_large", f"The message is larger than {MAX_BYTES} bytes.")
            yield number, offset, _mapped(mapped, content)
            continue
        for message in batch:
            if len(orjson.dumps(message)) > MAX_BYTES:
                yield number, offset, Refusal("too_large", f"Larger than {MAX_BYTES} bytes.")
            else:
                yield number, offset, _mapped(mapped, message)


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


def _csv(stream: BinaryIO, path: Path, mapped: Mapped, position: Callable[[], int]) -> Iterator[Block]:
    rows = _csv_rows(_lines(stream), path, mapped)
    while places := list(islice(rows, _LINES)):
        yield _block(places, position())


def _block(places: Sequence[_Place], position: int) -> Block:
    numbers, offsets, contents = zip(*places, strict=True)
    return Block(numbers, offsets, contents, position, None)


def _csv_rows(
    lines: Iterator[tuple[int, int, bytes | Refusal]], path: Path, mapped: Mapped
) -> Iterator[_Place]:
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
            yield number, offset, refusal
            continue
        yield number, offset, apply_mapping(mapped, dict(zip(header, row, strict=True)))


def _parquet(path: Path, mapped: Mapped) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            total, done = file.metadata.num_rows, 0
            if not total:
                raise InputError(f"{path} is empty: it holds no record.")
            size = path.stat().st_size
            for rows in file.iter_batches(batch_size=_PARQUET_ROWS):
                lines = range(done + 1, done + rows.num_rows + 1)
                done += rows.num_rows
                offsets, position = [None] * rows.num_rows, size * done // total
                if mapped.message:
                    contents = [
                        row if isinstance(row, Refusal) else apply_mapping(mapped, row)
                        for row in _row_dicts(rows)
                    ]
                    yield Block(lines, offsets, contents, position, None)
                else:
                    yield Block(lines, offsets, [], position, rows)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except PermissionError:
        raise InputError(f"{path} can't be read: Permission denied.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no readable Parquet file ({type(error).__name__}).") from None
