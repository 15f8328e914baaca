"""Somebody has other people's ciphertext sent to himself: it stays sealed, and nobody learns more from a second try.

An insider who can see what passes outside (a relay, a mailbox at the sender's) needs a gateway that opens it for him.
Nothing here is signed: what is signed for its recipients is told by `bound_recipients`.
"""

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.engine import make_url

from ime_gateway.app.explainer import Explainer
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.pipeline.protected_ids import MOST_OWN_IDS
from ime_gateway.ports.incoming import KnownKey
from ime_gateway.settings.site import ManagedDomain
from tests.core import Core, Delivered, close, make_core, root
from tests.pki import Entity, make_user

CANARY = "heliotrope-9906"
SENDER = "eve@elsewhere.example"
ANNA, BOB = "anna@acme.example", "bob@acme.example"


@pytest.fixture(scope="module")
def current() -> Entity:
    return make_user("domain-confidentiality-authority@acme.example", root())


@pytest.fixture(scope="module")
def coming() -> Entity:
    return make_user("domain-confidentiality-authority@acme.example", root())


@pytest.fixture
def core(tmp_path: Path, current: Entity, coming: Entity) -> Iterator[Core]:
    made = make_core(tmp_path)

    def keys(live: Any) -> None:
        live.domain_keys.put("acme.example", current.certificate, current.key_der, "current")
        live.domain_keys.put("acme.example", coming.certificate, coming.key_der, "next")

    made.configure(keys)
    yield made
    close(made)


def encrypted(folder: Path, text: bytes, *readers: Entity) -> bytes:
    """An S/MIME entity by openssl: the fields of its header and its body."""
    files = [str(reader.write(folder, f"reader{number}")[0]) for number, reader in enumerate(readers)]
    command = ["openssl", "cms", "-encrypt", "-aes256", "-outform", "SMIME", *files]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout.replace(b"\r\n", b"\n")


def secret(folder: Path, *readers: Entity) -> bytes:
    return encrypted(folder, f"Content-Type: text/plain\n\n{CANARY}\n".encode(), *readers)


def mail(entity: bytes, name: str = "m1@elsewhere.example", to: str = ANNA) -> bytes:
    return f"From: {SENDER}\nTo: {to}\nSubject: x\nMessage-ID: <{name}>\n".encode() + entity


def arrive(core: Core, data: bytes, *to: str) -> tuple[Any, dict[str, Delivered]]:
    outcome, copies = core.send(data, SENDER, to, "internet")
    return outcome, {copy.recipient: copy for copy in copies}


def opened(copies: Mapping[str, Delivered], who: str) -> bool:
    return CANARY.encode() in copies[who].wire


def assert_sealed(copies: Mapping[str, Delivered], who: str) -> None:
    copy = copies[who]
    assert copy.reason == "ciphertext-reused" and not opened(copies, who)
    assert "[encrypted for others]" in copy.unfolded and "X-SM-decrypted" not in copy.head
    assert "application/pkcs7-mime" in copy.unfolded


def explained(core: Core, data: bytes, to: Sequence[str]) -> list[str]:
    submission = core.submission(data, SENDER, to, "internet")
    listener = core.installation.settings.listener_named("internet")
    assert listener is not None
    told = asyncio.run(
        Explainer(core.installation)(
            bytearray(submission.data), listener, SENDER, to, "127.0.0.1", submission.received_at
        )
    )
    return [recipient["reason"] for recipient in told["recipients"]]


def test_ciphertext_of_others_stays_sealed(core: Core, tmp_path: Path, current: Entity) -> None:
    entity = secret(tmp_path, current)
    assert explained(core, mail(entity), [ANNA]) == ["decrypted"]
    outcome, copies = arrive(core, mail(entity), ANNA)
    assert isinstance(outcome, Accepted) and opened(copies, ANNA)
    stolen = mail(entity, "m2@elsewhere.example", BOB)
    with structlog.testing.capture_logs() as logs:
        assert explained(core, stolen, [BOB]) == ["ciphertext-reused"]
    assert logs == [], "nobody has sent anything"
    with structlog.testing.capture_logs() as logs:
        outcome, copies = arrive(core, stolen, BOB)
    assert isinstance(outcome, Accepted)
    assert_sealed(copies, BOB)
    (alert,) = [line for line in logs if line.get("alert")]
    assert alert["event"].startswith("ciphertext-reused") and alert["log_level"] == "error"
    assert (alert["recipient"], alert["id"]) == (BOB, outcome.message_id)
    assert not any(CANARY in str(line) for line in logs)


def test_explaining_takes_nobodys_place(core: Core, tmp_path: Path, current: Entity) -> None:
    entity = secret(tmp_path, current)
    assert explained(core, mail(entity, to=BOB), [BOB]) == ["decrypted"]
    assert opened(arrive(core, mail(entity), ANNA)[1], ANNA)


def test_the_same_people_again_get_it_opened(core: Core, tmp_path: Path, current: Entity) -> None:
    """A retry after a lost reply, or the copy by a mailing list."""
    entity = secret(tmp_path, current)
    for to in ((ANNA, BOB), (BOB,), (ANNA,), (BOB, ANNA)):
        _, copies = arrive(core, mail(entity), *to)
        assert all(opened(copies, who) for who in to) and len(copies) == len(to)


def test_a_stranger_among_the_recipients_costs_them_nothing(core: Core, tmp_path: Path, current: Entity) -> None:
    entity = secret(tmp_path, current)
    arrive(core, mail(entity), ANNA)
    _, copies = arrive(core, mail(entity), ANNA, BOB)
    assert opened(copies, ANNA)
    assert_sealed(copies, BOB)
    assert copies[ANNA].envelope != copies[BOB].envelope
    assert not opened(arrive(core, mail(entity), BOB)[1], BOB), "a try that failed takes no place"


def test_a_wrapping_of_ones_own_is_no_way_around(core: Core, tmp_path: Path, current: Entity) -> None:
    entity = secret(tmp_path, current)
    arrive(core, mail(entity), ANNA)
    wrapped = encrypted(tmp_path, entity, current)
    assert_sealed(arrive(core, mail(wrapped, to=BOB), BOB)[1], BOB)
    twice = encrypted(tmp_path, encrypted(tmp_path, entity, current), current)
    assert_sealed(arrive(core, mail(twice, to=BOB), BOB)[1], BOB)


@pytest.mark.parametrize("gone", ["current", "next"])
def test_the_way_to_another_key_of_the_domain_is_no_way_around(
    core: Core, tmp_path: Path, current: Entity, coming: Entity, gone: str
) -> None:
    """While keys change, senders encrypt to both. One that was not needed the first time opens the same content:
    here each of them is the one that is left."""
    entity = secret(tmp_path, current, coming)
    assert opened(arrive(core, mail(entity), ANNA)[1], ANNA)
    key = current if gone == "current" else coming
    core.configure(lambda live: live.domain_keys.delete("acme.example", key.certificate.thumbprint))
    assert_sealed(arrive(core, mail(entity, to=BOB), BOB)[1], BOB)
    assert opened(arrive(core, mail(entity), ANNA)[1], ANNA)


def test_who_encrypts_the_same_text_again_has_it(core: Core, tmp_path: Path, current: Entity) -> None:
    arrive(core, mail(secret(tmp_path, current)), ANNA)
    _, copies = arrive(core, mail(secret(tmp_path, current), to=BOB), BOB)
    assert opened(copies, BOB), "another encryption of it proves that its sender knows the content"


def test_another_domain_of_ours_is_others_too(core: Core, tmp_path: Path, current: Entity) -> None:
    """One key pair may stand for two domains."""

    def second(live: Any) -> None:
        live.put_managed_domain(ManagedDomain(name="acme.test", deliver_to="smtp://127.0.0.1:25"), ())
        live.domain_keys.put("acme.test", current.certificate, current.key_der, "current")

    core.configure(second)
    entity = secret(tmp_path, current)
    arrive(core, mail(entity), ANNA)
    assert_sealed(arrive(core, mail(entity, to="hans@acme.test"), "hans@acme.test")[1], "hans@acme.test")


def test_of_two_at_once_one_is_opened_and_the_other_comes_again(
    core: Core, tmp_path: Path, current: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have asked before either was stored: the transaction decides."""
    entity = secret(tmp_path, current)
    ask, asked, both = core.store.incoming.opened_for, [], asyncio.Event()

    async def together(digests: Sequence[str]) -> Mapping[str, KnownKey]:
        found: Mapping[str, KnownKey] = await ask(digests)
        asked.append(digests)
        if len(asked) == 2:
            both.set()
        await both.wait()
        return found

    monkeypatch.setattr(core.store.incoming, "opened_for", together)

    async def race() -> list[Any]:
        tries = [core.submission(mail(entity, to=who), SENDER, [who], "internet") for who in (ANNA, BOB)]
        return list(await asyncio.gather(*(core.receiver.receive(one) for one in tries)))

    outcomes = core.run(race())
    refused = [one for one in outcomes if isinstance(one, Refused)]
    assert sum(isinstance(one, Accepted) for one in outcomes) == 1 and len(refused) == 1
    assert refused[0].reason is Reason.CIPHERTEXT_REUSED and refused[0].temporary
    assert len(core.store.registry.queue_lines()) == 1
    core.leased.clear()
    monkeypatch.undo()
    loser = BOB if isinstance(outcomes[0], Accepted) else ANNA
    assert_sealed(arrive(core, mail(entity, to=loser), loser)[1], loser)


def test_a_refused_try_leaves_no_clear_text_behind(
    core: Core, tmp_path: Path, current: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    entity = secret(tmp_path, current)
    arrive(core, mail(entity), ANNA)

    async def nothing(_: Sequence[str]) -> Mapping[str, KnownKey]:
        return {}

    monkeypatch.setattr(core.store.incoming, "opened_for", nothing)
    outcome, copies = arrive(core, mail(entity, to=BOB), BOB)
    assert isinstance(outcome, Refused) and outcome.temporary and not copies
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(CANARY.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("inner", ["m1@elsewhere.example", "inner@elsewhere.example"])
def test_what_was_opened_is_not_answered_in_clear(core: Core, tmp_path: Path, current: Entity, inner: str) -> None:
    """Also when the answer names the mail as it is called inside only."""
    text = f'Content-Type: text/plain; hp="cipher"\nMessage-ID: <{inner}>\nSubject: x\n\n{CANARY}\n'
    _, copies = arrive(core, mail(encrypted(tmp_path, text.encode(), current)), ANNA)
    assert opened(copies, ANNA)
    for name in {inner, "m1@elsewhere.example"}:
        answer = f"From: {ANNA}\nTo: {SENDER}\nSubject: Re: x\nIn-Reply-To: <{name}>\n\n> {CANARY}\n".encode()
        outcome, copies_out = core.send(answer, ANNA, [SENDER])
        assert isinstance(outcome, Refused) and "came encrypted" in outcome.detail and not copies_out


@pytest.mark.parametrize("named", ["", "Message-ID: \n", "Message-ID: <>\n"])
def test_a_mail_without_a_name_gets_one_by_which_answers_are_known(
    core: Core, tmp_path: Path, current: Entity, named: str
) -> None:
    data = f"From: {SENDER}\nTo: {ANNA}\nSubject: x\n{named}".encode() + secret(tmp_path, current)
    _, copies = arrive(core, data, ANNA, BOB)
    assert opened(copies, ANNA) and copies[ANNA].envelope == copies[BOB].envelope
    (name,) = re.findall(r"(?mi)^Message-ID: (<[^>\r]+>)\r$", copies[ANNA].head)
    answer = f"From: {ANNA}\nTo: {SENDER}\nIn-Reply-To: {name}\n\n> {CANARY}\n".encode()
    assert isinstance(core.send(answer, ANNA, [SENDER])[0], Refused)


def test_very_many_names_fill_no_memory(core: Core, tmp_path: Path, current: Entity) -> None:
    """Anybody can encrypt to our certificate; each name would be a row for 90 days."""
    listed = "".join(f"\n <{number}@x>" for number in range(5_000))
    data = f"From: {SENDER}\nTo: {ANNA}\nSubject: x\nMessage-ID:{listed}\n".encode() + secret(tmp_path, current)
    _, copies = arrive(core, data, ANNA)
    assert opened(copies, ANNA)
    database = make_url(core.installation.settings.store.url).database
    with closing(sqlite3.connect(str(database))) as connection:
        ((rows,),) = connection.execute("SELECT COUNT(*) FROM protected_ids")
    assert rows <= 2 * MOST_OWN_IDS
    (name,) = re.findall(r"<[^<>\s]+>", re.findall(r"(?mi)^Message-ID:(.*(?:\n[ \t].*)*)", copies[ANNA].head)[0])
    answer = f"From: {ANNA}\nTo: {SENDER}\nReferences: {name}\n\n> {CANARY}\n".encode()
    assert isinstance(core.send(answer, ANNA, [SENDER])[0], Refused)


def test_what_stayed_sealed_protects_no_answer(core: Core, tmp_path: Path) -> None:
    """Else an outsider could stop the answers to any mail whose Message-ID he knows, with a key that he made up."""
    entity = secret(tmp_path, make_user("somebody@elsewhere.example", root()))
    _, copies = arrive(core, mail(entity), ANNA)
    assert not opened(copies, ANNA)
    answer = f"From: {ANNA}\nTo: {SENDER}\nIn-Reply-To: <m1@elsewhere.example>\n\nno\n".encode()
    assert isinstance(core.send(answer, ANNA, [SENDER])[0], Accepted)
