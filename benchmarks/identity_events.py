"""Made-up identity events of realistic shape: logins, cookies, shared devices, households, junk, a kiosk.

Of a hundred events that carry a link, 55 are logins (user id and cookie), 25 purchases (with an e-mail
as well), 15 clicks in a newsletter (e-mail and cookie) and 5 registrations with a telephone. Two people in a
hundred use somebody else's device now and then; one telephone in five is a household's of three; one event in
two hundred says that its user id is `undefined`. One kiosk carries up to 50,000 cookies. On top come three
tenths as many visits with a cookie alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from identity.store.warehouse import Warehouse

__all__ = ["Made", "chunks", "load", "make"]

Ints = npt.NDArray[np.int64]

TYPES = ("user_id", "email", "anonymous_id", "phone", "ios.id")
USER, EMAIL, COOKIE, PHONE, DEVICE = range(5)
COOKIES = 4
EVENTS_A_PERSON = 7
YEAR = 365 * 86_400_000
START = 1_700_000_000_000
CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Made:
    """Events as codes: `codes[offsets[i]:offsets[i + 1]]` at `at[i]` (milliseconds), the subject first.

    `types` says each code's type; `blocked` is the one code that links nobody.
    """

    offsets: Ints
    codes: Ints
    at: Ints
    types: Ints
    blocked: int


def make(links: int, seed: int = 20_261_123) -> Made:
    """Make as many events that carry a link, and the visits on top.

    Args:
        links: events that carry two identifiers or more.
        seed: of the random choices.
    """
    random = np.random.default_rng(seed)
    kiosk = min(50_000, links // 20)
    people = max((links - kiosk) // EVENTS_A_PERSON, 2)
    households = people // 3 + 1
    ends = np.cumsum([people, 2 * people, COOKIES * people, households + people, 1, kiosk, 1])
    email, cookie, phone, device, kiosk_cookie, undefined = ends[:-1]
    types = np.repeat([USER, EMAIL, COOKIE, PHONE, DEVICE, COOKIE, USER], np.diff(ends, prepend=0))

    usual = links - kiosk
    visits = links * 3 // 10
    count = usual + visits
    who = random.integers(0, people, count)
    at = random.integers(0, 2 * YEAR, count)
    # cookies rotate: a person's next one every half year
    lends = random.random(people) < 0.02
    device_of = np.where(lends[who] & (random.random(count) < 0.3), (who + 1) % people, who)
    cookies = cookie + device_of * COOKIES + at * COOKIES // (2 * YEAR)
    users = np.where(random.random(count) < 0.005, undefined, who)
    emails = email + 2 * who + (random.random(count) < 0.2)
    kind = np.searchsorted([0.55, 0.80, 0.95], random.random(count))
    kind[usual:] = 4
    phones = np.where(random.random(people)[who] < 0.2, phone + who // 3, phone + households + who)
    nothing = np.full(count, -1)
    first = np.choose(kind, [users, users, emails, users, cookies])
    # in order of priority: where a user id is blocked, the next one is the subject
    second = np.choose(kind, [cookies, emails, cookies, cookies, nothing])
    third = np.choose(kind, [nothing, cookies, nothing, phones, nothing])

    table = np.column_stack([first, second, third])
    crowd = np.column_stack([kiosk_cookie + np.arange(kiosk), np.full(kiosk, device), np.full(kiosk, -1)])
    table = np.concatenate([table, crowd])
    at = np.concatenate([at, random.integers(0, 2 * YEAR, kiosk)])
    order = random.permutation(len(at))
    table, at = table[order], at[order]
    given = table >= 0
    offsets = np.concatenate([[0], np.cumsum(given.sum(axis=1))])
    return Made(offsets, table[given], START + at, types, int(undefined))


def chunks(made: Made, first_number: int = 0) -> Iterator[pa.Table]:
    """The events as rows of the table `events`, a million at a time.

    Args:
        made: the events.
        first_number: of the first message id.
    """
    ids = uuids(np.arange(len(made.types)))
    for start in range(0, len(made.at), CHUNK):
        end = min(start + CHUNK, len(made.at))
        codes = made.codes[made.offsets[start] : made.offsets[end]]
        offsets = made.offsets[start : end + 1] - made.offsets[start]
        lead = codes[offsets[:-1]]
        second = codes[np.minimum(offsets[:-1] + 1, len(codes) - 1)]
        lead = np.where(lead == made.blocked, second, lead)
        numbers = pa.array(np.arange(first_number + start, first_number + end)).cast(pa.string())
        at = pa.array(made.at[start:end] * 1000, pa.timestamp("us"))
        yield pa.table(
            {
                "message_id": pc.binary_join_element_wise("m", numbers, ""),
                "occurred_at": at,
                "received_at": at,
                "subject": ids.take(pa.array(lead)),
                "identifiers": pa.ListArray.from_arrays(
                    pa.array(offsets, pa.int32()), ids.take(pa.array(codes))
                ),
            }
        )


def uuids(codes: Ints) -> pa.ExtensionArray:
    """Codes as UUIDs that look random, always the same for the same code."""
    raw = np.column_stack([_mixed(2 * codes.astype(np.uint64)), _mixed(2 * codes.astype(np.uint64) + 1)])
    storage = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(codes), [None, pa.py_buffer(np.ascontiguousarray(raw))]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def load(warehouse: Warehouse, made: Made) -> None:
    """Store events and identifiers as an ingest would have.

    Args:
        warehouse: an empty one with its tables.
        made: the events.
    """
    names = pa.array(TYPES).take(pa.array(made.types))
    warehouse.append(
        "identifiers",
        pa.table(
            {
                "identifier_id": uuids(np.arange(len(made.types))),
                "type": names,
                "blocked": np.arange(len(made.types)) == made.blocked,
            }
        ),
    )
    for rows in chunks(made):
        warehouse.append("events", rows)
