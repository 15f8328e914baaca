"""An EnvelopedData of openssl, taken apart so that an attacker's changes can be made to its parts."""

from collections.abc import Sequence

from tests.ber_forms import elements, tlv


def flipped(data: bytes, place: int, bit: int = 1) -> bytes:
    """`data` with one bit changed."""
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


class CbcEnvelope:
    """`recipient` (its one recipient info), `iv` and `ciphertext`, and how to put them together again."""

    def __init__(self, der: bytes) -> None:
        content_type, wrapped = elements(elements(der)[0][1])
        self._outer = content_type[2]
        version, recipients, encrypted, *self._after = elements(elements(wrapped[1])[0][1])
        self._version, self.recipient = version[2], recipients[1]
        data_type, cipher, content = elements(encrypted[1])
        self._inner = data_type[2]
        self._cipher = elements(cipher[1])
        self.iv, self.ciphertext = self._cipher[1][1], content[1]

    def rebuilt(
        self,
        iv: bytes | None = None,
        ciphertext: bytes | None = None,
        recipients: Sequence[bytes] | None = None,
        segments: int = 1,
    ) -> bytes:
        """The object with another vector, ciphertext or recipient infos; cut in segments, it is the same to readers."""
        cipher = tlv(0x30, self._cipher[0][2], tlv(0x04, self.iv if iv is None else iv))
        octets = self.ciphertext if ciphertext is None else ciphertext
        content = tlv(0x80, octets)
        if segments > 1:
            size = len(octets) // segments + 1
            content = tlv(0xA0, *(tlv(0x04, octets[at : at + size]) for at in range(0, len(octets), size)))
        inner = tlv(0x30, self._inner, cipher, content)
        infos = tlv(0x31, *([self.recipient] if recipients is None else recipients))
        after = b"".join(part[2] for part in self._after)
        return tlv(0x30, self._outer, tlv(0xA0, tlv(0x30, self._version, infos, inner, after)))
