"""The main job with IME 2.0 through real servers: Postfix in the middle holds nothing that anybody can read or use."""

import base64
import email
import email.policy
import json
import random
import re
import smtplib
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from addin_sim.compose import compose
from addin_sim.ime2 import CARRIER_SUBJECT, for_ime2
from addin_sim.outlook_settings import ContainerSettings, load
from addin_sim.own_keys import own_keys
from tests.openssl import decrypt
from tests.servers.dovecot import PASSWORD
from tests.servers.gateway import COMMANDS
from tests.story.world import ARCHIVE, IME_ADDRESS, World, open_world, subject_of

TEXT = "periwinkle-anvil-4417"
SUBJECT = "Quincunx merger"
SHAPES = [(signature, original) for signature in ("opaque", "detached") for original in ("rfc822", "mixed", "message")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ready_world(tmp_path_factory.mktemp("story"), archive=True) as opened:
        confirm_anna(opened)
        yield opened


@contextmanager
def ready_world(folder: Path, *, archive: bool = False) -> Iterator[World]:
    """With the IME certificate where Anna's Outlook finds it; Anna is not known yet."""
    with open_world(folder, archive=archive) as opened:
        opened.gateway.command("ime", "export-contact", "acme.example", "--out", str(folder / "contact"))
        yield opened


def settings(world: World, shape: tuple[str, str] = SHAPES[0]) -> Path:
    path = world.folder / "anna.toml"
    path.write_text(
        f'[account]\naddress = "anna@acme.example"\ndisplay_name = "Anna Adler"\n'
        f'[submission]\nhost = "127.0.0.1"\nport = {world.postfix.port}\n'
        f'[registry]\nInternalRecipient = "{IME_ADDRESS}"\n'
        f'[container]\nime_certificate = "contact/certificate.pem"\nsignature = "{shape[0]}"\noriginal = "{shape[1]}"\n'
        f'[mailbox]\nhost = "127.0.0.1"\nport = {world.dovecot.imap_port}\nuser = "anna@acme.example"\n'
        f'password = "{PASSWORD}"\n'
    )
    return path


def addin(world: World, *words: str, shape: tuple[str, str] = SHAPES[0]) -> Any:
    done = subprocess.run(
        [str(COMMANDS / "addin-sim"), *words, "--settings", str(settings(world, shape)), "--json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_mail(world: World, subject: str = SUBJECT, text: str = TEXT) -> str:
    path = world.folder / "written.eml"
    path.write_text(
        f"Subject: {subject}\nTo: bob@acme.example\nCc: carol@acme.example\nBcc: dora@acme.example\n"
        f"Content-Type: text/plain; charset=utf-8\n\nThe code is {text}. Grüße\n",
        "utf-8",
    )
    return str(path)


def eventually(world: World, condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 90
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}\n{world.gateway.log()}\n{world.postfix.log()[-3000:]}"
        world.postfix.flush()  # else it may wait for minutes with what it finds locked while the gateway comes and goes
        time.sleep(0.3)
    return found


def assert_unreadable(world: World, *secrets: str) -> int:
    """Neither Postfix nor the mailboxes nor the gateway nor the add-in's profile hold it; how many files were read."""
    folders = (world.postfix.folder, world.dovecot.folder, world.folder / "gw", world.folder / "anna.profile")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in (*files, world.folder / "serve.log"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # a queue file that has just moved on
            continue
        joined = re.sub(rb"\s", b"", data)
        for secret in secrets:
            for form in (secret.encode(), *base64_forms(secret.encode())):
                assert form not in data and form not in joined, f"{secret} stands in {path}"
    return len(files)


def base64_forms(secret: bytes) -> list[bytes]:
    """Inside base64, at each of the three offsets, without the letters that neighbours change."""
    return [
        base64.b64encode(b"\0" * offset + secret)[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        for offset in range(3)
    ]


@pytest.mark.parametrize("before", range(5))
def test_the_search_finds_what_base64_hides(before: int) -> None:
    encoded = base64.b64encode(b"x" * before + TEXT.encode() + b"\r\n" * before)
    assert any(form in encoded for form in base64_forms(TEXT.encode()))


def carriers_in_queue(world: World) -> int:
    return sum(IME_ADDRESS in json.dumps(entry) for entry in world.postfix.queue())


@pytest.fixture
def fresh_world(tmp_path: Path) -> Iterator[World]:
    with ready_world(tmp_path) as opened:
        yield opened


def test_from_outlook_to_everybody_and_nothing_readable_in_between(fresh_world: World) -> None:
    world = fresh_world
    world.gateway.kill()
    sent = addin(world, "send", "--ime", "2", "--eml", write_mail(world))
    assert (sent["accepted"], sent["ime"], sent["recipient"], sent["saved_in"]) == (True, "2.0", IME_ADDRESS, None)
    eventually(world, lambda: carriers_in_queue(world) == 1, "the carrier waits in Postfix for the gateway")
    assert assert_unreadable(world, TEXT, SUBJECT) > 10
    (queued,) = [path for path in world.postfix.folder.rglob("*") if path.is_file() and b"MII" in path.read_bytes()]
    for word in (b"bob@", b"carol@", b"dora@", b"smime-type=signed", sent["message_id"].encode()):
        assert word not in queued.read_bytes().lower()
    world.gateway.start()
    eventually(world, lambda: world.dovecot.mails("anna@acme.example"), "the gateway asks Anna")
    assert carriers_in_queue(world) == 1, "it waits until Anna has answered"
    assert "451 4.7.1" in world.postfix.log()
    assert not world.dovecot.mails("bob@acme.example")
    assert_unreadable(world, TEXT, SUBJECT)
    world.gateway.kill()
    world.gateway.start()
    assert addin(world, "sync")["challenges_answered"] == 1
    for name in ("bob", "carol", "dora"):
        (mail,) = eventually(world, lambda name=name: world.dovecot.mails(world.address(name)), f"the mail for {name}")
        check_copy(world, name, mail)
    eventually(world, lambda: addin(world, "sync")["confirmed"] == [sent["message_id"]], "the sent copy")
    assert addin(world, "outbox", "list") == []
    (filed,) = world.dovecot.mails("anna@acme.example", "Sent Items")
    check_copy(world, "anna", filed)
    assert b"sentcopy" not in filed.lower()
    # The kill may have come between delivery and settling of the question: then it was delivered twice (RFC 5321 6.1).
    left = world.dovecot.mails("anna@acme.example")
    assert all(b"X-IMEGW-Challenge: " in mail for mail in left) and len(left) <= 1
    world.gateway.wait_until_empty()
    world.postfix.wait_until_empty()
    assert_unreadable(world, TEXT, SUBJECT)
    told = world.gateway.json("track", "--to", "dora@acme.example")
    assert [line["event"] for line in told] == ["accepted", "delivered"]


def check_copy(world: World, name: str, mail: bytes) -> None:
    """Only the right key opens it; inside stand text and subject; nobody sees the blind copy."""
    header = mail.partition(b"\r\n\r\n")[0]
    assert SUBJECT.encode() not in header and b"x-sm-orig" not in header.lower()
    clear = decrypt(mail, world.people[name])
    assert clear is not None and TEXT.encode() in clear and SUBJECT.encode() in clear
    together = {"bob": {"bob", "carol"}, "carol": {"bob", "carol"}}.get(name, {name})
    for other in set(world.people) - together:
        assert decrypt(mail, world.people[other]) is None, f"{other} reads the mail of {name}"
    if name in ("bob", "carol"):
        assert b"dora" not in (header + clear).lower()
    if name == "anna":
        assert email.message_from_bytes(mail, policy=email.policy.default)["To"] == "bob@acme.example"


@pytest.mark.parametrize("shape", SHAPES, ids="-".join)
def test_every_shape_of_container(world: World, shape: tuple[str, str]) -> None:
    text = f"shape-{uuid.uuid4().hex}"
    addin(world, "send", "--eml", write_mail(world, text, text), shape=shape)
    got = eventually(world, lambda: mails_with(world, "bob", text), "Bob's copy")
    assert len(got) == 1
    assert_unreadable(world, text)


def mails_with(world: World, name: str, text: str) -> list[bytes]:
    mails = world.dovecot.mails(world.address(name))
    return [mail for mail in mails if text.encode() in (decrypt(mail, world.people[name]) or b"")]


def confirm_anna(world: World) -> None:
    """An administrator registers her certificate."""
    addin(world, "certificate", "show")
    outlook = load(settings(world))
    keys = own_keys(outlook.profile, outlook.account, time.time())
    (world.folder / "own.pem").write_bytes(keys.certificate_pem)
    world.gateway.command("ime", "signers", "approve", "--address", "anna@acme.example",
                          "--file", str(world.folder / "own.pem"))  # fmt: skip


def test_a_container_captured_at_postfix_is_of_no_use(world: World) -> None:
    text = f"captured-{uuid.uuid4().hex}"
    sent = addin(world, "send", "--eml", write_mail(world, text, text))
    eventually(world, lambda: mails_with(world, "bob", text), "Bob's copy")
    captured = [mail for mail in world.dovecot.mails(ARCHIVE) if subject_of(mail) == CARRIER_SUBJECT]
    carrier = captured[-1]
    assert text.encode() not in base64.b64decode(carrier.partition(b"\r\n\r\n")[2])
    assert all(decrypt(carrier, person) is None for person in world.people.values())
    world.gateway.wait_until_empty()
    before = {name: len(world.dovecot.mails(world.address(name))) for name in world.people}
    with smtplib.SMTP("127.0.0.1", world.gateway.port, timeout=60) as client:
        assert client.sendmail("anna@acme.example", [IME_ADDRESS], carrier) == {}, "a repetition is taken in silence"
        for sender, changed in (
            ("bob@acme.example", carrier),
            ("bob@acme.example", re.sub(rb"(?m)^From: .*\r$", b"From: bob@acme.example\r", carrier)),
            ("anna@acme.example", carrier.replace(b"\r\n\r\nM", b"\r\n\r\nN", 1)),
        ):
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail(sender, [IME_ADDRESS], changed)
            assert refused.value.smtp_code in (550, 554)
    world.gateway.wait_until_empty()
    world.postfix.wait_until_empty()
    assert {name: len(world.dovecot.mails(world.address(name))) for name in world.people} == before
    events = Counter(line["event"] for line in world.gateway.json("track", "--message-id", sent["message_id"]))
    assert events["delivered"] == 4


def test_a_refusal_destroys_nothing(world: World) -> None:
    path = world.folder / "refused.eml"
    path.write_text("Subject: lost?\nTo: bob@acme.example, nobody@acme.example\n\nkeep-me-1234\n")
    before = len(world.dovecot.mails("bob@acme.example"))
    sent = addin(world, "send", "--eml", str(path))
    assert sent["accepted"], "Postfix queues; the refusal comes by report"
    (kept,) = [entry for entry in addin(world, "outbox", "list") if entry["message_id"] == sent["message_id"]]

    def refused() -> Any:
        subprocess.run([str(COMMANDS / "addin-sim"), "sync", "--settings", str(settings(world))],
                       capture_output=True, check=False, timeout=60)  # fmt: skip
        return [
            entry
            for entry in addin(world, "outbox", "list")
            if entry["id"] == kept["id"] and entry["state"] == "refused"
        ]

    (told,) = eventually(world, refused, "the report is read")
    assert "nobody@acme.example" in told["reply"]
    shown = subprocess.run(
        [str(COMMANDS / "addin-sim"), "outbox", "show", kept["id"], "--settings", str(settings(world))],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert b"keep-me-1234" in shown.stdout and b"Subject: lost?" in shown.stdout
    assert len(world.dovecot.mails("bob@acme.example")) == before
    assert_unreadable(world, "keep-me-1234", "lost?")


MAILS = 50
KILLS = 5


def test_sigkill_at_random_instants_with_containers(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    with ready_world(tmp_path) as world:
        confirm_anna(world)
        killer = threading.Thread(target=_kill_and_restart, args=(world, random.Random(seed)))
        killer.start()
        for number in range(MAILS):
            world.submit(_container(world, number), "anna", [IME_ADDRESS])
        killer.join()
        world.postfix.wait_until_empty(180)
        world.gateway.wait_until_empty(180)
        world.postfix.wait_until_empty(60)
        for name in ("bob", "dora", "anna"):
            # A kill between the delivery and the note of it delivers the same bytes again (RFC 5321 section 4.5.4.1);
            # a container that was acted upon twice would give another ciphertext.
            mails = {mail.partition(b"\r\n\r\n")[2]: mail for mail in world.dovecot.mails(world.address(name))}
            numbers = [_number_in(world, name, mail) for mail in mails.values()]
            assert Counter(numbers) == Counter(range(MAILS)), f"seed {seed}: {name} got {sorted(numbers)}"
        assert_unreadable(world, TEXT, SUBJECT)


def _kill_and_restart(world: World, chance: random.Random) -> None:
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.2))
        world.gateway.kill()
        world.gateway.start()


def _container(world: World, number: int) -> bytes:
    outlook = load(settings(world))
    keys = own_keys(outlook.profile, outlook.account, time.time())
    authority = x509.load_pem_x509_certificate((world.folder / "contact" / "certificate.pem").read_bytes())
    written = f"Subject: {SUBJECT} {number}\nTo: bob@acme.example\nBcc: dora@acme.example\n\n{TEXT} no. {number}.\n"
    mail = compose(written.encode(), outlook.account, moment=time.time(), unique=uuid.uuid4().hex)
    return for_ime2(mail, IME_ADDRESS, authority, keys, ContainerSettings(), uuid.uuid4().hex).data


def _number_in(world: World, name: str, mail: bytes) -> int:
    clear = decrypt(mail, world.people[name]) or b""
    found = re.search(rf"{TEXT} no\. (\d+)\.".encode(), clear)
    assert found is not None, f"{name} cannot read a mail"
    return int(found[1])
