"""Three people of a rehearsal with keys, and mail as a gateway would deliver it: right, or wrong on purpose."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7

from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import RawMail, make_field, parse
from addin_sim.rehearsal.judgement import Reader
from addin_sim.rehearsal.letters import Letter, written
from addin_sim.rehearsal.opening import Opener, names_of
from addin_sim.sent_items import COPY_HEADER
from addin_sim.world.crowd import Crowd, make_crowd

RUN = "cafe0001"
DOMAIN = "acme.example"
ADA, BEAT, CHIARA = (f"user00{number}@{DOMAIN}" for number in (1, 2, 3))


@dataclass(frozen=True)
class Cast:
    """`ADA`, `BEAT` and `CHIARA`; what they have lies in `folder`."""

    folder: Path
    crowd: Crowd
    keys: dict[str, OwnKeys]

    @property
    def names(self) -> dict[str, tuple[bytes, ...]]:
        return {address: names_of(keys.certificate) for address, keys in self.keys.items()}

    def reader(self, address: str, *, has_key: bool = True) -> Reader:
        pair = self.folder / f"{address}.pair.pem"
        stem = address.partition("@")[0]
        pair.write_bytes(b"".join((self.folder / f"{stem}{end}.pem").read_bytes() for end in (".key", "")))
        return Reader(address, has_key, Opener(self.keys[address], pair).open)

    def sealed(self, letter: Letter, readers: Sequence[str], *, inner: bytes = b"", copy: bool = False) -> RawMail:
        """The letter without Bcc, enveloped to these people; `inner`: instead of what was written."""
        clear = inner or parse(written(letter)).without("To", "Cc", "Bcc", "Message-ID").to_bytes()
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(clear)
        for address in readers:
            builder = builder.add_recipient(self.keys[address].certificate)
        envelope = parse(builder.encrypt(Encoding.SMIME, [pkcs7.PKCS7Options.Binary]).replace(b"\n", b"\r\n"))
        header = parse(written(letter)).without("Bcc", "Content-Type").put(make_field("From", letter.sender)).fields
        marks = (make_field(COPY_HEADER, "yes"),) if copy else ()
        return replace(envelope, fields=(*header, *marks, *envelope.fields))


@functools.cache
def cast() -> Cast:
    """Made once: keys are slow."""
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-cast-"))
    atexit.register(shutil.rmtree, folder)
    crowd = make_crowd(folder, 3, DOMAIN)
    keys = {}
    for address in crowd.addresses:
        stem = address.partition("@")[0]
        certificate = x509.load_pem_x509_certificate((folder / f"{stem}.pem").read_bytes())
        private = load_pem_private_key((folder / f"{stem}.key.pem").read_bytes(), None)
        keys[address] = OwnKeys(certificate, private)  # type: ignore[arg-type]
    return Cast(folder, crowd, keys)


def a_letter(number: int = 7, **changes: object) -> Letter:
    """Ada writes to Beat, with Chiara in blind copy."""
    return replace(Letter(RUN, number, 1, ADA, (BEAT,), (), (CHIARA,), (900,)), **changes)  # type: ignore[arg-type]
