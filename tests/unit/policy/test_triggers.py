"""Words by which an insider steers the gateway are understood, and taken out."""

import pytest

from ime_gateway.mail.headers import parse_fields
from ime_gateway.policy.triggers import Wishes, read_wishes
from ime_gateway.settings.site import SubjectKeywords


def wishes(*lines: str) -> Wishes:
    return read_wishes(parse_fields("".join(line + "\r\n" for line in lines).encode()), SubjectKeywords())


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("x-smenc: yes", "encrypt"),
        ("X-SMENC:YES", "encrypt"),
        ("Sensitivity: Company-Confidential", "encrypt"),
        ("Subject: [Confidential] numbers", "encrypt"),
        ("Subject: =?utf-8?Q?=5Bconfidential=5D_Z=C3=BCrich?=", "encrypt"),
        ("Subject: numbers\r\n [confi\r\n dential]", None),
        ("x-smplain: yes", "plain"),
        ("Subject: hello [plain]", "plain"),
        ("x-smsign: yes", "sign"),
        ("Subject: [sign] hello", "sign"),
        ("x-smwebmail: yes", "portal"),
        ("Sensitivity: private", "portal"),
        ("Subject: [priv] hello", "portal"),
        ("x-smenc: no", None),
        ("x-smenc: true", "encrypt"),
        ("x-smenc: 1", "encrypt"),
        ("x-smenc:", None),
        ("x-smplain: true", None),
        ("x-smsign: no", None),
        ("Subject: numbers\r\n =?utf-8?B?W2NvbmZpZGVudGlhbF0=?=", "encrypt"),
        ("Subject: =?utf-8?Q?[confi?=\r\n =?utf-8?Q?dential]?= numbers", "encrypt"),
        ("Subject: =?iso-8859-1?Q?=5BSIGN=5D?= \xfc", "sign"),
        ("Sensitivity:  COMPANY-CONFIDENTIAL ", "encrypt"),
        ("Sensitivity: Company Confidential", "encrypt"),
        ("Sensitivity: Normal\r\nSensitivity: Company-Confidential", "encrypt"),
        ("Subject: numbers\r\nSubject: [confidential]", "encrypt"),
        ("Subject: numbers\r\nSubject: [plain]", None),
        ("Sensitivity: Personal", None),
    ],
)
def test_each_trigger(line: str, wish: str | None) -> None:
    found = wishes("From: a@x.example", line)
    said = {name for name in ("encrypt", "plain", "sign", "portal") if getattr(found, name)}
    assert said == ({wish} if wish else set())


def test_words_are_taken_out_and_sensitivity_stays() -> None:
    found = wishes(
        "Subject: [confidential] the [CONFIDENTIAL] numbers", "x-smenc: yes", "Sensitivity: Company-Confidential"
    )
    assert found.headers.to_bytes() == b"Sensitivity: Company-Confidential\r\nSubject: the numbers\r\n" or (
        found.headers.to_bytes() == b"Subject: the numbers\r\nSensitivity: Company-Confidential\r\n"
    )


@pytest.mark.parametrize(("value", "hidden"), [("yes", True), (" YES ", True), ("no", False), ("", False)])
def test_a_hidden_subject_is_asked_for_by_header_only(value: str, hidden: bool) -> None:
    found = wishes("Subject: hide me", f"X-SMSubjectEncrypt: {value}")
    assert found.hidden_subject is hidden
    assert found.headers.to_bytes() == b"Subject: hide me\r\n"
    assert not found.encrypt and not found.unavailable


def test_untouched_subject_keeps_its_bytes() -> None:
    raw = b"Subject: =?iso-8859-1?Q?Z=FCrich?=\r\n and more\r\n"
    assert read_wishes(parse_fields(raw), SubjectKeywords()).headers.to_bytes() == raw


def test_what_is_not_available_is_said() -> None:
    assert not wishes("x-smsign: yes").unavailable
    assert wishes("x-smwebmail: yes").unavailable
    assert not wishes("x-smenc: yes").unavailable
