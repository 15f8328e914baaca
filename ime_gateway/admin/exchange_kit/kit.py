"""The kit as a whole: live data read once, all files made from it, and nothing written anywhere."""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509

from ime_gateway.admin.exchange_kit.checklist import checklist
from ime_gateway.admin.exchange_kit.exchange_online import exchange_online
from ime_gateway.admin.exchange_kit.facts import KitFacts, Wishes, gather
from ime_gateway.admin.exchange_kit.on_premises import on_premises
from ime_gateway.admin.exchange_kit.powershell import script
from ime_gateway.admin.exchange_kit.registry_file import registry_file
from ime_gateway.admin.exchange_kit.roll_back import roll_back_on_premises, roll_back_online
from ime_gateway.admin.exchange_kit.test_mails import test_mails
from ime_gateway.admin.ime_contact import ContactFiles
from ime_gateway.admin.ime_desk import ImeDesk
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.model import Settings

SCRIPTS = (
    "10-on-premises.ps1",
    "11-rollback-on-premises.ps1",
    "20-exchange-online.ps1",
    "21-rollback-exchange-online.ps1",
)


_LONGEST: Final = 64
"""Of a name and of an alias (references of New-MailContact and Set-MailContact)."""


@dataclass(frozen=True, slots=True)
class Kit:
    """Files by their path inside the kit (with `/`)."""

    facts: KitFacts
    """`notes` among them: what the administrator must know."""
    files: dict[str, bytes]


class ExchangeKitDesk:
    """The desk of kits. May raise StoreUnavailable."""

    def __init__(self, registry: Registry, settings: Settings, clock: Clock, randomness: Randomness) -> None:
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._ime = ImeDesk(registry, clock, randomness)

    def make(self, wishes: Wishes, certificate: x509.Certificate | None, actor: str) -> Kit:
        """All files; `certificate` is the one that the internal listener shows, if it can be read.

        Signs the contacts with the IME keys, which is audited. Raises UserError."""
        now = self._clock.now()
        with self._registry.transaction(write=False) as live:
            view = live.view()
        facts = gather(self._settings, view.managed, view.policy, wishes, certificate, now)
        contacts = self._contacts(facts, actor)
        mails = test_mails(facts, now)
        shown = {f"contact/{domain}": _shown(contact) for domain, contact in contacts.items()}
        registry = _registry_files(facts)
        facts = replace(facts, notes=(*facts.notes, *self._key_notes(facts)))
        files = {
            "README.txt": checklist(facts, tuple(shown), tuple(registry), mails),
            SCRIPTS[0]: script(on_premises(facts, shown)),
            SCRIPTS[1]: script(roll_back_on_premises(facts)),
            SCRIPTS[2]: script(exchange_online(facts, shown)),
            SCRIPTS[3]: script(roll_back_online(facts)),
            **registry,
            **{
                f"contact/{domain}/{name}": content
                for domain, contact in contacts.items()
                for name, content in contact.files.items()
            },
            **{f"test-mails/{mail.file}": mail.content for mail in mails},
        }
        return Kit(facts, files)

    def _contacts(self, facts: KitFacts, actor: str) -> dict[str, ContactFiles]:
        """The contact of each IME address. Raises UserError without a key that is good today: a route without a
        certificate would be a kit for mail that nobody can write."""
        for one in facts.ime_addresses:
            current = self._ime.show(one.domain).current
            if current is None:
                raise UserError(
                    f"{one.domain} has the IME address {one.address} and no certificate for it; nothing was written;"
                    f" make one and run this again: ime-gateway ime issue {one.domain}"
                )
            if current.certificate.not_after <= self._clock.now():
                raise UserError(
                    f"the IME certificate of {one.domain} is over since {rfc3339(current.certificate.not_after)};"
                    f" nothing was written; make a new one and run this again: ime-gateway ime rotate {one.domain}"
                )
        return {one.domain: self._ime.export_contact(one.domain, "", actor) for one in facts.ime_addresses}

    def _key_notes(self, facts: KitFacts) -> list[str]:
        """What `ime show` says of the keys, as one that ends soon."""
        return [f"{one.domain}: {note}" for one in facts.ime_addresses for note in self._ime.show(one.domain).notes]


def kit_json(kit: Kit, folder: str) -> dict[str, object]:
    """`exchange-kit --json`."""
    facts = kit.facts
    return {
        "folder": folder,
        "made_at": facts.made_at,
        "gateway": {"name": facts.name, "addresses": list(facts.addresses), "port": facts.port},
        "managed_domains": list(facts.managed),
        "ime_domains": list(facts.ime_domains),
        "inside_ports": list(facts.inside_ports),
        "outside_ports": list(facts.outside_ports),
        "files": sorted(kit.files),
        "notes": list(facts.notes),
    }


def _shown(contact: ContactFiles) -> dict[str, str]:
    """What Exchange is told of a contact. Name and alias are unique in the organisation and at most 64 characters, and
    each managed domain has such a contact with the same display name, so both carry the domain."""
    local, _, domain = contact.address.rpartition("@")
    alias = f"ime-{domain.replace('.', '-')}-{local}"
    kept = "".join(one if one.isascii() and (one.isalnum() or one == "-") else "-" for one in alias).strip("-")
    return {
        "Address": contact.address,
        "DisplayName": contact.display_name,
        "Name": _at_most(f"{contact.display_name} {domain}", contact.address),
        "Alias": kept if kept == alias and len(kept) <= _LONGEST else _at_most(f"{kept:<{_LONGEST}}", contact.address),
    }


def _at_most(name: str, address: str) -> str:
    """A long name is cut and told apart by the beginning of the address's SHA-256."""
    if len(name) < _LONGEST:
        return name
    return f"{name[: _LONGEST - 9].strip()}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _registry_files(facts: KitFacts) -> dict[str, bytes]:
    """One file for each domain, because a user has one InternalRecipient; without any IME 2.0 the default of 1.0."""
    wanted = facts.ime_addresses
    if not wanted:
        purpose = "IME 1.0: the add-in's default value. Import it only where another value was set."
        return {"registry.reg": registry_file(facts.v1_address, facts.registry_key, purpose)}
    return {
        "registry.reg" if len(wanted) == 1 else f"registry-{one.domain}.reg": registry_file(
            one.address, facts.registry_key, f"IME 2.0 for the users of {one.domain}."
        )
        for one in wanted
    }
