"""TLS towards next hops: used wherever it is offered, never a reason to lose mail (RFC 3207, RFC 7435)."""

import ssl


def opportunistic_context() -> ssl.SSLContext:
    """A context that encrypts to whoever answers, TLS 1.2 or newer, and verifies nobody.

    Who answers is not proven: that needs DANE, MTA-STS or a TLS profile (RFC 7672 section 1.3). Mail
    that must be protected is encrypted itself and does not rely on this.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A peer with an old certificate would otherwise get the mail in clear, which is worse (RFC 7435).
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    return context
