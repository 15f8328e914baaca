"""A small world for the administrators' pages: mail that went well, was refused or waits, and certificates."""

from ime_gateway.base.ids import new_id
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.queue import Event, EventName, HeldEvidence, QueueLine
from ime_gateway.settings.site import ManagedDomain
from tests.doubles.memory_registry import MemoryRegistry
from tests.pki import DAY, NOW, make_ca, make_user

MOMENT = NOW.timestamp()
DELIVERED = new_id(MOMENT - 3000, b"delivered!")
REFUSED = new_id(MOMENT - 2000, b"refused!!!")
DEFERRED = new_id(MOMENT - 1000, b"deferred!!")
IME_ADDRESS = "domain-confidentiality-authority@ime.acme.example"
WAITING = "frank@acme.example"
_SENDER = "ada@acme.example"
_LONG = "a-very-long-mailbox-name-that-somebody-really-has@subsidiary.with-a-long-name.partner.example"


def fill(registry: MemoryRegistry) -> None:
    """Put the world into a registry whose clock stands at MOMENT."""
    registry.now = MOMENT
    registry.all_events += [*_delivered(), *_refused(), *_deferred()]
    registry.all_lines += _queue()
    registry.all_held.append(
        HeldEvidence("held1", "00" * 32, _SENDER, ["bob@partner.example"], b"", "store: disk I/O error", MOMENT - 500)
    )
    _certificates(registry)
    _internal_encryption(registry)


def _event(id: str, at: float, recipient: str, event: EventName, reason: str, detail: str, copy: str = "recipient"):  # noqa: A002
    return Event(id, f"<{id}@acme.example>", _SENDER, recipient, copy, event, reason, detail, at)


def _delivered() -> list[Event]:
    at, detail = MOMENT - 3000, "smime-personal, CN=bob@partner.example, trusted by root CN=Partner Root CA"
    return [
        _event(DELIVERED, at, "bob@partner.example", "accepted", "personal-certificate", detail),
        _event(DELIVERED, at, _SENDER, "accepted", "personal-certificate", "smime-personal, CN=Ada", copy="sent"),
        _event(DELIVERED, at + 1, "bob@partner.example", "delivered", "", "250 2.0.0 Ok: queued as 4F1"),
        _event(DELIVERED, at + 2, _SENDER, "delivered", "", "250 2.0.0 Ok: queued as 4F2", copy="sent"),
    ]


def _refused() -> list[Event]:
    at, detail = MOMENT - 2000, "the certificate CN=carol@partner.example expired on 2026-01-31"
    return [
        _event(REFUSED, at, "carol@partner.example", "refused", "certificate-expired", detail),
        _event(REFUSED, at, "dave@nowhere.example", "refused", "no-certificate", "no certificate for this address"),
    ]


def _deferred() -> list[Event]:
    at = MOMENT - 1000
    return [
        _event(DEFERRED, at, _LONG, "accepted", "domain-certificate", "smime-domain, CN=Domain key of partner.example"),
        _event(DEFERRED, at + 5, _LONG, "deferred", "", "451 4.7.1 Greylisted, please try again in 300 seconds"),
    ]


def _queue() -> list[QueueLine]:
    reply = "451 4.7.1 Greylisted, please try again in 300 seconds"
    lines = [
        QueueLine("row1", DEFERRED, "", _SENDER, _LONG, "recipient", "deferred", 2, MOMENT + 1800, reply),
        QueueLine("row2", DEFERRED, "", _SENDER, _SENDER, "sent", "queued", 0, 0.0, ""),
        QueueLine("row3", "heldmail", "", "", "erin@partner.example", "recipient", "held", 1, 0.0, "held by ada"),
    ]
    more = range(60)
    return lines + [
        QueueLine(f"many{n}", f"m{n:03}", "", _SENDER, f"user{n}@late.example", "recipient", "deferred", 1,
                  MOMENT + 900, "no answer from mx.late.example: connection timed out")
        for n in more
    ]  # fmt: skip


def _certificates(registry: MemoryRegistry) -> None:
    root = make_ca("Partner Root CA", kind="ec")
    stranger = make_ca("Root nobody trusts", kind="ec")
    people = [
        make_user("bob@partner.example", root, kind="rsa"),
        make_user("carol@partner.example", root, expired=True),
        make_user("dave@late.example", root, not_after=NOW + 20 * DAY),
        make_user("mallory@elsewhere.example", stranger),
    ]
    with registry.transaction(write=True) as live:
        live.put_root(root.certificate)
        for person in people:
            live.put_certificate(person.certificate, person.certificate.addresses, None)
        own = make_user("ada@acme.example", root)
        live.put_certificate(own.certificate, own.certificate.addresses, own.key_der)


def _internal_encryption(registry: MemoryRegistry) -> None:
    """acme.example has an IME address, whose key was changed yesterday; two signers wait."""
    old, new = make_user(IME_ADDRESS), make_user(IME_ADDRESS)
    with registry.transaction(write=True) as live:
        live.put_managed_domain(
            ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:25", ime_address=IME_ADDRESS), ()
        )
        live.put_managed_domain(
            ManagedDomain(
                name="first.example", deliver_to="mx", ime_address="dca@ime.first.example", ime_signers="first-use"
            ),
            (),
        )
        live.put_ime_key("acme.example", old.certificate, old.key_der, older_open_until=0)
        live.put_ime_key("acme.example", new.certificate, new.key_der, older_open_until=MOMENT + 13 * 86_400)
        for address, state, origin, note in (
            (WAITING, "pending", "challenged", ""),
            ("a-very-long-mailbox-name-that-somebody-really-has@acme.example", "pending", "challenged", ""),
            ("ada@acme.example", "approved", "confirmed", ""),
            ("ada@acme.example", "revoked", "registered", "laptop stolen on 3 March"),
        ):
            live.put_pin(Pin(address, make_user(address).certificate, state, origin, MOMENT - 3600, note))  # type: ignore[arg-type]
