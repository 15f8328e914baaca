"""The contact of an IME address as an outsider would build it, for publishers that need no exported folder."""

import re

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from addin_sim.address_list.publisher import Contact
from addin_sim.own_keys import thumbprint
from tests import pki

ADDRESS = "domain-confidentiality-authority@ime.acme.example"
DISPLAY_NAME = "_IME domain-confidentiality-authority"


def contact_of(address: str = ADDRESS, name: str = DISPLAY_NAME, *, owner: pki.Entity | None = None) -> Contact:
    """A new certificate each time unless `owner` is given; the signed value has the form of RFC 2798 section 2.8."""
    owner = owner or pki.make_user(address, san=re.fullmatch(r"[a-zA-Z0-9@.-]+", address) is not None)
    assert isinstance(owner.key, rsa.RSAPrivateKey)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"").add_signer(owner.x509, owner.key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    return Contact(
        address=address,
        display_name=name,
        common_name="_IME domain-confidentiality-authority",
        certificate=owner.der,
        smime_value=builder.sign(Encoding.DER, options),
        thumbprint=thumbprint(owner.x509),
        not_after=owner.x509.not_valid_after_utc,
    )
