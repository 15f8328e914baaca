"""SMIMECapabilities as signatures carry them (RFC 8551 section 2.5.2): ours, and what those of others say.

Certificates state the same list (RFC 4262), so reading and writing live one floor below, in
`certs/capabilities`; this is the name under which signing, verifying and learning know them.
"""

from ime_gateway.certs.capabilities import (
    NOTHING_SAID,
    SMIME_CAPABILITIES,
    Capabilities,
    own_capabilities,
    read_capabilities,
)

__all__ = ["NOTHING_SAID", "SMIME_CAPABILITIES", "Capabilities", "own_capabilities", "read_capabilities"]
