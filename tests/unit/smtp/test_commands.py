import pytest

from ime_gateway.mail.address import Address
from ime_gateway.smtp.commands import (
    ChunkCommand,
    CommandError,
    MailCommand,
    RcptCommand,
    parse_chunk,
    parse_hello,
    parse_mail,
    parse_rcpt,
)

HOST = "gw.acme.example"


def refusal(parse: object, *arguments: object, **named: object) -> bytes:
    with pytest.raises(CommandError) as caught:
        parse(*arguments, **named)  # type: ignore[operator]
    return caught.value.reply[:9]


def test_mail_reads_every_parameter() -> None:
    argument = "from:<a@Acme.Example> size=100 Body=8bitMIME ret=hdrs envid=a+2Bb smtputf8"
    sender = Address("a", "acme.example")
    assert parse_mail(argument) == MailCommand(sender, 100, "8BITMIME", "HDRS", "a+2Bb", smtputf8=True)
    assert parse_mail("FROM:<>") == MailCommand(None)


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("FROM:a@acme.example", b"501 5.1.7"),
        ("FROM:<a@acme.example>SIZE=1", b"501 5.1.7"),
        ("FROM:<<a@acme.example>>", b"501 5.1.7"),
        ('FROM:<"a@acme.example>', b"501 5.1.7"),
        ("FROM:<@relay.example>", b"501 5.1.7"),
        ("FROM:<a@acme.example> SIZE=-1", b"501 5.5.4"),
        ("FROM:<a@acme.example> SIZE=1e3", b"501 5.5.4"),
        ("FROM:<a@acme.example> SIZE=\u0661", b"501 5.5.4"),
        ("FROM:<a@acme.example> SIZE=" + "9" * 21, b"501 5.5.4"),
        ("FROM:<a@acme.example> SIZE=1 SIZE=2", b"501 5.5.4"),
        ("FROM:<a@acme.example> SMTPUTF8=1", b"501 5.5.4"),
        ("FROM:<a@acme.example> =1", b"501 5.5.4"),
        ("FROM:<a@acme.example> ENVID=" + "e" * 101, b"501 5.5.4"),
        ("FROM:<a@acme.example> ENVID=a=b", b"501 5.5.4"),
        ("FROM:<a@acme.example> HOLDFOR=1", b"555 5.5.4"),
        ("FROM:<j\u00fcrg@acme.example>", b"553 5.6.7"),
    ],
)
def test_mail_refuses(argument: str, reply: bytes) -> None:
    assert refusal(parse_mail, argument) == reply


def test_rcpt_reads_addresses_as_rfc_5321_writes_them() -> None:
    def read(argument: str) -> str:
        return str(parse_rcpt(argument, HOST, smtputf8=False).recipient)

    assert read("TO:<b@ACME.example>") == "b@acme.example"
    assert read('TO:<"b > c"@acme.example>') == '"b > c"@acme.example'
    assert read("TO:<@x.example:b@acme.example>") == "b@acme.example"
    assert read("TO:<@x.example,@y.example:b@acme.example>") == "b@acme.example"
    assert read("TO:<PostMaster>") == "PostMaster@gw.acme.example"


def test_rcpt_keeps_dsn_parameters() -> None:
    command = parse_rcpt("TO:<b@acme.example> NOTIFY=success,delay ORCPT=rfc822;b+2Bc@x.example", HOST, smtputf8=False)
    assert command == RcptCommand(Address("b", "acme.example"), "SUCCESS,DELAY", "rfc822;b+2Bc@x.example")
    international = parse_rcpt("TO:<b@acme.example> ORCPT=utf-8;b\u00f8b@x.example", HOST, smtputf8=True)
    assert international.orcpt == "utf-8;b\u00f8b@x.example"


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("TO:<>", b"501 5.1.3"),
        ("TO:b@acme.example", b"501 5.1.3"),
        ("FROM:<b@acme.example>", b"501 5.1.3"),
        ("TO:<b@acme..example>", b"501 5.1.3"),
        ("TO:<b@acme.example> SIZE=1", b"555 5.5.4"),
        ("TO:<b@acme.example> NOTIFY=NEVER,DELAY", b"501 5.5.4"),
        ("TO:<b@acme.example> NOTIFY=DELAY,,FAILURE", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=rfc822;" + "x" * 500, b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=rfc822;", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=;b@x", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=rfc822;b+0A", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=rfc822;b+7F", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=rfc822;b+FF", b"501 5.5.4"),
        ("TO:<b@acme.example> ORCPT=utf-8;b\u00f8b@x.example", b"501 5.5.4"),
        ("TO:<b\u00f8b@acme.example>", b"553 5.6.7"),
    ],
)
def test_rcpt_refuses(argument: str, reply: bytes) -> None:
    assert refusal(parse_rcpt, argument, HOST, smtputf8=False) == reply


def test_bdat() -> None:
    assert parse_chunk("0 LAST") == ChunkCommand(0, last=True)
    assert parse_chunk("86000") == ChunkCommand(86000, last=False)
    for argument in ("", "-1", "1 2", "1 FIRST", "0x10", "\u0661", "1" * 21, "5LAST"):
        assert refusal(parse_chunk, argument) == b"501 5.5.4"


def test_hello_needs_one_name() -> None:
    assert parse_hello("[IPv6:::1]") == "[IPv6:::1]"
    for argument in ("", "a b", "x" * 256):
        assert refusal(parse_hello, argument) == b"501 5.5.4"


@pytest.mark.parametrize(
    "text", ['<"' + "\\a" * 90_000, "<" + '"a"' * 60_000, "<" + "@a," * 60_000, "<" + '"' * 199_999]
)
def test_hostile_paths_take_linear_time(text: str) -> None:
    """A hundred times longer than a line can be: anything but linear would not end."""
    assert refusal(parse_mail, "FROM:" + text) == b"501 5.1.7"
