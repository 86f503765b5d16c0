"""A mapping: a small TOML file that tells how a table's columns become message fields.

```toml
[reading]                      # only what differs from the file's own form
format = "csv"                 # ndjson, csv or parquet
delimiter = " "                # runs of spaces count as one
header = ["customer_id", "date", "cds", "dollars"]
skip_lines = 1
records = "body"               # ndjson: where in each line the message stands

[message]
type = { value = "track" }
event = { value = "Order Completed" }
userId = "customer_id"
timestamp = { column = "date", format = "%Y%m%d" }
"properties.revenue" = { column = "dollars", as = "number" }
```
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import orjson

from identity.errors import ConfigurationError, did_you_mean
from identity.events import Refusal

__all__ = ["Field", "Format", "Mapped", "Reading", "apply_mapping", "load_mapping", "nested"]

Format = Literal["ndjson", "csv", "parquet"]
_FORMATS = ("ndjson", "csv", "parquet")
_TYPES = ("text", "number", "integer", "boolean", "json")
_TARGETS = (
    *("type", "event", "name", "category", "userId", "anonymousId", "previousId", "groupId", "messageId"),
    *("timestamp", "originalTimestamp", "sentAt", "receivedAt"),
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_BAGS = ("properties", "traits", "context")


@dataclass(frozen=True, slots=True)
class Field:
    """Where one message field comes from.

    Attributes:
        column: the column to read, or None for a fixed value.
        value: the fixed value.
        kind: text, number, integer, boolean or json; None keeps what the file holds.
        format: of a date and time, as `datetime.strptime` reads it; None for ISO 8601.
    """

    column: str | None = None
    value: Any = None
    kind: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read when its own form does not tell.

    Attributes:
        format: ndjson, csv or parquet; None goes by the file's name.
        delimiter: between the cells of a CSV.
        header: column names of a CSV that has none.
        skip_lines: lines to leave out at the start of a CSV.
        records: dotted path to the message inside each NDJSON line.
    """

    format: Format | None = None
    delimiter: str | None = None
    header: tuple[str, ...] = ()
    skip_lines: int = 0
    records: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A whole mapping: how to read, and which field comes from where (empty: the rows are messages)."""

    reading: Reading = field(default_factory=Reading)
    message: Mapping[str, Field] = field(default_factory=dict)


def load_mapping(path: str | PathLike[str]) -> Mapped:
    """Read a mapping file.

    Args:
        path: a TOML file.

    Raises:
        ConfigurationError: it is missing, no TOML, or names something unknown.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The mapping {fspath(path)!r} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The mapping {fspath(path)!r} is no TOML: {error}.") from None
    place = f"mapping {fspath(path)!r}"
    _only(place, content, ("reading", "message"))
    reading = content.get("reading", {})
    _only(f"{place}, [reading]", reading, ("format", "delimiter", "header", "skip_lines", "records"))
    if reading.get("format", "csv") not in _FORMATS:
        raise ConfigurationError(f"{place}, [reading]: format is one of {', '.join(_FORMATS)}.")
    if len(reading.get("delimiter", ",")) != 1:
        raise ConfigurationError(f"{place}, [reading]: delimiter is one character.")
    message = {}
    for target, source in content.get("message", {}).items():
        head, _, rest = target.partition(".")
        if target not in _TARGETS and not (head in _BAGS and (rest or target == head)):
            raise ConfigurationError(
                f"{place}, [message]: no message field {target!r}; fields are {', '.join(_TARGETS)}, and "
                f"{', '.join(f'{bag}.…' for bag in _BAGS)} (quoted).{did_you_mean(target, _TARGETS)}"
            )
        message[target] = _field(f"{place}, [message] {target}", source)
    return Mapped(Reading(**{**reading, "header": tuple(reading.get("header", ()))}), message)


def _field(place: str, source: Any) -> Field:
    if isinstance(source, str):
        return Field(column=source)
    if not isinstance(source, dict):
        raise ConfigurationError(f"{place}: give a column's name, or {{ column = … }} or {{ value = … }}.")
    _only(place, source, ("column", "value", "as", "format"))
    if ("column" in source) == ("value" in source):
        raise ConfigurationError(f"{place}: give either column or value.")
    if source.get("as", "text") not in _TYPES:
        raise ConfigurationError(f"{place}: `as` is one of {', '.join(_TYPES)}.")
    return Field(source.get("column"), source.get("value"), source.get("as"), source.get("format"))


def _only(place: str, content: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in content:
        if name not in known:
            raise ConfigurationError(
                f"{place}: no setting {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )


def apply_mapping(mapped: Mapped, row: Mapping[str, Any]) -> dict[str, Any] | Refusal:
    """Make a message of one row.

    Args:
        mapped: the mapping; without fields, the row's dotted column names are the message fields.
        row: column name → value; empty texts count as absent.

    Returns:
        The message, or why the row can't be read.
    """
    if not mapped.message:
        return nested(row)
    flat: dict[str, Any] = {}
    for target, source in mapped.message.items():
        if source.column is None:
            flat[target] = source.value
            continue
        if source.column not in row:
            return Refusal("missing_column", f"The mapping reads column {source.column!r}; the row has none.")
        value = row[source.column]
        if value is None or value == "":
            continue
        try:
            flat[target] = _converted(value, source)
        except (ValueError, TypeError, KeyError):
            kind = source.kind or f"a date like {source.format}"
            return Refusal("wrong_type", f"Column {source.column!r} does not hold {kind}.")
    return nested(flat)


def _converted(value: Any, source: Field) -> Any:
    if source.format is not None:
        return _instant(str(value).strip(), source.format)
    match source.kind:
        case None:
            return value
        case "text":
            return str(value)
        case "integer":
            return int(value)
        case "number":
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        case "boolean":
            return _BOOLEANS[str(value).strip().lower()]
        case _:
            return orjson.loads(value)


@lru_cache(maxsize=65_536)
def _instant(text: str, form: str) -> datetime:
    when = datetime.strptime(text, form)  # noqa: DTZ007
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def nested(flat: Mapping[str, Any]) -> dict[str, Any] | Refusal:
    """Turn dotted column names into nested objects; a cell of a whole `properties` column is JSON.

    Args:
        flat: column name → value; None and empty texts are left out.

    Returns:
        The message, or why it can't be built.
    """
    message: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None or value == "":
            continue
        head, _, rest = name.partition(".")
        if name in _BAGS and isinstance(value, str):
            try:
                message[name] = orjson.loads(value)
            except orjson.JSONDecodeError:
                return Refusal("broken_json", f"Column {name!r} does not hold JSON.")
            continue
        if not rest or head not in _BAGS:
            message[name] = value
            continue
        inner = message
        *outer, last = name.split(".")
        for key in outer:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                return Refusal("wrong_type", f"Column {name!r} collides with another column.")
        inner[last] = value.isoformat() if isinstance(value, (date, datetime)) else value
    return message
