"""Files of hashed identifiers: whole or not at all, and never of somebody who was removed."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
import pytest

from exporters.destination import Clock
from exporters.errors import ExportError
from exporters.file import HashedFile, hashed_file
from identity.errors import ConfigurationError
from identity.privacy.hashing import hash_value

CLOCK = Clock(lambda: datetime(2026, 6, 1, tzinfo=UTC), lambda _seconds: None, random.Random(1).random)
KEYS = [hash_value("file.email", f"p{number}@example.com") for number in range(5)]
FORMATS: list[Literal["parquet", "csv"]] = ["parquet", "csv"]


def held(place: Path) -> set[str]:
    if place.suffix == ".csv":
        with place.open(newline="") as file:
            return {row["sha256"] for row in csv.DictReader(file)}
    return set(pq.read_table(place)["sha256"].to_pylist())


def made(tmp_path: Path, kind: Literal["parquet", "csv"]) -> HashedFile:
    return hashed_file("out", match=["email"], purpose="advertising", format=kind).located(tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_file_holds_what_was_added_and_not_removed(
    tmp_path: Path, kind: Literal["parquet", "csv"]
) -> None:
    """Adding and removing again changes nothing; the manifest describes the file."""
    with made(tmp_path, kind).open(CLOCK) as channel:
        remote = channel.create_audience("a_1")
        channel.add(remote, KEYS[:4])
        channel.add(remote, KEYS[:1])
        channel.remove(remote, KEYS[1:2])
        channel.remove(remote, KEYS[1:2])
    path = tmp_path / "out" / "a_1" / f"members.{kind}"
    assert held(path) == {KEYS[0].digest, KEYS[2].digest, KEYS[3].digest}
    manifest = json.loads((path.parent / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest["rows"], manifest["rows_by_recipe"]) == (3, {"file.email": 3})
    assert "personal data" in manifest["notice"]
    assert path.stat().st_mode & 0o077 == 0


def test_another_format_is_another_destination(tmp_path: Path) -> None:
    """So that the ledger does not believe the new file to hold, or to have lost, what the old one holds."""
    names = {made(tmp_path, kind).name for kind in FORMATS}
    assert len(names) == 2


def test_a_file_that_went_missing_is_not_started_anew(tmp_path: Path) -> None:
    """The ledger would believe it complete."""
    with made(tmp_path, "csv").open(CLOCK) as channel:
        remote = channel.create_audience("a_1")
        channel.add(remote, KEYS)
        (tmp_path / "out" / "a_1" / "members.csv").unlink()
        with pytest.raises(ExportError, match="put it back"):
            channel.add(remote, KEYS)


def test_a_file_that_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    """With its name in the error."""
    with made(tmp_path, "csv").open(CLOCK) as channel:
        remote = channel.create_audience("a_1")
        (tmp_path / "out" / "a_1" / "members.csv").write_text("something else\n")
        with pytest.raises(ExportError, match=r"members\.csv"):
            channel.add(remote, KEYS)
    assert (tmp_path / "out" / "a_1" / "members.csv").read_text() == "something else\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "xlsx"}, "parquet, csv"),
        ({"match": ["emial"]}, "Did you mean 'email'"),
        ({"match": "email"}, "a list"),
        ({"match": []}, "a list"),
        ({"purpose": ""}, "purpose="),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], says: str) -> None:
    """When the project is read, not when it is synced."""
    with pytest.raises(ConfigurationError, match=says):
        hashed_file("out", **{"match": ["email"], "purpose": "advertising", **options})  # type: ignore[arg-type]
