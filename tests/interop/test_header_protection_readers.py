"""Mail with a hidden subject, opened by openssl and read by Python's email: the subject is where each reader looks.

And what older programs protected (the Autocrypt mails), read by us as far as no OpenPGP is needed for it.
"""

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.mail.header_protection import read_protected
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.signed_multipart import split_signed
from ime_gateway.settings.site import Policy
from tests.core import PSEUDO, Core, close, make_core, person
from tests.openssl import decrypt

SUBJECT = "Übernahme von Tulip & Söhne"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    made.configure(lambda live: live.put_policy(Policy(protect_subject="always")))
    yield made
    close(made)


def written(*, html: bool, attachment: bool, encoding: str) -> EmailMessage:
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "Anna <anna@acme.example>", PSEUDO, SUBJECT
    mail["X-SM-ORIGTO"] = "bob@acme.example"
    mail["Message-ID"] = "<1@acme.example>"
    mail.set_content("Grüße von Änne, 5 € = viel\n", cte=encoding)
    if html:
        mail.add_alternative("<html><body><p>Grüße von Änne</p></body></html>\n", subtype="html", cte=encoding)
    if attachment:
        mail.add_attachment(b"\0\1\2\r\n\n", maintype="application", subtype="pdf", filename="a.pdf")
    return mail


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("attachment", [False, True])
def test_openssl_and_python_read_it(core: Core, encoding: str, html: bool, attachment: bool) -> None:
    mail = written(html=html, attachment=attachment, encoding=encoding)
    outcome, copies = core.send(mail.as_bytes(), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted) and len(copies) == 2
    for copy in copies:
        outside = email.message_from_bytes(copy.wire, policy=email.policy.default)
        assert outside["Subject"] == "[...]" and outside["Message-ID"]
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None
        inside = email.message_from_bytes(clear, policy=email.policy.default)
        assert isinstance(inside, EmailMessage)
        assert inside["Subject"] == SUBJECT and inside["To"] == "bob@acme.example"
        assert inside.get_param("hp") == "cipher" and "Subject: [...]" in inside.get_all("HP-Outer", [])
        plain = inside.get_body(("plain",))
        assert plain is not None
        assert plain.get_content().replace("\r\n", "\n") == f"Subject: {SUBJECT}\n\nGrüße von Änne, 5 € = viel\n"
        page = inside.get_body(("html",))
        assert (page is not None) == html
        if page is not None:
            assert "<body>\n<div class=" in page.get_content().replace("\r\n", "\n")
            assert page.get_param("hp-legacy-display") == "1" and page.get_content().count("Änne") == 1
        attached = [part.get_content() for part in inside.iter_attachments()] if attachment else []
        assert attached == [b"\0\1\2\r\n\n"] * attachment


def test_the_older_form_in_signed_mail(vectors: Path) -> None:
    """protected-headers="v1" (Autocrypt, Enigmail): the payload is the signed part, whatever signed it."""
    octets = (vectors / "autocrypt-protected-headers" / "pgpmime-signed.eml").read_bytes()
    message = parse_message(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    protected = read_protected(parse_message(split_signed(message).content))
    assert protected is not None and protected.kind == "v1"
    for name in ("subject", "from", "to", "message-id"):
        inside, outside = protected.fields.first(name), message.headers.first(name)
        assert inside is not None and outside is not None and inside.text == outside.text
    assert read_protected(message) is None
