"""Settings one by one: the words and rules of SITE.toml, inheritance shown with its origin, nothing half changed."""

from typing import Any

import pytest

from ime_gateway.admin.domain_desk import DomainDesk, domain_json
from ime_gateway.admin.domain_settings import SettingsDesk, parse_pairs
from ime_gateway.base.errors import UserError
from ime_gateway.ports.registry import Registry
from tests.pki import make_user

ACME = {"deliver_to": "smtp://127.0.0.1:25"}


@pytest.fixture
def desk(registry: Registry) -> SettingsDesk:
    made = SettingsDesk(registry, "imepseudodomain.local")
    made.add("acme.example", "managed", ACME, {}, "me")
    made.add("*.partner.example", "partner", {"encryption": "mandatory"}, {}, "me")
    made.add("a.partner.example", "partner", {}, {}, "me")
    return made


def shown(registry: Registry, clock: object, name: str) -> dict[str, Any]:
    return domain_json(DomainDesk(registry, clock).row(name))  # type: ignore[arg-type]


def audited(registry: Registry) -> list[str]:
    with registry.transaction(write=False) as live:
        return [f"{line.action} {line.detail}" for line in live.audit_lines()]


def test_every_value_shows_where_it_comes_from(desk: SettingsDesk, registry: Registry, clock) -> None:
    desk.change("global", "me", pairs={"encryption": "opportunistic"})
    desk.change("dave@a.partner.example", "me", pairs={"encryption": "never"})
    domain = shown(registry, clock, "a.partner.example")
    assert (domain["encryption"], domain["origins"]["encryption"]) == ("mandatory", "*.partner.example")
    assert domain["origins"]["route"] == "default"
    dave = shown(registry, clock, "Dave@a.partner.example")
    assert (dave["kind"], dave["address"]) == ("address", "dave@a.partner.example")
    assert (dave["encryption"], dave["origins"]["encryption"]) == ("never", "address dave@a.partner.example")
    stranger = shown(registry, clock, "x@elsewhere.example")
    assert (stranger["kind"], stranger["encryption"]) == ("other", "opportunistic")
    assert stranger["origins"]["encryption"] == "global"
    covered = shown(registry, clock, "b.partner.example")
    assert (covered["kind"], covered["origins"]["encryption"]) == ("partner", "*.partner.example")
    assert shown(registry, clock, "anna@acme.example")["origins"] == {
        "sign_outgoing": "default",
        "exchange_address": "default",
    }
    with pytest.raises(UserError, match="neither managed nor a partner"):
        shown(registry, clock, "elsewhere.example")


def test_set_and_unset(desk: SettingsDesk, registry: Registry, clock) -> None:
    assert desk.change("a.partner.example", "me", pairs={"encryption": "never", "bound_recipients": "true"})
    assert not desk.change("a.partner.example", "me", pairs={"encryption": "never"})
    assert shown(registry, clock, "a.partner.example")["bound_recipients"] is True
    assert desk.change("a.partner.example", "me", unset=("encryption",))
    assert shown(registry, clock, "a.partner.example")["encryption"] == "mandatory"
    assert audited(registry)[0] == "domain-set a.partner.example -encryption"
    desk.change("dave@x.example", "me", pairs={"encryption": "never"})
    desk.change("dave@x.example", "me", unset=("encryption",))
    with registry.transaction(write=False) as live:
        assert live.view().addresses == {}, "nothing is said about the address any more"


@pytest.mark.parametrize(
    ("name", "pairs", "sentence"),
    [
        ("a.partner.example", {"encryption": "sometimes"}, 'encryption: must be "mandatory", "on-request"'),
        ("a.partner.example", {"encrytion": "never"}, "encrytion: unknown key; the keys are"),
        ("a.partner.example", {"name": "b.example"}, "cannot be changed"),
        ("a.partner.example", {"smime_certificates": "x.pem"}, "give --certificate FILE"),
        ("a.partner.example", {"route": "h:25"}, 'route: must be "mx" or "smtp://HOST:PORT"'),
        ("a.partner.example", {"pgp_keys": "x"}, "not available in this version"),
        ("b.example", {"encryption": "never"}, "b.example is neither managed nor a partner; first"),
        ("not a domain", {"encryption": "never"}, "is no domain name"),
        ("a@b@c", {"encryption": "never"}, "is no mail address"),
        ("acme.example", {"exchange_address": "x@other.example"}, "must be an address of acme.example"),
        ("acme.example", {"ime_address": "a@imepseudodomain.local"}, "IME 1.0 and 2.0 need a domain each"),
        ("acme.example", {"ime_address": "a@a.partner.example"}, "is a domain of its own here"),
        ("acme.example", {"domain_key": "generate"}, "ime-gateway domain key"),
        ("dave@x.example", {"selection": "manual"}, "needs use"),
        ("dave@x.example", {"selection": "manual", "use": "sha256:" + "ab" * 32}, "is not stored"),
        ("dave@x.example", {"sign_outgoing": "loud"}, "sign_outgoing: must be"),
        ("global", {"administrators": "ada@elsewhere.example"}, "is in no managed domain"),
        ("global", {"tags": "x"}, "a table of its own"),
        ("global", {"expiry_warning_days": "soon"}, "expiry_warning_days"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    desk: SettingsDesk, registry: Registry, name: str, pairs: dict[str, str], sentence: str
) -> None:
    with registry.transaction(write=False) as live:
        before = live.view()
    with pytest.raises(UserError) as caught:
        desk.change(name, "me", pairs=pairs)
    assert sentence in str(caught.value)
    with registry.transaction(write=False) as live:
        assert live.view() == before


def test_certificates_come_and_go(desk: SettingsDesk, registry: Registry, clock, people) -> None:
    pem, thumbprint = people.partner.pem, people.partner.certificate.thumbprint
    assert desk.change("a.partner.example", "me", files={"p.pem": pem})
    (row,) = shown(registry, clock, "a.partner.example")["certificates"]
    assert row["thumbprint"] == thumbprint and row["checks"] == []
    for files, sentence in (
        ({"p.pem": pem}, "is there already"),
        ({"k.pem": people.anna.pem + people.anna.key_pem}, "k.pem: it holds a private key"),
        ({"x": b"nothing"}, "x: "),
    ):
        with pytest.raises(UserError, match=sentence):
            desk.change("a.partner.example", "me", files=files)
    with pytest.raises(UserError, match="none of its certificates"):
        desk.change("a.partner.example", "me", drop=("ffff",))
    assert desk.change("a.partner.example", "me", drop=(thumbprint[:20],), files={"b.pem": people.bob.pem})
    (row,) = shown(registry, clock, "a.partner.example")["certificates"]
    assert row["thumbprint"] == people.bob.certificate.thumbprint
    assert desk.change("global", "me", files={"archive.pem": people.bob.pem})
    with registry.transaction(write=False) as live:
        assert live.view().additional_certificates == (people.bob.certificate,)
    with pytest.raises(UserError, match="cert import"):
        desk.change("dave@x.example", "me", files={"p.pem": pem})


def test_a_domain_is_added_once(desk: SettingsDesk) -> None:
    for kind in ("managed", "partner"):
        with pytest.raises(UserError, match="is a managed domain already"):
            desk.add("ACME.example", kind, ACME, {}, "me")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="deliver_to: is missing"):
        desk.add("b.example", "managed", {}, {}, "me")
    with pytest.raises(UserError, match="wildcard"):
        desk.add("*.b.example", "managed", ACME, {}, "me")


def test_a_domain_with_keys_is_not_removed_by_a_slip(desk: SettingsDesk, registry: Registry, clock) -> None:
    key = make_user("domain-confidentiality-authority@acme.example")
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
    domains = DomainDesk(registry, clock)
    with pytest.raises(UserError, match="--with-keys"):
        domains.remove("acme.example", "me")
    domains.remove("acme.example", "me", with_keys=True)
    with registry.transaction(write=False) as live:
        assert live.view().managed == {} and live.domain_keys.list() == []
    desk.change("dave@x.example", "me", pairs={"encryption": "never"})
    domains.remove("dave@x.example", "me")
    with pytest.raises(UserError, match="no settings of its own"):
        domains.remove("dave@x.example", "me")


def test_words_of_a_command() -> None:
    assert parse_pairs(["a=b", "c = d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    for words, sentence in ((["a"], "no KEY=VALUE"), (["=b"], "no KEY=VALUE"), (["a=1", "a=2"], "given twice")):
        with pytest.raises(UserError, match=sentence):
            parse_pairs(words)
