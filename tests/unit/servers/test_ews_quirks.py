"""The EWS double has the moods of Exchange: throttling, expired tokens, NTLM, late headers, broken connections."""

import base64
import http.client
import json

import pytest

from tests.servers.ews import EwsServer
from tests.servers.ews import request_texts as say
from tests.servers.ews.http_front import TOKEN_PATH
from tests.servers.ews.soap_client import SoapClient, SoapFault, code_of
from tests.servers.ews.xml_names import full
from tests.unit.servers.conftest import ALICE, BOB

COPY = "X-ESWmail-InternalEncrypt-sentcopy"
COPY_HEADER = say.named("InternetHeaders", COPY)
MAIL = f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: s\r\n{COPY}: yes\r\n\r\nt\r\n".encode()


def found(soap: SoapClient) -> list[str]:
    """Ids of the mails that a filter on the header finds."""
    message = soap.message(say.find_item(restriction=say.compare("IsEqualTo", COPY_HEADER, "yes")))
    return [item.get("Id", "") for item in message.iter(full("t:ItemId"))]


def test_a_busy_server_says_for_how_long(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.busy, ews.quirks.back_off_milliseconds = 2, 1500
    for _ in range(2):
        with pytest.raises(SoapFault) as caught:
            alice.ask(say.find_item())
        assert (caught.value.status, caught.value.code) == (500, "ErrorServerBusy")
        assert caught.value.values == {"BackOffMilliseconds": "1500"}
    assert code_of(alice.message(say.find_item())) == "NoError"


def test_an_operation_can_fail_on_demand(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.fail_operations["MoveItem"] = ("ErrorMailboxMoveInProgress", "Mailbox move in progress.")
    with pytest.raises(SoapFault, match="ErrorMailboxMoveInProgress"):
        alice.ask(say.transfer("MoveItem", "x" * 64, "inbox"))
    assert code_of(alice.message(say.find_item())) == "NoError"


def test_a_header_that_no_client_has_mapped_is_no_property(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.headers_promoted = False
    ews.deliver(MAIL, [ALICE])
    assert found(alice) == []
    shown = alice.message(say.get_item(ews.items(ALICE, "inbox")[0].id, paths=COPY_HEADER))
    assert {one.get("HeaderName"): one.text for one in shown.iter(full("t:InternetMessageHeader"))}[COPY] == "yes"
    assert list(shown.iter(full("t:ExtendedProperty"))) == []
    alice.ask(say.create_message(say.value(COPY_HEADER, "x")))  # maps the name ("Provision x-headers")
    ews.deliver(MAIL, [ALICE, BOB])
    assert found(alice) == [ews.items(ALICE, "inbox")[1].id]
    with SoapClient(ews, BOB) as bob:
        assert found(bob) == []


def test_headers_can_be_promoted_late(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.header_promotion_seconds = 3600
    ews.deliver(MAIL, [ALICE])
    assert found(alice) == []
    ews.items(ALICE, "inbox")[0].headers_seen_from = 0
    assert len(found(alice)) == 1


def test_a_connection_cut_before_the_answer_leaves_the_work_done(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(MAIL, [ALICE])
    ews.quirks.cut_connections = 1
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        alice.ask(say.transfer("MoveItem", ews.items(ALICE, "inbox")[0].id, "sentitems"))
    assert len(ews.items(ALICE, "sentitems")) == 1
    with SoapClient(ews, ALICE) as again:
        assert code_of(again.message(say.find_item())) == "NoError"


def test_an_answer_cut_in_the_middle(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.cut_in_the_middle = 1
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        alice.ask(say.find_item())


def test_a_request_can_be_too_large(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.largest_request = 1000
    with pytest.raises(SoapFault) as caught:
        alice.ask(say.create_message(say.mime_content(MAIL * 20)))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("user", "password", "passes"),
    [
        (ALICE, "secret", True),
        ("ACME\\alice", "secret", True),
        ("Alice@Acme.Example", "secret", True),
        (ALICE, "Secret", False),
        ("eve@acme.example", "secret", False),
    ],
)
def test_basic_sign_in(ews: EwsServer, user: str, password: str, passes: bool) -> None:
    basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    with SoapClient(ews, user, authorization=basic) as client:
        response = client.post(say.find_item())
        response.read()
        assert response.status == (200 if passes else 401)
        assert passes or response.headers.get_all("WWW-Authenticate") == ['Basic realm="exchange.invalid"', "Bearer"]


def test_tokens_end(ews: EwsServer) -> None:
    token = ews.sign_in.issue(ALICE)
    with SoapClient(ews, ALICE, authorization=f"Bearer {token.text}") as client:
        assert code_of(client.message(say.find_item())) == "NoError"
        ews.quirks.refuse_tokens = 1
        with pytest.raises(SoapFault) as caught:
            client.ask(say.find_item())
        assert caught.value.status == 401 and "expired" in caught.value.values["x-ms-diagnostics"]
        assert code_of(client.message(say.find_item())) == "NoError"
        ews.sign_in.expire_tokens()
        with pytest.raises(SoapFault):
            client.ask(say.find_item())
        client.authorization = f"Bearer {ews.sign_in.issue(ALICE, seconds=0).text}"
        with pytest.raises(SoapFault):
            client.ask(say.find_item())


def test_the_token_endpoint(ews: EwsServer, alice: SoapClient) -> None:
    ews.sign_in.client_secrets["addin"] = "s"
    status, said = alice.form(TOKEN_PATH, grant_type="client_credentials", client_id="addin", client_secret="s")
    assert status == 200
    program = "Bearer " + json.loads(said)["access_token"]
    with SoapClient(ews, "", authorization=program) as client:
        with pytest.raises(SoapFault, match="ErrorImpersonationFailed"):
            client.ask(say.find_item())
        client.header = _speaks_for(ALICE)
        assert code_of(client.message(say.find_item())) == "NoError"
    status, said = alice.form(TOKEN_PATH, grant_type="password", username=ALICE, password="secret", client_id="x")
    assert status == 200
    status, said = alice.form(TOKEN_PATH, grant_type="client_credentials", client_id="addin", client_secret="wrong")
    assert (status, json.loads(said)["error"]) == (400, "invalid_grant")


def _speaks_for(address: str) -> str:
    sid = f"<t:ConnectingSID><t:PrimarySmtpAddress>{address}</t:PrimarySmtpAddress></t:ConnectingSID>"
    return f"<t:ExchangeImpersonation>{sid}</t:ExchangeImpersonation>"


def test_impersonation_needs_its_role(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(MAIL, [BOB])
    alice.header = _speaks_for(BOB)
    with pytest.raises(SoapFault, match="ErrorImpersonateUserDenied"):
        alice.ask(say.find_item())
    ews.impersonators.add(ALICE)
    assert len(found(alice)) == 1
    alice.header = _speaks_for("eve@acme.example")
    with pytest.raises(SoapFault, match="ErrorNonExistentMailbox"):
        alice.ask(say.find_item())


def test_ntlm_is_offered_challenged_and_refused(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.schemes = ("NTLM",)
    first = base64.b64encode(b"NTLMSSP\0\1\0\0\0" + bytes(24)).decode()
    third = base64.b64encode(b"NTLMSSP\0\3\0\0\0" + bytes(52)).decode()
    answers = []
    for said in ("", f"NTLM {first}", f"NTLM {third}", "NTLM ?"):
        alice.authorization = said or "Basic nothing"
        response = alice.post(say.find_item())
        response.read()
        assert response.status == 401
        answers.append(str(response.headers["WWW-Authenticate"]))
    assert answers[0] == answers[2] == answers[3] == "NTLM"
    challenge = base64.b64decode(answers[1].removeprefix("NTLM "))
    assert challenge.startswith(b"NTLMSSP\0\2\0\0\0") and "EXCHANGE".encode("utf-16-le") in challenge


def test_a_strange_place_is_not_found(ews: EwsServer, alice: SoapClient) -> None:
    response = alice.post("", "/ews/services.wsdl")
    response.read()
    assert response.status == 404
