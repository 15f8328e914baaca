"""Keys of IME addresses: issue, rotate with and without overlap, show, and the exported contact."""

import base64
import json
import secrets
import subprocess
from pathlib import Path

import pytest

from ime_gateway.admin.ime_contact import FILE_NAMES
from ime_gateway.admin.ime_desk import ImeDesk, ime_json
from ime_gateway.admin.ime_keys import make_key_pair
from ime_gateway.admin.key_pairs import groups
from ime_gateway.base.errors import UserError
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.registry import Registry
from tests.pki import make_user

DAY = 86_400
ADDRESS = "dca@ime.acme.example"
SITE = f'[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\nime_address = "{ADDRESS}"\nime_key = ""\n'


@pytest.fixture
def desk(site, registry: Registry, clock) -> ImeDesk:
    site.apply(SITE)
    return ImeDesk(registry, clock, secrets.token_bytes)


def audited(registry: Registry) -> list[str]:
    with registry.transaction(write=False) as live:
        return [line.action for line in live.audit_lines() if line.action.startswith("ime-")]


def test_issue_makes_one_and_no_second_by_accident(desk: ImeDesk, registry: Registry, clock) -> None:
    row = desk.issue("Acme.Example", days=10, replace=False, actor="test")
    assert row.current is not None and row.older == () and row.notes != ()
    assert row.current.certificate.not_after == int(clock.now() + 10 * DAY)
    with pytest.raises(UserError, match=rf"has an IME key already \({groups(row.current.certificate.thumbprint)}\)"):
        desk.issue("acme.example", days=10, replace=False, actor="test")
    again = desk.issue("acme.example", days=100, replace=True, actor="test")
    assert [key.certificate for key in again.older] == [row.current.certificate]
    assert again.older[0].opens_until == clock.now() + 14 * DAY
    assert audited(registry) == ["ime-issue", "ime-issue"]


def test_rotate_keeps_the_old_key_through_the_overlap(desk: ImeDesk, registry: Registry, clock) -> None:
    with pytest.raises(UserError, match="no IME key yet"):
        desk.rotate("acme.example", days=100, overlap_days=7, at_once=False, actor="test")
    first = desk.issue("acme.example", days=100, replace=False, actor="test").current
    row = desk.rotate("acme.example", days=100, overlap_days=7, at_once=False, actor="test")
    assert first is not None and row.current is not None
    assert row.current.certificate != first.certificate
    assert row.older[0].opens_until == clock.now() + 7 * DAY
    with registry.transaction(write=False) as live:
        assert live.ime_private_key("acme.example", first.certificate.thumbprint) is not None
    clock.moment += 5 * DAY
    assert any("opens containers only until" in note for note in desk.show("acme.example").notes)


def test_a_stolen_key_opens_nothing_more(desk: ImeDesk, registry: Registry, clock) -> None:
    desk.issue("acme.example", days=100, replace=False, actor="test")
    desk.rotate("acme.example", days=100, overlap_days=7, at_once=False, actor="test")
    clock.moment += 60
    row = desk.rotate("acme.example", days=100, overlap_days=7, at_once=True, actor="test")
    assert len(row.older) == 2
    assert not any(key.has_private_key for key in row.older)
    assert all(key.opens_until <= clock.now() for key in row.older)
    with registry.transaction(write=False) as live:
        assert all(live.ime_private_key("acme.example", key.certificate.thumbprint) is None for key in row.older)
    assert audited(registry)[0] == "ime-rotate-at-once"


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        ("other.example", "is no managed domain"),
        ("ime.acme.example", "say: acme.example"),
        ("not a domain", "is no domain name"),
        ("plain.example", "has no IME address; set it in SITE.toml"),
    ],
)
def test_domains_that_have_none(desk: ImeDesk, site, domain: str, sentence: str) -> None:
    site.apply('[[managed_domain]]\nname = "plain.example"\ndeliver_to = "mx"\n')
    with pytest.raises(UserError, match=sentence):
        desk.issue(domain, days=10, replace=False, actor="test")


def test_show_counts_signers_and_says_what_to_do(desk: ImeDesk, registry: Registry) -> None:
    with registry.transaction(write=True) as live:
        live.put_pin(Pin("anna@acme.example", make_user("anna@acme.example").certificate, "pending", "challenged", 1.0))
        live.put_pin(Pin("x@other.example", make_user("x@other.example").certificate, "approved", "registered", 1.0))
    row = desk.show("acme.example")
    assert (row.counts.pending, row.counts.approved) == (1, 0)
    assert any("1 signer waits" in note for note in row.notes)
    assert any("run: ime-gateway ime issue acme.example" in note for note in row.notes)
    answer = ime_json(desk.issue("acme.example", days=100, replace=False, actor="test"))
    current = answer["current"]
    assert isinstance(current, dict)
    assert current["thumbprint_groups"].replace(" ", "").lower() == current["thumbprint"].removeprefix("sha256:")
    assert all(len(group) == 4 for group in current["thumbprint_groups"].split())
    assert current["opens_until"] is None
    assert json.dumps(answer)
    assert [one.domain for one in desk.rows()] == ["acme.example"]


def openssl(*words: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True)


def test_the_contact_is_what_others_read(desk: ImeDesk, tmp_path: Path) -> None:
    row = desk.issue("acme.example", days=100, replace=False, actor="test")
    assert row.current is not None
    contact = desk.export_contact("acme.example", "", "test")
    assert set(contact.files) == FILE_NAMES
    for name, content in contact.files.items():
        (tmp_path / name).write_bytes(content)
    der = row.current.certificate.der
    assert contact.files["certificate.der"] == contact.files["userCertificate.der"] == der
    shown = openssl("x509", "-in", tmp_path / "certificate.pem", "-outform", "DER")
    assert shown.stdout == der
    bundle = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "certificate.p7c", "-print_certs")
    assert openssl("x509", "-outform", "DER", data=bundle.stdout).stdout == der
    blob = tmp_path / "userSMIMECertificate.bin"
    verified = openssl("cms", "-verify", "-inform", "DER", "-in", blob, "-content", "/dev/null", "-binary",
                       "-CAfile", tmp_path / "certificate.pem", "-certsout", tmp_path / "found.pem")  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert openssl("x509", "-in", tmp_path / "found.pem", "-outform", "DER").stdout == der
    printed = openssl("cms", "-cmsout", "-print", "-inform", "DER", "-in", blob).stdout
    assert b"S/MIME Capabilities" in printed and b"eContent: <ABSENT>" in printed
    assert b"PRIVATE" not in b"".join(contact.files.values())


def test_an_address_that_was_changed_needs_a_key_of_its_own_before_it_is_published(desk: ImeDesk, site) -> None:
    desk.issue("acme.example", days=100, replace=False, actor="test")
    site.apply(SITE.replace(ADDRESS, "dca@ime2.acme.example").replace('ime_key = ""\n', ""))
    advice = "make a new one and run this again: ime-gateway ime rotate acme.example$"
    with pytest.raises(UserError, match=f"^the IME certificate of acme.example is for {ADDRESS}, not for .*; {advice}"):
        desk.export_contact("acme.example", "", "test")
    (note,) = [note for note in desk.show("acme.example").notes if "is for" in note]
    assert note.endswith("the IME address is dca@ime2.acme.example; run: ime-gateway ime rotate acme.example")
    desk.rotate("acme.example", days=100, overlap_days=7, at_once=False, actor="test")
    assert desk.export_contact("acme.example", "", "test").address == "dca@ime2.acme.example"


def test_the_contact_names_itself_early_in_the_alphabet(desk: ImeDesk) -> None:
    desk.issue("acme.example", days=100, replace=False, actor="test")
    facts = json.loads(desk.export_contact("acme.example", "", "test").files["contact.json"])
    assert facts["display_name"] == "_IME dca"
    assert facts["address"] == ADDRESS
    assert facts["user_smime_certificate"] in FILE_NAMES
    own = desk.export_contact("acme.example", "_Ümläut, Ltd", "test")
    facts = json.loads(own.files["contact.json"])
    assert (facts["display_name"], facts["common_name"]) == ("_Ümläut, Ltd", "_Uemlaeut, Ltd")
    lines = own.files["contact.ldif"].decode("ascii").splitlines()
    assert lines[1].startswith("dn: CN=_Uemlaeut\\, Ltd,OU=") and "cn: _Uemlaeut, Ltd" in lines
    assert f"displayName:: {base64.b64encode('_Ümläut, Ltd'.encode()).decode()}" in lines
    assert "the line that begins with dn:" in own.files["README.txt"].decode()
    foreign = json.loads(desk.export_contact("acme.example", "\u5185\u90e8", "test").files["contact.json"])
    assert foreign["common_name"] == "_IME dca"


def test_the_ldif_carries_both_values(desk: ImeDesk) -> None:
    """Unfolded and decoded as RFC 2849 says."""
    desk.issue("acme.example", days=100, replace=False, actor="test")
    contact = desk.export_contact("acme.example", "", "test")
    text = contact.files["contact.ldif"].decode("ascii")
    assert max(len(line) for line in text.splitlines()) <= 76
    lines = text.replace("\n ", "").splitlines()
    assert lines[0] == "version: 1" and lines[1].startswith("dn: CN=_IME dca,")
    values = dict(line.split(":: ", 1) for line in lines if ":: " in line)
    assert base64.b64decode(values["userCertificate"]) == contact.files["userCertificate.der"]
    assert base64.b64decode(values["userSMIMECertificate"]) == contact.files["userSMIMECertificate.bin"]


def test_no_contact_without_key(desk: ImeDesk) -> None:
    with pytest.raises(UserError, match=r"ime issue acme\.example"):
        desk.export_contact("acme.example", "", "test")


def test_of_two_administrators_one_issues(desk: ImeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other's key came while this one's prime numbers were being looked for."""
    made: list[object] = []

    def meanwhile(*arguments):
        made.append(pair := make_key_pair(*arguments))
        if len(made) == 1:
            desk.issue("acme.example", days=10, replace=False, actor="other")
        return pair

    monkeypatch.setattr("ime_gateway.admin.ime_desk.make_key_pair", meanwhile)
    with pytest.raises(UserError, match="has an IME key already"):
        desk.issue("acme.example", days=10, replace=False, actor="test")
    assert desk.show("acme.example").older == ()
