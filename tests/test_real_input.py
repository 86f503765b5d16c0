"""Real tables, through mappings, against brute force."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from audiences import Audience, days, did, prop
from audiences.compile import Question
from audiences.computing import compute_members
from audiences.kinds import read_kinds
from identity.identifiers import IdentityRules
from identity.mapping import load_mapping
from tests.conftest import House

EVENTS = Path(__file__).parent / "fixtures" / "events"


def members(house: House, audiences: list[Audience], as_of: datetime) -> dict[str, set[str]]:
    """Audience → user ids."""
    who = {profile: user for user, profile in house.profile_of("user_id").items()}
    question = Question(as_of, kinds=read_kinds(house.warehouse))
    found = compute_members(house.warehouse, audiences, question)
    return {key: {who[profile] for profile in profiles} for key, profiles in found.items()}


def test_audiences_over_cdnow_equal_a_brute_force(house: House) -> None:
    """69,659 purchases of 23,570 people, 255 of them identical to another of the same day."""
    house.rules = IdentityRules()
    report = house.read(EVENTS / "cdnow.txt.gz", load_mapping(EVENTS / "maps" / "cdnow.toml"))
    assert (report.accepted, report.duplicates, report.refused) == (69_659, 0, {})
    assert house.resolve().profiles == 23_570

    bought: dict[str, list[tuple[date, int, int]]] = defaultdict(list)
    with gzip.open(EVENTS / "cdnow.txt.gz", "rt") as file:
        for line in list(file)[1:]:
            who, day, cds, dollars = line.split()
            bought[who].append(
                (datetime.strptime(day, "%Y%m%d").date(), int(cds), round(float(dollars) * 100))
            )

    def who(holds: Callable[[list[tuple[date, int, int]]], bool]) -> set[str]:
        return {name for name, orders in bought.items() if holds(orders)}

    orders = did("Order Completed")
    as_of = datetime(1998, 7, 1, tzinfo=UTC)
    since = as_of.date() - timedelta(days=90)
    three = Audience("three_orders", orders >= 3)
    found = members(
        house,
        [
            three,
            Audience("spent_200", orders.sum("revenue") >= 200),
            Audience("average_50", orders.avg("revenue") >= 50),
            Audience("one_cd_at_most", orders.max("cds") <= 1),
            Audience("recent", orders.within(days(90))),
            Audience("lapsed", three, ~orders.within(days(90))),
            Audience("quarter", orders.between(date(1997, 1, 1), date(1997, 4, 1)).at_least(2)),
            Audience("big_order", orders.where(prop("cds") >= 10) >= 1),
        ],
        as_of,
    )
    assert found == {
        "three_orders": who(lambda rows: len(rows) >= 3),
        "spent_200": who(lambda rows: sum(row[2] for row in rows) >= 20_000),
        "average_50": who(lambda rows: sum(row[2] for row in rows) >= 5_000 * len(rows)),
        "one_cd_at_most": who(lambda rows: max(row[1] for row in rows) <= 1),
        "recent": who(lambda rows: any(row[0] > since for row in rows)),
        "lapsed": who(lambda rows: len(rows) >= 3 and all(row[0] <= since for row in rows)),
        "quarter": who(lambda rows: sum(row[0] < date(1997, 4, 1) for row in rows) >= 2),
        "big_order": who(lambda rows: any(row[1] >= 10 for row in rows)),
    }


def test_audiences_over_a_shop_equal_a_brute_force(house: House) -> None:
    """31,106 events of 600 people."""
    house.rules = IdentityRules()
    report = house.read(EVENTS / "ecom.csv.gz", load_mapping(EVENTS / "maps" / "ecom.toml"))
    assert (report.accepted, report.refused) == (31_106, {})
    assert house.resolve().profiles == 600
    with gzip.open(EVENTS / "ecom.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    views = Counter(
        row["user_id"] for row in rows if row["event"] == "product_view" and row["platform"] == "mobile"
    )
    did_event = {
        name: {row["user_id"] for row in rows if row["event"] == name} for name in ("add_to_cart", "purchase")
    }
    found = members(
        house,
        [
            Audience("viewed", did("product_view").where(prop("platform") == "mobile") >= 3),
            Audience("left_cart", did("add_to_cart"), ~did("purchase")),
            Audience("by_mail", did("home").within(days(30)).where(prop("channel").is_in(["email", "ads"]))),
        ],
        datetime(2024, 7, 2, tzinfo=UTC),
    )
    assert found["viewed"] == {name for name, count in views.items() if count >= 3}
    assert found["left_cart"] == did_event["add_to_cart"] - did_event["purchase"]
    assert found["by_mail"] == {
        row["user_id"]
        for row in rows
        if row["event"] == "home"
        and row["acquisition_channel"] in ("email", "ads")
        and datetime.fromisoformat(row["timestamp"]) > datetime(2024, 6, 2)
    }
