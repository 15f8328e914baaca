"""Which fields go inside the encryption; Python's email package reads the outside."""

import email

import pytest

from ime_gateway.mail.headers import HeaderBlock, parse_fields
from ime_gateway.mail.secure_parts import Cipher, outer_smime_fields, split_for_encryption

BLOCK = (
    b"Received: x\r\nMIME-Version: 1.0\r\nFrom: a@x.example\r\nCONTENT-TYPE: text/plain;\r\n charset=utf-8\r\n"
    b"mime-version : 1.0 (again)\r\nContent-Language: de\r\nSubject: s\r\nContent-Transfer-Encoding: 8bit\r\n"
)


def test_content_goes_inside_in_its_bytes_and_order() -> None:
    outer, inner = split_for_encryption(parse_fields(BLOCK))
    assert outer.to_bytes() == b"Received: x\r\nFrom: a@x.example\r\nSubject: s\r\n"
    assert inner.to_bytes() == (
        b"CONTENT-TYPE: text/plain;\r\n charset=utf-8\r\nContent-Language: de\r\nContent-Transfer-Encoding: 8bit\r\n"
    )


@pytest.mark.parametrize(
    ("cipher", "smime_type"), [("aes-256-cbc", "enveloped-data"), ("aes-256-gcm", "authEnveloped-data")]
)
def test_outside_is_one_smime_object(cipher: Cipher, smime_type: str) -> None:
    outer, _ = split_for_encryption(parse_fields(BLOCK))
    message = email.message_from_bytes(HeaderBlock((*outer.fields, *outer_smime_fields(cipher))).to_bytes() + b"\r\n")
    assert message.get_all("mime-version") == ["1.0"]
    assert message.get_content_type() == "application/pkcs7-mime"
    assert message.get_param("smime-type") == smime_type
    assert message.get_param("name") == "smime.p7m"
    assert message.get_filename() == "smime.p7m"
    assert message.get_content_disposition() == "attachment"
    assert message["content-transfer-encoding"] == "base64"
    assert not message.defects
