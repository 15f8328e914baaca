"""The EWS double's address list: names, certificates, groups; and SMTP on both sides of it."""

import base64
import smtplib

import pytest

from tests.servers.ews import Entry, EwsServer
from tests.servers.ews import request_texts as say
from tests.servers.ews.mail_doors import SmtpDoor, relay
from tests.servers.ews.soap_client import SoapClient, code_of
from tests.servers.ews.xml_names import full, text_of
from tests.unit.servers.conftest import ALICE, BOB

DCA = "dca@ime.acme.example"


def mail(sender: str, *to: str) -> bytes:
    return f"From: {sender}\r\nTo: {', '.join(to)}\r\nSubject: s\r\n\r\nt\r\n".encode()


def test_names_and_groups(ews: EwsServer, alice: SoapClient) -> None:
    assert code_of(alice.message(say.resolve("nobody"))) == "ErrorNameResolutionNoResults"
    assert text_of(next(alice.message(say.resolve("alice")).iter(full("t:EmailAddress")))) == ALICE
    assert code_of(alice.message(say.expand("all@acme.example"))) == "ErrorNameResolutionNoResults"
    ews.directory.add_group("all@acme.example", [ALICE, "in@acme.example"], "Alice and all")
    ews.directory.add_group("in@acme.example", [BOB, "all@acme.example", "eve@other.example"])
    several = alice.message(say.resolve("al"))
    assert (several.get("ResponseClass"), code_of(several)) == ("Warning", "ErrorNameResolutionMultipleResults")
    members = alice.message(say.expand("all@acme.example"))
    assert [text_of(kind) for kind in members.iter(full("t:MailboxType"))] == ["Mailbox", "PublicDL"]


@pytest.mark.parametrize("words", ["_IME", "_ime dom", "authority", DCA, f"SMTP:{DCA}", f"smtp:{DCA}"])
def test_a_contact_is_found_with_its_certificates(ews: EwsServer, alice: SoapClient, words: str) -> None:
    ews.directory.add(
        Entry(DCA, "_IME domain-confidentiality-authority authority", "Contact", [b"der"], [b"cms"], alias="ime")
    )
    message = alice.message(say.resolve(words))
    assert code_of(message) == "NoError"
    values = [base64.b64decode(text_of(value)) for value in message.iter(full("t:Base64Binary"))]
    assert values == [b"cms", b"der"]
    plain = alice.message(say.resolve(words, shape_name="Default"))
    assert list(plain.iter(full("t:Base64Binary"))) == [] and list(plain.iter(full("t:Contact")))


def test_a_hidden_entry_is_found_by_its_address_only(ews: EwsServer, alice: SoapClient) -> None:
    ews.directory.add(Entry(DCA, "_IME", "Contact", hidden=True))
    assert code_of(alice.message(say.resolve("_IME"))) == "ErrorNameResolutionNoResults"
    assert code_of(alice.message(say.resolve(DCA))) == "NoError"


def test_one_name_in_one_request(ews: EwsServer, alice: SoapClient) -> None:
    twice = say.resolve("alice").replace(
        "</m:ResolveNames>", "<m:UnresolvedEntry>x</m:UnresolvedEntry></m:ResolveNames>"
    )
    with pytest.raises(Exception, match="ErrorSchemaValidation"):
        alice.ask(twice)


def test_own_contacts_are_another_scope(ews: EwsServer, alice: SoapClient) -> None:
    entry = f'<t:EmailAddresses><t:Entry Key="EmailAddress1">{DCA}</t:Entry></t:EmailAddresses>'
    contact = f"<t:Contact><t:DisplayName>_IME</t:DisplayName>{entry}</t:Contact>"
    made = alice.message(f"<m:CreateItem><m:Items>{contact}</m:Items></m:CreateItem>")
    assert code_of(made) == "NoError" and len(ews.items(ALICE, "contacts")) == 1
    assert code_of(alice.message(say.resolve("_IME"))) == "ErrorNameResolutionNoResults"
    found = alice.message(say.resolve("_IME", scope="ContactsActiveDirectory"))
    assert text_of(next(found.iter(full("t:ContactSource")))) == "Store"


def test_transport_expands_groups_and_cycles(ews: EwsServer) -> None:
    ews.directory.add_group("all@acme.example", [ALICE, "in@acme.example"])
    ews.directory.add_group("in@acme.example", [BOB, "all@acme.example"])
    ews.deliver(mail(BOB, "all@acme.example"), ["ALL@acme.example", ALICE])
    assert len(ews.mails(ALICE, "inbox")) == len(ews.mails(BOB, "inbox")) == 1


def test_smtp_in_and_out(ews: EwsServer, alice: SoapClient) -> None:
    with EwsServer(["carol@other.example"]) as other, SmtpDoor(other) as door:
        ews.transport.on_send = relay(ews, "127.0.0.1", door.port)
        written = mail(ALICE, BOB, "carol@other.example", "eve@other.example")
        alice.ask(say.create_message(say.mime_content(written), "SendOnly"))
        ews.settle()
        assert other.mails("carol@other.example", "inbox") == ews.mails(BOB, "inbox") != []
        assert b"eve@other.example" in ews.mails(ALICE, "inbox")[0] and b"550" in ews.mails(ALICE, "inbox")[0]
        with smtplib.SMTP("127.0.0.1", door.port) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(ALICE, ["nobody@other.example"], written)
    alice.ask(say.create_message(say.mime_content(mail(ALICE, "carol@other.example")), "SendOnly"))
    ews.settle()
    assert b"4.4.1" in ews.mails(ALICE, "inbox")[1]
