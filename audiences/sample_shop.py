"""The sample events of a new project: a small shop whose answers are known in advance.

Everything follows from a person's number, so a reader can check every figure by hand; only the dates move
with the day on which the project was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

__all__ = ["PEOPLE", "SHARED_DEVICE_USERS", "sample_lines", "write_sample"]

PEOPLE = 600
"""People in the sample, numbered from 1."""

SHARED_DEVICE_USERS = range(11, 19)
"""The people who also used the one tablet on the shop's counter."""

_FIRST = "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lena Max Nora Otto Pia Quin Rosa Sam Tess".split()
_LAST = "Abel Brandt Conti Duarte Ekholm Fabre Gallo Horak Ivanov Jansen Kovac Lindt Moreau".split()
_CITIES = ("Lisbon", "Porto", "Madrid", "Lyon", "Ghent")


def write_sample(path: Path, as_of: datetime) -> int:
    """Write the sample events as NDJSON.

    Args:
        path: the file to write.
        as_of: the instant that the sample looks back from, UTC.

    Returns:
        Lines written.
    """
    lines = list(sample_lines(as_of))
    path.write_bytes(b"\n".join(lines) + b"\n")
    return len(lines)


def sample_lines(as_of: datetime) -> Iterator[bytes]:
    """Yield the sample's lines: the events of every person, three repeats, and five that must be refused.

    Args:
        as_of: the instant that the sample looks back from, UTC.
    """
    lines = [orjson.dumps(message) for n in range(1, PEOPLE + 1) for message in _person(n, as_of)]
    yield from lines
    yield from lines[:3]
    yield b'{"type": "track", "event": "Order Completed", "userId": "u0001", '
    yield orjson.dumps({"messageId": "bad-2", "type": "track", "event": "Order Completed"})
    yield orjson.dumps({"messageId": "bad-3", "type": "track", "userId": "u0001"})
    yield orjson.dumps({"messageId": "bad-4", "type": "page", "userId": "u0001", "properties": "x" * 40_000})
    future = (as_of + timedelta(days=3_650)).isoformat()
    yield orjson.dumps({"messageId": "bad-5", "type": "page", "userId": "u0001", "timestamp": future})


def _person(n: int, as_of: datetime) -> Iterator[dict[str, Any]]:
    def message(kind: str, part: str, days_ago: float, **fields: Any) -> dict[str, Any]:
        at = as_of - timedelta(days=days_ago, seconds=n)
        return {
            "messageId": f"m{n:04}-{part}",
            "type": kind,
            "timestamp": at.isoformat(timespec="milliseconds"),
            **fields,
        }

    browser = {"anonymousId": f"browser-{n:04}"}
    person = {"userId": f"u{n:04}", **browser}
    first, last = _FIRST[n % len(_FIRST)], _LAST[n % len(_LAST)]
    address = f"{first}.{last}{n}@example.com"
    yield message("page", "visit", 60, **browser, name="Home", properties={"path": "/"})
    traits: dict[str, Any] = {
        "firstName": first,
        "lastName": last,
        "plan": "free" if n % 4 == 0 else "plus",
        "address": {"city": _CITIES[n % len(_CITIES)], "country": "PT"},
        "birthday": f"{1950 + n % 50}-0{1 + n % 9}-1{n % 9}",
    }
    if n % 20 != 11:
        # written as people write them: canonical form is the engine's work
        traits["email"] = address if n % 3 else f" {address.upper()} "
        traits["phone"] = f"(415) 555-{n:04}"
    context: dict[str, Any] = {"ip": "203.0.113.7", "locale": "pt-PT"}
    if n % 10 != 3:
        context["consent"] = {"categoryPreferences": {"Advertising": n % 10 != 7, "Analytics": True}}
    yield message("identify", "join", 59, **person, traits=traits, context=context)
    if n % 2 == 1:
        for number in range(3):
            revenue = 150 + n % 100
            properties = {"order_id": f"o{n:04}{number}", "revenue": revenue, "currency": "EUR"}
            days_ago = (40 if n % 5 == 1 else 10) + 15 * number
            event = "Order Completed"
            yield message("track", f"order{number}", days_ago, **person, event=event, properties=properties)
    if n % 25 == 0:
        yield message(
            "track", "refund", 10, **person, event="Refund Requested", properties={"reason": "size"}
        )
    if n % 16 == 5:
        properties = {"value": 80 + n % 40, "products": [{"sku": f"S{n % 7}"}, {"sku": "S9"}]}
        yield message("track", "checkout", 2, **person, event="Checkout Started", properties=properties)
    if n % 8 == 0:
        tablet = {"anonymousId": f"tablet-{n:04}"}
        yield message("page", "tablet", 30, **tablet, name="Sale", properties={"path": "/sale"})
        yield message("identify", "tablet-login", 29, **tablet, traits={"email": address})
    if n in SHARED_DEVICE_USERS:
        counter = {"userId": f"u{n:04}", "anonymousId": "shop-counter"}
        yield message("track", "counter", 5, **counter, event="Signed In", properties={"method": "counter"})
