"""A file of roots with the CAs below them, as `ca export` writes: only the topmost becomes an anchor."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from ime_gateway.admin.intake import roots_and_links
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.site_export import ExportDesk
from ime_gateway.base.reasons import Reason
from ime_gateway.keys.usable import judge
from ime_gateway.ports.registry import Registry
from ime_gateway.ports.revocation import StoredAnswer
from tests.pki import Entity, build, key_usage, make_ca, make_user, new_key
from tests.revocation import make_crl, points

URL = "http://crl.partner.example/root.crl"
SITE = '[[root]]\nfile = "ca.pem"\n'


def issuing_ca(root: Entity, name: str = "Issuing CA") -> Entity:
    """A CA below `root` that says where its revocation can be asked."""
    start, end = root.x509.not_valid_before_utc, root.x509.not_valid_after_utc
    extensions = [(x509.BasicConstraints(True, 0), True), (key_usage(key_cert_sign=True, crl_sign=True), True)]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return build(subject, new_key("p256"), root, [*extensions, points(URL)], not_before=start, not_after=end)


@pytest.fixture(scope="module")
def root() -> Entity:
    return make_ca("Partner Root", kind="p256")


@pytest.fixture(scope="module")
def issuing(root: Entity) -> Entity:
    return issuing_ca(root)


def write(folder: Path, name: str, *entities: Entity) -> None:
    (folder / name).write_bytes(b"".join(one.pem for one in entities))


@pytest.mark.parametrize("turned", [False, True], ids=["root first", "root last"])
def test_an_issuing_ca_beside_its_root_is_no_anchor_and_its_revocation_counts(
    site, registry: Registry, store, clock, root: Entity, issuing: Entity, turned: bool
) -> None:
    write(site.folder, "ca.pem", *((issuing, root) if turned else (root, issuing)))
    report = site.apply(SITE)
    assert [(one.kind, one.what, one.name) for one in report.changes] == [
        ("added", "certificate", issuing.certificate.subject),
        ("added", "root", root.certificate.subject),
    ]
    assert not report.notes
    leaf = make_user("bob@partner.example", issuing, kind="p256").certificate

    def verdict():
        with registry.transaction(write=False) as live:
            view = live.view()
            assert (view.roots, view.intermediates) == ((root.certificate,), (issuing.certificate,))
            return judge(leaf, anchors_in(live), clock.now(), "personal")

    found = verdict()
    assert found.usable
    assert any(
        f"< {issuing.certificate.subject} < {root.certificate.subject} (root)" in line for line in found.evidence
    )
    now = clock.now()
    crl = make_crl(root, [issuing])
    asyncio.run(store.revocations.keep(StoredAnswer("crl", URL, crl, now, now + 86_400, now, "", now)))
    assert verdict().reason is Reason.CERTIFICATE_REVOKED


@pytest.mark.parametrize("prune", [False, True])
def test_the_second_time_and_an_export_change_nothing(
    site, registry: Registry, root: Entity, issuing: Entity, prune: bool
) -> None:
    write(site.folder, "ca.pem", root, issuing)
    site.apply(SITE)
    generation = site.generation()
    assert not site.apply(SITE, prune=prune).changed
    exported = ExportDesk(registry).export()
    (site.folder / "certs").mkdir()
    for name, content in exported.files.items():
        (site.folder / name).write_bytes(content)
    assert not site.apply(exported.text, prune=prune).changed and site.generation() == generation
    assert ExportDesk(registry).export() == exported


def test_one_that_was_made_a_root_before_stays_one_with_a_note_until_a_prune(
    site, registry: Registry, root: Entity, issuing: Entity
) -> None:
    write(site.folder, "root.pem", root)
    write(site.folder, "issuing.pem", issuing)
    apart = '[[root]]\nfile = "root.pem"\n[[root]]\nfile = "issuing.pem"\n'
    assert not site.apply(apart).notes, "who names it alone means it"
    write(site.folder, "ca.pem", root, issuing)
    (note,) = site.apply(SITE).notes
    assert issuing.certificate.subject in note and "apply --prune" in note
    assert not site.apply(SITE + apart).notes
    assert not site.apply(SITE, prune=True).notes
    with registry.transaction(write=False) as live:
        assert live.view().roots == (root.certificate,) and live.view().intermediates == (issuing.certificate,)


def test_which_of_a_file_are_roots(root: Entity, issuing: Entity) -> None:
    below = issuing_ca(issuing, "Below")
    renewed = make_ca("Partner Root", key=root.key)
    other = make_ca("Other Root", kind="p256")
    crossed = make_ca("Other Root", root, key=other.key)
    back = make_ca("Partner Root", other, key=root.key)
    impostor = make_ca("Issuing CA", make_ca("Partner Root", kind="p256"))
    for file, roots in (
        ((root, issuing, below), (root,)),
        ((issuing, below), (issuing,)),  # none is self-issued
        ((root, renewed, issuing), (root, renewed)),  # one key, two self-signed certificates
        ((root, impostor), (root, impostor)),  # the name alone says nothing
        ((root, other, crossed), (root, other)),
        ((crossed, back), (crossed, back)),  # each issued the other
    ):
        wanted = [one.certificate for one in roots]
        found, links = roots_and_links([one.certificate for one in file])
        assert found == wanted and len(links) == len(file) - len(roots)


def test_denying_a_file_of_cas_denies_each(site, registry: Registry, root: Entity, issuing: Entity) -> None:
    write(site.folder, "ca.pem", root, issuing)
    text = '[[trust]]\nverdict = "deny"\nnote = "hacked"\nfile = "ca.pem"\n'
    site.apply(text)
    with registry.transaction(write=False) as live:
        view = live.view()
    assert {(one.thumbprint, one.verdict, one.note) for one in view.trust.values()} == {
        (one.certificate.thumbprint, "deny", "hacked") for one in (root, issuing)
    }
    assert set(view.intermediates) == {root.certificate, issuing.certificate} and view.roots == ()
    generation = site.generation()
    assert not site.apply(text, prune=True).changed and site.generation() == generation
