"""The message inside a signed entity: every shape that programs use, and the ones that could mean two things."""

import pytest

from ime_gateway.ime.container import ContainerFault
from ime_gateway.ime.inner import InnerMessage, inner_message
from ime_gateway.mail.message import parse_message
from tests.container_mail import ANNA, original, wrap


def found(entity: bytes) -> InnerMessage | ContainerFault | None:
    return inner_message(parse_message(entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))


def reason(entity: bytes) -> str:
    fault = found(entity)
    assert isinstance(fault, ContainerFault), fault
    return fault.reason.value


@pytest.mark.parametrize("shape", ["rfc822", "message", "mixed", "mixed-eml", "eml"])
def test_shapes(shape: str) -> None:
    inner = found(wrap(original(subject="Merger"), shape))
    assert isinstance(inner, InnerMessage)
    subject = inner.message.headers.first("subject")
    assert subject is not None and subject.text == "Merger"
    assert inner.author.keys == {ANNA}
    assert bytes(inner.message.body).startswith(b"The marker is orchid-7431.")


def test_an_eml_from_a_disk_with_other_line_ends() -> None:
    inner = found(wrap(original(), "eml"))
    assert isinstance(inner, InnerMessage)
    body = bytes(inner.message.body)
    assert body.count(b"\n") == body.count(b"\r\n") > 0


@pytest.mark.parametrize("shape", ["two", "text"])
def test_more_than_one_message(shape: str) -> None:
    assert reason(wrap(original(), shape)) == "ime-malformed"


def test_a_message_with_a_message_as_content() -> None:
    """The entity has a From and is a message/rfc822: programs would show one or the other."""
    assert reason(b"From: anna@acme.example\n" + wrap(original(), "rfc822")) == "ime-malformed"


def test_no_message() -> None:
    assert found(b"Content-Type: text/plain\n\nyes\n") is None
    assert found(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nyes\n--x--\n") is None
    assert found(b"Content-Type: multipart/alternative; boundary=x\n\n--x\n\nyes\n--x--\n") is None


def test_authors_that_could_be_read_in_two_ways() -> None:
    mail = original()
    assert reason(wrap(b"From: bob@acme.example\n" + mail)) == "from-ambiguous"
    assert reason(wrap(mail.replace(b"From: anna@acme.example\n", b""))) == "from-ambiguous"


def test_what_internal_encryption_refuses() -> None:
    head = b"From: anna@acme.example\nTo: bob@acme.example\nContent-Type: "
    assert reason(wrap(head + b"text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n")) == "ime-calendar"
    assert reason(wrap(head + b"application/ms-tnef; name=winmail.dat\n\nx\n")) == "ime-tnef"
    enveloped = head + b"application/pkcs7-mime; smime-type=enveloped-data\n\nMIAG\n"
    for shape in ("rfc822", "message", "mixed"):
        assert reason(wrap(enveloped, shape)) == "ime-nested"
    assert reason(b"Content-Type: application/pkcs7-mime; smime-type=signed-data\n\nMIAG\n") == "ime-nested"


def test_structures_beyond_limits() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(80))
    assert reason(b"From: anna@acme.example\nTo: bob@acme.example\n" + deep) == "ime-malformed"


def test_lone_line_feeds_inside() -> None:
    """In the body they become line ends, as in all mail from inside; in the header programs would see other fields."""
    entity = wrap(original()).replace(b"\n", b"\r\n")
    inner = inner_message(parse_message(entity + b"one\nline\r\n"))
    assert isinstance(inner, InnerMessage) and bytes(inner.message.body).endswith(b"one\r\nline\r\n")
    entity = entity.replace(b"Subject: Merger\r\n", b"Subject: Merger\nBcc: thief@x.example\r\n")
    assert isinstance(inner_message(parse_message(entity)), ContainerFault)


def test_faults_quote_nothing() -> None:
    """What was encrypted stands neither in replies nor in logs."""
    for sender in ("/o=Nightjar/cn=x", "x <Nightjar>", "Nightjar: a@acme.example;", "Nightjar@acme.example@x"):
        fault = found(wrap(original(sender=sender)))
        assert isinstance(fault, ContainerFault) and fault.reason.value == "from-ambiguous"
        assert "Nightjar" not in fault.detail and fault.evidence == ""


def test_a_signed_message_whose_octets_suffered_goes_on() -> None:
    """It is known as signed, so nothing in it is hidden from us; whoever reads it sees that it is damaged."""
    for kind, fits in (("signed-data", True), ("enveloped-data", False)):
        head = f"From: {ANNA}\r\nTo: bob@acme.example\r\nContent-Type: application/pkcs7-mime; smime-type={kind}\r\n"
        read = inner_message(parse_message(f"{head}Content-Transfer-Encoding: base64\r\n\r\nMIIB\r\n".encode()))
        assert isinstance(read, InnerMessage if fits else ContainerFault), read
