"""Cases of others' conformance data: what a case is, how its outcome is counted, why one may be excused.

A case passes (it returns nothing), is excused (it returns why, from the closed list `Excuse`; and it has
checked that we refuse cleanly and by name), or fails (it raises). The table in docs/conformance.md counts these.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PASSED = ""


class Excuse(StrEnum):
    """Every reason for which a case may come out otherwise than its makers say."""

    SHA1 = "SHA-1: the signature is found to match, and is not believed (WEAK_DIGEST)"
    RC2_40 = "RC2 with 40 bits is never opened; with 128 bits only if a policy says so"
    INHERITED = "DSA parameters inherited from the CA are not looked up: the certificate is refused as unreadable"
    DH = "Diffie-Hellman with finite fields (X9.42) is not supported: refused by name"
    BINARY_CURVES = "elliptic curves other than P-256, P-384, P-521 and X25519 are not supported: refused by name"
    POST_QUANTUM_KEY = "KEMRecipientInfo (RFC 9629) is not part of this version: refused as unsupported"
    POST_QUANTUM_SIGNATURE = "ML-DSA and SLH-DSA signatures are not part of this version: refused by name"
    COMPOSITE = "composite algorithms are drafts: refused as unsupported"
    ED25519_CA = (
        "CAs with Ed25519 keys are not followed (certs/path.py): the certificate needs a line of the trust list"
    )
    OLD_ATTRIBUTES = "its signed attributes name no content type (RFC 5652 section 11.1): refused, as OpenSSL does"
    OLD_CERTIFICATE = "the certificate has a serial number of 0 or a broken field: refused with a sentence"
    LIBRARY = "a function of the library that is called as it is: nothing of ours would run"
    NONCE = "GCM nonces of fewer than 8 octets are not accepted (RFC 5084 recommends 12): refused by name"
    NO_KEY = "its key is not in the data: the type is recognised and refused"
    OLD_FILE = "the p12 is in a form that the library does not open: refused with a sentence"
    INDIRECT_CRL = "CRLs of another issuer than the certificate's (indirect) are not followed: refused as unknown"
    CRL_KEY = "CRLs signed with another key of the CA than the one above the certificate: refused as unknown"
    DELTA_CRL = "delta CRLs may revoke but clear nobody: a hold that only they lift stands, refused as revoked"
    POLICIES = "nobody demands certificate policies of a signer of mail: paths without them are taken"
    POLICY_DEMAND = "demands on policies (policyConstraints) cannot be judged here: refused as untrusted"
    DIRECTORY_NAMES = "limits on directory names and URIs cannot be judged here: refused as untrusted"
    ENCODINGS = "names that differ in their encoding are not matched: refused as untrusted"
    GENERALIZED_TIME = "dates in another form than RFC 5280 section 4.1.2.5 asks for: refused as untrusted"
    SELF_ISSUED = (
        "self-issued CA certificates (a change of keys) count for the length of the path: refused as untrusted"
    )
    DSA_CA = "DSA keys of CAs are not followed: refused as untrusted"


TAKEN = frozenset((Excuse.POLICIES,))
"""Here something is taken that its makers refuse; everything else that is excused is refused."""

Outcome = Counter[str]
"""How many came out how: `PASSED` or a reason."""


@dataclass(frozen=True)
class Case:
    """One case, or a file of very many small ones (Wycheproof)."""

    suite: str
    name: str
    judge: Callable[[], str | Outcome | None]

    @property
    def id(self) -> str:
        return f"{self.suite}-{self.name}".replace(" ", "_")

    def outcome(self) -> Outcome:
        """Run it. Raises what the case raises: that is a failure."""
        told = self.judge()
        return told if isinstance(told, Counter) else Counter({told or PASSED: 1})
