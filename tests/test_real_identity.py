"""Record-linkage tables with known people: which pairs of records each set of rules gets right."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import pyarrow.parquet as pq
import pytest

from identity.identifiers import IdentifierType, IdentityRules, anonymous_id, custom, email, phone
from identity.mapping import load_mapping
from tests.conftest import House

EVENTS = Path(__file__).parent / "fixtures" / "events"
MANY = 1_000
"""A limit that never binds."""


@dataclass(frozen=True, slots=True)
class Score:
    """How profiles compare with people.

    Attributes:
        precision: share of the pairs of records put together that are one person's.
        recall: share of the pairs of records of one person that were put together.
        false_pairs: pairs of records of two people put together.
        mixed_people: people whose profile holds a record of somebody else.
    """

    precision: float
    recall: float
    false_pairs: int
    mixed_people: int


def pairs(counts: Mapping[Any, int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())


def score(person_of: Mapping[str, str], profile_of: Mapping[str, str]) -> Score:
    """Compare by counting records in person × profile; a record without a profile stands alone."""
    cells = Counter((person, profile_of.get(record, record)) for record, person in person_of.items())
    people: Counter[str] = Counter()
    profiles: Counter[str] = Counter()
    inside: dict[str, set[str]] = defaultdict(set)
    for (person, profile), count in cells.items():
        people[person] += count
        profiles[profile] += count
        inside[profile].add(person)
    right, made, real = pairs(cells), pairs(profiles), pairs(people)
    mixed = set().union(*(held for held in inside.values() if len(held) > 1))
    return Score(
        round(right / made, 3) if made else 1.0,
        round(right / real, 3) if real else 1.0,
        made - right,
        len(mixed),
    )


Record = tuple[str, str, dict[str, str]]
"""Its own id, the person it is about, and type → identifier."""


@dataclass(slots=True)
class Linkage:
    """A table in a warehouse, to be resolved under one set of rules after another."""

    house: House
    person_of: dict[str, str]

    @classmethod
    def of(cls, house: House, records: Sequence[Record]) -> Linkage:
        """Ingest records, each with all identifiers that any rules will name."""
        named = {name for _, _, keys in records for name in keys} - {"email", "phone"}
        house.rules = IdentityRules(phone(), *(custom(name, personal=True) for name in sorted(named)))
        messages: list[dict[str, object]] = [
            {
                "type": "identify",
                "messageId": record,
                "anonymousId": record,
                "timestamp": "2026-01-01T00:00:00Z",
                "context": {
                    "externalIds": [{"type": name, "id": value} for name, value in keys.items() if value]
                },
            }
            for record, _, keys in records
        ]
        report = house.say(*messages)
        assert (report.accepted, report.refused) == (len(records), {})
        return cls(house, {record: person for record, person, _ in records})

    def under(
        self,
        *types: IdentifierType | str,
        records: int = MANY,
        limit: int = MANY,
        conflict: Literal["demote", "drop_links"] = "demote",
    ) -> Score:
        """Resolve and compare.

        Args:
            types: what links, the most trusted first; a name stands for a composite key.
            records: how many records a profile may hold.
            limit: how many of each composite key a profile may hold.
            conflict: what to do when a link would break a limit.
        """
        keys = [
            custom(each, personal=True, limit=limit, priority=rank) if isinstance(each, str) else each
            for rank, each in enumerate(types, start=10)
        ]
        own = anonymous_id(limit=records, priority=1)
        self.house.rules = IdentityRules(own, *keys, conflict=conflict)
        self.house.resolve()
        return score(self.person_of, self.house.profile_of("anonymous_id"))


def key(*parts: object) -> str:
    """Join into one identifier; nothing when a part is missing."""
    texts = ["" if part is None else str(part).strip().lower() for part in parts]
    return "|".join(texts) if all(texts) else ""


def one_in(number: int, record: str, rest: int = 0) -> bool:
    """Choose records, always the same ones."""
    return crc32(record.encode()) % number == rest


def read_csv(name: str) -> list[dict[str, str]]:
    path = EVENTS / name
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        return [{column.strip(): cell.strip() for column, cell in row.items()} for row in rows]


def read_parquet(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(EVENTS / name).to_pylist()
    return rows


def test_stitching_equals_the_vendors_expected_table(house: House) -> None:
    """The vendor gives a cookie to its latest user, which is what `drop_links` does."""
    house.rules = IdentityRules(anonymous_id(limit=100), conflict="drop_links")
    report = house.read(EVENTS / "snowplow_web_events.csv", load_mapping(EVENTS / "maps" / "snowplow.toml"))
    assert (report.read, report.accepted, report.duplicates) == (160, 157, 3)
    house.resolve()
    cookies, users = house.profile_of("anonymous_id"), house.profile_of("user_id")
    with (EVENTS / "snowplow_web_stitched.csv").open() as file:
        rows = list(csv.DictReader(file))
    # one session of the table has no cookie, so there is nothing to stitch
    expected = {row["domain_userid"]: row["stitched_user_id"] for row in rows if row["domain_userid"]}
    assert (len(rows), len(expected)) == (12, 11)
    user_by_profile = {profile: user for user, profile in users.items()}
    assert {cookie: user_by_profile.get(cookies[cookie], "") for cookie in expected} == expected


def test_exact_identifiers_never_join_two_people(house: House) -> None:
    """One shared e-mail address finds a third of the pairs and joins no two people."""
    house.rules = IdentityRules(email(limit=100), anonymous_id(limit=100))
    report = house.read(EVENTS / "fake_1000.csv", load_mapping(EVENTS / "maps" / "fake_1000.toml"))
    assert report.accepted == 1_000
    assert house.resolve().profiles == 635
    # record 0 stands alone: its id is a value that never links
    truth = {row["unique_id"]: row["cluster"] for row in read_csv("fake_1000.csv")}
    assert score(truth, house.profile_of("anonymous_id")) == Score(1.0, 0.336, 0, 0)


def test_a_custom_identifier_finds_most_of_febrls_duplicates(house: House) -> None:
    """500 people twice, one social security number each, some misspelt."""
    house.rules = IdentityRules(custom("soc_sec_id", personal=True, limit=100), anonymous_id(limit=100))
    house.read(EVENTS / "febrl1.csv", load_mapping(EVENTS / "maps" / "febrl.toml"))
    assert house.resolve().profiles == 550
    truth = {row["rec_id"]: row["rec_id"].split("-")[1] for row in read_csv("febrl1.csv")}
    assert score(truth, house.profile_of("anonymous_id")) == Score(1.0, 0.9, 0, 0)


def fake_people() -> Iterator[Record]:
    for row in read_csv("fake_1000.csv"):
        first, last, born, city = (row[name] for name in ("first_name", "surname", "dob", "city"))
        domain = row["email"].rpartition("@")[2]
        # half of the names stand in the wrong columns
        names = sorted([first, last])
        keys = {
            "email": row["email"],
            "born": born,
            "first_city": key(first, city),
            "last_city": key(last, city),
            "first_born": key(first, born),
            "last_born": key(last, born),
            "names_born": key(*names, born),
            "names_city": key(*names, city),
            "names": key(*names),
            "born_city": key(born, city),
            "first_domain": key(first, domain),
            "last_domain": key(last, domain),
            "born_domain": key(born, domain),
        }
        yield f"record-{row['unique_id']}", row["cluster"], keys


def test_composite_keys_double_what_an_e_mail_address_finds(house: House) -> None:
    """1,000 records of 251 people, misspelt: seven keys more find twice the pairs, and no wrong one."""
    linkage = Linkage.of(house, list(fake_people()))
    sure = (
        "first_born",
        "last_born",
        "names_born",
        "names_city",
        "first_domain",
        "last_domain",
        "born_domain",
    )
    assert linkage.under(email(limit=MANY)) == Score(1.0, 0.336, 0, 0)
    assert linkage.under(email(limit=MANY), *sure) == Score(1.0, 0.68, 0, 0)
    assert linkage.under(email(limit=MANY), *sure, "names", "born_city") == Score(0.989, 0.777, 17, 4)
    naive = ("born", "first_city", "last_city")
    assert linkage.under(email(limit=MANY), *naive) == Score(0.584, 0.848, 1228, 42)


FEBRL_KEYS = (
    "soc_sec_id",
    "given_born",
    "last_born",
    "born_postcode",
    "name_postcode",
    "address_born",
    "name_street",
    "last_address",
    "given_address",
)
FEBRL_NAIVE = ("name", "born", "address")


def febrl(name: str) -> Iterator[Record]:
    for row in read_csv(name):
        record, given, last, born, postcode = (
            row[column] for column in ("rec_id", "given_name", "surname", "date_of_birth", "postcode")
        )
        number, street = row["street_number"], row["address_1"]
        keys = {
            "soc_sec_id": row["soc_sec_id"],
            "born": born,
            "name": key(given, last),
            "address": key(number, street, postcode),
            "given_born": key(given, born),
            "last_born": key(last, born),
            "name_born": key(given, last, born),
            "born_postcode": key(born, postcode),
            "name_postcode": key(given, last, postcode),
            "address_born": key(number, street, born),
            "name_street": key(given, last, street),
            "last_address": key(last, number, street),
            "given_address": key(given, number, street),
            "first_file" if record.endswith("-org") else "second_file": record,
        }
        yield record, record.split("-")[1], keys


@pytest.mark.parametrize(
    "table, one_key, nine_keys, naive",
    [
        ("febrl1.csv", Score(1.0, 0.404, 0, 0), Score(1.0, 0.99, 0, 0), Score(0.968, 0.964, 16, 8)),
        ("febrl2.csv.gz", Score(1.0, 0.317, 0, 0), Score(0.997, 0.998, 5, 8), Score(0.747, 0.967, 634, 628)),
        ("febrl3.csv.gz", Score(1.0, 0.292, 0, 0), Score(1.0, 0.998, 0, 0), Score(0.893, 0.967, 754, 200)),
    ],
)
def test_nine_keys_find_nearly_every_febrl_duplicate(
    house: House, table: str, one_key: Score, nine_keys: Score, naive: Score
) -> None:
    """Up to five misspelt duplicates a person: each error leaves some key whole."""
    linkage = Linkage.of(house, list(febrl(table)))
    assert linkage.under("name_born") == one_key
    assert linkage.under(*FEBRL_KEYS) == nine_keys
    assert linkage.under(*FEBRL_NAIVE) == naive


def test_a_limit_of_one_record_a_file_links_two_files_without_an_error(house: House) -> None:
    """5,000 people, once in each of two files: with the limit, even a bare date of birth may link."""
    linkage = Linkage.of(house, [*febrl("febrl4a.csv.gz"), *febrl("febrl4b.csv.gz")])
    keys = (*FEBRL_KEYS, *FEBRL_NAIVE)
    one_each = [
        custom(name, limit=1, unique=True, personal=True, priority=rank)
        for rank, name in enumerate(("first_file", "second_file"), start=2)
    ]
    assert linkage.under(*FEBRL_KEYS) == Score(0.997, 0.998, 16, 8)
    assert linkage.under(*keys) == Score(0.633, 0.999, 2892, 1001)
    assert linkage.under(*one_each, *keys) == Score(1.0, 0.999, 0, 0)
    assert linkage.under(*one_each, *keys, conflict="drop_links") == Score(1.0, 0.999, 0, 0)


HISTORICAL_KEYS = (
    "name_born",
    "last_born",
    "born_postcode",
    "born_district",
    "born_place",
    "name_postcode",
    "first_postcode",
    "last_postcode",
    "name_district",
    "name_place",
    "words_place",
)


def historical_figures() -> Iterator[Record]:
    for row in read_parquet("historical_figures.parquet"):
        name, place, postcode = row["first_and_surname"], row["birth_place"], row["postcode_fake"]
        district = (postcode or "").rpartition(" ")[0]
        # the first of January stands for a year
        born = None if (row["dob"] or "").endswith("-01-01") else row["dob"]
        keys = {
            "name": key(name),
            "postcode": key(postcode),
            "name_born": key(name, born),
            "last_born": key(row["surname"], born),
            "born_postcode": key(row["dob"], postcode),
            "born_district": key(born, district),
            "born_place": key(born, place),
            "name_postcode": key(name, postcode),
            "first_postcode": key(row["first_name"], postcode),
            "last_postcode": key(row["surname"], postcode),
            "name_district": key(name, district),
            "name_place": key(name, place),
            "words_place": key(" ".join(sorted(re.findall(r"[\w']+", row["full_name"] or ""))), place),
        }
        yield row["unique_id"], row["cluster"], keys


def test_limits_trade_recall_for_precision_among_historical_figures(house: House) -> None:
    """12,207 records with errors of 1,241 people, up to 21 each (a quarter of the table, by hash)."""
    # the more people, the more of them agree: over the whole table eleven keys have a precision of 0.944
    linkage = Linkage.of(house, list(historical_figures()))
    assert linkage.under("name_born") == Score(1.0, 0.068, 0, 0)
    assert linkage.under(*HISTORICAL_KEYS) == Score(0.984, 0.656, 785, 17)
    assert linkage.under(*HISTORICAL_KEYS, limit=10) == Score(0.992, 0.651, 381, 16)
    assert linkage.under(*HISTORICAL_KEYS, limit=5) == Score(0.997, 0.53, 111, 12)
    assert linkage.under("name", "postcode") == Score(0.362, 0.709, 90983, 324)


def address_of(row: Mapping[str, Any]) -> str:
    return key(f"{row['street_number'] or ''} {row['street_name']}", row["unit_number"] or "-")


def born_of(row: Mapping[str, Any], record: str, number: int) -> str:
    """Give one record in so many the date of birth of another of the household."""
    return str((one_in(number, record, 1) and row["copy_date_of_birth"]) or row["date_of_birth"])


def census() -> Iterator[Record]:
    for row in read_parquet("census.parquet"):
        first, middle, last = (row[name] for name in ("first_name", "middle_initial", "last_name"))
        record = f"{row['year']}-{row['simulant_id']}"
        born, address = born_of(row, record, 20), address_of(row)
        # the table has no telephones: give each household one
        telephone = f"+1206{2_000_000 + int(row['household_id'].removeprefix('0_'))}"
        keys = {
            "phone": telephone,
            "address": address,
            "address_last": key(address, last),
            "address_first_born": key(address, first, born),
            "address_name": key(address, first, middle, last),
            "phone_name": key(telephone, first, middle, last),
            "name_born": key(first, last, born),
            f"census_{row['year']}": record,
        }
        yield record, row["simulant_id"], keys


def test_what_a_household_shares_joins_its_people(house: House) -> None:
    """Who is mixed up of 7,293 people in three censuses (a third of the households, by hash)."""
    linkage = Linkage.of(house, list(census()))
    assert len(set(linkage.person_of.values())) == 7_293
    # a telephone that no rule names links nobody
    assert linkage.under() == Score(1.0, 0.0, 0, 0)
    assert linkage.under(phone(limit=MANY)) == Score(0.005, 0.821, 663160, 6297)
    assert linkage.under("address") == Score(0.004, 0.614, 658930, 6272)
    assert linkage.under("address_last") == Score(0.205, 0.614, 10225, 4164)
    assert linkage.under(phone(limit=3), records=5) == Score(0.163, 0.373, 8245, 4748)
    assert linkage.under("address_first_born") == Score(0.999, 0.58, 2, 4)
    assert linkage.under("name_born") == Score(1.0, 0.937, 1, 2)


def test_a_limit_keeps_a_household_apart_whose_telephone_links(house: House) -> None:
    """With one name and date of birth a profile, or one record a census, a shared telephone may link."""
    linkage = Linkage.of(house, list(census()))
    person = custom("name_born", personal=True, limit=1, unique=True, priority=2)
    alone = Score(1.0, 0.937, 1, 2)
    # fewer than by telephone alone: a profile absorbs a hundred others and no more
    assert linkage.under("name_born", phone(limit=MANY, priority=99)) == Score(0.011, 0.832, 314292, 5786)
    assert linkage.under(person, phone(limit=MANY, priority=99)) == alone
    assert linkage.under(person, phone(limit=MANY, priority=99), conflict="drop_links") == alone
    years = [
        custom(f"census_{year}", personal=True, limit=1, unique=True, priority=rank)
        for rank, year in enumerate((2020, 2030, 2040), start=2)
    ]
    composites = ("name_born", "address_name", "phone_name")
    assert linkage.under(*composites) == Score(0.999, 0.994, 6, 6)
    assert linkage.under(*years, *composites) == Score(1.0, 0.994, 0, 0)


def registers() -> Iterator[Record]:
    """A tenth bear a relative's date of birth, another tenth a relative's number, where the table has one."""
    for row in read_parquet("social_security.parquet"):
        record = f"{row['event_type']}-{row['simulant_id']}"
        born = born_of(row, record, 10)
        number = (one_in(10, record) and row["copy_ssn"]) or row["ssn"]
        keys = {
            "number": number,
            "number_first": key(number, row["first_name"]),
            "name_born": key(row["first_name"], row["middle_name"][0], row["last_name"], born),
        }
        yield record, row["simulant_id"], keys
    for table in ("wic", "cps"):
        for nth, row in enumerate(read_parquet(f"{table}.parquet")):
            record = f"{table}-{nth}"
            names = [row[name] for name in ("first_name", "middle_initial", "last_name")]
            keys = {
                "name_born": key(*names, born_of(row, record, 10)),
                "address_name": key(address_of(row), *names),
            }
            yield record, row["simulant_id"], keys


def test_a_borrowed_social_security_number_joins_a_family(house: House) -> None:
    """9,683 records, some with a relative's number or birth (a third of three registers, by hash)."""
    linkage = Linkage.of(house, list(registers()))
    person = custom("name_born", personal=True, limit=1, priority=2)
    assert linkage.under("number") == Score(0.797, 0.303, 265, 454)
    assert linkage.under("number", "name_born") == Score(0.855, 0.899, 523, 454)
    assert linkage.under(person, "number") == Score(1.0, 0.873, 0, 0)
    assert linkage.under("number_first", "name_born", "address_name") == Score(1.0, 0.929, 0, 0)
