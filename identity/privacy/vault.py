"""The vault: seals personal values, opens them again, and gives each a token to be found by.

A sealed value is `version (1 byte) | key id (4) | nonce (12) | AES-256-GCM ciphertext and tag`. Token and
class are its associated data, so a sealed value that is moved to another place can't be opened there. All
keys are derived (HKDF-SHA-256) from one 32-byte master key in a file of its own that only its owner may
read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from identity.errors import KeyFileError, SealError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    import numpy.typing as npt

__all__ = ["SEALED_PREFIX", "Vault", "create_key_file", "open_vault"]

SEALED_PREFIX = "sealed:"
"""Marks a text inside traits, properties or context as the token of a sealed value."""

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEADER = 1 + 4


def create_key_file(path: str | PathLike[str]) -> None:
    """Make a new master key in a file that only its owner can read (mode 0600).

    Args:
        path: where; must not exist yet, since a lost key can't be made again.

    Raises:
        KeyFileError: the file exists or can't be written.
    """
    text = json.dumps({"format": "audience-engine-key", "version": 1, "key": secrets.token_hex(_KEY_BYTES)})
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"The key file {os.fspath(path)!r} exists; it is never replaced.") from None
    except OSError as error:
        raise KeyFileError(f"The key file {os.fspath(path)!r} can't be made: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def open_vault(path: str | PathLike[str]) -> Vault:
    """Open the vault with the key in a file.

    Args:
        path: the key file.

    Raises:
        KeyFileError: the file is missing, malformed, or readable by others.
    """
    place = Path(path)
    try:
        if os.name == "posix" and place.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(f"The key file {str(place)!r} is open to others; run: chmod 600 {place}")
        content = json.loads(place.read_text(encoding="utf-8"))
        key = bytes.fromhex(content["key"])
        known = content["format"] == "audience-engine-key" and content["version"] == 1
    except FileNotFoundError:
        raise KeyFileError(
            f"The key file {str(place)!r} is missing. Without it nothing that was sealed can be read: "
            "restore it from where you keep it; `audiences init` makes one for a new project."
        ) from None
    except OSError as error:
        raise KeyFileError(f"The key file {str(place)!r} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise KeyFileError(f"The key file {str(place)!r} is none of ours; restore the right one.") from None
    if not known or len(key) != _KEY_BYTES:
        raise KeyFileError(f"The key file {str(place)!r} has another format or version.")
    return Vault(key)


class Vault:
    """Seals and opens personal values, and makes their tokens. Its repr shows the key id, never the key."""

    def __init__(self, master_key: bytes) -> None:
        """Derive the working keys.

        Args:
            master_key: 32 random bytes.

        Raises:
            KeyFileError: not 32 bytes.
        """
        if len(master_key) != _KEY_BYTES:
            raise KeyFileError("A master key is 32 bytes.")
        self.key_id = hashlib.sha256(_derive(master_key, b"key id")).digest()[:4]
        self._aead = AESGCM(_derive(master_key, b"seal"))
        self._token_hash = _prepared_hmac(_derive(master_key, b"token"))
        self._profile_key = _derive(master_key, b"profile")
        self._alias_key = _derive(master_key, b"alias")

    def __repr__(self) -> str:
        """Show which key is in use, without showing it."""
        return f"Vault(key_id={self.key_id.hex()!r})"

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse to be pickled: a key must not travel with data.

        Raises:
            KeyFileError: always.
        """
        raise KeyFileError("A vault can't be pickled; open it again where it is needed.")

    def token(self, kind: str, canonical: str) -> UUID:
        """The keyed token of a value: equal for equal values, and of no use without the key.

        Args:
            kind: the value's class or identifier type.
            canonical: its canonical form.

        Returns:
            A UUID of version 8 (RFC 9562) from HMAC-SHA-256.
        """
        return UUID(bytes=self.token_bytes(kind, canonical))

    def token_bytes(self, kind: str, canonical: str) -> bytes:
        """The 16 bytes of a value's token.

        Args:
            kind: the value's class or identifier type.
            canonical: its canonical form.
        """
        # HMAC-SHA-256 by its definition (RFC 2104): setting the key up for every value took half of the time
        inner, outer = (prepared.copy() for prepared in self._token_hash)
        inner.update(f"{kind}\0{canonical}".encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        digest = bytearray(outer.digest()[:16])
        digest[6] = (digest[6] & 0x0F) | 0x80
        digest[8] = (digest[8] & 0x3F) | 0x80
        return bytes(digest)

    def profile_ids(self, message_ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The ids of the profiles whose canonically first events have these message ids.

        Args:
            message_ids: those events' message ids, n of them.

        Returns:
            n × 16 bytes: UUIDs of version 8 (RFC 9562) from keyed BLAKE2b (RFC 7693).
        """
        # most commands need a vault, and few of them profile ids
        import numpy as np

        keyed = hashlib.blake2b(key=self._profile_key, digest_size=16)
        digests = bytearray()
        for name in message_ids:
            each = keyed.copy()
            each.update(name.encode("utf-8", "surrogatepass"))
            digests += each.digest()
        ids = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16).copy()
        ids[:, 6] = ids[:, 6] & 0x0F | 0x80
        ids[:, 8] = ids[:, 8] & 0x3F | 0x80
        return ids

    def profile_id(self, message_id: str) -> UUID:
        """The id of the profile whose canonically first event has this message id.

        Args:
            message_id: that event's message id.
        """
        return UUID(bytes=self.profile_ids([message_id]).tobytes())

    def alias(self, name: str) -> str:
        """An opaque name for something that must not be named outside, such as an audience.

        Args:
            name: the name inside.

        Returns:
            `a_` and 16 hexadecimal digits.
        """
        return "a_" + hmac.digest(self._alias_key, name.encode(), "sha256").hex()[:16]

    def seal(self, kind: str, token: UUID, canonical: str) -> bytes:
        """Seal a value.

        Args:
            kind: its class.
            token: its token.
            canonical: the value itself.

        Returns:
            The sealed value; sealing again gives other bytes.
        """
        nonce = os.urandom(_NONCE_BYTES)
        header = _VERSION + self.key_id
        sealed = self._aead.encrypt(nonce, canonical.encode(), header + token.bytes + kind.encode())
        return header + nonce + sealed

    def open(self, kind: str, token: UUID, sealed: bytes) -> str:
        """Open a sealed value.

        Args:
            kind: the class that it was sealed with.
            token: its token.
            sealed: what `seal` returned.

        Raises:
            SealError: another key sealed it, or it was changed or moved.
        """
        header, nonce, text = (
            sealed[:_HEADER],
            sealed[_HEADER : _HEADER + _NONCE_BYTES],
            sealed[_HEADER + _NONCE_BYTES :],
        )
        if header != _VERSION + self.key_id:
            raise SealError("A sealed value was made with another key or format; use the key that sealed it.")
        try:
            return self._aead.decrypt(nonce, text, header + token.bytes + kind.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealError("A sealed value can't be opened: it was changed or moved.") from None


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=b"audience-engine/1", info=purpose).derive(master_key)


def _prepared_hmac(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The inner and the outer hash of HMAC-SHA-256, each with the key of 32 bytes taken in."""
    block = key.ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer
