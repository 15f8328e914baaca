"""The address that stands in every certificate of the built-in CA."""

import pytest
from pydantic import ValidationError

from ime_gateway.settings.model import Web


@pytest.mark.parametrize(
    ("portal_url", "pki_url", "base"),
    [
        ("", "", ""),
        ("https://secure.acme.example", "", "http://secure.acme.example"),
        ("https://secure.acme.example:8443/portal", "", "http://secure.acme.example"),
        ("https://[2001:db8::1]:8443", "", "http://[2001:db8::1]"),
        ("https://secure.acme.example", "http://pki.acme.example/", "http://pki.acme.example"),
        ("", "http://pki.acme.example:8081/gw", "http://pki.acme.example:8081/gw"),
        ("not an address", "", ""),
    ],
)
def test_where_lists_are(portal_url: str, pki_url: str, base: str) -> None:
    assert Web(portal_url=portal_url, pki_url=pki_url).pki_base == base


@pytest.mark.parametrize(
    "pki_url",
    ["https://pki.acme.example", "ldap://x", "pki.acme.example", "http://", "http://u:p@x", "http://x/?a", "http://x/#a",
     "http://x y", 'http://x/"', "http://\u00e4.example", "http://x:0", "http://[x"],
)  # fmt: skip
def test_what_no_certificate_may_carry(pki_url: str) -> None:
    with pytest.raises(ValidationError, match="must be an http address"):
        Web(pki_url=pki_url)
