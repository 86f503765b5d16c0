"""Golden cases of rules in our words: a published rule as our nodes, its people as a world.

Other systems decide some questions otherwise; a case then says so by an option (`zero`, `bounds`, `coerce`,
`ci`, `tie`, `…_or_missing`, `not_true`), and the option becomes a rule that says the same in our language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
    Count,
    Distinct,
    Events,
    Exclusion,
    Exists,
    FirstTime,
    Held,
    InAudience,
    Latest,
    Measure,
    MostFrequent,
    Named,
    Node,
    Not,
    OfAccount,
    Pick,
    Prefixed,
    Property,
    Quantile,
    Regularly,
    Sampled,
    Selection,
    Sequence,
    Step,
    Top,
    Trait,
)
from audiences.terms import Ago, Calendar, Dates, Last, Number, Window
from tests.golden_values import ORDERS, choice, comparison, length, literal, only, optional_length, path
from tests.reference import Account, Change, Event, Group, Person, World

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Golden:
    """One case.

    Attributes:
        case: the row as published.
    """

    case: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The case's name."""
        return str(self.case["name"])

    @property
    def as_of(self) -> datetime:
        """The instant at which the case asks."""
        return datetime.fromisoformat(self.case["now"])

    @property
    def error(self) -> str | None:
        """What the case says is wrong with its rule; None when nothing is."""
        found = self.case.get("expected_error")
        return None if found is None else str(found)

    @cached_property
    def ids(self) -> dict[str, str]:
        """Name of a user → the profile id that stands for it; both are in the same order."""
        named = {event["user"] for event in self.case["events"]} | self.case["traits"].keys()
        for account in self.case.get("accounts", {}).values():
            named |= set(account["users"])
        return {name: str(UUID(int=number)) for number, name in enumerate(sorted(named), 1)}

    @property
    def expected(self) -> set[str]:
        """The members, by profile id."""
        return {self.ids[name] for name in self.case["expected_members"]}

    @cached_property
    def keys(self) -> dict[str, str]:
        """Name of an audience or a list → a key that an audience of ours may have."""
        named = (*self.case.get("audiences", {}), *self.case.get("static", {}))
        return {name: f"audience_{number}" for number, name in enumerate(named)}

    @cached_property
    def audiences(self) -> list[Group]:
        """The rule that the case is about, first, and the audiences and lists that it names."""
        rule = partial(node, zone=self.case["tz"], keys=self.keys)
        return [
            Group("golden", rule(self.case["rule"])),
            *(Group(self.keys[name], rule(each)) for name, each in self.case.get("audiences", {}).items()),
            *(Group(self.keys[name], AnyOf(())) for name in self.case.get("static", {})),
        ]

    @cached_property
    def world(self) -> World:
        """The people, their accounts, and who was put on which list by hand."""
        return World(
            people={self.ids[name]: self._person(name) for name in self.ids},
            accounts={
                name: Account(
                    dict.fromkeys((self.ids[user] for user in account["users"]), LONG_AGO),
                    changes(account["traits"], f"account {name}", LONG_AGO, LONG_AGO),
                )
                for name, account in self.case.get("accounts", {}).items()
            },
            lists={
                self.keys[name]: {self.ids[user] for user in users}
                for name, users in self.case.get("static", {}).items()
            },
        )

    def _person(self, name: str) -> Person:
        traits: list[Change] = []
        if name in self.case["traits"]:
            # someone of whom nothing is told is known all the same
            said = self.case["traits"][name] or {"nothing": None}
            traits += changes(said, f"known {name}", LONG_AGO, LONG_AGO)
        events: dict[str, Event] = {}
        for number, row in enumerate(self.case["events"]):
            at = datetime.fromisoformat(row["timestamp"])
            received_at = datetime.fromisoformat(row.get("received_at", row["timestamp"]))
            message_id = row.get("message_id", f"m{number:04}")
            if row["user"] != name:
                continue
            if row["type"] == "identify":
                traits += changes(row["properties"], message_id, at, received_at)
            else:
                told = Event(row["event"], message_id, at, received_at, row.get("properties", {}))
                events.setdefault(message_id, told)
        return Person(tuple(events.values()), traits)


def changes(traits: Mapping[str, Any], message_id: str, at: datetime, received_at: datetime) -> list[Change]:
    """What one message says of traits."""
    return [Change(name, value, message_id, at, received_at) for name, value in traits.items()]


# ------------------------------------------------------------------------------------------------- rules


def node(rule: Mapping[str, Any], zone: str, keys: Mapping[str, str]) -> Node:
    """A published rule as ours.

    Args:
        rule: the rule.
        zone: the case's time zone.
        keys: name of an audience → its key.

    Raises:
        ValueError: it asks for what nobody has translated.
    """
    inner = partial(node, zone=zone, keys=keys)
    match rule["op"]:
        case "everyone":
            return AllOf(())
        case "and":
            return AllOf(tuple(map(inner, only(rule, "args")["args"])))
        case "or":
            return AnyOf(tuple(map(inner, only(rule, "args")["args"])))
        case "not":
            return Not(inner(only(rule, "arg")["arg"]))
        case "trait":
            return comparison(rule, partial(Trait, path(rule["path"])), Trait(path(rule["path"])))
        case "account_trait":
            return OfAccount(inner({**rule, "op": "trait"}))
        case "held":
            only(rule, "path value cmp for")
            trait = Trait(path(rule["path"]))
            return Held(
                trait,
                literal(rule["value"]),
                "<" if choice(rule["cmp"], "lt", "gte") == "lt" else ">=",
                length(rule["for"]),
            )
        case "in_audience" | "static":
            return InAudience(keys[only(rule, "name")["name"]])
        case "bucket":
            only(rule, "salt share")
            return Sampled(rule["salt"], 0.0, rule["share"])
        case "top":
            only(rule, "by n share")
            return Top(figure(rule["by"], zone), rule.get("n"), rule.get("share"))
        case _:
            return behaviour(rule, zone)


def behaviour(rule: Mapping[str, Any], zone: str) -> Node:
    """A published rule about events as ours."""
    match rule["op"]:
        case "count":
            return count(rule, zone)
        case "agg":
            measure = figure(rule, zone)
            return comparison(
                {key: rule[key] for key in ("cmp", "value")} | {"op": "agg"}, lambda _: measure, measure
            )
        case "first_time":
            only(rule, "event where window")
            return FirstTime(events(rule, zone))
        case "stopped":
            only(rule, "event was quiet")
            was, quiet = length(rule["was"]), length(rule["quiet"])
            return AllOf(
                (
                    times(rule, Ago(was, quiet), ">=", 1),
                    times(rule, Last(quiet), "==", 0),
                )
            )
        case "restarted":
            only(rule, "event was quiet")
            was, quiet = length(rule["was"]), length(rule["quiet"])
            return AllOf(
                (
                    times(rule, Ago(None, was), ">=", 1),
                    times(rule, Ago(was, quiet), "==", 0),
                    times(rule, Last(quiet), ">=", 1),
                )
            )
        case "regular":
            only(rule, "event cmp n period min total")
            return Regularly(
                events(rule, zone),
                ORDERS[rule["cmp"]],  # type: ignore[arg-type]
                rule["n"],
                length(rule["period"]),
                rule["min"],
                rule["total"],
            )
        case "last_event":
            only(rule, "event where has")
            return Latest(events(rule, zone), AllOf(tuple(map(condition, rule["has"]))))
        case "sequence":
            return sequence(rule, zone)
        case unknown:
            raise ValueError(f"unknown op: {unknown}")


def count(rule: Mapping[str, Any], zone: str) -> Node:
    """How often, with zero left out when the case says so."""
    only(rule, "event where window cmp n value zero unit time")
    chosen = events(rule, zone)
    if choice(rule.get("time", "event"), "event", "received") == "received":
        chosen = replace(chosen, clock="received")
    by_day = choice(rule.get("unit", "events"), "events", "days") == "days"
    measure = ActiveDays(chosen, zone) if by_day else Count(chosen)
    value = rule["value"] if rule["cmp"] == "between" else rule["n"]
    found = comparison({"op": "count", "cmp": rule["cmp"], "value": value}, lambda _: measure, measure)
    if choice(rule.get("zero", "include"), "include", "exclude") == "exclude":
        return AllOf((found, Compare(measure, ">", Number(0))))
    return found


def times(rule: Mapping[str, Any], window: Window, op: CompareOp, number: int) -> Node:
    """How often in a window."""
    return Compare(Count(Events(selection(rule["event"]), window)), op, Number(number))


def figure(rule: Mapping[str, Any], zone: str) -> Measure:
    """A figure over a property."""
    only(rule, "event where window fn prop p min_freq coerce cmp value")
    chosen, at = events(rule, zone), path(rule["prop"])
    function = rule["fn"]
    match function:
        case "sum" | "avg" | "min" | "max":
            return Aggregate(chosen, function, at, "number" if rule.get("coerce") else "plain")
        case "distinct":
            return Distinct(chosen, at)
        case "percentile":
            return Quantile(chosen, at, rule["p"])
        case "first" | "last":
            return Pick(chosen, function, at)
        case "mode":
            return MostFrequent(chosen, at, rule.get("min_freq", 1))
        case unknown:
            raise ValueError(f"unknown figure: {unknown}")


def sequence(rule: Mapping[str, Any], zone: str) -> Node:
    """A sequence; the case's window is every step's."""
    only(rule, "steps window within_total tie adjacent unordered exclude")
    steps = tuple(step({"window": rule.get("window"), **each}, zone) for each in rule["steps"])
    excluded, same = rule.get("exclude", ()), {path(each["prop"]) for each in matched(rule)}
    whole = Sequence(
        steps,
        tuple(exclusion(each, zone) for each in excluded),
        tuple(sorted(same)),
        optional_length(rule.get("within_total")),
        choice(rule.get("tie", "strict"), "strict", "loose"),
        rule.get("adjacent", False),
        rule.get("unordered", False),
    )
    if not same:
        return whole
    if len(steps) > 1 or len(excluded) > 1 or len(same) > 1:
        raise ValueError("a sequence with more than one match")
    # what has no value to match is excluded by nothing
    without = Not(Exists(Property(same.pop())))
    where = steps[0].events.where
    bare = replace(steps[0].events, where=without if where is None else AllOf((where, without)))
    return AnyOf((whole, Sequence((replace(steps[0], events=bare),))))


def matched(rule: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The properties that an excluded event must share with a step."""
    return [
        only(each, "prop step") for excluded in rule.get("exclude", ()) for each in excluded.get("match", ())
    ]


def step(given: Mapping[str, Any], zone: str) -> Step:
    """One step of a sequence."""
    only(given, "event where window within after since within_events")
    return Step(
        events(given, zone),
        optional_length(given.get("within")),
        optional_length(given.get("after")),
        choice(given.get("since", "previous"), "previous", "first"),
        given.get("within_events"),
    )


def exclusion(given: Mapping[str, Any], zone: str) -> Exclusion:
    """What must not happen between steps."""
    only(given, "event where window after before within match")
    within = optional_length(given.get("within"))
    return Exclusion(events(given, zone), given["after"], given["before"], within)


# ------------------------------------------------------------------------------------- events and windows


def events(rule: Mapping[str, Any], zone: str) -> Events:
    """Which events a rule looks at."""
    conditions = tuple(map(condition, rule.get("where", ())))
    where = None if not conditions else conditions[0] if len(conditions) == 1 else AllOf(conditions)
    return Events(selection(rule["event"]), window(rule.get("window"), zone), where)


def selection(given: str | list[str]) -> Selection:
    """Events by name, or by what their name starts with."""
    if isinstance(given, list):
        return Named(tuple(sorted(set(given))))
    return Prefixed(given[:-1]) if given.endswith("*") else Named((given,))


def window(given: Mapping[str, Any] | None, zone: str) -> Window | None:
    """A published window as ours."""
    if given is None:
        return None
    match sorted(given):
        case ["last"]:
            return Last(length(given["last"]))
        case ["bounds", "last"]:
            return Last(length(given["last"]), given["bounds"])
        case ["from", "to"]:
            return Ago(length(given["from"]), length(given["to"]))
        case ["after", "before"]:
            return Dates(datetime.fromisoformat(given["after"]), datetime.fromisoformat(given["before"]))
        case ["calendar"]:
            periods = only(given["calendar"], "unit back tz current")
            return Calendar(
                periods["unit"], periods["back"], periods.get("current", True), periods.get("tz", zone)
            )
        case unknown:
            raise ValueError(f"unknown window: {unknown}")


def condition(given: Mapping[str, Any]) -> Node:
    """What an event's property must be."""
    at = path(given["prop"])
    return comparison({**given, "op": "where"}, partial(Property, at), Property(at))
