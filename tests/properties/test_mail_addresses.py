"""Addresses: what we write others read alike, what we read others do not read differently."""

from email.headerregistry import Address as TheirAddress
from email.policy import SMTP

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, Mailbox, flatten, parse_address_list, parse_path
from ime_gateway.mail.encoded_words import decode_words, encode_words
from ime_gateway.mail.headers import make_address_field, make_field

LOCALS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)
DOMAINS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,6}){0,3}", fullmatch=True)
NAMES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=120).map(
    lambda text: " ".join(text.split())
)
ADDRESSES = st.builds(Address, LOCALS.filter(lambda text: "=?" not in text), st.just("x.example"))
PIECES = st.sampled_from(
    [
        "a@x.example",
        "<",
        ">",
        "b@bank.example",
        ",",
        ";",
        ":",
        " ",
        '"',
        "\\",
        "(",
        ")",
        "@",
        ".",
        "é",
        "[",
        "]",
        "=?utf-8?q?a?=",
        "N",
    ]
)


@given(LOCALS, DOMAINS)
def test_every_address_written_is_read_back(local: str, domain: str) -> None:
    address = Address(local, domain)
    try:
        read = parse_path(str(address))
    except UnreadableMail:
        assert "xn--" in domain or domain.rpartition("--")[1] or "=?" in local
        return
    assert read == address


@given(
    st.lists(
        st.builds(Mailbox, NAMES, st.builds(Address, LOCALS.filter(lambda t: "=?" not in t), st.just("x.example"))),
        min_size=1,
        max_size=8,
    )
)
def test_address_fields_come_back_from_the_wire(mailboxes: list[Mailbox]) -> None:
    field = make_address_field("Resent-Reply-To", mailboxes)
    assert field.raw.isascii()
    assert field.raw.count(b"\n") == field.raw.count(b"\r\n")
    assert all(line.strip() and len(line) <= 998 for line in field.raw.removesuffix(b"\r\n").split(b"\r\n"))
    assert flatten(parse_address_list(field.text)) == tuple(mailboxes)


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=12).map("".join), st.booleans())
@example("a@x.example <b@bank.example>", False)
def test_python_reads_no_other_address_than_we_do(text: str, semicolons: bool) -> None:
    try:
        ours = [str(m.address).lower() for m in flatten(parse_address_list(text, semicolons=semicolons))]
    except UnreadableMail:
        return
    if semicolons or not text.isascii():
        return  # Python knows neither
    theirs = SMTP.header_factory("to", text)
    read = [address.addr_spec.lower() for address in theirs.addresses if isinstance(address, TheirAddress)]
    assert [one for one in read if one and one != "<>"] == ours


@given(st.text(max_size=200))
def test_any_text_is_read_as_a_list_or_refused(text: str) -> None:
    for semicolons in (False, True):
        try:
            parse_address_list(text, semicolons=semicolons)
        except UnreadableMail as error:
            assert (str(error) + error.evidence).isascii()
            assert (str(error) + error.evidence).isprintable()


@given(st.text(max_size=200))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        address = parse_path(text)
    except UnreadableMail:
        return
    assert str(address).isprintable()
    assert parse_path(str(address)) == address


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=300))
def test_encoded_words_come_back(text: str) -> None:
    words = list(encode_words(text, 50))
    assert all(len(word) <= 75 and word.isascii() for word in words)
    assert decode_words(" ".join(words)) == text


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["=?", "?", "q", "b", "utf-8", "=", "=?utf-8?q?", "?="])).map("".join)
)
def test_decoding_never_fails(text: str) -> None:
    assert isinstance(decode_words(text), str)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=2000))
def test_any_text_makes_one_legal_field(text: str) -> None:
    field = make_field("Subject", text)
    lines = field.raw.split(b"\r\n")
    assert lines[-1] == b""
    assert all(len(line) <= 998 for line in lines)
    assert all(line[:1] == b" " and line.strip() for line in lines[1:-1])
    assert decode_words(field.text) == text.strip()
