"""Every folder beside this file is a test: one mail, what must happen to it, and why."""

import re
import time
import tomllib
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.settings.site import Policy
from ime_gateway.smtp.replies import reply_for
from tests.container_mail import container, ime_key, pin, setup, sign, signer_of
from tests.core import GOOD, Core, Delivered, close, make_core, person
from tests.openssl import decrypt, readers, verify
from tests.outgoing_setup import key_of, set_up
from tests.smime_mail import wrapped

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/case.toml"))
MARKER = "orchid-7431"
"""Stands in the body of every mail; may never leave in clear when it must be protected."""
OUR_BOUNDARY = re.compile(rb'boundary="=_[0-9a-f]{36}"')
"""What the gateway writes into multipart/signed."""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    made = make_core(tmp_path_factory.mktemp("cases"))
    yield made
    close(made)


def test_there_are_cases() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case(folder: Path, core: Core, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
    assert (folder / "why.md").read_text(encoding="utf-8").strip()
    if "setup" in case:
        core = make_core(tmp_path)
        request.addfinalizer(lambda: close(core))
        core.configure(lambda live: set_up(live, case["setup"]))
    core.configure(lambda live: live.put_policy(Policy.model_validate(case.get("policy", {}))))
    send, expect = case["send"], case["expect"]
    mail = (folder / "in.eml").read_bytes()
    if "container" in case:
        mail = _contained(core, mail, case["container"])
    if "smime" in case:
        made = case["smime"]
        mail = wrapped(mail, made["layers"], made.get("inside", ()), lambda name: key_of(name, case.get("setup", {})))
    outcome, copies = core.send(
        mail,
        send["from"],
        send["to"],
        send.get("listener", "internal"),
        notify=send.get("notify", ""),
    )
    if expect["decision"] == "refuse":
        _check_refusal(outcome, copies, expect)
        return
    assert isinstance(outcome, Accepted), outcome
    assert [(copy.recipient, copy.copy) for copy in copies] == [
        (wanted["to"], wanted.get("copy", "recipient")) for wanted in expect["copy"]
    ]
    for wanted, copy in zip(expect["copy"], copies, strict=True):
        _check_copy(wanted, copy, copies, case.get("setup", {}))
    for forbidden in expect.get("nowhere", []):
        for copy in copies:
            assert forbidden.lower() not in copy.head.lower(), f"{forbidden} in the copy for {copy.recipient}"


def _contained(core: Core, mail: bytes, made: dict[str, Any]) -> bytes:
    """`in.eml` as the original inside a container, built as `[container]` says by `openssl cms`, and written now."""
    mail = re.sub(rb"^Date: [^\n]*$", b"Date: " + formatdate(time.time()).encode(), mail, count=1, flags=re.M)
    setup(core, made.pop("signers", "confirm"))
    for pinned in made.pop("pins", []):
        pin(core, **{"certificate": signer_of(pinned["address"]).certificate, **pinned})
    signer = made.pop("signer", "")
    if made.pop("only_signed", False):
        head = f"From: {made['sender']}\nTo: {made['to']}\nSubject: Encrypted message\n".encode()
        return head + sign(mail, signer_of(signer), detached=made.get("detached", False))
    key = signer_of(signer) if signer else None
    own = made.pop("also_to", "")
    return container(mail, signer=key, own=ime_key(own) if own else None, **made).mail


def _check_refusal(outcome: Any, copies: list[Delivered], expect: dict[str, Any]) -> None:
    assert isinstance(outcome, Refused), outcome
    assert copies == []
    assert outcome.reason.value == expect["reason"], outcome
    reply = reply_for(outcome)
    assert reply.startswith(expect["reply"]), reply
    assert outcome.message_id in reply
    assert len(reply) <= 400 and reply.isascii()
    for word in expect.get("says", []):
        assert word in reply, reply


def _check_copy(wanted: dict[str, Any], copy: Delivered, copies: list[Delivered], setup: dict[str, Any]) -> None:
    assert copy.protection == wanted["protection"]
    if "reason" in wanted:
        assert copy.reason == wanted["reason"]
    assert copy.notify == wanted.get("notify", "")
    shares = sorted(other.recipient for other in copies if other.envelope == copy.envelope)
    assert shares == sorted(wanted.get("shares", [copy.recipient]))
    for line in wanted.get("has", []):
        assert f"{line}\r\n" in copy.unfolded, copy.head
    for word in wanted.get("lacks", []):
        assert word.lower() not in copy.head.lower(), copy.head
    if copy.protection == "none":
        _check_content(wanted, copy.wire, setup)
        return
    _check_encrypted(wanted, copy, shares, setup)


def _check_content(wanted: dict[str, Any], content: bytes, setup: dict[str, Any]) -> None:
    """What a reader has in hand: the words, and the signature that openssl finds, or none."""
    if "signed_by" in wanted:
        signed = verify(content, key_of(wanted["signed_by"], setup))
        assert signed is not None, f"not signed by {wanted['signed_by']}"
        content = signed
    else:
        assert not OUR_BOUNDARY.search(content)
    for text in wanted.get("body", [MARKER]):
        assert text.encode() in content
    for text in wanted.get("inner_lacks", []):
        assert text.encode() not in content


def _check_encrypted(wanted: dict[str, Any], copy: Delivered, shares: list[str], setup: dict[str, Any]) -> None:
    assert MARKER.encode() not in copy.wire
    may_read = wanted.get("keys", shares)
    printed = readers(copy.wire)
    assert printed.count("d.ktri:") == len(may_read)
    for address in may_read:
        clear = decrypt(copy.wire, key_of(address, setup))
        assert clear is not None, f"{address} cannot read the copy for {copy.recipient}"
        _check_content(wanted, clear, setup)
    everybody = {f"{name}@acme.example" for name in GOOD}
    for address in everybody - set(may_read):
        assert decrypt(copy.wire, person(address)) is None, f"{address} reads the copy for {copy.recipient}"
