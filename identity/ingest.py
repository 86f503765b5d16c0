"""The first gate: read, check, seal, append; a message id counts once for ever.

Personal values leave the message here: each becomes a token in place and a sealed value in its own table,
and nothing else of it is kept. Consent that events carry is written to the ledger before the events
themselves, so that a crash in between can't lose a refusal; writing it again changes nothing.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa

from identity.batches import Prepared, Refused, Stores, keep_batch
from identity.bulk import make_rows
from identity.columnar import columnar_rows
from identity.columns import Rows, json_texts
from identity.events import Event, Refusal, content_id, parse_event
from identity.identifiers import IdentityRules
from identity.mapping import Mapped
from identity.privacy.vault import Vault
from identity.reading import Block, messages_of, read_blocks
from identity.scope import remember_rules
from identity.sealing import Sealer
from identity.store.warehouse import Warehouse

if TYPE_CHECKING:
    from identity.store.ledger import Ledger

__all__ = ["IngestReport", "ingest"]

_BATCH = 245_760
"""Events of one transaction: two of DuckDB's row groups."""

_PIECE = 2048
_BATCH_ODD = 20_000
_BATCH_BYTES = 128 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of one file's records.

    Attributes:
        source: the file's name, or `-`.
        read: records seen.
        accepted: events stored.
        duplicates: messages whose id was known already.
        clamped: accepted events whose corrected time lay after their receipt.
        refused: code → records sent to quarantine.
    """

    source: str
    read: int
    accepted: int
    duplicates: int
    clamped: int
    refused: Mapping[str, int]

    @property
    def truncated(self) -> bool:
        """True when the file ended before its end, so that what followed is unknown."""
        return "truncated" in self.refused


def ingest(
    warehouse: Warehouse,
    ledger: Ledger,
    vault: Vault,
    rules: IdentityRules,
    paths: Sequence[Path],
    *,
    as_of: datetime,
    standard_input: BinaryIO,
    mapped: Mapped | None = None,
    purposes: Mapping[str, str] | None = None,
    on_progress: Callable[[Path, int, int], None] = lambda _path, _bytes, _records: None,
) -> Iterator[IngestReport]:
    """Bring files of messages into the warehouse, one report a file.

    Args:
        warehouse: where events go.
        ledger: where consent goes.
        vault: seals personal values.
        rules: the project's identity rules.
        paths: files; `-` is standard input.
        as_of: the instant of reading; stands for the receipt of messages that have no time.
        standard_input: the binary stream that `-` stands for.
        mapped: how rows become messages; None when they are messages already.
        purposes: consent category → purpose; a category that is not named is its own purpose, case-folded.
        on_progress: is told the path, the bytes of it read so far and the records so far.

    Yields:
        A report when a file is done; everything in it is committed then.

    Raises:
        InputError: a file can't be read at all; what came before it stays.
    """
    sealer = Sealer(vault, rules)
    remember_rules(warehouse, vault, rules)
    stores = Stores(warehouse, ledger, sealer, purposes or {}, as_of)
    ingested_at = (as_of.astimezone(UTC) - _EPOCH) // _MICROSECOND
    for path in paths:
        blocks = read_blocks(path, mapped or Mapped(), standard_input)
        prepared = _prepared(blocks, sealer, rules, ingested_at)
        read = accepted = duplicates = clamped = 0
        refused: Counter[str] = Counter()
        with _collector_at_rest():
            for batch in _ahead(_batches(prepared)):
                counts = keep_batch(stores, batch, str(path))
                accepted += counts.accepted
                duplicates += counts.duplicates
                clamped += counts.clamped
                read += sum(each.records for each in batch)
                refused.update(each.refusal.code for part in batch for each in part.refused)
                on_progress(path, batch[-1].position, read)
                gc.collect(0)
        yield IngestReport(str(path), read, accepted, duplicates, clamped, dict(refused))


def _prepared(
    blocks: Iterator[Block], sealer: Sealer, rules: IdentityRules, ingested_at: int
) -> Iterator[Prepared]:
    """Make events of records: those of common shape together, the others one by one."""
    occurrences: Counter[str] = Counter()
    first = 0
    for block in blocks:
        count = len(block.lines)
        made: list[Rows] = []
        events: list[tuple[int, Event]] = []
        refused: list[Refused] = []
        left = np.arange(count)
        if block.rows is not None:
            plain = columnar_rows(block.rows, left + first, sealer, rules, ingested_at)
            if plain is not None:
                made.append(plain)
                left = np.setdiff1d(left, plain.places - first)
        for places in (left[start : start + _PIECE] for start in range(0, len(left), _PIECE)):
            if block.rows is None:
                contents = [block.contents[place] for place in places.tolist()]
            else:
                contents = messages_of(block.rows.take(pa.array(places)))
            rows, odd = make_rows(contents, places + first, sealer, rules, ingested_at)
            if rows is not None:
                made.append(rows)
            for nth in odd:
                parsed = _parsed(contents[nth], ingested_at, rules, occurrences)
                place = int(places[nth])
                if isinstance(parsed, Refusal):
                    refused.append(Refused(block.lines[place], block.offsets[place], parsed))
                else:
                    events.append((first + place, parsed))
        yield Prepared(made, events, refused, count, block.position)
        first += count


def _parsed(
    content: Any, ingested_at: int, rules: IdentityRules, occurrences: Counter[str]
) -> Event | Refusal:
    if isinstance(content, Refusal):
        return content
    if json_texts([content])[0] is None:
        return Refusal("not_json", "It is nested too deep, or has a number of more than 64 bits.")
    fallback = ""
    if isinstance(content, dict) and content.get("messageId", content.get("message_id")) in (None, ""):
        first = content_id(content, 0)
        fallback = first if not occurrences[first] else content_id(content, occurrences[first])
        occurrences[first] += 1
    return parse_event(content, fallback, ingested_at, rules)


def _batches(prepared: Iterator[Prepared]) -> Iterator[list[Prepared]]:
    """Gather blocks until they are worth a transaction, or hold enough for the memory."""
    batch: list[Prepared] = []
    rows = single = size = 0
    for each in prepared:
        batch.append(each)
        single += len(each.events) + len(each.refused)
        rows += sum(made.events.num_rows for made in each.made)
        size += sum(made.events.nbytes for made in each.made)
        if rows >= _BATCH or single >= _BATCH_ODD or size >= _BATCH_BYTES:
            yield batch
            batch = []
            rows = single = size = 0
    if batch:
        yield batch


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep Python's garbage collector from walking through every message again and again; none is a cycle."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Let another thread work on the next item while the last one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
