"""What goes wrong with an address list, said to people: servers fail in many dialects, a user reads one.

An administrator must know what happened, what the address list holds now and what to do, whichever protocol
reached it (RFC 4511 result codes, SOAP faults of MS-OXWSCORE).
"""


class AddressListError(Exception):
    """The address list cannot be read or written; the text is one sentence for people."""
