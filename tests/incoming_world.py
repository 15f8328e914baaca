"""acme.example with a domain key and personal keys, and what its gateway makes of mail from outside."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from tests.core import Core, Delivered, make_core, person
from tests.pki import Entity

KIM, ANNA, BOB, CAROL = "kim@partner.example", "anna@acme.example", "bob@acme.example", "carol@acme.example"
CANARY = "orchid-7431"
DOMAIN = "domain-confidentiality-authority@acme.example"
IME = "domain-confidentiality-authority@ime.acme.example"
BOLT = "domain-confidentiality-authority@bolt.example"


@dataclass
class Incoming:
    """The gateway and what it did with the last mail."""

    core: Core

    def policy(self, **settings: Any) -> None:
        self.configure(lambda live: live.put_policy(Policy.model_validate(settings)))

    def partner(self, name: str = "partner.example", certificates: Iterable[Entity] = (), **settings: Any) -> None:
        given = [one.certificate for one in certificates]
        self.configure(
            lambda live: live.put_partner_domain(PartnerDomain.model_validate({"name": name, **settings}), given)
        )

    def configure(self, act: Callable[[Any], None]) -> None:
        self.core.configure(act)

    def arrive(self, data: bytes, *to: str, sender: str = KIM) -> tuple[Any, dict[str, Delivered]]:
        """One mail from outside: the outcome, and the copies by recipient."""
        outcome, copies = self.core.send(data, sender, to or (BOB,), "internet")
        return outcome, {copy.recipient: copy for copy in copies}


def incoming(folder: Path) -> Incoming:
    """anna and carol have keys of their own on the gateway, bob has none; IME and bolt.example have keys, too."""
    world = Incoming(make_core(folder))
    domain, ime, bolt = person(DOMAIN), person(IME), person(BOLT)

    def set_up(live: Any) -> None:
        live.put_managed_domain(ManagedDomain(name="bolt.example", deliver_to="smtp://127.0.0.1:25"), ())
        live.domain_keys.put("acme.example", domain.certificate, domain.key_der, "current")
        live.domain_keys.put("bolt.example", bolt.certificate, bolt.key_der, "current")
        live.put_ime_key("acme.example", ime.certificate, ime.key_der, older_open_until=0.0)
        for address in (ANNA, CAROL):
            live.put_certificate(person(address).certificate, (address,), person(address).key_der)

    world.configure(set_up)
    return world
