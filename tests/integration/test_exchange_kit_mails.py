"""The test mails of the Exchange kit through a running gateway: what the checklist promises is what is seen.

The add-in's half is played by addin_sim, Exchange's doors by two ports: which one a mail comes back to is the trust
that it gets there (return_to, deliver_to). What only an Exchange can show, its rules, is not shown here.
"""

import time
from collections.abc import Iterator

import pytest

from addin_sim.compose import compose
from addin_sim.ime1 import for_ime1
from addin_sim.outlook_settings import Account
from tests.exchange_kit_world import FIRST, IME_ADDRESS, PSEUDO, SECOND, Arrived, KitWorld, kit_world
from tests.openssl import decrypt, readers

OUTSIDER = "somebody@outside.example"
ATTACHMENT = b"VGhpcyBhdHRhY2htZW50IG11c3QgYXJyaXZlIHdpdGggdGhlc2UgdmVyeSB3b3Jkcy4NCg=="
OURS = ("x-sm-", "x-eswmail-", "x-imegw-")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KitWorld]:
    with kit_world(tmp_path_factory.mktemp("kit")) as opened:
        yield opened
        assert opened.inside.mails.empty()
        assert opened.outside.mails.empty()
        assert opened.internet.mails.empty()


def ours(mail: Arrived) -> set[str]:
    """Our headers but for the trace, which every mail carries that passed the gateway."""
    return {name for beginning in OURS for name in mail.names(beginning)} - {"x-imegw-trace"}


def with_button(world: KitWorld, content: bytes) -> tuple[int, str]:
    """As Outlook sends with the add-in's button for internal encryption (IME 1.0)."""
    written = compose(content, Account(address=FIRST), moment=time.time(), unique=f"kit-{time.time_ns()}")
    return world.submit(for_ime1(written, PSEUDO).data, FIRST, PSEUDO)


def test_ordinary_mail_is_known_by_its_header_when_it_passed_the_gateway(world: KitWorld) -> None:
    content = world.mail("ordinary-mail")
    assert b"X-SM-internal" not in content.partition(b"\r\n\r\n")[0]
    assert world.submit(content, FIRST, SECOND)[0] == 250
    assert ours(world.inside.next()) == {"x-sm-internal"}
    assert "Its header has no X-SM-internal" in world.checklist("ordinary-mail")


@pytest.mark.parametrize(
    ("word", "address", "reason"),
    [("route-ime-1", PSEUDO, "ime-no-recipients"), ("route-acme.example", IME_ADDRESS, "ime-malformed")],
)
def test_a_route_is_known_by_the_words_of_the_refusal(world: KitWorld, word: str, address: str, reason: str) -> None:
    code, said = world.submit(world.mail(word), FIRST, address)
    assert code == 554
    assert f" {reason}: " in said
    assert f"({reason})" in world.checklist(word)
    assert b"To: " + address.encode() in world.mail(word)


@pytest.mark.parametrize("word", ["encrypted", "rich-text"])
def test_internal_encryption_arrives_and_its_copy_comes_back_by_the_trusted_door(world: KitWorld, word: str) -> None:
    assert with_button(world, world.mail(word))[0] == 250
    found = world.inside.take(2)
    theirs, copy = found[(SECOND,)], found[(FIRST,)]
    assert b"X-ESWmail-InternalEncrypt: yes\r\n" in theirs.content
    assert "x-eswmail-internalencrypt-sentcopy" in ours(copy)
    assert "x-eswmail-internalencrypt-sentcopy" not in ours(theirs)
    for mail, reader in ((theirs, world.second), (copy, world.first)):
        assert ATTACHMENT not in mail.content
        assert ATTACHMENT in (decrypt(mail.content, reader) or b"")
    assert "(header X-ESWmail-InternalEncrypt: yes)" in world.checklist("04-encrypted")


def test_a_blind_copy_stays_blind(world: KitWorld) -> None:
    assert with_button(world, world.mail("blind-copy"))[0] == 250
    found = [world.inside.next() for _ in range(3)]
    assert sorted(one.recipients for one in found) == [(FIRST,), (FIRST,), (SECOND,)]
    seen = [
        one for one in found if one.recipients == (FIRST,) and "x-eswmail-internalencrypt-sentcopy" not in ours(one)
    ]
    (first,) = seen
    opened = decrypt(first.content, world.first)
    assert opened is not None
    for text in (first.content, opened):
        assert SECOND.encode() not in text
    assert readers(first.content).count("d.issuerAndSerialNumber") == 1
    assert "names only the first" in world.checklist("blind-copy")


def test_rich_text_that_became_winmail_dat_is_refused_by_the_name_in_the_checklist(world: KitWorld) -> None:
    content = world.mail("rich-text").replace(
        b'text/plain; charset=us-ascii; name="attachment.txt"', b'application/ms-tnef; name="winmail.dat"'
    )
    code, said = with_button(world, content)
    assert (code, " ime-tnef: " in said) == (554, True)
    assert "A report with ime-tnef" in world.checklist("rich-text")


def test_outsiders_see_none_of_our_headers_after_the_gateway_either(world: KitWorld) -> None:
    content = world.mail("to-outside")
    sent = Arrived("", (), content)
    assert {"x-sm-origbcc", "x-eswmail-internalencrypt-sentcopy", "x-sm-internal"} <= ours(sent)
    assert world.submit(content, FIRST, OUTSIDER)[0] == 250
    left = world.internet.next()
    assert ours(left) == set()
    assert SECOND.encode() not in left.content.partition(b"\r\n\r\n")[0]


def test_strangers_cannot_write_our_headers(world: KitWorld) -> None:
    content = world.mail("forged-from-outside")
    assert "x-eswmail-internalencrypt-sentcopy" in ours(Arrived("", (), content))
    assert world.submit(content, OUTSIDER, SECOND, internet=True)[0] == 250
    assert ours(world.outside.next()) == {"x-sm-incoming"}
    assert "X-SM-incoming: yes and X-IMEGW-Trace, which the gateway itself wrote, and no other" in world.checklist(
        "forged-from-outside"
    )


def test_a_forged_colleague_comes_by_the_door_of_strangers(world: KitWorld) -> None:
    assert world.submit(world.mail("forged-colleague"), FIRST, SECOND, internet=True)[0] == 250
    mail = world.outside.next()
    assert (mail.sender, mail.recipients) == (FIRST, (SECOND,))
    assert ours(mail) == {"x-sm-incoming"}


def test_strangers_do_not_reach_internal_encryption(world: KitWorld) -> None:
    for word, address in (("route-ime-1", PSEUDO), ("route-acme.example", IME_ADDRESS)):
        assert world.submit(world.mail(word), OUTSIDER, address, internet=True)[0] == 550
