"""The small parts of sentences about rules: values, lengths of time, windows, events, figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

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
    Exists,
    Measure,
    MostFrequent,
    Named,
    Node,
    Not,
    OneOf,
    OrderOp,
    Pick,
    Property,
    Quantile,
    QueryValue,
    Reading,
    Recency,
    UniqueList,
)
from audiences.terms import (
    Ago,
    Bounds,
    Calendar,
    Dates,
    Duration,
    Flag,
    Instant,
    Last,
    Number,
    Text,
    Value,
    Window,
)

__all__ = [
    "about_field",
    "counted",
    "explain_duration",
    "figure",
    "instant_text",
    "listed_or",
    "name_of",
    "number_text",
    "of_events",
    "quoted",
    "shortened",
    "than",
    "value_text",
    "what_events",
    "when",
    "where_phrase",
    "window_phrase",
    "with_article",
]

_UNITS = ((7 * 24 * 60 * 60, "week"), (24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second"))
_IS: dict[CompareOp, str] = {
    "==": "is",
    "<": "is below",
    "<=": "is at most",
    ">": "is above",
    ">=": "is at least",
    "contains": "contains",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches the pattern",
}
_IS_WHEN: dict[CompareOp, str] = {
    "==": "is",
    "<": "is before",
    "<=": "is at or before",
    ">": "is after",
    ">=": "is at or after",
}
_ENDS: dict[Bounds, str] = {
    "(]": "",
    "[]": " (first instant included)",
    "()": " (last instant left out)",
    "[)": " (first instant included, last left out)",
}
_AGGREGATES = {"sum": "sum", "avg": "average", "min": "smallest value", "max": "largest value"}
_LONGEST_QUERY = 60


def explain_duration(duration: Duration) -> str:
    """Say how long, in the largest unit that fits.

    Args:
        duration: any.
    """
    for seconds, unit in _UNITS:
        if duration.seconds % seconds == 0:
            return counted(duration.seconds // seconds, unit)
    raise AssertionError("a duration is whole seconds")


def counted(number: int, unit: str) -> str:
    """Say how many of something.

    Args:
        number: how many.
        unit: the word for one.
    """
    return f"{number:,} {unit}{'s' if number != 1 else ''}"


def quoted(text: str) -> str:
    """Put a text between quotation marks.

    Args:
        text: any.
    """
    return f"“{text}”"


def name_of(path: Sequence[str]) -> str:
    """Write a path with dots.

    Args:
        path: keys from the outermost to the innermost.
    """
    return ".".join(path)


def number_text(number: float) -> str:
    """Write a number with separators of thousands.

    Args:
        number: any.
    """
    return f"{int(number):,}" if number == int(number) else f"{number:,}"


def listed_or(parts: Sequence[str], word: str = "or") -> str:
    """Join parts with commas and a word before the last.

    Args:
        parts: one or more.
        word: the word.
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def shortened(sql: str) -> str:
    """The beginning of a query, in one line.

    Args:
        sql: the query.
    """
    line = " ".join(sql.split())
    return quoted(line if len(line) <= _LONGEST_QUERY else f"{line[: _LONGEST_QUERY - 1]}…")


def value_text(value: Value) -> str:
    """Write what something is compared with.

    Args:
        value: any.
    """
    match value:
        case Text(text):
            return quoted(text)
        case Number(number):
            return number_text(number)
        case Flag(flag):
            return "true" if flag else "false"
        case Instant(moment):
            return instant_text(moment)
        case _:
            assert_never(value)


def instant_text(moment: datetime) -> str:
    """Write an instant; midnight as its date.

    Args:
        moment: aware UTC.
    """
    midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return f"{moment:%Y-%m-%d}" if midnight else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


# --------------------------------------------------------------------------------------------------- events


def when(events: Events) -> str:
    """The window of events, with a space before it; nothing when there is none.

    Args:
        events: any.
    """
    if events.window is None:
        return ""
    return f" {'received ' if events.clock == 'received' else ''}{window_phrase(events.window)}"


def window_phrase(window: Window) -> str:
    """Say when.

    Args:
        window: any.
    """
    match window:
        case Last(width, bounds):
            return f"in the last {explain_duration(width).removeprefix('1 ')}{_ENDS[bounds]}"
        case Ago(oldest, newest):
            if oldest is None:
                return f"{explain_duration(newest)} ago or earlier"
            return f"between {explain_duration(oldest)} and {explain_duration(newest)} ago"
        case Dates(start, end):
            if start is not None and end is not None:
                return f"from {instant_text(start)} up to {instant_text(end)}"
            if start is not None:
                return f"since {instant_text(start)}"
            return "at any time" if end is None else f"before {instant_text(end)}"
        case Calendar():
            return f"{_periods(window)} ({window.zone})"
        case _:
            assert_never(window)


def _periods(window: Calendar) -> str:
    if window.current:
        this = "today" if window.unit == "day" else f"this {window.unit}"
        before = window.unit if window.back == 1 else counted(window.back, window.unit)
        return f"{this} or in the {before} before" if window.back else this
    if window.back == 1:
        return "yesterday" if window.unit == "day" else f"last {window.unit}"
    return f"in the last {window.back:,} whole {window.unit}s"


def what_events(events: Events, article: str = "any ") -> str:
    """Name the events with their conditions, without the window.

    Args:
        events: any.
        article: stands before events that are not named one by one.
    """
    if isinstance(events.selection, Named):
        text = listed_or([quoted(name) for name in events.selection.names])
    else:
        prefix = events.selection.prefix
        text = f"{article}event{f' whose name starts with {quoted(prefix)}' if prefix else ''}"
    if events.where is None:
        return text
    return f"{text} with {where_phrase(events.where, yes=True, inner=False)}"


def of_events(events: Events, article: str = "any ") -> str:
    """Name the events with their conditions and window.

    Args:
        events: any.
        article: stands before events that are not named one by one.
    """
    return what_events(events, article) + when(events)


def where_phrase(node: Node, *, yes: bool, inner: bool) -> str:
    """Say what an event has.

    Args:
        node: a condition on properties.
        yes: False to say its opposite.
        inner: True to put parentheses around several.
    """
    match node:
        case Not(rule):
            return where_phrase(rule, yes=not yes, inner=inner)
        case AllOf(rules) | AnyOf(rules):
            if not rules:
                return "anything" if isinstance(node, AllOf) == yes else "nothing that is"
            word = "and" if isinstance(node, AllOf) == yes else "or"
            text = f" {word} ".join(where_phrase(rule, yes=yes, inner=True) for rule in rules)
            return f"({text})" if inner and len(rules) > 1 else text
        case Compare(Property(path, read)) | OneOf(Property(path, read)):
            return f"{_some(path) if yes else f'no {name_of(path)}'} {about_field(node, read)}"
        case Exists(Property(path)):
            return _some(path) if yes else f"no {name_of(path)}"
        case _:
            raise AssertionError("a where asks for properties alone")


def _some(path: Sequence[str]) -> str:
    name = name_of(path)
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


# ------------------------------------------------------------------------------------------- comparisons


def about_field(node: Compare | OneOf, read: Reading = "plain") -> str:
    """Say what is asked of a value, as in `that is “free”`.

    Args:
        node: the comparison.
        read: how the value is read.
    """
    if isinstance(node, OneOf):
        said = f"is one of {listed_or([value_text(value) for value in node.values])}"
    else:
        verbs = _IS_WHEN if isinstance(node.value, Instant) else _IS
        said = f"{verbs[node.op]} {value_text(node.value)}"
    how = {
        "plain": "",
        "number": " (numeric texts read as numbers)",
        "folded": " (ignoring case and accents)",
    }
    return f"{'of which every element' if node.every else 'that'} {said}{how[read]}"


def than(op: OrderOp, amount: str) -> str:
    """Say how an amount compares, as in `at least 3 times`.

    Args:
        op: the comparison.
        amount: what it is compared with.
    """
    words = {"==": "exactly", "<": "fewer than", "<=": "at most", ">": "more than", ">=": "at least"}
    return f"{words[op]} {amount}"


def with_article(measure: Aggregate | Quantile) -> str:
    """Name a figure over numbers, as in `a sum of revenue`, without the events that it is over.

    Args:
        measure: the figure.
    """
    if isinstance(measure, Aggregate):
        texts = ", numeric texts included," if measure.read == "number" else ""
        name = _AGGREGATES[measure.function]
        return f"{'an' if measure.function == 'avg' else 'a'} {name} of {name_of(measure.path)}{texts}"
    if measure.share == 0.5:
        return f"a median of {name_of(measure.path)}"
    ordinal = _ordinal(measure.share)
    article = "an" if ordinal.startswith("8") or ordinal in ("11th", "18th") else "a"
    return f"{article} {ordinal} percentile of {name_of(measure.path)}"


def figure(measure: Measure) -> str:
    """Name a figure with the events that it is over, as in `the sum of revenue over “Order Completed”`.

    Args:
        measure: any.
    """
    match measure:
        case Count(events):
            return f"the count of {of_events(events)}"
        case ActiveDays(events, zone):
            return f"the number of days ({zone}) with {of_events(events)}"
        case Distinct(events, path):
            return f"the number of different values of {name_of(path)} over {of_events(events)}"
        case Aggregate(events) | Quantile(events):
            return f"the {with_article(measure).partition(' ')[2]} over {of_events(events)}"
        case Pick(events, which, path):
            return f"the {which} {name_of(path)} over {of_events(events)}"
        case MostFrequent(events, path, at_least):
            least = f", if it came up at least {counted(at_least, 'time')}," if at_least > 1 else ""
            return f"the most frequent {name_of(path)}{least} over {of_events(events)}"
        case UniqueList(events, path):
            return f"the different values of {name_of(path)} over {of_events(events)}"
        case Recency(events):
            return f"the whole days since the last {of_events(events, '')}"
        case QueryValue(sql):
            return f"the value of the query {shortened(sql)}"
        case _:
            assert_never(measure)


def _ordinal(share: float) -> str:
    hundredths = round(share * 100, 10)
    text = number_text(hundredths)
    if "." in text or text[-2:] in ("11", "12", "13"):
        return f"{text}th"
    return text + {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
