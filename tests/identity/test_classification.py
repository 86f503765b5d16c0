"""Which fields are sealed, told by their names."""

from __future__ import annotations

import pytest

from identity.privacy.classification import Place, personal_class


@pytest.mark.parametrize(
    ("place", "path", "kind"),
    [
        ("trait", "email", "email"),
        ("trait", "billingEmail", "email"),
        ("property", "contact_email", "email"),
        ("property", "Email Address", "email"),
        ("trait", "email_opt_in", None),
        ("trait", "emails_sent", None),
        ("trait", "email_verified", None),
        ("trait", "phone", "phone"),
        ("trait", "mobilePhone", "phone"),
        ("property", "phone_model", None),
        ("trait", "name", "name"),
        ("trait", "first_name", "first_name"),
        ("trait", "firstName", "first_name"),
        ("property", "name", None),
        ("property", "product.name", None),
        ("property", "customer_name", "name"),
        ("account_trait", "name", None),
        ("account_trait", "email", "email"),
        ("context", "device.name", "name"),
        ("context", "app.name", None),
        ("context", "campaign.name", None),
        ("context", "ip", "ip_address"),
        ("context", "traits.name", "name"),
        ("context", "location.latitude", "location"),
        ("trait", "address.street", "address"),
        ("trait", "address.line2", "address"),
        ("trait", "address.postalCode", "postal_code"),
        ("trait", "address.country", None),
        ("trait", "dateOfBirth", "birth_date"),
        ("trait", "birthday", "birth_date"),
        ("trait", "SSN", "national_id"),
        ("property", "revenue", None),
        ("property", "tip", None),
        ("trait", "capacity", None),
        ("property", "hotel", None),
        ("property", "zip", "postal_code"),
        ("trait", "plan", None),
    ],
)
def test_a_field_is_personal_by_the_words_of_its_name(place: Place, path: str, kind: str | None) -> None:
    """Whole words count, in any spelling, at any depth; the place decides what `name` means."""
    assert personal_class(place, tuple(path.split("."))) == kind
