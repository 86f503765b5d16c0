"""Where rules about events start: `did`, and the lengths of time that they are written with.

A handle only builds nodes of `rules.py`. What is asked of the events stands in `selecting.py` (which ones),
`figures.py` (how many, how much) and `sequences.py` (in what order); here are the habits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from audiences.errors import RuleError
from audiences.figures import MeasuredEvents
from audiences.handles import Combinable, Rule
from audiences.literals import checked_length, checked_text, duration_of, whole
from audiences.rules import (
    AllOf,
    Compare,
    Count,
    Events,
    FirstTime,
    Latest,
    Named,
    Prefixed,
    Regularly,
)
from audiences.selecting import SelectedEvents, about_event
from audiences.sequences import SequenceHandle, begun, repetition
from audiences.terms import Ago, Duration, Last, Number, Window

if TYPE_CHECKING:
    from audiences.sequences import Same, Without

__all__ = [
    "EventsHandle",
    "days",
    "did",
    "did_anything",
    "did_prefix",
    "hours",
    "minutes",
    "seconds",
    "weeks",
]

_MOST_PERIODS = 1_000
_MOST_TIMES = 2**53


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventsHandle(MeasuredEvents):
    """Events of some names; as a rule on its own it means "at least once"."""

    def first_time(self) -> Rule:
        """Make the rule that the first such event ever lies in the window.

        Raises:
            RuleError: there is no window.
        """
        if self.events.window is None:
            raise RuleError(
                f"{self!r}.first_time() asks whether the first one lies in a window, so it needs one: "
                f"{self!r}.within(days(7)).first_time()."
            )
        return Rule(FirstTime(self.events))

    def stopped(self, *, was: Duration, quiet: Duration) -> Rule:
        """Make the rule that there were such events, and of late there were none.

        Args:
            was: how far back the earlier ones lie at most; the last `quiet` of it doesn't count.
            quiet: for how long there have been none.

        Raises:
            RuleError: not lengths of time, quiet is not shorter than was, or there is a window.
        """
        events = self._quiet("stopped", was, quiet)
        return Rule(AllOf((_some(events, Ago(was, quiet)), _none(events, Last(quiet)))))

    def restarted(self, *, was: Duration, quiet: Duration) -> Rule:
        """Make the rule that there were such events, then none for a while, and now there are some again.

        Args:
            was: how long ago the early ones ended: there is one at or before `as_of − was`, and none from
                then until `as_of − quiet`.
            quiet: how long ago the new ones began at most.

        Raises:
            RuleError: not lengths of time, quiet is not shorter than was, or there is a window.
        """
        events = self._quiet("restarted", was, quiet)
        return Rule(
            AllOf((_some(events, Ago(None, was)), _none(events, Ago(was, quiet)), _some(events, Last(quiet))))
        )

    def regularly(self, *, at_least: int, of: int, period: Duration, times: int = 1) -> Rule:
        """Make the rule that such events came in enough of the last periods.

        Args:
            at_least: in how many periods.
            of: how many periods are looked at, the last of which ends at `as_of`.
            period: the length of each.
            times: how many events a period needs.

        Raises:
            RuleError: not such numbers, at_least is more than of, or there is a window.
        """
        where = f"{self!r}.regularly(…)"
        events = self._without_window("regularly")
        total = whole(of, f"{where}: of", 1, _MOST_PERIODS)
        least = whole(at_least, f"{where}: at_least", 1, _MOST_PERIODS)
        if least > total:
            raise RuleError(f"{where} asks for {least} of {total} periods; at_least is not more than of.")
        number = whole(times, f"{where}: times", 1, _MOST_TIMES)
        return Rule(Regularly(events, ">=", number, checked_length(period, f"{where}: period"), least, total))

    def latest(self, *conditions: Combinable) -> Rule:
        """Make the rule that there is such an event, and the latest one satisfies every condition.

        Args:
            conditions: rules about `prop(…)`.

        Raises:
            RuleError: no condition, or one that is not about properties.
        """
        nodes = about_event(conditions, f"{self!r}.latest")
        return Rule(Latest(self.events, nodes[0] if len(nodes) == 1 else AllOf(nodes)))

    def followed_by(
        self,
        events: SelectedEvents,
        *,
        within: Duration | None = None,
        after: Duration | None = None,
        without: Without = (),
        same: Same | None = None,
    ) -> SequenceHandle:
        """Make the rule that another event came later; the result goes on with followed_by.

        Args:
            events: what came later.
            within: at most this long after, inclusive.
            after: at least this long after, inclusive.
            without: events that must not lie in between.
            same: a property, or a list of properties, that all events share in value.

        Raises:
            RuleError: something else than events, or lengths that contradict each other.
        """
        return begun(self.events).followed_by(events, within=within, after=after, without=without, same=same)

    def not_followed_by(
        self, events: SelectedEvents, *, within: Duration | None = None, same: Same | None = None
    ) -> SequenceHandle:
        """Make the rule that no other event came later.

        Args:
            events: what must not have come.
            within: for how long, inclusive; until that has passed the rule is false. None looks up to
                `as_of`.
            same: a property, or a list of properties, that both would share in value.

        Raises:
            RuleError: something else than events.
        """
        return begun(self.events).not_followed_by(events, within=within, same=same)

    def repeated(self, n: int, *, within: Duration) -> SequenceHandle:
        """Make the rule that there were several such events close together, at whatever time.

        Args:
            n: how many, from 2.
            within: from the first of them to the last at most this long, inclusive.

        Raises:
            RuleError: no such number, or not a length of time.
        """
        return repetition(self, n, within)

    def _quiet(self, method: str, was: object, quiet: object) -> Events:
        where = f"{self!r}.{method}(…)"
        events = self._without_window(method)
        longer = checked_length(was, f"{where}: was")
        shorter = checked_length(quiet, f"{where}: quiet")
        if shorter.seconds >= longer.seconds:
            raise RuleError(
                f"{where}: quiet must be shorter than was, for example was=weeks(2), quiet=weeks(1)."
            )
        return events


def did(*names: str, **unknown: object) -> EventsHandle:
    """Start a rule about the events of one name, or of any of several.

    Args:
        names: as they are tracked, compared exactly; `Page Viewed` and `Screen Viewed` for pages and screens.
        unknown: refused; windows and conditions are methods.

    Raises:
        RuleError: no name, or an option.

    >>> did("Order Completed").within(days(90)).where(prop("currency") == "EUR").sum("revenue") >= 500
    """
    if unknown:
        option = next(iter(unknown))
        shown = names[0] if names else "X"
        raise RuleError(
            f"did(…) takes names of events only; write did({shown!r}).within(days(30)), not {option}=."
        )
    if not names:
        raise RuleError(
            "did(…) takes the event's name, for example did('Order Completed'); did_anything() takes all."
        )
    found = {checked_text(each, "did(…)", "did('Order Completed')") for each in names}
    return EventsHandle(Events(Named(tuple(sorted(found)))))


def did_prefix(prefix: str) -> EventsHandle:
    """Start a rule about the events whose name starts with a text.

    Args:
        prefix: the start of their names, such as `"Cart "`; upper case differs.

    Raises:
        RuleError: no text, or an empty one.
    """
    return EventsHandle(Events(Prefixed(checked_text(prefix, "did_prefix(…)", "did_prefix('Cart ')"))))


def did_anything() -> EventsHandle:
    """Start a rule about all events, whatever their name."""
    return EventsHandle(Events(Prefixed("")))


def seconds(n: int) -> Duration:
    """A duration of n seconds."""
    return duration_of(n, 1, "seconds")


def minutes(n: int) -> Duration:
    """A duration of n minutes."""
    return duration_of(n, 60, "minutes")


def hours(n: int) -> Duration:
    """A duration of n hours."""
    return duration_of(n, 60 * 60, "hours")


def days(n: int) -> Duration:
    """A duration of n times 24 hours."""
    return duration_of(n, 24 * 60 * 60, "days")


def weeks(n: int) -> Duration:
    """A duration of n times 7 days."""
    return duration_of(n, 7 * 24 * 60 * 60, "weeks")


def _some(events: Events, window: Window) -> Compare:
    return Compare(Count(replace(events, window=window)), ">=", Number(1.0))


def _none(events: Events, window: Window) -> Compare:
    return Compare(Count(replace(events, window=window)), "==", Number(0.0))
