"""Real tables, through mappings, against brute force, a vendor's expected output, and known clusters."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from pathlib import Path

from sqlglot import exp

from audiences import Audience, days, did, prop
from audiences.membership import compute_members
from identity.identifiers import IdentityRules, anonymous_id, custom, email
from identity.mapping import load_mapping
from tests.conftest import House

EVENTS = Path(__file__).parent / "fixtures" / "events"


def profile_of(house: House, kind: str) -> dict[str, str]:
    """Identifier value → profile id."""
    rows = house.warehouse.query(
        exp.select("i.value", "m.profile_id")
        .from_("identifier_profiles AS m")
        .join("identifiers AS i", using="identifier_id")
        .where(exp.column("type", "i").eq(kind))
    ).to_pylist()
    return {row["value"]: row["profile_id"] for row in rows}


def members(house: House, audiences: list[Audience], as_of: datetime) -> dict[str, set[str]]:
    """Audience → user ids."""
    who = {profile: user for user, profile in profile_of(house, "user_id").items()}
    found = compute_members(house.warehouse, audiences, as_of)
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


def test_stitching_equals_the_vendors_expected_table(house: House) -> None:
    """The vendor gives a cookie to its latest user, which is what `drop_links` does."""
    house.rules = IdentityRules(anonymous_id(limit=100), conflict="drop_links")
    report = house.read(EVENTS / "snowplow_web_events.csv", load_mapping(EVENTS / "maps" / "snowplow.toml"))
    assert (report.read, report.accepted, report.duplicates) == (160, 157, 3)
    house.resolve()
    cookies, users = profile_of(house, "anonymous_id"), profile_of(house, "user_id")
    with (EVENTS / "snowplow_web_stitched.csv").open() as file:
        rows = list(csv.DictReader(file))
    # one session of the table has no cookie, so there is nothing to stitch
    expected = {row["domain_userid"]: row["stitched_user_id"] for row in rows if row["domain_userid"]}
    assert (len(rows), len(expected)) == (12, 11)
    user_by_profile = {profile: user for user, profile in users.items()}
    assert {cookie: user_by_profile.get(cookies[cookie], "") for cookie in expected} == expected


def pair_scores(truth: Iterable[tuple[str, str]], found: dict[str, str]) -> tuple[float, float, int]:
    """Precision and recall over pairs of records, and the number of profiles."""
    clusters: dict[str, set[str]] = defaultdict(set)
    profiles: dict[str, set[str]] = defaultdict(set)
    for record, cluster in truth:
        if record in found:
            clusters[cluster].add(record)
            profiles[found[record]].add(record)

    def pairs(groups: dict[str, set[str]]) -> set[tuple[str, ...]]:
        return {pair for group in groups.values() for pair in combinations(sorted(group), 2)}

    true, made = pairs(clusters), pairs(profiles)
    return len(true & made) / len(made), len(true & made) / len(true), len(profiles)


def test_exact_identifiers_never_join_two_people(house: House) -> None:
    """Deterministic resolution: precision 1, and the recall that one shared identifier can give."""
    house.rules = IdentityRules(email(limit=100), anonymous_id(limit=100))
    assert (
        house.read(EVENTS / "fake_1000.csv", load_mapping(EVENTS / "maps" / "fake_1000.toml")).accepted
        == 1_000
    )
    house.resolve()
    with (EVENTS / "fake_1000.csv").open() as file:
        truth = [(row["unique_id"], row["cluster"]) for row in csv.DictReader(file)]
    precision, recall, profiles = pair_scores(truth, profile_of(house, "anonymous_id"))
    assert precision == 1
    assert (round(recall, 2), profiles) == (0.34, 634)


def test_a_custom_identifier_finds_most_of_febrls_duplicates(house: House) -> None:
    """500 people twice, one social security number each, some misspelt."""
    house.rules = IdentityRules(custom("soc_sec_id", personal=True, limit=100), anonymous_id(limit=100))
    house.read(EVENTS / "febrl1.csv", load_mapping(EVENTS / "maps" / "febrl.toml"))
    house.resolve()
    with (EVENTS / "febrl1.csv").open() as file:
        truth = [(row["rec_id"], row["rec_id"].split("-")[1]) for row in csv.DictReader(file)]
    precision, recall, profiles = pair_scores(truth, profile_of(house, "anonymous_id"))
    assert precision == 1
    assert (round(recall, 2), profiles) == (0.9, 550)
