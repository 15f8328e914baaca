"""Text inside LDAP filters and distinguished names: no name or address of a contact can become syntax of either.

The work is ldap3's (RFC 4515 section 3, RFC 4514 section 2.4); NUL in a name, and a name that is one space, are spelled
here, because ldap3 gets them wrong.
"""

import warnings

with warnings.catch_warnings():  # ldap3 takes names from pyasn1 that pyasn1 has given up
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldap3.utils.conv import escape_filter_chars
    from ldap3.utils.dn import escape_rdn


def in_filter(text: str) -> str:
    """A value to compare with, as in `(mail=…)`."""
    return str(escape_filter_chars(text))


def in_dn(text: str) -> str:
    """A value in a name, as in `CN=…,OU=IME`; `text` must not be empty."""
    return "\\ " if text == " " else str(escape_rdn(text)).replace("\\\x00", "\\00")
