"""A partner who still encrypts to an older key of ours has not heard of the new one: said aloud before it is too late.

Mail to an older key opens as long as that key is kept; the day it is retired, such a partner's mail stays sealed and
nobody inside can read it (peers: rollover and expiry are what users complain about most).
"""

from collections.abc import Iterable

import structlog

from ime_gateway.ports.keyring import KeptKey
from ime_gateway.smime.layers import EncryptedLayer, Opened

log = structlog.get_logger("rollover")

OlderKey = tuple[str, str]
"""The managed domain, and the thumbprint of the certificate that was used."""


def older_keys(opened: Iterable[Opened], kept: Iterable[KeptKey]) -> tuple[OlderKey, ...]:
    """The older keys of domains among those that opened a mail, each once."""
    older = {key.certificate.thumbprint: key.owner for key in kept if key.state == "older"}
    if not older:
        return ()
    used = (layer.opened_with for one in opened for layer in one.layers if isinstance(layer, EncryptedLayer))
    return tuple(dict.fromkeys((older[thumbprint], thumbprint) for thumbprint in used if thumbprint in older))


def warn_of_older_keys(older: Iterable[OlderKey], partner: str, message: str) -> None:
    """Write the alarm to the log. partner: the domain of the mail's sender. message: the id that tracking knows."""
    for domain, thumbprint in older:
        log.warning(
            "partner still encrypts to an older certificate of ours",
            id=message,
            partner=partner,
            domain=domain,
            used=thumbprint,
            hint=f"ime-gateway domain announce {domain} --to PARTNER, or send the current certificate by hand",
        )
