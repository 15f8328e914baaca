"""The EWS double satisfies the client that the add-in simulator uses, exchangelib, over TLS with its own authority."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests.adapters
from exchangelib import (
    BASIC,
    DELEGATE,
    IMPERSONATION,
    NTLM,
    OAUTH2,
    Account,
    Body,
    Build,
    Configuration,
    Contact,
    Credentials,
    ExtendedProperty,
    FaultTolerance,
    Folder,
    Identity,
    Mailbox,
    Message,
    OAuth2AuthorizationCodeCredentials,
    OAuth2Credentials,
    Version,
)
from exchangelib.errors import ErrorItemNotFound, ErrorServerBusy, TransportError, UnauthorizedError
from exchangelib.protocol import BaseProtocol
from oauthlib.oauth2 import OAuth2Token  # type: ignore[import-untyped]

from tests.servers.ews import PASSWORD, Entry, EwsServer

ALICE, BOB = "alice@acme.example", "bob@acme.example"
MAIL = (
    b"From: Bob <bob@acme.example>\r\nTo: alice@acme.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"X-ESWmail-InternalEncrypt-sentcopy: yes\r\nMessage-ID: <1@acme.example>\r\n\r\nhello\r\n"
)


class SentCopy(ExtendedProperty):  # type: ignore[misc]
    """The header of a sent copy."""

    distinguished_property_set_id = "InternetHeaders"
    property_name = "X-ESWmail-InternalEncrypt-sentcopy"
    property_type = "String"


class Certificates(ExtendedProperty):  # type: ignore[misc]
    """PidTagUserX509Certificate."""

    property_tag = 0x3A70
    property_type = "BinaryArray"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    Message.register("double_copy", SentCopy)
    Contact.register("double_certificates", Certificates)
    yield
    Message.deregister("double_copy")
    Contact.deregister("double_certificates")


@pytest.fixture
def ews(monkeypatch: pytest.MonkeyPatch) -> Iterator[EwsServer]:
    with EwsServer([ALICE, BOB]) as server:

        class OwnAuthority(requests.adapters.HTTPAdapter):
            def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
                super().cert_verify(conn, url, str(server.ca_file), cert)

        monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", OwnAuthority)
        yield server


def account(ews: EwsServer, address: str = ALICE, how: str = DELEGATE, **more: Any) -> Any:
    settings: dict[str, Any] = {
        "service_endpoint": ews.url,
        "credentials": Credentials(address, PASSWORD),
        "auth_type": BASIC,
        "version": Version(Build(15, 2, 2562, 17)),
        "max_connections": 4,
    }
    return Account(address, config=Configuration(**(settings | more)), autodiscover=False, access_type=how)


@pytest.fixture
def alice(ews: EwsServer) -> Iterator[Any]:
    opened = account(ews)
    yield opened
    opened.protocol.close()


def test_a_mail_is_found_read_and_filed(ews: EwsServer, alice: Any) -> None:
    ews.deliver(MAIL, [ALICE])
    (found,) = alice.inbox.filter(double_copy="yes")
    assert found.mime_content == MAIL and found.subject == "Grüße" and found.author.email_address == BOB
    assert {header.name: header.value for header in found.headers}["X-ESWmail-InternalEncrypt-sentcopy"] == "yes"
    old = found.id
    found.is_read = True
    found.save(update_fields=["is_read"])
    found.move(alice.sent)
    assert found.id != old and alice.sent.get(subject="Grüße").is_read
    (gone,) = alice.fetch([(old, None)])
    assert isinstance(gone, ErrorItemNotFound)
    alice.sent.all().delete()
    assert alice.sent.all().count() == 0


def test_mail_is_sent(ews: EwsServer, alice: Any) -> None:
    to, cc = Mailbox(email_address=BOB), Mailbox(email_address="eve@other.example")
    Message(account=alice, subject="s", body=Body("b"), to_recipients=[to], cc_recipients=[cc]).send(save_copy=False)
    Message(account=alice, mime_content=MAIL.replace(b"bob@", b"x@", 1).replace(b"x@", b"alice@", 1)).send()
    ews.settle()
    assert len(ews.mails(BOB, "inbox")) == 1 and len(ews.outgoing) == 1
    assert [item.subject for item in alice.sent.all()] == ["Grüße"]


def test_news_come_by_stream_and_by_sync(ews: EwsServer, alice: Any) -> None:
    heard: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        with alice.inbox.streaming_subscription() as subscription:
            ready.set()
            for notification in alice.inbox.get_streaming_events(subscription, connection_timeout=1):
                heard.extend(type(event).__name__ for event in notification.events)

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(20)
    ews.deliver(MAIL, [ALICE])
    assert [kind for kind, _ in alice.inbox.sync_items()] == ["create"]
    ews.close_streams()
    thread.join(20)
    assert heard == ["CreatedEvent", "NewMailEvent", "ModifiedEvent"] and not thread.is_alive()
    assert list(alice.inbox.sync_items(sync_state=alice.inbox.item_sync_state)) == []


def test_names_groups_and_certificates(ews: EwsServer, alice: Any) -> None:
    ews.directory.add(Entry("dca@ime.acme.example", "_IME authority", "Contact", [b"der"]))
    ews.directory.add_group("all@acme.example", [BOB, "eve@other.example"])
    ((box, contact),) = alice.protocol.resolve_names(
        ["_IME"], return_full_contact_data=True, search_scope="ActiveDirectory", shape="AllProperties"
    )
    assert (box.email_address, contact.display_name) == ("dca@ime.acme.example", "_IME authority")
    assert [one.email_address for one in alice.protocol.expand_dl("all@acme.example")] == [BOB, "eve@other.example"]
    folder = Folder(parent=alice.public_folders_root, name="IME", folder_class="IPF.Contact")
    folder.save()
    found = alice.public_folders_root / "IME"
    Contact(account=alice, folder=found, display_name="_IME", double_certificates=[b"der", b"2"]).save()
    assert found.get(display_name="_IME").double_certificates == [b"der", b"2"]
    assert {folder.name for folder in alice.msg_folder_root.walk()} > {"Inbox", "Sent Items", "Contacts"}


def test_throttling_is_waited_for_or_reported(ews: EwsServer, alice: Any) -> None:
    ews.quirks.busy = 1
    with pytest.raises(ErrorServerBusy) as caught:
        alice.inbox.all().count()
    assert caught.value.back_off == 0.2
    patient = account(ews, BOB, retry_policy=FaultTolerance(max_wait=60))  # a client is kept per user
    ews.quirks.busy = 2
    assert patient.inbox.all().count() == 0
    patient.protocol.close()


@pytest.mark.parametrize("kind", [BASIC, NTLM])
def test_who_is_refused_is_told(ews: EwsServer, kind: str) -> None:
    ews.quirks.schemes = ("Basic",) if kind == BASIC else ("NTLM",)
    stranger = account(ews, credentials=Credentials(ALICE, "wrong"), auth_type=kind)
    with pytest.raises(UnauthorizedError):
        _ = stranger.inbox
    stranger.protocol.close()


def test_an_unknown_authority_is_refused(ews: EwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", requests.adapters.HTTPAdapter)
    trusting = account(ews)
    with pytest.raises(TransportError, match="certificate verify failed"):
        _ = trusting.inbox
    trusting.protocol.close()


def test_a_program_fetches_a_token_and_speaks_for_somebody(ews: EwsServer) -> None:
    class OwnEndpoint(OAuth2Credentials):  # type: ignore[misc]
        token_url = ews.token_url

    ews.sign_in.client_secrets["addin"] = "s"
    identity = Identity(primary_smtp_address=ALICE)
    program = account(ews, how=IMPERSONATION, credentials=OwnEndpoint("addin", "s", "t", identity), auth_type=OAUTH2)
    assert program.inbox.all().count() == 0
    program.protocol.close()


def test_a_token_that_ends_is_an_unauthorized_client(ews: EwsServer) -> None:
    token = OAuth2Token({"access_token": ews.sign_in.issue(ALICE).text, "token_type": "Bearer"})
    alice = account(ews, credentials=OAuth2AuthorizationCodeCredentials(access_token=token), auth_type=OAUTH2)
    assert alice.inbox.all().count() == 0
    ews.sign_in.expire_tokens()
    with pytest.raises(UnauthorizedError):
        alice.inbox.all().count()
    alice.protocol.close()
