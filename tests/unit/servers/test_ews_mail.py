"""The EWS double stores, finds, shows, moves, sends and removes mail as a client of Exchange expects it."""

import base64
import email
import xml.etree.ElementTree as ET

import pytest

from tests.servers.ews import EwsServer, NotDelivered, SentMail
from tests.servers.ews import request_texts as say
from tests.servers.ews.soap_client import SoapClient, SoapFault, code_of
from tests.servers.ews.xml_names import full, need, text_of
from tests.unit.servers.conftest import ALICE, BOB

COPY = "X-ESWmail-InternalEncrypt-sentcopy"
COPY_HEADER = say.named("InternetHeaders", COPY)
MARKER = say.named("PublicStrings", "ime")
SUBJECT, READ, RECEIVED = (say.field(f"{name}") for name in ("item:Subject", "message:IsRead", "item:DateTimeReceived"))
ANY_HEADER = f'<t:IndexedFieldURI FieldURI="item:InternetMessageHeader" FieldIndex="{COPY.lower()}"/>'


def mail(number: int = 1, *, sender: str = BOB, to: str = ALICE, more: str = "") -> bytes:
    return (
        f"From: Bob <{sender}>\r\nTo: {to}\r\nSubject: mail {number}\r\nMessage-ID: <m{number}@acme.example>\r\n"
        f"Date: Mon, 23 Nov 2026 09:00:00 +0000\r\n{more}\r\ntext {number}\r\n"
    ).encode()


def ids(message: ET.Element) -> list[str]:
    return [element.get("Id", "") for element in message.iter(full("t:ItemId"))]


def values(message: ET.Element) -> list[str]:
    return [text_of(value) for value in message.iter(full("t:Value"))]


def only(soap: SoapClient, folder: str = "inbox") -> str:
    (found,) = ids(soap.message(say.find_item(folder)))
    return found


def test_a_delivered_mail_is_shown_with_its_fields_and_byte_for_byte(ews: EwsServer, alice: SoapClient) -> None:
    sent = mail(more="X-Odd: =?utf-8?q?=C3=BC?=\r\n folded\r\n")
    ews.deliver(sent, [ALICE])
    message = alice.message(say.get_item(only(alice)))
    assert code_of(message) == "NoError"
    item = need(message, "m:Items")[0]
    assert base64.b64decode(text_of(item, "t:MimeContent")) == sent
    assert text_of(item, "t:Subject") == "mail 1"
    assert text_of(item, "t:IsRead") == "false" and text_of(item, "t:IsDraft") == "false"
    assert text_of(item, "t:InternetMessageId") == "<m1@acme.example>"
    assert text_of(item, "t:DateTimeSent") == "2026-11-23T09:00:00Z"
    assert text_of(item, "t:Body") == "text 1"
    assert text_of(need(need(item, "t:From"), "t:Mailbox"), "t:EmailAddress") == BOB
    headers = {element.get("HeaderName"): element.text for element in need(item, "t:InternetMessageHeaders")}
    assert headers["X-Odd"] == "ü folded"
    assert ews.operations() == ["FindItem", "GetItem"]


@pytest.mark.parametrize(
    ("content_type", "item_class"),
    [
        ("application/pkcs7-mime; smime-type=enveloped-data", "IPM.Note.SMIME"),
        ('multipart/signed; protocol="application/pkcs7-signature"; boundary=b', "IPM.Note.SMIME.MultipartSigned"),
        ("multipart/report; report-type=delivery-status; boundary=b", "REPORT.IPM.Note.NDR"),
        ("text/plain", "IPM.Note"),
    ],
)
def test_the_class_of_a_mail_follows_its_content_type(ews: EwsServer, content_type: str, item_class: str) -> None:
    ews.deliver(mail(more=f"Content-Type: {content_type}\r\n"), [ALICE])
    assert text_of(ews.items(ALICE, "inbox")[0].fields["ItemClass"]) == item_class


def test_mail_for_nobody_here_is_not_delivered_but_the_others_get_it(ews: EwsServer) -> None:
    with pytest.raises(NotDelivered) as caught:
        ews.deliver(mail(), [ALICE, "eve@acme.example", BOB])
    assert caught.value.recipients == ("eve@acme.example",) and caught.value.text.startswith("550 5.1.10")
    assert len(ews.mails(ALICE, "inbox")) == len(ews.mails(BOB, "inbox")) == 1


@pytest.mark.parametrize(
    ("restriction", "numbers"),
    [
        (say.compare("IsEqualTo", COPY_HEADER, "yes"), [2]),
        (f"<t:Exists>{COPY_HEADER}</t:Exists>", [2]),
        (f"<t:Not><t:Exists>{COPY_HEADER}</t:Exists></t:Not>", [1, 3]),
        (say.contains("Prefixed", "IgnoreCase", SUBJECT, "MAIL"), [1, 2, 3]),
        (say.contains("Substring", "Exact", SUBJECT, "L 3"), []),
        (say.contains("PrefixOnWords", "Loose", SUBJECT, "3"), [3]),
        (say.contains("FullString", "Exact", ANY_HEADER, "yes"), [2]),
        (f"<t:Or><t:Exists>{COPY_HEADER}</t:Exists>{say.compare('IsEqualTo', SUBJECT, 'mail 3')}</t:Or>", [2, 3]),
        (f"<t:And><t:Exists>{COPY_HEADER}</t:Exists>{say.compare('IsEqualTo', SUBJECT, 'mail 3')}</t:And>", []),
        (say.compare("IsEqualTo", READ, "0"), [1, 2, 3]),
        (say.compare("IsGreaterThan", RECEIVED, "2001-01-01T00:00:00+01:00"), [1, 2, 3]),
        (say.compare("IsLessThanOrEqualTo", SUBJECT, "mail 2"), [1, 2]),
        (say.compare("IsNotEqualTo", COPY_HEADER, "yes"), [1, 3]),
    ],
)
def test_restrictions(ews: EwsServer, alice: SoapClient, restriction: str, numbers: list[int]) -> None:
    for number in (3, 1, 2):
        ews.deliver(mail(number, more=f"{COPY}: yes\r\n" if number == 2 else ""), [ALICE])
    found = alice.message(say.find_item(paths=SUBJECT, restriction=restriction))
    assert [text_of(item) for item in found.iter(full("t:Subject"))] == [f"mail {number}" for number in numbers]


def test_pages(ews: EwsServer, alice: SoapClient) -> None:
    for number in range(5):
        ews.deliver(mail(number), [ALICE])
    seen, offset = [], 0
    for last in ("false", "false", "true"):
        root = need(alice.message(say.find_item(size=2, offset=offset)), "m:RootFolder")
        assert root.get("IncludesLastItemInRange") == last and root.get("TotalItemsInView") == "5"
        offset = int(root.get("IndexedPagingOffset", ""))
        seen += ids(root)
    assert len(set(seen)) == 5


def test_find_shows_no_mime_and_cuts_long_texts(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(mail(more=f"{COPY}: {'x' * 300}\r\n"), [ALICE])
    refused = alice.message(say.find_item(paths=say.field("item:MimeContent")))
    assert code_of(refused) == "ErrorInvalidPropertyRequest"
    assert values(alice.message(say.find_item(paths=COPY_HEADER))) == ["x" * 255]
    assert values(alice.message(say.get_item(only(alice), base="IdOnly", paths=COPY_HEADER))) == ["x" * 300]


def test_a_moved_item_has_a_new_id_and_the_old_one_is_nobody(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(mail(), [ALICE])
    old = only(alice)
    (new,) = ids(alice.message(say.transfer("MoveItem", old, "sentitems")))
    assert new != old and only(alice, "sentitems") == new and ews.items(ALICE, "inbox") == []
    again = alice.message(say.transfer("MoveItem", old, "sentitems"))
    assert code_of(again) == code_of(alice.message(say.get_item(old))) == "ErrorItemNotFound"
    assert len(need(again, "m:Items")) == 0
    assert ids(alice.message(say.transfer("CopyItem", new, "drafts"))) != [new]
    assert ews.mails(ALICE, "drafts") == ews.mails(ALICE, "sentitems") == [mail()]


@pytest.mark.parametrize(
    ("how", "where"),
    [("HardDelete", ""), ("SoftDelete", "recoverableitemsdeletions"), ("MoveToDeletedItems", "deleteditems")],
)
def test_three_ways_to_delete(ews: EwsServer, alice: SoapClient, how: str, where: str) -> None:
    ews.deliver(mail(), [ALICE])
    request = say.delete_item(only(alice), how)
    assert [code_of(alice.message(request)) for _ in range(2)] == ["NoError", "ErrorItemNotFound"]
    assert ews.items(ALICE, "inbox") == []
    assert not where or len(ews.items(ALICE, where)) == 1


def test_a_saved_mail_is_a_draft_unless_its_flags_say_otherwise(ews: EwsServer, alice: SoapClient) -> None:
    sent = say.value(say.tag(0x0E07, "Integer"), "1")
    alice.ask(say.create_message(say.mime_content(mail(1)), folder="sentitems"))
    alice.ask(say.create_message(say.mime_content(mail(2)) + sent, folder="sentitems"))
    assert [text_of(item.fields["IsDraft"]) for item in ews.items(ALICE, "sentitems")] == ["true", "false"]
    assert ews.mails(ALICE, "sentitems") == [mail(1), mail(2)]


def test_a_marker_stays_at_home_and_a_header_property_travels(ews: EwsServer, alice: SoapClient) -> None:
    properties = say.value(COPY_HEADER, "yes") + say.value(MARKER, "yes")
    text = '<t:Subject>s</t:Subject><t:Body BodyType="Text">b</t:Body>'
    alice.ask(say.create_message(text + properties + say.to_recipients(BOB), "SendAndSaveCopy"))
    ews.settle()
    got = email.message_from_bytes(ews.mails(BOB, "inbox")[0])
    assert got[COPY] == "yes" and got["From"] == ALICE and got["ime"] is None and got["Message-ID"] and got["Date"]
    paths = COPY_HEADER + MARKER
    kept = alice.message(say.get_item(only(alice, "sentitems"), base="IdOnly", paths=paths))
    assert values(kept) == ["yes", "yes"]
    with SoapClient(ews, BOB) as bob:
        arrived = bob.message(say.get_item(only(bob), base="IdOnly", paths=paths))
    assert values(arrived) == ["yes"]


def test_bcc_is_delivered_and_not_told(ews: EwsServer, alice: SoapClient) -> None:
    written = mail(sender=ALICE, to="carol@other.example", more=f"Bcc: {BOB},\r\n dave@other.example\r\n")
    alice.ask(say.create_message(say.mime_content(written), "SendAndSaveCopy"))
    ews.settle()
    (got,) = ews.mails(BOB, "inbox")
    assert b"bcc" not in got.lower() and b"dave" not in got
    assert ews.outgoing == [SentMail(ALICE, ("carol@other.example", "dave@other.example"), got)]
    assert b"Bcc: bob" in ews.mails(ALICE, "sentitems")[0]


def test_send_only_leaves_no_copy_and_the_mime_goes_out_unchanged(ews: EwsServer, alice: SoapClient) -> None:
    container = mail(sender=ALICE, to=BOB, more="Content-Type: application/pkcs7-mime\r\nX-SM-ORIGTO: a@b\r\n")
    assert ids(alice.message(say.create_message(say.mime_content(container), "SendOnly"))) == []
    ews.settle()
    assert ews.mails(BOB, "inbox") == [container]
    assert ews.items(ALICE, "sentitems") == ews.items(ALICE, "drafts") == []


def test_nobody_sends_as_another_without_the_right(ews: EwsServer, alice: SoapClient) -> None:
    as_bob = say.create_message(say.mime_content(mail(sender=BOB)), "SendOnly")
    to_nobody = say.create_message(say.mime_content(b"From: x\r\n\r\n"), "SendOnly")
    assert code_of(alice.message(as_bob)) == "ErrorSendAsDenied"
    assert code_of(alice.message(to_nobody)) == "ErrorInvalidRecipients"
    ews.grants.add((ALICE, BOB))
    assert code_of(alice.message(as_bob)) == "NoError"
    ews.settle()
    assert len(ews.mails(ALICE, "inbox")) == 1


def test_a_refused_recipient_is_reported_to_the_sender(ews: EwsServer, alice: SoapClient) -> None:
    def refuse(sent: SentMail) -> None:
        raise NotDelivered(sent.recipients, "550 5.7.1 not today")

    ews.transport.on_send = refuse
    alice.ask(say.create_message(say.mime_content(mail(sender=ALICE, to=BOB)), "SendOnly"))
    ews.settle()
    report = email.message_from_bytes(ews.mails(ALICE, "inbox")[0])
    assert report.get_content_type() == "multipart/report" and report["Subject"] == "Undeliverable: mail 1"
    assert text_of(ews.items(ALICE, "inbox")[0].fields["ItemClass"]) == "REPORT.IPM.Note.NDR"
    kinds = [part.get_content_type() for part in report.walk()]
    assert "message/delivery-status" in kinds and "message/rfc822" in kinds
    assert "Final-Recipient: rfc822;bob@acme.example" in report.as_string() and "Status: 5.7.1" in report.as_string()


def test_a_draft_is_sent_with_its_change_key(ews: EwsServer, alice: SoapClient) -> None:
    made = alice.message(say.create_message("<t:Subject>s</t:Subject>" + say.to_recipients(BOB)))
    draft = next(made.iter(full("t:ItemId")))
    codes = []
    for key in ("", 'ChangeKey="CQAA"', f'ChangeKey="{draft.get("ChangeKey")}"'):
        one = f'<m:ItemIds><t:ItemId Id="{draft.get("Id")}" {key}/></m:ItemIds>'
        codes.append(code_of(alice.message(f'<m:SendItem SaveItemToFolder="true">{one}</m:SendItem>')))
    assert codes == ["ErrorChangeKeyRequired", "ErrorStaleObject", "NoError"]
    ews.settle()
    assert len(ews.mails(BOB, "inbox")) == len(ews.mails(ALICE, "sentitems")) == 1 and ews.mails(ALICE, "drafts") == []


def test_update_sets_and_deletes_single_fields(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(mail(), [ALICE])
    item_id = only(alice)
    is_read = say.set_field(READ, "<t:IsRead>1</t:IsRead>")
    marked = say.set_field(COPY_HEADER, say.value(COPY_HEADER, "no"))
    assert code_of(alice.message(say.update_item(item_id, is_read, marked))) == "NoError"
    stored = ews.items(ALICE, "inbox")[0]
    assert text_of(stored.fields["IsRead"]) == "true" and b"sentcopy: no\r\n" in (stored.mime or b"")
    stale = say.update_item(item_id, is_read, change_key="CQAAAA==", conflict="NeverOverwrite")
    assert code_of(alice.message(stale)) == "ErrorIrresolvableConflict"
    for conflict in ("NeverOverwrite", "AutoResolve"):
        blind = alice.message(say.update_item(item_id, is_read, conflict=conflict))
        assert code_of(blind) == "ErrorChangeKeyRequiredForWriteOperations"
    forget = f"<t:DeleteItemField>{COPY_HEADER}</t:DeleteItemField>"
    assert code_of(alice.message(say.update_item(item_id, forget))) == "NoError"
    assert ews.mails(ALICE, "inbox") == [mail()]
    with pytest.raises(SoapFault) as caught:
        alice.ask(say.update_item(item_id, say.set_field(READ, "")))
    assert caught.value.code == "ErrorIncorrectUpdatePropertyCount"
    size = say.set_field(say.field("item:Size"), "<t:Size>1</t:Size>")
    assert code_of(alice.message(say.update_item(item_id, size))) == "ErrorInvalidPropertySet"


def test_batches_answer_each_item_for_itself(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(mail(), [ALICE])
    answer = alice.ask(say.get_item(ews.world.new_id("nobody", "item"), only(alice), "short"))
    codes = [code_of(message) for message in need(answer, "m:ResponseMessages")]
    assert codes == ["ErrorItemNotFound", "NoError", "ErrorInvalidIdMalformed"]


def test_mailboxes_are_private(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(mail(), [BOB])
    request = say.get_item(ews.items(BOB, "inbox")[0].id)
    assert code_of(alice.message(request)) == "ErrorAccessDenied"
    ews.grants.add((ALICE, BOB))
    assert code_of(alice.message(request)) == "NoError"


def test_folders_are_made_found_and_removed(ews: EwsServer, alice: SoapClient) -> None:
    public = say.well_known("publicfoldersroot")
    new = "<m:Folders><t:ContactsFolder><t:DisplayName>IME</t:DisplayName></t:ContactsFolder></m:Folders>"
    make = f"<m:CreateFolder><m:ParentFolderId>{public}</m:ParentFolderId>{new}</m:CreateFolder>"
    assert [code_of(alice.message(make)) for _ in range(2)] == ["NoError", "ErrorFolderExists"]
    where = f"<m:Restriction>{say.compare('IsEqualTo', say.field('folder:DisplayName'), 'IME')}</m:Restriction>"
    content = f"{say.shape('Default', kind='FolderShape')}{where}<m:ParentFolderIds>{public}</m:ParentFolderIds>"
    with SoapClient(ews, BOB) as bob:
        found = bob.message(f'<m:FindFolder Traversal="Shallow">{content}</m:FindFolder>')
    shown = next(found.iter(full("t:ContactsFolder")))
    assert text_of(shown, "t:FolderClass") == "IPF.Contact"
    own = f'<t:FolderId Id="{need(shown, "t:FolderId").get("Id")}"/>'
    codes = []
    for place in (own, own, say.well_known("inbox")):
        remove = f'<m:DeleteFolder DeleteType="HardDelete"><m:FolderIds>{place}</m:FolderIds></m:DeleteFolder>'
        codes.append(code_of(alice.message(remove)))
    assert codes == ["NoError", "ErrorFolderNotFound", "ErrorDeleteDistinguishedFolder"]
