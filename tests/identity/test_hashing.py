"""Hashed identifiers: as the platforms publish, and made nowhere else."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pytest

from identity.errors import HashingError
from identity.privacy.hashing import RECIPES, HashedIdentifier, hash_value, restore

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "fixtures" / "platforms" / "normalise_hash.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['recipe']}-{row['expected'][:8]}")
def test_a_published_input_gives_the_published_digest(row: dict[str, str]) -> None:
    """Or is refused, where the platform says that it has no form."""
    if row["expected"] == "rejected":
        with pytest.raises(HashingError):
            hash_value(row["recipe"], row["input"])
    else:
        assert hash_value(row["recipe"], row["input"]).digest == row["expected"]


def test_the_digest_is_of_the_form_in_utf_8() -> None:
    """Composed and decomposed letters are the same letter."""
    digest = hashlib.sha256("valéry".encode()).hexdigest()
    assert hash_value("meta.first_name", "Vale\u0301ry").digest == digest


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize(
    "value", ["", "   ", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "A" * 32]
)
def test_nothing_and_what_is_hashed_already_have_no_hash(recipe: str, value: str) -> None:
    """The hash of the empty text would match everybody; a hash of a hash nobody."""
    with pytest.raises(HashingError) as caught:
        hash_value(recipe, value)
    assert value.strip() == "" or value not in str(caught.value)


def test_one_address_has_a_different_hash_for_each_platform_that_wants_it() -> None:
    """A stored digest is good for its own recipe only."""
    assert hash_value("meta.email", "x.y+z@gmail.com") != hash_value("google.email", "x.y+z@gmail.com")
    assert (
        hash_value("google.email", "x.y+z@gmail.com").digest
        == hash_value("meta.email", "xy@gmail.com").digest
    )


def test_a_hashed_identifier_is_made_from_a_value_or_restored_and_never_changed() -> None:
    """There is no other door."""
    key = hash_value("meta.email", "ann@example.com")
    with pytest.raises(HashingError):
        HashedIdentifier("email", "meta.email", key.digest)
    with pytest.raises(HashingError):
        restore("email", "meta.email", "ann@example.com")
    with pytest.raises(AttributeError):
        key.digest = "x"
    assert restore(key.kind, key.recipe, key.digest) == key
    assert pickle.loads(pickle.dumps(key)) == key


def test_it_shows_neither_the_value_nor_the_whole_digest() -> None:
    """Logs and tracebacks print reprs."""
    key = hash_value("meta.email", "ann@example.com")
    assert "ann" not in repr(key)
    assert key.digest not in repr(key)


def test_an_unknown_recipe_is_an_error_that_suggests_one() -> None:
    """Instead of a key that matches nobody."""
    with pytest.raises(HashingError, match=r"Did you mean 'meta\.email'"):
        hash_value("meta.emial", "ann@example.com")
