"""Paths to roots: our own small PKIs, the NIST suite, and the examples of others."""

import csv
from pathlib import Path

import pytest
from cryptography import x509

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.base.reasons import Reason
from ime_gateway.certs import der
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.trust import Anchors
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user

MOMENT = NOW.timestamp()


def path(leaf: Entity, roots: list[Entity], between: list[Entity] | None = None) -> TrustedPath | Fault:
    anchors = Anchors([one.certificate for one in roots], [one.certificate for one in between or []])
    return find_path(leaf.certificate, anchors, MOMENT)


def refused(result: TrustedPath | Fault) -> str:
    assert isinstance(result, Fault) and result.reason is Reason.CERTIFICATE_UNTRUSTED, result
    return result.detail


def test_direct_and_over_an_intermediate_whatever_the_order() -> None:
    root = make_ca("Root")
    issuing = make_ca("Issuing", root, not_after=NOW + 10 * DAY)
    unrelated = make_ca("Other", make_ca("Elsewhere"))
    alice = make_user("alice@acme.example", issuing)
    assert path(make_user("bob@acme.example", root), [root]) == TrustedPath("CN=Root", (NOW + 365 * DAY).timestamp())
    for between in ([issuing, unrelated], [unrelated, issuing]):
        assert path(alice, [root], between) == TrustedPath("CN=Root", (NOW + 10 * DAY).timestamp())


def test_certificates_without_any_extension_are_common_and_trusted() -> None:
    root = make_ca("Root")
    bare = make_user("x@acme.example", root, san=False, ku=None, eku=None, dn_addresses=["x@acme.example"])
    assert isinstance(path(bare, [root]), TrustedPath)


def test_the_reason_names_what_is_missing() -> None:
    root, stranger = make_ca("Root"), make_ca("Stranger")
    issuing = make_ca("Issuing", stranger)
    alice = make_user("alice@acme.example", issuing)
    assert refused(path(alice, [])) == "no root is configured"
    assert refused(path(alice, [root])) == "issuer CN=Issuing is not known"
    assert refused(path(alice, [root], [issuing])) == "issuer CN=Stranger is not known"
    assert refused(path(alice, [root], [issuing, stranger])) == "CN=Stranger is no root"
    assert refused(path(make_user("alice@acme.example"), [root])) == "it is self-signed and no root"


def test_a_root_is_a_path_of_one() -> None:
    lonely = make_user("alice@acme.example")
    assert isinstance(path(lonely, [lonely]), TrustedPath)


def test_a_forged_signature_or_an_equal_name_is_no_path() -> None:
    root, impostor = make_ca("Root"), make_ca("Root")
    refused(path(make_user("alice@acme.example", impostor), [root]))
    alice = make_user("alice@acme.example", root)
    forged = bytearray(alice.der)
    forged[-1] ^= 1
    refused(find_path(Certificate.from_der(bytes(forged)), Anchors([root.certificate]), MOMENT))


def test_people_are_no_certification_authorities() -> None:
    root = make_ca("Root")
    alice = make_user("alice@acme.example", root, common_name="Alice")
    refused(path(make_user("mallory@acme.example", alice), [root], [alice]))
    no_signing = make_ca("No signing", root, ku=key_usage(digital_signature=True))
    refused(path(make_user("mallory@acme.example", no_signing), [root], [no_signing]))
    refused(path(make_user("mallory@acme.example", not_ca := make_ca("Not CA", root, ca=False)), [root], [not_ca]))


def test_path_lengths_are_kept() -> None:
    root = make_ca("Root", path_length=0)
    assert isinstance(path(make_user("alice@acme.example", root), [root]), TrustedPath)
    below = make_ca("Below", root)
    refused(path(make_user("alice@acme.example", below), [root], [below]))


def test_an_expired_link_is_named() -> None:
    root = make_ca("Root")
    old = make_ca("Old", root, not_after=NOW - DAY)
    assert "CN=Old is valid from" in refused(path(make_user("alice@acme.example", old), [root], [old]))


def test_limits_on_addresses_hold_for_non_ascii_mailboxes() -> None:
    """RFC 9598 section 6: an rfc822Name limit on a domain counts for SmtpUTF8Mailbox names, too."""
    root = make_ca("Root")
    acme = make_ca("Acme", root, permitted_mail=["acme.example"])

    def issued(mailbox: str) -> TrustedPath | Fault:
        name = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), der.tlv(0x0C, mailbox.encode()))
        names = (x509.SubjectAlternativeName([name]), False)
        return path(make_user("x@acme.example", acme, san=False, extra=[names]), [root], [acme])

    assert isinstance(issued("j\u00fcrgen@acme.example"), TrustedPath)
    assert "may not issue" in refused(issued("j\u00fcrgen@other.example"))
    assert "may not issue" in refused(issued("j\u00fcrgen@sub.acme.example"))


@pytest.mark.parametrize("place", ["alternative name", "subject"])
def test_limits_on_addresses_hold_wherever_the_address_stands(place: str) -> None:
    root = make_ca("Root")
    acme = make_ca("Acme", root, permitted_mail=["acme.example", ".sub.acme.example", "one@other.example"])

    def issued(address: str) -> TrustedPath | Fault:
        in_subject = place == "subject"
        addresses = [address] if in_subject else []
        return path(make_user(address, acme, san=not in_subject, dn_addresses=addresses), [root], [acme])

    assert isinstance(issued("alice@acme.example"), TrustedPath)
    assert isinstance(issued("alice@x.sub.acme.example"), TrustedPath)
    assert isinstance(issued("one@other.example"), TrustedPath)
    refused(issued("ceo@bank.example"))
    refused(issued("two@other.example"))
    refused(issued("alice@notacme.example"))


@pytest.mark.parametrize("above", [{"permitted_mail": ["acme.example"]}, {"excluded_mail": ["bank.example"]}])
@pytest.mark.parametrize("place", ["alternative name", "subject"])
def test_limits_of_every_authority_of_the_path_hold(above: dict[str, list[str]], place: str) -> None:
    root = make_ca("Root")
    limited = make_ca("Limited", root, **above)  # type: ignore[arg-type]
    issuing = make_ca("Issuing", limited)

    def issued(address: str) -> TrustedPath | Fault:
        in_subject = place == "subject"
        addresses = [address] if in_subject else []
        leaf = make_user(address, issuing, san=not in_subject, dn_addresses=addresses)
        return path(leaf, [root], [issuing, limited])

    assert isinstance(issued("alice@acme.example"), TrustedPath)
    refused(issued("ceo@bank.example"))


def test_exclusion_beats_permission() -> None:
    root = make_ca("Root")
    acme = make_ca("Acme", root, permitted_mail=["acme.example"], excluded_mail=["ceo@acme.example"])
    for dn_only in (False, True):
        for address, good in (("alice@acme.example", True), ("ceo@acme.example", False), ("x@bank.example", False)):
            leaf = make_user(address, acme, san=not dn_only, dn_addresses=[address] if dn_only else [])
            assert isinstance(path(leaf, [root], [acme]), TrustedPath) is good


def test_a_harmless_address_does_not_hide_another_one() -> None:
    root = make_ca("Root")
    acme = make_ca("Acme", root, permitted_mail=["acme.example"])
    mixed = make_user("alice@acme.example", acme, dn_addresses=["ceo@bank.example"])
    assert "ceo@bank.example" in refused(path(mixed, [root], [acme]))


def test_a_demand_for_policies_is_never_taken_as_met() -> None:
    root = make_ca("Root")
    extension = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    demanding = _with_extension(make_ca("Demanding", root), root, extension)
    refused(path(make_user("alice@acme.example", demanding), [root], [demanding]))


def _with_extension(entity: Entity, issuer: Entity, extension: x509.ExtensionType) -> Entity:
    from tests.pki import build

    old = [(one.value, one.critical) for one in entity.x509.extensions if not _is_key_identifier(one.value)]
    dates = {"not_before": NOW - DAY, "not_after": NOW + DAY}
    return build(entity.x509.subject, entity.key, issuer, [*old, (extension, False)], **dates)


def _is_key_identifier(value: x509.ExtensionType) -> bool:
    return isinstance(value, (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier))


def test_examples_of_others(vectors: Path) -> None:
    def one(name: str, password: str | None = None) -> Certificate:
        return read_bundle((vectors / name).read_bytes(), password).certificates[0]

    moment = 1_790_000_000.0
    rsa_root = Anchors([one("rfc9216/ca.rsa.crt")])
    for person in ("alice", "bob"):
        for use in ("encrypt", "sign"):
            assert isinstance(find_path(one(f"rfc9216/{person}.{use}.crt"), rsa_root, moment), TrustedPath)
    smime = Anchors([one("openssl-smime-certs/smroot.pem")])
    for number in (1, 2, 3):
        assert isinstance(find_path(one(f"openssl-smime-certs/smrsa{number}.pem"), smime, moment), TrustedPath)
    nss = Anchors([one("thunderbird-smime/TestCA.pem")])
    for person in ("Alice", "Bob", "Dave"):
        assert isinstance(find_path(one(f"thunderbird-smime/{person}.p12", "nss"), nss, moment), TrustedPath)


def test_a_certification_authority_with_an_ed25519_key_is_refused_in_words(vectors: Path) -> None:
    def one(name: str) -> Certificate:
        return read_bundle((vectors / "rfc9216" / name).read_bytes(), None).certificates[0]

    fault = find_path(one("carlos.sign.crt"), Anchors([one("ca.25519.crt")]), 1_790_000_000.0)
    assert refused(fault) == "no path to a root: Forbidden public key algorithm"


OTHERS_DUTY = {
    # What the suite asks of callers that check revocation or demand policies, which this module does not.
    "revocation": ("4.4.", "4.5.2", "4.5.5", "4.5.7", "4.7.4", "4.7.5", "4.14.", "4.15."),
    "policy input": ("4.8.1", "4.8.2", "4.8.3", "4.8.6"),
}
NOT_FOLLOWED = (
    *("4.1.4", "4.1.5"),  # DSA
    *("4.2.4", "4.3.3", "4.3.4", "4.3.5", "4.3.10", "4.3.11"),  # dates and names in another encoding
    *("4.6.15", "4.6.17"),  # self-issued certificates do not count in path lengths
    *("4.8.", "4.9.", "4.10.", "4.11.", "4.12."),  # demands on policies
    "4.13.",  # limits on names that are no mail addresses
    *("4.4.", "4.5.", "4.14.", "4.15."),  # certificates whose CRLs decide
)


def test_the_nist_suite_no_invalid_path_is_trusted(vectors: Path) -> None:
    folder = vectors / "nist-pkits"
    trusted = total = 0
    with (folder / "expectations.csv").open() as table:
        for case in csv.DictReader(table):
            section, expected = case["pkits_section"], case["expected"]
            valid = _nist_valid(folder / "certs", case)
            total += 1
            trusted += valid
            if expected == "invalid" and valid:
                assert section.startswith(sum(OTHERS_DUTY.values(), ())), (section, case["name"])
            if expected == "valid" and not valid:
                assert section.startswith(NOT_FOLLOWED), (section, case["name"])
    assert total == 246
    assert trusted > 60


def _nist_valid(folder: Path, case: dict[str, str]) -> bool:
    moment = 1_790_000_000.0
    try:
        names = (case["end_entity"], case["trust_anchor"], *case["other_certs"].split())
        leaf, root, *between = (Certificate.from_der((folder / name).read_bytes()) for name in names)
    except UnreadableCertificate:
        return False
    in_time = leaf.not_before <= moment <= leaf.not_after
    known = all(not one.critical or one.oid.dotted_string.startswith("2.5.29.") for one in leaf.x509.extensions)
    return in_time and known and isinstance(find_path(leaf, Anchors([root], between), moment), TrustedPath)
