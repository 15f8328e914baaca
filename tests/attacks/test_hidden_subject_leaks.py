"""Add-ins and plug-ins that write the subject of a secret mail where no mail server should see it: into other fields.

With IME 2.0 and a hidden subject the words stand in clear nowhere: not in a copy, a report, the log, the database.
"""

import base64
import codecs
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ime_gateway.base.outcome import Accepted
from ime_gateway.settings.site import Policy
from tests import container_mail as make
from tests.container_mail import ANNA, IME, container, original, signer_of
from tests.core import Core, close, make_core, person
from tests.openssl import decrypt

SUBJECT = "Merger with Tulip"
IN_BASE64 = base64.b64encode(SUBJECT.encode()).decode()
TELLING = (SUBJECT, "Tulip", IN_BASE64, codecs.encode(SUBJECT, "rot13"), SUBJECT.encode().hex(), "orchid-words")


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    make.pin(made, ANNA)
    made.configure(lambda live: live.put_policy(Policy.model_validate({"protect_subject": "ime2"})))
    yield made
    close(made)


FIELDS = (
    *("X-Words", "X-Title-Base64", "Received", "Return-Path", "Authentication-Results", "Delivered-To"),
    *("X-IMEGW-Trace", "Organization", "List-Id", "Sensitivity", "Importance", "X-Priority", "Auto-Submitted"),
    *("In-Reply-To", "References", "Resent-Subject", "Return-Receipt-To", "X-MS-Exchange-Organization-Title"),
    *("DKIM-Signature", "HP-Outer", "Received-SPF", "Thread-Index", "Keywords", "subject"),
)


@pytest.mark.parametrize("words", TELLING, ids=["whole", "word", "base64", "rot13", "hex", "marker"])
def test_no_field_tells(core: Core, tmp_path: Path, words: str) -> None:
    told = "".join(f"{name}: {words}\n" for name in FIELDS)
    mail = told.encode() + original("bob@acme.example", subject=SUBJECT)
    with structlog.testing.capture_logs() as logged:
        outcome, copies = core.send(container(mail, signer=signer_of(ANNA)).mail, ANNA, [IME])
    assert isinstance(outcome, Accepted) and len(copies) == 2, outcome
    for copy in copies:
        assert words.casefold() not in copy.wire.decode("latin-1").casefold()
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None and SUBJECT.encode() in clear
    assert words not in repr(logged) + repr(core.store.registry.events())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert words.encode() not in path.read_bytes(), path
