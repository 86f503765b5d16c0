"""Rules as data: frozen nodes that compare by structure, print as canonical JSON and have a fingerprint.

The handles that people write rules with stand in `dsl.py`; what each node means exactly stands in
`docs/rules.md`. An *operand* is something that has a value for one profile (a trait, a figure over events) or
for one event (a property); a *condition* is true or false; conditions combine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audiences.terms import Duration, Value, Window

__all__ = [
    "ActiveDays",
    "Aggregate",
    "AllOf",
    "AnyOf",
    "Compare",
    "CompareOp",
    "Condition",
    "Consented",
    "Count",
    "Distinct",
    "Events",
    "Exclusion",
    "Exists",
    "FirstTime",
    "Held",
    "Identified",
    "InAudience",
    "InQuery",
    "Latest",
    "Measure",
    "MostFrequent",
    "Named",
    "Node",
    "Not",
    "OfAccount",
    "OfProfiles",
    "OneOf",
    "Operand",
    "OrderOp",
    "Path",
    "Pick",
    "Prefixed",
    "Property",
    "Quantile",
    "QueryValue",
    "Reading",
    "Recency",
    "Recurs",
    "Regularly",
    "Relative",
    "Sampled",
    "Selection",
    "Sequence",
    "Step",
    "TextOp",
    "Top",
    "Trait",
    "UniqueList",
]

OrderOp = Literal["==", "<", "<=", ">", ">="]
TextOp = Literal["contains", "starts_with", "ends_with", "matches"]
CompareOp = OrderOp | TextOp
Path = tuple[str, ...]
"""Keys from the outermost to the innermost; a key that meets an array goes into each of its elements."""

Reading = Literal["plain", "number", "folded"]
"""How a stored value is read: as it is; numeric texts as numbers; texts in lower case without accents."""


@dataclass(frozen=True, slots=True)
class Trait:
    """A trait of the profile (of the account, in a rule about accounts): its newest value, unless removed."""

    path: Path
    read: Reading = "plain"


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the event that a `where` looks at."""

    path: Path
    read: Reading = "plain"


@dataclass(frozen=True, slots=True)
class Named:
    """Events of one of these names, which are compared exactly; at least one name, sorted, distinct."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefixed:
    """Events whose name starts with a text; every event when it is empty."""

    prefix: str


Selection = Named | Prefixed


@dataclass(frozen=True, slots=True)
class Events:
    """The visible events of a selection, inside a window, that satisfy a condition on their properties.

    `clock` says which instant the window looks at: when the event occurred, or when it was received.
    """

    selection: Selection
    window: Window | None = None
    where: Node | None = None
    clock: Literal["occurred", "received"] = "occurred"


@dataclass(frozen=True, slots=True)
class Count:
    """How many events there are; 0 when there are none."""

    events: Events


@dataclass(frozen=True, slots=True)
class ActiveDays:
    """On how many different days of a time zone there are events; 0 when there are none."""

    events: Events
    zone: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different values (texts, numbers, flags; elements of arrays) a property has; 0 for none."""

    events: Events
    path: Path


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A figure over the numbers that a property has in the events; missing when there are none."""

    events: Events
    function: Literal["sum", "avg", "min", "max"]
    path: Path
    read: Literal["plain", "number"] = "plain"


@dataclass(frozen=True, slots=True)
class Quantile:
    """The number below which a share of a property's numbers lies, interpolated; missing for none."""

    events: Events
    path: Path
    share: float


@dataclass(frozen=True, slots=True)
class Pick:
    """The value in the first or last event that has the property, by (occurred_at, message_id)."""

    events: Events
    which: Literal["first", "last"]
    path: Path


@dataclass(frozen=True, slots=True)
class MostFrequent:
    """The most frequent text, number or flag of a property, if it came up `at_least` times.

    A tie is won by the first in order: false, true, numbers by size, texts by code point.
    """

    events: Events
    path: Path
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class UniqueList:
    """The different texts, numbers and flags of a property as a list in the order of MostFrequent's ties.

    Missing when there are none.
    """

    events: Events
    path: Path


@dataclass(frozen=True, slots=True)
class Recency:
    """Whole days (24 hours) since the last of the events; missing when there are none."""

    events: Events


@dataclass(frozen=True, slots=True)
class QueryValue:
    """A value from a checked SELECT of `profile_id` and `value`; missing for whom it has no row."""

    sql: str


Measure = (
    Count
    | ActiveDays
    | Distinct
    | Aggregate
    | Quantile
    | Pick
    | MostFrequent
    | UniqueList
    | Recency
    | QueryValue
)
"""A figure of one profile."""

Operand = Trait | Property | Measure


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison; false when the operand is missing.

    An array satisfies it when any of its elements does, or, with `every`, when it has elements and all do.
    """

    operand: Operand
    op: CompareOp
    value: Value
    every: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """True when the operand equals one of the values; arrays as in Compare."""

    operand: Operand
    values: tuple[Value, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """True when the operand has a value other than null; an empty text or array is a value."""

    operand: Operand


@dataclass(frozen=True, slots=True)
class Relative:
    """A date against `as_of`; L is the length; arrays as in Compare with any.

    within_last: in `(as_of − L, as_of]`; before_last: at or before `as_of − L`; within_next: in
    `(as_of, as_of + L]`; after_next: after `as_of + L`.
    """

    operand: Trait
    relation: Literal["within_last", "before_last", "within_next", "after_next"]
    length: Duration


@dataclass(frozen=True, slots=True)
class Recurs:
    """A date whose day and month come again within `days` days from today, today included, in a zone.

    29 February is kept on 28 February in other years.
    """

    operand: Trait
    days: int
    zone: str


@dataclass(frozen=True, slots=True)
class Held:
    """A trait has had this value without interruption, for at least a length of time or for less.

    `>=`: since `as_of − length` or longer; `<`: it has it, but only since later than that. A change that
    sets the same value again interrupts nothing.
    """

    trait: Trait
    value: Value
    op: Literal[">=", "<"]
    length: Duration


@dataclass(frozen=True, slots=True)
class FirstTime:
    """The first event ever that matches, whatever the window, lies in the window."""

    events: Events


@dataclass(frozen=True, slots=True)
class Latest:
    """There is a matching event, and the latest one, by (occurred_at, message_id), satisfies `has`."""

    events: Events
    has: Node


@dataclass(frozen=True, slots=True)
class Regularly:
    """In at least `at_least` of the last `of` periods the count of events satisfies `op number`.

    Period i is `(as_of − (i + 1) · period, as_of − i · period]`; a period without events counts 0. The events
    have no window of their own.
    """

    events: Events
    op: OrderOp
    number: int
    period: Duration
    at_least: int
    of: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence; the distances of the first step are None.

    Attributes:
        events: what may be this step.
        within: at most this long after the step named by `since`, inclusive.
        after: at least this long after it, inclusive.
        since: the step that `within` and `after` are measured from.
        within_events: among the next so many events of the profile, of any name, after the previous step.
    """

    events: Events
    within: Duration | None = None
    after: Duration | None = None
    since: Literal["previous", "first"] = "previous"
    within_events: int | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Events that must not lie strictly between two chosen steps.

    Attributes:
        events: what must not be there.
        after: number of the step, from 0, after which it is looked for; None for the beginning of time.
        before: number of the step before which it is looked for; None for `as_of`, itself included, or for
            `within` after the step `after`, that instant included.
        within: only with `before` None: how long to look; undecided, and so false, until that has passed.
    """

    events: Events
    after: int | None
    before: int | None
    within: Duration | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """Some choice of one event a step, all different, satisfies everything.

    Attributes:
        steps: one or more, in order.
        exclusions: what must not happen between them.
        same: properties that every chosen event has, with one value (text, number or flag) in all of them;
            an excluded event counts only if it has that value too.
        within: from the earliest chosen event to the latest at most this long, inclusive.
        ties: `strict`: each step at a later instant than the one before; `loose`: at the same instant too.
        adjacent: no other event of the profile lies between one step and the next, in the order of
            (occurred_at, message_id).
        any_order: the order of the steps, their distances and adjacency don't matter.
    """

    steps: tuple[Step, ...]
    exclusions: tuple[Exclusion, ...] = ()
    same: tuple[Path, ...] = ()
    within: Duration | None = None
    ties: Literal["strict", "loose"] = "strict"
    adjacent: bool = False
    any_order: bool = False


@dataclass(frozen=True, slots=True)
class Identified:
    """The profile holds at least one identifier of these types; sorted, distinct."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consented:
    """The profile is permitted for a purpose at `as_of`: granted under one identifier, denied under none."""

    purpose: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """The profile's keyed hash for a split's name lies in `[start, stop)` of the unit interval."""

    split: str
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Top:
    """The profile is among the first by a figure: `count` of them, or a share of those who have it.

    Larger numbers come first, ties by profile id.
    """

    measure: Measure
    count: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class InAudience:
    """True for members of another audience, at the same instant."""

    key: str


@dataclass(frozen=True, slots=True)
class InQuery:
    """True for the profiles that a checked SELECT of `profile_id` returns."""

    sql: str


@dataclass(frozen=True, slots=True)
class OfProfiles:
    """In a rule about accounts: any, all, none, or at least `number` of its profiles satisfy a rule.

    `all` and `any` of no profiles are false, `none` is true.
    """

    quantifier: Literal["any", "all", "none", "at_least"]
    rule: Node
    number: int = 1


@dataclass(frozen=True, slots=True)
class OfAccount:
    """In a rule about profiles: the profile belongs to an account that satisfies a rule about accounts."""

    rule: Node


Condition = (
    Compare
    | OneOf
    | Exists
    | Relative
    | Recurs
    | Held
    | FirstTime
    | Latest
    | Regularly
    | Sequence
    | Identified
    | Consented
    | Sampled
    | Top
    | InAudience
    | InQuery
    | OfProfiles
    | OfAccount
)


@dataclass(frozen=True, slots=True)
class Not:
    """The complement of a rule in all profiles."""

    rule: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every rule is; with none, true of everybody."""

    rules: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when at least one rule is; with none, true of nobody."""

    rules: tuple[Node, ...]


Node = Condition | Not | AllOf | AnyOf
