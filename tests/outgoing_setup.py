"""What a test of outgoing mail adds to tests/core: keys that sign, partners and addresses with settings of their own.

[setup]
domain_key = "rsa" | "p256" | "ed25519" | "expired" | "sign-only" | ...   a key of acme.example
personal_keys = ["anna@acme.example"]                                      their private keys are on the gateway
personal_kind = "p256"                                                     what kind those are
additional = ["archive@acme.example"], additional_fault = "expired"
[setup.managed]  sign_outgoing = "always" ...                              settings of acme.example
[[setup.partner]]  name, encryption ..., certificates = ["domain@x" ...]
[[setup.address]]  address, encryption, selection, use = ["anna@..." -> its thumbprint]
[[setup.certificate]]  owner, for = [addresses], fault                     imported certificates
"""

from functools import cache
from typing import Any

from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain
from tests.core import person, root
from tests.pki import Entity, key_usage, make_user

DOMAIN = "acme.example"


def domain_entity(kind: str = "rsa") -> Entity:
    """A self-signed key pair for the domain, of that kind or with that fault."""
    return _domain_entity(kind)


@cache
def _domain_entity(kind: str) -> Entity:
    address = f"domain-signing-authority@{DOMAIN}"
    match kind:
        case "expired":
            return make_user(address, None, expired=True)
        case "encrypt-only":
            return make_user(address, None, ku=key_usage(key_encipherment=True))
        case _:
            return make_user(address, None, kind=kind)


@cache
def signer(address: str, kind: str = "rsa") -> Entity:
    """A person's key pair that is on the gateway; for RSA the one that `tests/core` imported already."""
    return person(address) if kind == "rsa" else make_user(address, root(), kind=kind)


@cache
def faulty(address: str, fault: str) -> Entity:
    """A certificate from the trusted root that cannot protect mail."""
    match fault:
        case "":
            return make_user(address, root())
        case "expired":
            return make_user(address, root(), expired=True)
        case "not-yet":
            return make_user(address, root(), not_yet=True)
        case "sign-only":
            return make_user(address, root(), ku=key_usage(digital_signature=True))
        case "weak":
            return make_user(address, root(), key_bits=1024)
        case "untrusted":
            return make_user(address, None)
    raise ValueError(fault)


def set_up(live: Any, setup: dict[str, Any]) -> None:
    """Bring live data into the state that a case describes."""
    managed = {"name": DOMAIN, "deliver_to": "smtp://127.0.0.1:25", "return_to": "smtp://127.0.0.1:26"}
    live.put_managed_domain(ManagedDomain.model_validate({**managed, **setup.get("managed", {})}), ())
    if "domain_key" in setup:
        entity = domain_entity(setup["domain_key"])
        live.domain_keys.put(DOMAIN, entity.certificate, entity.key_der, "current")
    for address in setup.get("personal_keys", ()):
        entity = signer(address, setup.get("personal_kind", "rsa"))
        live.put_certificate(entity.certificate, (address,), entity.key_der)
    for one in setup.get("certificate", ()):
        entity = faulty(one["owner"], one.get("fault", ""))
        live.put_certificate(entity.certificate, tuple(one.get("for", (one["owner"],))), None)
    for one in setup.get("partner", ()):
        settings = {key: value for key, value in one.items() if key not in ("certificates", "fault")}
        given = [faulty(name, one.get("fault", "")).certificate for name in one.get("certificates", ())]
        live.put_partner_domain(PartnerDomain.model_validate(settings), given)
    for one in setup.get("address", ()):
        use = tuple(_thumbprint(name) for name in one.get("use", ()))
        live.put_address(AddressSettings.model_validate({**one, **({"use": use} if use else {})}))
    if "additional" in setup:
        fault = setup.get("additional_fault", "")
        live.put_additional_certificates([faulty(name, fault).certificate for name in setup["additional"]])


def _thumbprint(name: str) -> str:
    return name if name.startswith("sha256:") else faulty(name, "").certificate.thumbprint


def key_of(name: str, setup: dict[str, Any]) -> Entity:
    """The key pair that a case calls `name`: `domain`, or the owner's address."""
    if name == "domain":
        return domain_entity(setup.get("domain_key", "rsa"))
    if name in setup.get("personal_keys", ()):
        return signer(name, setup.get("personal_kind", "rsa"))
    named = [one["owner"] for one in setup.get("certificate", ())]
    named += [each for one in setup.get("partner", ()) for each in one.get("certificates", ())]
    named += setup.get("additional", ())
    return faulty(name, "") if name in named else person(name)
