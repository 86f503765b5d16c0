"""The vault: nothing opens without the key, and nothing can be moved."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from uuid import UUID

import pytest

from identity.errors import KeyFileError, SealError
from identity.privacy.vault import Vault, create_key_file, open_vault

VAULT = Vault(bytes(range(32)))


def test_what_is_sealed_opens_again() -> None:
    """Sealing twice gives different bytes for the same value."""
    token = VAULT.token("email", "ann@example.com")
    first, second = (VAULT.seal("email", token, "ann@example.com") for _ in range(2))
    assert first != second
    assert VAULT.open("email", token, first) == VAULT.open("email", token, second) == "ann@example.com"
    assert b"ann" not in first


def test_tokens_are_equal_for_equal_values_and_useless_without_the_key() -> None:
    """Equality is all that a token tells; class and key are part of it."""
    token = VAULT.token("email", "x")
    assert token == VAULT.token("email", "x")
    assert token != VAULT.token("phone", "x")
    assert token != Vault(os.urandom(32)).token("email", "x")
    assert token.version == 8


def test_a_token_never_changes_between_releases() -> None:
    """Stored tokens must be found by the next release."""
    assert VAULT.token("email", "ann@example.com") == UUID("b09e4614-6aec-8554-bf9c-bba66a356fab")
    assert VAULT.profile_id("m1") == UUID("df74e6ba-246f-89db-8b64-466be45cc718")


@pytest.mark.parametrize("change", ["class", "token", "flip", "truncate", "version", "key"])
def test_a_sealed_value_that_was_changed_or_moved_does_not_open(change: str) -> None:
    """The error says nothing about which part was wrong, nor about the value."""
    token = VAULT.token("email", "ann@example.com")
    sealed = VAULT.seal("email", token, "ann@example.com")
    vault, kind = VAULT, "email"
    match change:
        case "class":
            kind = "phone"
        case "token":
            token = VAULT.token("email", "bob@example.com")
        case "flip":
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        case "truncate":
            sealed = sealed[:10]
        case "version":
            sealed = b"\x02" + sealed[1:]
        case _:
            vault = Vault(os.urandom(32))
    with pytest.raises(SealError) as caught:
        vault.open(kind, token, sealed)
    assert "ann" not in str(caught.value)


def test_the_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600 from its first byte, and refused when others can read it."""
    path = tmp_path / "audiences.key"
    create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    open_vault(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        open_vault(path)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    """A lost key can't be made again."""
    path = tmp_path / "audiences.key"
    create_key_file(path)
    with pytest.raises(KeyFileError, match="never replaced"):
        create_key_file(path)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "x", "version": 1, "key": "00"}', "[1]"])
def test_a_wrong_key_file_is_refused(tmp_path: Path, content: str) -> None:
    """There is no plaintext fallback."""
    path = tmp_path / "audiences.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        open_vault(path)
    with pytest.raises(KeyFileError, match="missing"):
        open_vault(tmp_path / "other.key")


def test_a_vault_shows_and_pickles_no_key() -> None:
    """Its repr names the key id only."""
    assert bytes(range(32)).hex() not in repr(VAULT)
    with pytest.raises(KeyFileError):
        pickle.dumps(VAULT)
