"""Names for messages, rows and objects: short, sortable by time, safe in a reply or a file name.

The id stands in `250 2.0.0 accepted id=<id>`, in the Received line (RFC 5321 section 4.4) and in
every log line, so it is made of characters that survive being read out over the telephone.
"""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
RANDOM_BYTES = 10


def new_id(moment: float, randomness: bytes) -> str:
    """Make an id of 25 characters: 9 of time, 16 of chance.

    moment: seconds since 1970 UTC. randomness: at least `RANDOM_BYTES` fresh random bytes.
    Ids made in different milliseconds sort by time.
    """
    if len(randomness) < RANDOM_BYTES:
        raise ValueError(f"an id needs {RANDOM_BYTES} random bytes, got {len(randomness)}")
    milliseconds = int(moment * 1000) & ((1 << 45) - 1)
    number = (milliseconds << (8 * RANDOM_BYTES)) | int.from_bytes(randomness[:RANDOM_BYTES], "big")
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(120, -1, -5)]
    return "".join(digits)
