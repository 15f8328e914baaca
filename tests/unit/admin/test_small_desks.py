"""Keys, trust, domains, queue and tracking: what each desk says, changes and writes down."""

import pytest

from ime_gateway.admin.domain_desk import DomainDesk, domain_json
from ime_gateway.admin.judging import judged_json
from ime_gateway.admin.key_desk import KeyDesk
from ime_gateway.admin.queue_desk import QueueDesk, queue_line_json, queued_message_json
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.track_desk import TrackDesk, event_json
from ime_gateway.admin.trust_desk import TrustDesk, certificate_of_file, trust_json
from ime_gateway.base.errors import UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import judge
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.queue import Event, HeldEvidence, QueueLine
from ime_gateway.ports.registry import Registry
from tests.doubles.memory_registry import MemoryRegistry
from tests.pki import NOW, Entity, make_ca, make_user, pkcs7_bundle


def audited(registry: Registry) -> list[tuple[str, str]]:
    with registry.transaction(write=False) as live:
        return [(line.actor, line.action) for line in live.audit_lines()]


def test_import_and_verdicts(registry: Registry, clock, people) -> None:
    desk = KeyDesk(registry, clock)
    ((item, new),) = desk.take(people.anna.pkcs12("swordfish"), password="swordfish", addresses=(), actor="me")
    assert new and item.entry.has_private_key and not item.verdict.usable
    with registry.transaction(write=True) as live:
        live.put_root(people.root.certificate)
    ((again, new),) = desk.take(people.anna.pem, password=None, addresses=["ANNA@acme.example"], actor="me")
    assert not new and again.verdict.usable and again.entry.has_private_key
    assert audited(registry) == [("me", "cert-import")]
    digits = people.anna.certificate.thumbprint.removeprefix("sha256:")
    for spelling in (
        digits,
        digits.upper(),
        digits[:12],
        f"sha256:{digits}",
        ":".join(digits[i : i + 2] for i in range(0, 64, 2)),
    ):
        assert desk.certificate(spelling).entry.certificate == people.anna.certificate
    answer = judged_json(desk.certificate(digits))
    assert answer["thumbprint"] == f"sha256:{digits}" and answer["addresses"] == ["anna@acme.example"]
    assert answer["usable"] is True and answer["reason"] == "personal-certificate" and answer["private_key"] is True
    assert str(answer["not_after"]).endswith("Z")
    assert desk.delete(digits[:12], "me") == f"sha256:{digits}"
    assert desk.certificates() == []
    assert audited(registry)[0] == ("me", "cert-delete")
    with pytest.raises(UserError, match="see cert list"):
        desk.delete(digits, "me")


def test_a_file_that_cannot_be_used_leaves_nothing(registry: Registry, clock, people) -> None:
    desk = KeyDesk(registry, clock)
    with pytest.raises(UserError):
        desk.take(people.anna.pkcs12("swordfish"), password="wrong", addresses=(), actor="me")
    with pytest.raises(UserError, match="2 people"):
        desk.take(pkcs7_bundle([people.anna, people.bob]), password=None, addresses=["a@acme.example"], actor="me")
    with pytest.raises(UserError, match="belongs to none of its certificates"):
        desk.take(people.anna.pem + people.bob.key_pem, password=None, addresses=(), actor="me")
    assert desk.certificates() == [] and audited(registry) == []


def test_trust_list(registry: Registry, people: Entity) -> None:
    desk = TrustDesk(registry)
    anna, bob = people.anna.certificate.thumbprint, people.bob.certificate.thumbprint
    with registry.transaction(write=True) as live:
        live.put_certificate(people.anna.certificate, ["anna@acme.example"], None)
    assert desk.whole_thumbprint(anna[7:19]) == anna
    assert desk.whole_thumbprint(bob.upper().replace("SHA256:", "")) == bob
    with pytest.raises(UserError):
        desk.whole_thumbprint(bob[:20])
    assert desk.put(TrustEntry(anna, "allow", True, "telephone"), "me")
    assert not desk.put(TrustEntry(anna, "allow", True, "telephone"), "me")
    assert desk.put(TrustEntry(bob, "deny"), "me")
    with pytest.raises(UserError, match="allow_expired"):
        desk.put(TrustEntry(bob, "deny", True), "me")
    assert [trust_json(row) for row in desk.rows()] == [
        {"thumbprint": bob, "verdict": "deny", "allow_expired": False, "note": "", "subject": None},
        {"thumbprint": anna, "verdict": "allow", "allow_expired": True, "note": "telephone",
         "subject": people.anna.certificate.subject},
    ]  # fmt: skip
    assert desk.remove(anna[:15], "me") == anna
    for wrong in (anna, "", "sha256:"):
        with pytest.raises(UserError, match="see trust list"):
            desk.remove(wrong, "me")
    assert audited(registry) == [("me", "trust-remove"), ("me", "trust-deny"), ("me", "trust-allow")]


def test_denying_an_authority_by_its_file_denies_its_other_certificates(registry: Registry) -> None:
    desk = TrustDesk(registry)
    root = make_ca("Root")
    hacked = make_ca("Issuing", root)
    twin, alice = make_ca("Issuing", root, key=hacked.key), make_user("alice@acme.example", hacked)
    with registry.transaction(write=True) as live:
        live.put_root(root.certificate)
        live.put_certificate(twin.certificate, (), None)
    denied = TrustEntry(hacked.certificate.thumbprint, "deny")

    def reason() -> Reason:
        with registry.transaction(write=False) as live:
            view = live.view()
        anchors = Anchors(view.roots, view.intermediates, view.trust)
        return judge(alice.certificate, anchors, NOW.timestamp(), "personal").reason

    assert desk.put(denied, "me") and not desk.is_known(hacked.certificate.thumbprint)
    assert reason() is Reason.PERSONAL_CERTIFICATE, "by a thumbprint alone nobody knows whose it is"
    assert desk.put(denied, "me", hacked.certificate) and desk.is_known(hacked.certificate.thumbprint)
    assert reason() is Reason.CERTIFICATE_DENIED
    assert not desk.put(denied, "me", hacked.certificate)
    person = TrustEntry(alice.certificate.thumbprint, "deny")
    assert desk.put(person, "me", alice.certificate) and not desk.is_known(alice.certificate.thumbprint)


def test_the_certificate_of_a_file(people) -> None:
    assert certificate_of_file(people.anna.pem) == people.anna.certificate
    with pytest.raises(UserError, match="2 certificates"):
        certificate_of_file(people.anna.pem + people.bob.pem)
    with pytest.raises(UserError):
        certificate_of_file(b"nothing")


def test_domains(site, registry: Registry, clock) -> None:
    site.apply(
        '[[partner_domain]]\nname = "partner.example"\nencryption = "mandatory"\nsmime_certificates = ["partner.pem"]\n'
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n[[root]]\nfile = "root.pem"\n'
    )
    desk = DomainDesk(registry, clock)
    assert [(row.kind, row.domain.name) for row in desk.rows()] == [
        ("managed", "acme.example"),
        ("partner", "partner.example"),
    ]
    answer = domain_json(desk.row("Partner.Example."))
    assert answer["kind"] == "partner" and answer["encryption"] == "mandatory"
    (certificate,) = answer["certificates"]
    assert certificate["usable"] is True and certificate["reason"] == "domain-certificate"
    desk.remove("PARTNER.example", "me")
    assert audited(registry)[0] == ("me", "domain-remove")
    with pytest.raises(UserError, match="see domain list"):
        desk.remove("partner.example", "me")


# fmt: off
def line(row: str, message: str, state: str = "deferred") -> QueueLine:
    return QueueLine(row, message, "<m@x>", "a@acme.example", "b@b.example", "recipient", state, 2, 1_800_000_000.9,
                     "451 4.3.0 later", 7, "smime-personal", "personal-certificate", "CN=b", 1_799_999_000.0)
# fmt: on


@pytest.fixture
def queue() -> tuple[MemoryRegistry, QueueDesk]:
    registry = MemoryRegistry()
    registry.all_lines = [line("r1", "m1"), line("r2", "m1", "held"), line("r3", "m3")]
    registry.all_held = [HeldEvidence("m9", "sha256:0", "a@acme.example", ["x@b.example"], b"", "poison", 1.0)]
    return registry, QueueDesk(registry)


def test_queue_rows_are_the_contract(queue) -> None:
    _, desk = queue
    assert queue_line_json(desk.lines()[0]) == {
        "row": "r1", "id": "m1", "message_id": "<m@x>", "sender": "a@acme.example", "recipient": "b@b.example",
        "copy": "recipient", "state": "deferred", "attempts": 2, "next_attempt": "2027-01-15T08:00:00Z",
        "last_reply": "451 4.3.0 later",
    }  # fmt: skip
    shown = queued_message_json(desk.message("m1"))
    assert [row["row"] for row in shown["rows"]] == ["r1", "r2"]
    assert shown["rows"][0]["reason"] == "personal-certificate"
    held = queued_message_json(desk.message("m9"))["held"]
    assert held[0]["cause"] == "poison"
    with pytest.raises(UserError, match="ime-gateway track --id m7"):
        desk.message("m7")


def test_queue_acts(queue) -> None:
    registry, desk = queue
    assert desk.hold(["m3"], "me") == 1
    assert desk.release(["r2", "r3"], "me") == 2
    assert desk.retry([], "me") == 1
    assert desk.retry([], "me") == 0, "nothing deferred is no error when all are meant"
    assert desk.drop(["m1"], "me", silent=True) == 2
    assert [one.row for one in registry.all_lines] == ["r3"]
    for act in (desk.hold, desk.release):
        with pytest.raises(UserError, match="name at least one"):
            act([], "me")
    with pytest.raises(UserError, match="name at least one"):
        desk.drop([], "me", silent=False)
    with pytest.raises(UserError, match="none of these could be dropped: nope"):
        desk.drop(["nope"], "me", silent=False)
    with pytest.raises(UserError, match="none of these waits"):
        desk.retry(["nope"], "me")


def test_tracking() -> None:
    registry = MemoryRegistry()
    event = Event(
        "m1", "<m@x>", "Anna@acme.example", "b@b.example", "sent", "delivered", "personal-certificate", "CN=b", 0.0
    )
    registry.all_events = [event]
    desk = TrackDesk(registry)
    for found in (
        desk.events(),
        desk.events(message=" m1 "),
        desk.events(message_id="m@x"),
        desk.events(message_id="<m@x>"),
        desk.events(sender="<Anna@ACME.example>"),
        desk.events(recipient="b@B.example", sender="Anna@acme.example"),
    ):
        assert found == [event]
    assert desk.events(recipient="c@b.example") == []
    with pytest.raises(UserError, match="no mail address"):
        desk.events(sender="anna")
    assert event_json(event) == {
        "id": "m1", "message_id": "<m@x>", "sender": "Anna@acme.example", "recipient": "b@b.example", "copy": "sent",
        "event": "delivered", "reason": "personal-certificate", "detail": "CN=b", "at": "1970-01-01T00:00:00Z",
    }  # fmt: skip


def test_moments() -> None:
    assert rfc3339(1_774_948_500.999) == "2026-03-31T09:15:00Z"
