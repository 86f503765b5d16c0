"""The tables: made once, refused when they are another program's, read through views."""

from __future__ import annotations

import pytest
from sqlglot import exp

from identity.errors import KeyFileError, WarehouseError
from identity.store.warehouse import open_warehouse
from identity.tables import SCHEMA_VERSION, bind_key, create_tables, get_setting, set_setting
from tests.conftest import House
from tests.identity.test_resolve import join, visit


def test_tables_of_another_version_are_refused_before_anything_is_made() -> None:
    """With both versions and the way out."""
    warehouse = open_warehouse("duckdb:///:memory:")
    create_tables(warehouse)
    assert get_setting(warehouse, "schema_version") == SCHEMA_VERSION
    set_setting(warehouse, "schema_version", "2")
    # what a file of version 2 lacks
    warehouse.execute(exp.Drop(tables=[exp.to_table("touched_profiles")], kind="TABLE"))
    with pytest.raises(
        WarehouseError, match=f"of version 2, this program reads version {SCHEMA_VERSION};.*new file"
    ):
        create_tables(warehouse)
    tables = warehouse.query(exp.select("table_name").from_("information_schema.tables"))
    assert "touched_profiles" not in tables["table_name"].to_pylist()
    warehouse.close()


def test_another_key_is_refused(house: House) -> None:
    """The first one is remembered."""
    bind_key(house.warehouse, "aa")
    create_tables(house.warehouse)
    bind_key(house.warehouse, "aa")
    with pytest.raises(KeyFileError, match="sealed with key aa"):
        bind_key(house.warehouse, "bb")


def test_views_hold_what_belongs_to_somebody(house: House) -> None:
    """Traits of accounts apart from those of profiles, whoever set them; blocked identifiers nobody's."""
    house.say(
        visit("1", 1, anonymousId="null"),
        {**join("2", 2, "ann@example.com", userId="ann"), "traits": {"plan": "pro"}},
        {"messageId": "3", "type": "group", "userId": "ann", "groupId": "acme", "traits": {"seats": 9}},
        {
            "messageId": "4",
            "type": "group",
            "anonymousId": "null",
            "groupId": "acme",
            "traits": {"plan": "big"},
        },
    )
    house.resolve()
    held = {
        view: {
            tuple(row.values()) for row in house.warehouse.query(exp.select(*columns).from_(view)).to_pylist()
        }
        for view, columns in {
            "profile_events": ("message_id", "account"),
            "profile_traits": ("message_id", "name", "value"),
            "account_traits": ("account", "message_id", "name", "value"),
            "profile_identifiers": ("type",),
        }.items()
    }
    assert held == {
        "profile_events": {("2", None), ("3", "acme")},
        "profile_traits": {("2", "plan", '"pro"')},
        "account_traits": {("acme", "3", "seats", "9"), ("acme", "4", "plan", '"big"')},
        "profile_identifiers": {("user_id",)},
    }
