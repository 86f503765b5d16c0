"""Made-up events of a shop for the benchmark of audiences, made by DuckDB alone and the same for a seed.

Every value is a hash of the row's number and the seed, so parts can be made one by one in bounded memory.
Names follow Zipf's law; activity is skewed (one profile in a hundred makes a tenth of the events, one in
fifty none at all); each profile has a first day and a last one; rows come in no order whatever. Money is in
quarters, so that sums are exact in any order.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import gcd
from pathlib import Path

import duckdb

__all__ = ["AS_OF", "DAYS", "FIELDS", "NAMES", "NUMBERS", "PURPOSES", "WORDS", "Data", "make", "share_of"]

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
"""The instant of evaluation; no event is later."""

DAYS = 180
PART = 5_000_000
SLOTS = 4_096
SKEW = 1.1
THREADS = 2

NAMES: dict[str, tuple[str, ...]] = {
    "Page Viewed": ("duration", "channel"),
    "Product Viewed": ("product_id", "category", "position", "channel"),
    "Search Performed": ("category", "position", "channel"),
    "Product Clicked": ("product_id", "category", "position"),
    "Session Started": ("channel", "campaign"),
    "Product Added": ("product_id", "category", "revenue", "currency"),
    "Cart Viewed": ("revenue", "currency"),
    "Video Played": ("duration", "category"),
    "Email Opened": ("campaign",),
    "Product Removed": ("product_id", "category"),
    "Checkout Started": ("revenue", "currency", "channel"),
    "Signed In": ("channel",),
    "Order Completed": ("revenue", "currency", "category", "product_id", "channel"),
    "Email Clicked": ("campaign", "position"),
    "Wishlist Added": ("product_id", "category"),
    "Article Read": ("duration", "category"),
    "Coupon Applied": ("campaign", "revenue", "currency"),
    "Payment Entered": ("channel",),
    "Review Written": ("product_id", "category", "position"),
    "Notification Opened": ("campaign", "channel"),
    "Form Submitted": ("campaign", "duration"),
    "Store Located": ("channel",),
    "Subscription Renewed": ("revenue", "currency", "campaign"),
    "Chat Started": ("channel", "duration"),
    "Order Refunded": ("revenue", "currency", "category"),
    "Order Cancelled": ("revenue", "currency"),
    "Signed Up": ("channel", "campaign"),
    "Appointment Booked": ("category", "channel"),
    "Referral Sent": ("channel", "campaign"),
    "Subscription Cancelled": ("campaign", "duration"),
}
"""The names of events, most frequent first, with the properties that each has."""

SEASONS = ("spring", "summer", "autumn", "winter")
PURPOSES = ("_sale", "_news", "_gift", "_again", "_vip")
WORDS: dict[str, tuple[str, ...]] = {
    "currency": ("EUR", "USD", "GBP", "CHF"),
    "category": tuple(
        "shoes shirts trousers coats bags hats toys books garden kitchen sports health".split()
    ),
    "channel": ("web", "ios", "android", "store", "phone"),
    "campaign": tuple(season + purpose for season in SEASONS for purpose in PURPOSES),
}
"""The texts that a property is one of."""

FIELDS: dict[str, str] = {
    # two in a hundred have no amount
    "revenue": "CASE WHEN u6 >= 0.02 THEN floor(u5 * u5 * 2000) / 4 END",
    "currency": "CASE WHEN u7 < 0.6 THEN 'EUR' WHEN u7 < 0.85 THEN 'USD' "
    "WHEN u7 < 0.95 THEN 'GBP' ELSE 'CHF' END",
    "product_id": "'p' || (u4 * u4 * 5000)::INTEGER",
    "category": f"{list(WORDS['category'])}[1 + floor(u3 * u3 * 12)::INTEGER]",
    "position": "1 + floor(u8 * u8 * 20)",
    "duration": "1 + floor(u9 * u9 * 1800)",
    "channel": f"{list(WORDS['channel'])}[1 + floor(u10 * u10 * 5)::INTEGER]",
    "campaign": f"{list(SEASONS)}[1 + floor(u11 * 4)::INTEGER] || "
    f"{list(PURPOSES)}[1 + floor(u12 * 5)::INTEGER]",
}
"""How each property is made from numbers u3 … u12, evenly spread over [0, 1)."""

NUMBERS = frozenset({"revenue", "position", "duration"})
"""The properties that are numbers; the others are texts."""


@dataclass(frozen=True, slots=True)
class Data:
    """Where the events of one size and seed are kept.

    Attributes:
        folder: the folder of this size and seed; contenders keep their own storage in it too.
        events: how many events.
        seed: what they were made from.
    """

    folder: Path
    events: int
    seed: int

    @classmethod
    def at(cls, place: Path, events: int, seed: int) -> Data:
        """Where a size and seed belong in the folder of all sizes, made or not.

        Args:
            place: the folder of all sizes.
            events: how many events.
            seed: what they are made from.
        """
        return cls(place / f"{events}-{seed}", events, seed)

    @property
    def profiles(self) -> int:
        """How many profiles: 1 to this number, with and without events."""
        return max(self.events // 50, 10)

    @property
    def parts(self) -> list[str]:
        """The Parquet files of events, in the order of arrival."""
        return [str(path) for path in sorted((self.folder / "events").glob("*.parquet"))]

    @property
    def people(self) -> str:
        """The Parquet file with every profile's number."""
        return str(self.folder / "profiles.parquet")

    @property
    def duckdb(self) -> str:
        """The DuckDB file with the tables `events`, in the order of arrival, and `profiles`."""
        return str(self.folder / "events.duckdb")


def share_of(name: str) -> float:
    """The share of all events that have a name.

    Args:
        name: one of `NAMES`.
    """
    weights: list[float] = [1 / (rank + 1) ** SKEW for rank in range(len(NAMES))]
    return weights[list(NAMES).index(name)] / sum(weights)


def make(place: Path, events: int, seed: int) -> Data:
    """Make the events as Parquet files and as a DuckDB table, unless that was done before.

    Args:
        place: folder of all sizes; this one goes to a folder inside it.
        events: how many events; a profile for every 50 of them.
        seed: what everything is made from.

    Returns:
        Where they are.
    """
    data = Data.at(place, events, seed)
    done = data.folder / "made.json"
    if done.exists():
        return data
    start = time.perf_counter()
    (data.folder / "events").mkdir(parents=True, exist_ok=True)
    Path(data.duckdb).unlink(missing_ok=True)
    with duckdb.connect(data.duckdb) as connection:
        connection.execute(f"SET threads = {THREADS}; SET enable_progress_bar = false")
        people = f"SELECT 1 + i AS profile FROM range({data.profiles}) AS rows(i)"
        connection.execute(f"COPY ({people}) TO '{data.people}'")
        for nth, first in enumerate(range(0, events, PART)):
            rows = _rows(data, first, min(first + PART, events))
            connection.execute(f"COPY ({rows}) TO '{data.folder / 'events' / f'{nth:04}.parquet'}'")
        parquet = time.perf_counter() - start
        connection.execute(f"CREATE TABLE profiles AS FROM read_parquet('{data.people}')")
        connection.execute("CREATE TABLE events AS FROM read_parquet($parts)", {"parts": data.parts})
    took = {"parquet_seconds": parquet, "duckdb_seconds": time.perf_counter() - start - parquet}
    done.write_text(json.dumps(took))
    return data


def _even(key: str, seed: int, stream: int) -> str:
    """A number evenly spread over [0, 1) for an integer and a stream of numbers."""
    return f"((hash({key} * 16 + {(seed << 48) + stream}) >> 11) / 9007199254740992.0)"


def _rows(data: Data, first: int, after: int) -> str:
    """The query of the events numbered from `first` to before `after`."""
    names, fields = list(NAMES), list(FIELDS)
    active = max(data.profiles * 49 // 50, 1)
    # an odd step that shares no factor with the number of profiles scatters the busy ones over all numbers
    step = next(each for each in range(7_368_787, 8_000_000, 2) if gcd(each, data.profiles) == 1)
    own = [f"{_even('i', data.seed, nth)} AS u{nth}" for nth in range(13)]
    one_profile = [f"{_even('profile', data.seed + 4_096, nth)} AS v{nth}" for nth in range(2)]
    bounds = [sum(share_of(name) for name in names[: nth + 1]) for nth in range(len(names))]
    slots = [
        next(nth for nth, bound in enumerate(bounds) if slot < bound * SLOTS + 1e-6) for slot in range(SLOTS)
    ]
    having = {
        each: ", ".join(str(nth) for nth, name in enumerate(names) if each in NAMES[name]) for each in fields
    }
    properties = [f"CASE WHEN nth IN ({having[each]}) THEN {FIELDS[each]} END AS {each}" for each in fields]
    # from the first day (most came early) to the last (most are still here)
    days = f"newest + ({DAYS} * (0.1 + 0.9 * sqrt(v0)) - newest) * u2"
    newest = f"{DAYS} * (0.1 + 0.9 * sqrt(v0)) * pow(v1, 8)"
    microseconds = f"({days}) * 86400000000"
    return f"""
        WITH numbered AS (SELECT i, {", ".join(own)} FROM range({first}, {after}) AS rows(i)),
        named AS (
            SELECT *, {slots}[1 + floor(u0 * {SLOTS})::INTEGER] AS nth,
                1 + (floor(u1 * u1 * {active})::BIGINT * {step}) % {data.profiles} AS profile
            FROM numbered
        ),
        placed AS (SELECT *, {", ".join(one_profile)} FROM named),
        spanned AS (SELECT *, {newest} AS newest FROM placed)
        SELECT i AS message_id, profile, {names}[1 + nth] AS name,
            TIMESTAMP '{AS_OF:%Y-%m-%d}' - to_microseconds(({microseconds})::BIGINT) AS occurred_at,
            {", ".join(properties)}
        FROM spanned
    """
