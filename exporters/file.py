"""Hashed rows in files: for a platform that takes a file, or to see what would be sent.

Each audience has a folder under its opaque alias, with the members as the last confirmed batch left them and
a manifest beside them. Both are replaced as a whole, so a reader never sees half a file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from exporters.destination import Channel, Clock, Limits, Receipt
from exporters.errors import ExportError
from exporters.match import checked_match, checked_purpose
from identity.errors import ConfigurationError
from identity.privacy.hashing import HashedIdentifier

__all__ = ["HashedFile", "hashed_file"]

_FORMATS = ("parquet", "csv")
_COLUMNS = ("kind", "recipe", "sha256")
_NOTICE = "Hashed identifiers are personal data: whoever can guess an address can recognise it here."

_Row = tuple[str, str, str]


def hashed_file(
    folder: str | Path, *, match: Sequence[str], purpose: str, format: Literal["parquet", "csv"] = "parquet"
) -> HashedFile:
    """Keep an audience as a file of hashed identifiers.

    Args:
        folder: where; a relative one starts at the project's folder.
        match: match keys: `email`, `phone`.
        purpose: what people must have consented to.
        format: `parquet` or `csv`.

    Raises:
        ConfigurationError: anything that can't be meant.
    """
    place = "file.hashed_file(…)"
    if format not in _FORMATS:
        raise ConfigurationError(f"{place}: format= is one of {', '.join(_FORMATS)}.")
    return HashedFile(
        Path(folder), checked_match(place, "file", match), checked_purpose(place, purpose), format
    )


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A folder of hashed audiences; made by `hashed_file`.

    Attributes:
        folder: as the project wrote it; the ledger knows the destination by it.
        match: match keys.
        purpose: what people must have consented to.
        format: of the members file.
        base: the folder that a relative one starts at.
    """

    folder: Path
    match: tuple[str, ...]
    purpose: str
    format: Literal["parquet", "csv"]
    base: Path | None = None

    @property
    def name(self) -> str:
        """The key under which the ledger keeps what this folder holds."""
        return f"file:{self.folder.as_posix()}:{self.format}"

    @property
    def platform(self) -> str:
        """Prefix of the hashing recipes."""
        return "file"

    @property
    def limits(self) -> Limits:
        """A million rows at once: each batch writes the file anew."""
        return Limits(batch_rows=1_000_000)

    def located(self, base: Path) -> HashedFile:
        """The same destination, with relative folders starting at `base`.

        Args:
            base: the project's folder.
        """
        return replace(self, base=base)

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Channel]:  # noqa: ARG002 - a file needs no clock
        """Open a channel; makes the folder.

        Args:
            clock: unused.

        Raises:
            ExportError: the folder can't be made.
        """
        place = (self.base or Path()) / self.folder
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ExportError(f"The folder {place} can't be made: {error.strerror}.") from None
        yield _FileChannel(self, place)


class _FileChannel:
    def __init__(self, destination: HashedFile, place: Path) -> None:
        self._destination = destination
        self._place = place

    def create_audience(self, alias: str) -> str:
        (self._place / alias).mkdir(exist_ok=True, mode=0o700)
        return alias

    def add(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._change(remote_id, keys, lambda held, rows: held | rows)

    def remove(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        return self._change(remote_id, keys, lambda held, rows: held - rows)

    def _change(
        self,
        remote_id: str,
        keys: Sequence[HashedIdentifier],
        change: Callable[[frozenset[_Row], frozenset[_Row]], frozenset[_Row]],
    ) -> Receipt:
        members = self._place / remote_id / f"members.{self._destination.format}"
        try:
            held = self._held(members)
            rows = sorted(change(held, frozenset((key.kind, key.recipe, key.digest) for key in keys)))
            content = _parquet(rows) if self._destination.format == "parquet" else _csv(rows)
            members.parent.mkdir(exist_ok=True, mode=0o700)
            _replace(members, content)
            _replace(members.with_name("manifest.json"), self._manifest(rows, content))
        except (OSError, ValueError) as error:
            raise ExportError(f"{members} can't be brought up to date ({type(error).__name__}).") from None
        return Receipt(sent=len(keys))

    def _held(self, members: Path) -> frozenset[_Row]:
        if members.exists():
            return frozenset(_read(members))
        if members.with_name("manifest.json").exists():
            raise ExportError(
                f"{members} is missing, though its manifest is there: put it back. (Started anew, it would "
                "lack everybody whom the ledger says it holds.)"
            )
        return frozenset()

    def _manifest(self, rows: Sequence[_Row], content: bytes) -> bytes:
        return json.dumps(
            {
                "format": 1,
                "file": f"members.{self._destination.format}",
                "sha256": hashlib.sha256(content).hexdigest(),
                "rows": len(rows),
                "rows_by_recipe": dict(sorted(Counter(recipe for _, recipe, _ in rows).items())),
                "purpose": self._destination.purpose,
                "notice": _NOTICE,
            },
            indent=2,
        ).encode()


def _read(path: Path) -> list[_Row]:
    if path.suffix == ".csv":
        with path.open(encoding="ascii", newline="") as file:
            header, *rows = csv.reader(file)
        if tuple(header) != _COLUMNS:
            raise ValueError("header")
        return [(row[0], row[1], row[2]) for row in rows]
    import pyarrow.parquet as pq

    table = pq.read_table(path, partitioning=None)
    return list(zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True))


def _csv(rows: Sequence[_Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode("ascii")


def _parquet(rows: Sequence[_Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    table = pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(_COLUMNS, columns, strict=True)}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    if os.name == "posix":
        # the new name must survive a power cut as well: the ledger is about to say that it is there
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
