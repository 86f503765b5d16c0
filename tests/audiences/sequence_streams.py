"""Small streams of events with many ties, and whether a sequence holds in them, by trying every choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from json import dumps
from typing import Any

import pyarrow as pa
from sqlglot import exp

from audiences.chain_tables import Draft
from audiences.chains import sequence_ids, tried_choices
from audiences.engines import ENGINES
from audiences.rules import Compare, Events, Exclusion, Named, Path, Prefixed, Property, Sequence, Step
from audiences.terms import Ago, Dates, Duration, Last, Number, Window
from identity.store.warehouse import Warehouse

__all__ = [
    "AS_OF",
    "DAY",
    "HOUR",
    "NOW",
    "START",
    "Happened",
    "Streams",
    "asked",
    "holders",
    "holding",
    "of",
    "steps",
    "stream",
    "without",
]

START = datetime(2026, 5, 1, tzinfo=UTC)
AS_OF = START + timedelta(seconds=8)
NOW = (AS_OF - START).total_seconds()
HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Happened:
    """One event: of whom, what, how many seconds after START, its id, its properties, and when it came in."""

    id: str
    name: str
    at: float
    message_id: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    received: float = 0.0

    @property
    def occurred_at(self) -> datetime:
        """When it was."""
        return START + timedelta(seconds=self.at)

    @property
    def received_at(self) -> datetime:
        """When it came in."""
        return START + timedelta(seconds=self.received)


# --------------------------------------------------------------------------------------------- plain Python


def holders(node: Sequence, happened: Iterable[Happened], as_of: datetime = AS_OF) -> set[str]:
    """For whom a sequence holds."""
    people: dict[str, list[Happened]] = {}
    for each in happened:
        if each.occurred_at <= as_of and each.received_at <= as_of:
            people.setdefault(each.id, []).append(each)
    return {name for name, events in people.items() if sequence_holds(node, events, as_of)}


def sequence_holds(node: Sequence, visible: list[Happened], as_of: datetime) -> bool:
    """Whether some choice of one event a step, all different, satisfies everything."""
    visible = sorted(visible, key=lambda event: (event.occurred_at, event.message_id))
    place = {event.message_id: number for number, event in enumerate(visible)}
    steps = [[event for event in visible if selected(step.events, event, as_of)] for step in node.steps]
    return any(
        len({event.message_id for event in chosen}) == len(chosen)
        and is_same(node.same, chosen)
        and is_close(node, chosen)
        and (node.any_order or in_order(node, chosen, place))
        and all(is_absent(node, each, chosen, visible, as_of) for each in node.exclusions)
        for chosen in product(*steps)
    )


def selected(events: Events, event: Happened, as_of: datetime) -> bool:
    """Whether an event is in a selection."""
    match events.selection:
        case Named(names) if event.name not in names:
            return False
        case Prefixed(prefix) if not event.name.startswith(prefix):
            return False
    match events.window:
        case Last(width) if not as_of - width.delta < event.occurred_at <= as_of:
            return False
        case Ago(oldest, newest) if not (
            (oldest is None or as_of - oldest.delta < event.occurred_at)
            and event.occurred_at <= as_of - newest.delta
        ):
            return False
        case Dates(start, end) if not (start is None or start <= event.occurred_at) or not (
            end is None or event.occurred_at < end
        ):
            return False
    match events.where:
        case Compare(Property((name,)), "==", Number(value)):
            found = event.properties.get(name)
            return isinstance(found, (int, float)) and not isinstance(found, bool) and found == value
    return True


def value_under(path: Path, event: Happened) -> object:
    """The text, number or flag under a path, told apart by type; None for anything else."""
    value: Any = event.properties
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return ("flag", value)
    if isinstance(value, (int, float)):
        return ("number", float(value))
    return ("text", value) if isinstance(value, str) else None


def is_same(paths: tuple[Path, ...], events: Iterable[Happened]) -> bool:
    """Whether events agree in their values under all paths, and have them."""
    values = [{value_under(path, event) for event in events} for path in paths]
    return all(len(each) == 1 and None not in each for each in values)


def is_close(node: Sequence, chosen: tuple[Happened, ...]) -> bool:
    """Whether all lie close enough together."""
    instants = [event.occurred_at for event in chosen]
    return node.within is None or max(instants) - min(instants) <= node.within.delta


def in_order(node: Sequence, chosen: tuple[Happened, ...], place: Mapping[str, int]) -> bool:
    """Whether each step follows the one before it as it must."""
    for step, (earlier, event) in zip(node.steps[1:], pairwise(chosen), strict=True):
        if event.at < earlier.at or (node.ties == "strict" and event.at == earlier.at):
            return False
        passed = event.occurred_at - (earlier if step.since == "previous" else chosen[0]).occurred_at
        if step.within is not None and passed > step.within.delta:
            return False
        if step.after is not None and passed < step.after.delta:
            return False
        further = place[event.message_id] - place[earlier.message_id]
        if step.within_events is not None and not 0 < further <= step.within_events:
            return False
        if node.adjacent and further != 1:
            return False
    return True


def is_absent(
    node: Sequence,
    exclusion: Exclusion,
    chosen: tuple[Happened, ...],
    visible: list[Happened],
    as_of: datetime,
) -> bool:
    """Whether nothing excluded lies strictly where it must not."""
    start = None if exclusion.after is None else chosen[exclusion.after]
    end = None if exclusion.before is None else chosen[exclusion.before]
    until = as_of
    if exclusion.within is not None:
        assert start is not None
        until = start.occurred_at + exclusion.within.delta
        if until > as_of:
            return False
    return not any(
        selected(exclusion.events, event, as_of)
        and is_same(node.same, (event, chosen[0]))
        and (start is None or event.at > start.at)
        and (event.occurred_at <= until if end is None else event.at < end.at)
        for event in visible
    )


# ------------------------------------------------------------------------------------------------- in SQL


class Streams:
    """Streams in a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        """Make the table that holds them."""
        self.warehouse = warehouse
        self.engine = ENGINES[warehouse.dialect]
        columns = dict.fromkeys(("id", "name", "message_id"), "VARCHAR")
        columns |= {"occurred_at": "TIMESTAMP", "received_at": "TIMESTAMP", "properties": "VARIANT"}
        defined = [
            exp.ColumnDef(this=exp.to_identifier(name), kind=exp.DataType.build(kind, dialect="duckdb"))
            for name, kind in columns.items()
        ]
        schema = exp.Schema(this=exp.to_table("happened"), expressions=defined)
        warehouse.execute(exp.Create(this=schema, kind="TABLE", exists=True))

    def load(self, happened: Iterable[Happened]) -> None:
        """Replace all events."""
        listed = list(happened)
        columns: dict[str, pa.Array] = {
            name: pa.array([getattr(event, name) for event in listed], pa.string())
            for name in ("id", "name", "message_id")
        }
        for name in ("occurred_at", "received_at"):
            instants = [getattr(event, name).replace(tzinfo=None) for event in listed]
            columns[name] = pa.array(instants, pa.timestamp("us"))
        columns["properties"] = pa.array([dumps(event.properties) for event in listed], pa.string())
        self.warehouse.execute(exp.delete("happened"))
        self.warehouse.append("happened", pa.table(columns))

    def ids(self, select: exp.Select) -> list[str]:
        """Run a query of `id`."""
        return sorted(self.warehouse.query(select)["id"].to_pylist())

    def found(self, node: Sequence) -> list[str]:
        """For whom the compiled query says that a sequence holds."""
        return self.ids(sequence_ids(node, self.rows, self.engine, AS_OF))

    def tried(self, node: Sequence) -> list[str]:
        """The same by trying, whatever the sequence."""
        draft = Draft(node, self.rows, self.engine, AS_OF)
        return self.ids(draft.finished(tried_choices(draft, None)))

    def rows(self, events: Events, columns: Mapping[str, Path]) -> exp.Select:
        """Select visible events with the stored values under some paths."""
        engine, until = self.engine, self.engine.instant(AS_OF)
        occurred, received = exp.column("occurred_at"), exp.column("received_at")
        values = [self._under(path).as_(name) for name, path in columns.items()]
        select = exp.select("id", "occurred_at", "message_id", *values).from_("happened")
        select = select.where(occurred <= until, received <= until)
        match events.selection:
            case Named(names):
                select = select.where(exp.column("name").isin(*names))
            case Prefixed(prefix) if prefix:
                select = select.where(engine.asks_text(exp.column("name"), "starts_with", prefix))
        match events.window:
            case Last(width):
                select = select.where(occurred > engine.instant(AS_OF - width.delta))
            case Ago(oldest, newest):
                assert oldest is not None
                select = select.where(occurred > engine.instant(AS_OF - oldest.delta))
                select = select.where(occurred <= engine.instant(AS_OF - newest.delta))
            case Dates(start, end):
                assert start is not None
                assert end is not None
                select = select.where(occurred >= engine.instant(start), occurred < engine.instant(end))
        match events.where:
            case Compare(Property(path), "==", Number(value)):
                select = select.where(engine.number(self._under(path)).eq(value))
        return select

    def _under(self, path: Path) -> exp.Expr:
        value: exp.Expr = exp.column("properties")
        for key in path:
            value = self.engine.key(value, key)
        return value


# ------------------------------------------------------------------------------------------------ by example


def of(name: str, window: Window | None = None) -> Events:
    """Events of one name."""
    return Events(Named((name,)), window)


def steps(*names: str, within: float = 0, window: Window | None = None) -> tuple[Step, ...]:
    """Steps by name, each but the first within a time after the one before."""
    first, *others = names
    length = Duration(int(within)) if within else None
    return (Step(of(first, window)), *(Step(of(name, window), length) for name in others))


def stream(who: str, written: str) -> list[Happened]:
    """Events written as `name-age`, an age in `d`, `h` or `s`."""
    units = {"d": DAY, "h": HOUR, "s": 1}
    found = []
    for number, each in enumerate(written.split()):
        name, _, age = each.partition("-")
        ago = float(age[:-1]) * units[age[-1]]
        found.append(Happened(who, name, NOW - ago, f"{who} {number}", received=NOW - ago))
    return found


def holding(store: Streams, node: Sequence, people: Mapping[str, str]) -> set[str]:
    """For whom a sequence holds; plain Python must agree."""
    return asked(store, node, [event for who, written in people.items() for event in stream(who, written)])


def asked(store: Streams, node: Sequence, happened: list[Happened]) -> set[str]:
    """For whom a sequence holds; SQL as it is chosen, SQL that tries, and plain Python must agree."""
    store.load(happened)
    expected = sorted(holders(node, happened))
    assert store.found(node) == expected
    assert store.tried(node) == expected
    return set(expected)


def without(after: int | None, before: int | None, name: str = "x") -> tuple[Exclusion, ...]:
    """Nothing of a name between two steps."""
    return (Exclusion(of(name), after, before),)
