"""`apply`: one transaction, idempotent, additive unless pruned, and nothing half done."""

from pathlib import Path

import pytest

from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.site_apply import all_certificates
from ime_gateway.admin.site_report import ApplyReport
from ime_gateway.base.errors import ConfigurationError, StoreUnavailable, UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.keys.usable import judge
from ime_gateway.ports.registry import Registry
from tests.pki import make_ca, make_user, pkcs7_bundle

FULL = """\
[policy]
sent_copy_without_key = "omit"

[[managed_domain]]
name = "Acme.Example"
deliver_to = "smtp://127.0.0.1:10025"

[[partner_domain]]
name = "*.partner.example"
encryption = "mandatory"
smime_certificates = ["partner.pem"]

[[certificate]]
file = "anna.pem"

[[certificate]]
file = "bob.pem"
addresses = ["Bob@ACME.example", "robert@acme.example"]

[[root]]
file = "root.pem"

[[trust]]
file = "stranger.pem"
verdict = "deny"
note = "stolen"
"""


def listed(report: ApplyReport, *kinds: str) -> set[tuple[str, str, str]]:
    return {(one.kind, one.what, one.name) for one in report.changes if one.kind in kinds}


def test_everything_arrives(site, registry: Registry, people) -> None:
    report = site.apply(FULL)
    assert listed(report, "added", "changed", "removed", "unchanged") == {
        ("changed", "policy", ""),
        ("added", "managed domain", "acme.example"),
        ("added", "partner domain", "*.partner.example"),
        ("added", "certificate", "anna@acme.example"),
        ("added", "certificate", "bob@acme.example, robert@acme.example"),
        ("added", "root", people.root.certificate.subject),
        ("added", "trust", f"deny {people.stranger.certificate.thumbprint}"),
    }
    assert report.notes == ()
    with registry.transaction(write=False) as live:
        view = live.view()
        assert view.policy.sent_copy_without_key == "omit"
        assert view.managed["acme.example"].deliver_to == "smtp://127.0.0.1:10025"
        assert view.partners["*.partner.example"].smime_certificates == (), "no path of the machine is stored"
        assert view.domain_certificates["*.partner.example"] == (people.partner.certificate,)
        assert view.roots == (people.root.certificate,)
        assert view.trust[people.stranger.certificate.thumbprint].note == "stolen"
        (entry,) = live.certificates(address="robert@acme.example")
        assert entry.certificate == people.bob.certificate
        assert live.audit_lines()[0].actor == "test"


def test_a_denied_ca_is_kept_for_its_other_certificates(site, registry: Registry, clock) -> None:
    """As `trust deny FILE` does: its certificate says of whose name and key nothing may be used any more."""
    again = make_ca("Denied CA")
    denied = make_ca("Denied CA", key=again.key)
    (site.folder / "denied.pem").write_bytes(denied.pem)
    text = FULL + '\n[[trust]]\nfile = "denied.pem"\nverdict = "deny"\n'
    assert ("added", "certificate", denied.certificate.subject) in listed(site.apply(text), "added")
    generation = site.generation()
    assert not listed(site.apply(text, prune=True), "added", "changed", "removed")
    assert site.generation() == generation
    with registry.transaction(write=True) as live:
        live.put_root(again.certificate)
        leaf = make_user("eve@partner.example", again).certificate
        verdict = judge(leaf, anchors_in(live), clock.now(), "personal")
    assert verdict.reason is Reason.CERTIFICATE_DENIED


def test_the_second_time_changes_nothing(site, registry: Registry) -> None:
    site.apply(FULL)
    generation = site.generation()
    with registry.transaction(write=False) as live:
        audited = len(live.audit_lines())
    for prune in (False, True):
        report = site.apply(FULL, prune=prune)
        assert not report.changed
        assert report.count("unchanged") == 7
    assert site.generation() == generation
    with registry.transaction(write=False) as live:
        assert len(live.audit_lines()) == audited


def test_a_change_raises_the_generation_once(site) -> None:
    site.apply(FULL)
    before = site.generation()
    site.apply(FULL.replace("omit", "refuse").replace("mandatory", "never").replace("stolen", "lost"))
    assert site.generation() == before + 1


def test_a_dry_run_tells_the_same_and_does_nothing(site, registry: Registry) -> None:
    before = site.generation()
    would = site.apply(FULL, dry_run=True)
    assert site.generation() == before
    with registry.transaction(write=False) as live:
        assert not live.view().managed and not list(all_certificates(live)) and not live.audit_lines()
    assert site.apply(FULL) == would


def test_without_prune_the_rest_stays(site, registry: Registry) -> None:
    site.apply(FULL)
    report = site.apply('[[managed_domain]]\nname = "b.example"\ndeliver_to = "mx"\n')
    assert listed(report, "added", "changed", "removed") == {("added", "managed domain", "b.example")}
    with registry.transaction(write=False) as live:
        assert set(live.view().managed) == {"acme.example", "b.example"}
        assert live.view().policy.sent_copy_without_key == "omit", "no [policy]: the policy stays"


def test_prune_removes_the_rest(site, registry: Registry, people) -> None:
    site.apply(FULL)
    report = site.apply(
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:10025"\n'
        '[[certificate]]\nfile = "bob.pem"\naddresses = ["bob@acme.example"]\n',
        prune=True,
    )
    assert listed(report, "changed", "removed") == {
        ("changed", "certificate", "bob@acme.example"),
        ("removed", "partner domain", "*.partner.example"),
        ("removed", "certificate", "anna@acme.example"),
        ("removed", "root", people.root.certificate.subject),
        ("removed", "trust", f"deny {people.stranger.certificate.thumbprint}"),
    }
    with registry.transaction(write=False) as live:
        view = live.view()
        assert (set(view.managed), view.partners, view.roots, dict(view.trust)) == ({"acme.example"}, {}, (), {})
        assert [entry.addresses for entry in all_certificates(live)] == [("bob@acme.example",)]


def test_prune_keeps_the_private_key_of_a_certificate_that_loses_an_address(site, registry: Registry, people) -> None:
    (site.folder / "bob.p12").write_bytes(people.bob.pkcs12("swordfish"))
    text = '[[certificate]]\nfile = "bob.p12"\npassword = "swordfish"\n'
    site.apply(text + 'addresses = ["bob@acme.example", "x@acme.example"]\n')
    site.apply('[[certificate]]\nfile = "bob.pem"\n', prune=True)
    with registry.transaction(write=False) as live:
        (entry,) = all_certificates(live)
        assert entry.addresses == ("bob@acme.example",)
        assert live.private_key(entry.certificate.thumbprint) == people.bob.key_der


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_domain_never_changes_sides_by_a_file(site, registry: Registry, *, prune: bool, dry_run: bool) -> None:
    ours = '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n'
    theirs = '[[partner_domain]]\nname = "b.example"\n'
    site.apply(ours + theirs)
    before = site.generation()
    turned = '[[partner_domain]]\nname = "acme.example"\n[[managed_domain]]\nname = "b.example"\ndeliver_to = "mx"\n'
    with pytest.raises(UserError) as refused:
        site.apply(turned, prune=prune, dry_run=dry_run)
    assert str(refused.value).splitlines() == [
        "acme.example is a managed domain; first: ime-gateway domain remove acme.example",
        "b.example is a partner domain; first: ime-gateway domain remove b.example",
    ]
    assert site.generation() == before
    with registry.transaction(write=False) as live:
        assert (set(live.view().managed), set(live.view().partners)) == ({"acme.example"}, {"b.example"})


def test_domain_certificates_are_replaced(site, registry: Registry, people) -> None:
    site.apply(FULL)
    report = site.apply(FULL.replace('"partner.pem"', '"bob.pem"'))
    assert listed(report, "changed") == {("changed", "partner domain", "*.partner.example")}
    with registry.transaction(write=False) as live:
        assert live.view().domain_certificates["*.partner.example"] == (people.bob.certificate,)


def test_a_bundle_of_people_and_their_ca(site, registry: Registry, people) -> None:
    (site.folder / "all.p7b").write_bytes(pkcs7_bundle([people.root, people.anna, people.bob]))
    site.apply('[[certificate]]\nfile = "all.p7b"\n')
    with registry.transaction(write=False) as live:
        entries = {entry.certificate: entry.addresses for entry in all_certificates(live)}
        assert entries == {
            people.root.certificate: (),
            people.anna.certificate: ("anna@acme.example",),
            people.bob.certificate: ("bob@acme.example",),
        }
        assert live.view().roots == (), "a CA in a bundle is a link, no trust anchor"
        assert live.view().intermediates == (people.root.certificate,)


def test_the_same_certificate_twice_gets_all_addresses(site, registry: Registry) -> None:
    one = '[[certificate]]\nfile = "bob.pem"\naddresses = ["{}@acme.example"]\n'
    report = site.apply(one.format("b1") + one.format("b2"))
    assert listed(report, "added") == {("added", "certificate", "b1@acme.example, b2@acme.example")}


def test_what_will_not_be_used_is_noted(site, people) -> None:
    text = '[[certificate]]\nfile = "stranger.pem"\n[[certificate]]\nfile = "anna.pem"\n'
    notes = site.apply(text).notes
    assert [note.split(":")[0] for note in notes] == [
        "the certificate of stranger@acme.example is not used",
        "the certificate of anna@acme.example is not used",
    ]
    assert all("certificate-untrusted" in note for note in notes)
    allowed = f'[[trust]]\nthumbprint = "{people.stranger.certificate.thumbprint}"\nverdict = "allow"\n'
    assert site.apply(text + '[[root]]\nfile = "root.pem"\n' + allowed).notes == ()
    assert len(site.apply(text, prune=True, dry_run=True).notes) == 2, "as it will be after the prune"


P12 = '[[certificate]]\nfile = "anna.p12"\n'
WRONG = [
    ('[[certificate]]\nfile = "no.pem"\n', "line 2: certificate[1].file: no.pem: cannot be read: No such file"),
    ('[[certificate]]\nfile = "."\n', "line 2: certificate[1].file: .: cannot be read: Is a directory"),
    ('[[certificate]]\nfile = "site.toml"\n', "line 2: certificate[1].file: site.toml: the file is neither"),
    ('[[certificate]]\nfile = "nobody.pem"\n', "line 2: certificate[1].file: nobody.pem: the certificate"),
    ('[[certificate]]\nfile = "bob.pem"\naddresses = ["bob"]\n',
     "line 3: certificate[1].addresses: bob.pem: 'bob' is no mail"),
    ('[[certificate]]\nfile = "two.p7b"\naddresses = ["b@b.example"]\n',
     "line 3: certificate[1].addresses: two.p7b: it holds"),
    (P12, "line 2: certificate[1].file: anna.p12: "),
    (P12 + 'password = "wrong"\n', "line 2: certificate[1].file: anna.p12: "),
    (P12 + 'password = "a"\npassword_env = "B"\n',
     "line 4: certificate[1].password_env: give only one of password and"),
    (P12 + 'password_env = "NOT_SET"\n',
     "line 3: certificate[1].password_env: environment variable NOT_SET is not set"),
    (P12 + 'password_file = "no.txt"\n', "line 3: certificate[1].password_file: no.txt: cannot be read"),
    ('[[root]]\nfile = "anna.pem"\n', "line 2: root[1].file: anna.pem: is no CA certificate"),
    ('[[trust]]\nverdict = "deny"\nfile = "two.p7b"\n', "line 3: trust[1].file: two.p7b: holds 2 certificates"),
    ('[[partner_domain]]\nname = "p.example"\nsmime_certificates = ["x.pem"]\n',
     "line 3: partner_domain[1].smime_certificates: x.pem"),
    ('[[managed_domain]]\nname = "p.example"\ndeliver_to = "mx"\ninternal_certificates = ["x.pem"]\n',
     "line 4: managed_domain[1].internal_certificates: x.pem"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_wrong_file_is_named_and_nothing_is_applied(
    site, registry: Registry, people, text: str, expected: str
) -> None:
    (site.folder / "anna.p12").write_bytes(people.anna.pkcs12("swordfish"))
    (site.folder / "two.p7b").write_bytes(pkcs7_bundle([people.anna, people.bob]))
    (site.folder / "nobody.pem").write_bytes(make_ca("Nobody", ca=False, ku=None).pem)
    good = '\n[[managed_domain]]\nname = "good.example"\ndeliver_to = "mx"\n'
    with pytest.raises(ConfigurationError) as caught:
        site.apply(text + good)
    assert str(caught.value).startswith(f"{site.path}, {expected}"), str(caught.value)
    assert "swordfish" not in str(caught.value) + caught.value.evidence
    with registry.transaction(write=False) as live:
        assert not live.view().managed


@pytest.mark.parametrize(
    "place", ['password = "swordfish"', 'password_file = "word.txt"', 'password_env = "WORD"']
)  # fmt: skip
def test_passwords_from_three_places(site, registry: Registry, people, place: str) -> None:
    (site.folder / "anna.p12").write_bytes(people.anna.pkcs12("swordfish"))
    (site.folder / "word.txt").write_text("swordfish\n")
    site.environment["WORD"] = "swordfish"
    site.apply(P12 + place + "\n")
    with registry.transaction(write=False) as live:
        (entry,) = all_certificates(live)
        assert entry.has_private_key
        assert live.private_key(entry.certificate.thumbprint) == people.anna.key_der


def test_a_store_that_fails_midway_changes_nothing(site, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from ime_gateway.store.registry_transaction import LiveDataTransaction

    def full(*_: object) -> bool:
        raise StoreUnavailable("the disk of the store is full")

    monkeypatch.setattr(LiveDataTransaction, "put_trust", full)  # the last step of FULL
    with pytest.raises(StoreUnavailable):
        site.apply(FULL)
    monkeypatch.undo()
    with registry.transaction(write=False) as live:
        assert not live.view().managed and not live.view().roots and not list(all_certificates(live))


def test_paths_are_relative_to_the_file_not_to_where_we_stand(
    site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site.folder = Path("site")
    assert site.apply('[[certificate]]\nfile = "anna.pem"\n').count("added") == 1
