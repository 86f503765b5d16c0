"""Which fields hold personal values, told by their names, and by an e-mail address inside any text.

Four sensitivities, in order: public < pseudonymous < personal < special. Opaque ids (user_id, device ids) are
pseudonymous. Names are compared as words, so `billingEmail` and `billing_email` are e-mail addresses while
`email_opt_in` is not.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from identity.identifiers import IdentityRules

__all__ = ["Place", "Sensitivity", "field_class", "personal_class"]

Place = Literal["trait", "account_trait", "property", "context"]
"""Where a field stands; `name` is a person's in a trait, a page's or a product's in a property."""


class Sensitivity(IntEnum):
    """How much harm a value does in the wrong hands; a higher one is stricter."""

    PUBLIC = 0
    PSEUDONYMOUS = 1
    PERSONAL = 2
    SPECIAL = 3


_BY_LAST_WORDS = {
    "email": "email",
    "e mail": "email",
    "email address": "email",
    "mail address": "email",
    "phone": "phone",
    "phone number": "phone",
    "telephone": "phone",
    "tel": "phone",
    "mobile": "phone",
    "mobile number": "phone",
    "cell": "phone",
    "cellphone": "phone",
    "msisdn": "phone",
    "fax": "phone",
    "first name": "first_name",
    "firstname": "first_name",
    "fname": "first_name",
    "given name": "first_name",
    "forename": "first_name",
    "middle name": "middle_name",
    "last name": "last_name",
    "lastname": "last_name",
    "lname": "last_name",
    "family name": "last_name",
    "surname": "last_name",
    "maiden name": "last_name",
    "full name": "name",
    "fullname": "name",
    "display name": "name",
    "nickname": "name",
    "user name": "name",
    "username": "name",
    "customer name": "name",
    "patient name": "name",
    "contact name": "name",
    "recipient name": "name",
    "birthday": "birth_date",
    "birthdate": "birth_date",
    "birth date": "birth_date",
    "birth day": "birth_date",
    "date of birth": "birth_date",
    "dob": "birth_date",
    "street": "address",
    "street address": "address",
    "street name": "address",
    "street number": "address",
    "address": "address",
    "address 1": "address",
    "address 2": "address",
    "address1": "address",
    "address2": "address",
    "address line": "address",
    "address line 1": "address",
    "address line 2": "address",
    "suburb": "address",
    "city": "city",
    "town": "city",
    "zip": "postal_code",
    "zip code": "postal_code",
    "zipcode": "postal_code",
    "postcode": "postal_code",
    "postal code": "postal_code",
    "latitude": "location",
    "longitude": "location",
    "ip": "ip_address",
    "ip address": "ip_address",
    "ssn": "national_id",
    "soc sec id": "national_id",
    "social security number": "national_id",
    "national id": "national_id",
    "passport number": "national_id",
    "medical record number": "national_id",
    "mrn": "national_id",
}
"""The last words of a field's name → the class of its values."""

_ONLY_WHERE = {
    ("trait", "name"): "name",
    ("context", "device name"): "name",
    ("context", "traits name"): "name",
}
_NOT_PERSONAL = {"mac address", "user agent", "email address verified"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@lru_cache(maxsize=65_536)
def personal_class(place: Place, path: tuple[str, ...]) -> str | None:
    """Say of which personal class the values at a path are.

    Args:
        place: in which part of a message the path starts.
        path: keys from the outermost to the innermost.

    Returns:
        The class, such as `email` or `birth_date`, or None when the name does not tell of personal values.
    """
    words = [_words(key) for key in path]
    last = words[-1]
    if " ".join(last) in _NOT_PERSONAL:
        return None
    if place == "account_trait" and last in (["phone"], ["address"], ["city"], ["zip"], ["name"]):
        return None
    for start in range(len(last)):
        found = _BY_LAST_WORDS.get(" ".join(last[start:]))
        if found:
            return found
    for depth in (1, 2):
        found = _ONLY_WHERE.get((place, " ".join(word for key in words[-depth:] for word in key)))
        if found and (place != "trait" or len(path) == 1):
            return found
    if len(path) > 1 and last not in (["state"], ["region"], ["country"], ["type"], ["country", "code"]):
        outer = words[-2]
        if outer in (["address"], ["billing", "address"], ["shipping", "address"]):
            return "address"
    return None


def field_class(place: Place, path: tuple[str, ...], rules: IdentityRules) -> str | None:
    """Say of which personal class the values at a path are, by its name or because a project says so.

    Args:
        place: in which part of a message the path starts.
        path: keys from the outermost to the innermost.
        rules: the project's identity rules; identifier types declared personal are classes of their own.

    Returns:
        The class, or None.
    """
    found = personal_class(place, path)
    if found is not None or place == "account_trait":
        return found
    declared = {
        key: each.name
        for each, (_, keys) in zip(rules.types, rules.keys, strict=True)
        if each.personal
        for key in keys
    }
    return declared.get(path[-1])


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]
