"""RFC 5321 paths and RFC 5322 address lists: what is taken, and what is refused because programs differ."""

from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, Group, Mailbox, flatten, normalize_domain, parse_address_list, parse_path


def addresses(text: str, *, semicolons: bool = False) -> list[str]:
    return [str(mailbox.address) for mailbox in flatten(parse_address_list(text, semicolons=semicolons))]


def test_path_folds_the_domain_and_keeps_the_local_part() -> None:
    address = parse_path("Alice.Smith@ACME.Example")
    assert address == Address("Alice.Smith", "acme.example")
    assert address.key == "alice.smith@acme.example"
    assert str(address) == "Alice.Smith@acme.example"
    assert not address.smtputf8


def test_quotes_that_are_not_needed_make_no_other_address() -> None:
    assert parse_path('"alice"@acme.example') == parse_path("alice@acme.example")
    assert parse_path(r'"a\lice"@acme.example') == parse_path("alice@acme.example")


@pytest.mark.parametrize("written", ['"two words"@acme.example', r'"a\"b\\c"@acme.example', '"a@b"@acme.example'])
def test_quotes_that_are_needed_come_back(written: str) -> None:
    assert str(parse_path(written)) == written
    assert parse_path(str(parse_path(written))) == parse_path(written)


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("bank。example", "bank.example"),
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_domains_compare_by_their_a_labels(written: str, domain: str) -> None:
    assert parse_path(f"a@{written}").domain == domain


def test_domain_that_idna_does_not_know_is_compared_in_lower_case() -> None:
    assert normalize_domain("Ⅎⅎ".lower() + ".example") != ""
    with pytest.raises(UnreadableMail):
        normalize_domain("☃.example")


def test_international_local_part_needs_smtputf8_and_folds_in_its_key() -> None:
    address = parse_path("Müller@acme.example")
    assert address.smtputf8
    assert address.key == "müller@acme.example"
    assert parse_path("Mu\u0308ller@acme.example").key == address.key


@pytest.mark.parametrize(
    "written",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@acme.example",
        "<alice@acme.example>",
        "@relay.example:alice@acme.example",
        "a b@acme.example",
        "alice @acme.example",
        "alice@acme .example",
        "alice@acme..example",
        "alice@.example",
        "alice@acme.example.",
        "alice@-acme.example",
        "alice@acme_.exam!ple",
        "al..ice@acme.example",
        ".alice@acme.example",
        'x"alice"@acme.example',
        '""@acme.example',
        "alice@bank.example@attacker.example",
        "alice\0@acme.example",
        "alice\r\n@acme.example",
        '"a\nb"@acme.example',
        "=?utf-8?q?alice?=@acme.example",
        "alice@=?utf-8?q?acme?=.example",
        "ali\u200bce@acme.example",
        "alice\u00a0@acme.example",
        "ceo\uff20bank.example@attacker.example",
        "alice@bank.example\uff20attacker.example",
        "alice@xn--example.com",
        "alice\ufffd@acme.example",
        "alice@[1.2.3.4",
        "alice(boss)@acme.example",
        "a" * 300 + "@acme.example",
        "a@" + "b." * 200 + "example",
        "a@" + "ü" * 400 + ".example",
    ],
)
def test_path_refuses_what_is_no_mailbox(written: str) -> None:
    with pytest.raises(UnreadableMail):
        parse_path(written)


def test_list_of_everything_that_rfc_5322_shows() -> None:
    items = parse_address_list(
        "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>,\r\n"
        " A Group(Some people):Chris Jones <c@public.example>, joe@example.org,\r\n\tJohn <jdoe@one.test> (my friend);,"
        ' Undisclosed recipients:;, Joe Q. Public <joe.q.public@example.com>, "Giant; \\"Big\\" Box" <box@example.net>,'
        " boss@nil.test (Boss)"
    )
    assert items == (
        Mailbox("Pete", Address("pete", "silly.test")),
        Group(
            "A Group",
            (
                Mailbox("Chris Jones", Address("c", "public.example")),
                Mailbox("", Address("joe", "example.org")),
                Mailbox("John", Address("jdoe", "one.test")),
            ),
        ),
        Group("Undisclosed recipients", ()),
        Mailbox("Joe Q. Public", Address("joe.q.public", "example.com")),
        Mailbox('Giant; "Big" Box', Address("box", "example.net")),
        Mailbox("", Address("boss", "nil.test")),
    )
    assert [m.address.local for m in flatten(items)] == ["pete", "c", "joe", "jdoe", "joe.q.public", "box", "boss"]


@pytest.mark.parametrize("empty", ["", " ", ",", " , ,\r\n\t,", "(nobody)", ", (a), (b)"])
def test_empty_lists_have_nobody(empty: str) -> None:
    assert parse_address_list(empty) == ()


def test_encoded_names_are_decoded_and_joined() -> None:
    (mailbox,) = flatten(parse_address_list("=?utf-8?q?J=C3=BCrg?= =?utf-8?b?TcO8bGxlcg==?= von X <j@x.example>"))
    assert mailbox.display_name == "JürgMüller von X"


def test_encoded_word_in_quotes_is_no_encoded_word() -> None:
    (mailbox,) = flatten(parse_address_list('"=?utf-8?q?J=C3=BCrg?=" <j@x.example>'))
    assert mailbox.display_name == "=?utf-8?q?J=C3=BCrg?="  # RFC 2047 section 5 (3)


def test_control_characters_never_come_out_of_a_name() -> None:
    (mailbox,) = flatten(parse_address_list("=?utf-8?q?a=00=0D=0ABcc=3A_x=40y?= <j@x.example>"))
    assert mailbox.display_name.isprintable()
    assert "\n" not in mailbox.display_name


def test_semicolons_separate_only_where_asked() -> None:
    text = '"Smith; Alice" <a@x.example>; b@x.example;, c@x.example'
    assert addresses(text, semicolons=True) == ["a@x.example", "b@x.example", "c@x.example"]
    with pytest.raises(UnreadableMail):
        parse_address_list(text)


def test_semicolon_still_ends_a_group() -> None:
    items = parse_address_list("Team: a@x.example, b@x.example; c@x.example; d@x.example", semicolons=True)
    assert isinstance(items[0], Group)
    assert [len(items), len(items[0].members)] == [3, 2]


@pytest.mark.parametrize(
    "written",
    [
        "/o=Acme/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=alice",
        "Alice </O=ACME/OU=FIRST/CN=RECIPIENTS/CN=ALICE>",
        "a@x.example; Alice <IMCEAEX-_O=ACME_CN=ALICE@acme.example>",
    ],
)
def test_x500_addresses_are_refused_by_name(written: str) -> None:
    with pytest.raises(UnreadableMail, match=r"(?i)(/o=|IMCEAEX).*X\.500"):
        parse_address_list(written, semicolons=True)


def test_an_address_as_its_own_name_is_taken() -> None:
    assert addresses("alice@x.example <Alice@X.example>") == ["Alice@x.example"]


@pytest.mark.parametrize(
    "written",
    [
        "ceo@bank.example <user@attacker.example>",
        "<ceo@bank.example> <user@attacker.example>",
        "<ceo@bank.example> user@attacker.example",
        "user(<ceo@bank.example>)@attacker.example",
        "<user@attacker.example(ceo@bank.example)x>",
        "ceo@bank.example user@attacker.example",
        "<@bank.example:user@attacker.example>",
        "<@bank.example,@b.example:user@attacker.example>",
        "<user@attacker.example",
        "user@attacker.example>",
        "<<user@attacker.example>>",
        "<>",
        "Alice <>",
        '"Alice <user@attacker.example>',
        "Alice (<user@attacker.example>",
        "Alice) <user@attacker.example>",
        "user @ attacker . example",
        "user@attacker.\r\n example",
        "first.(comment)last@attacker.example (x) y",
        "Team: Sub: a@x.example;;",
        "Team: a@x.example",
        ": a@x.example;",
        "a@x.example: b@x.example;",
        "a@x.example; b@x.example",
        "\\a@x.example",
        "a@x.example\0",
        "a@x.example\x0b",
        "Na\0me <a@x.example>",
        "Na\x1bme <a@x.example>",
        "nobody",
        "Alice",
        "=?utf-8?q?ceo=40bank.example?=",
        "=?utf-8?q?M=C3=BCller,?= <m@x.example>",
    ],
)
def test_list_refuses_what_programs_read_differently(written: str) -> None:
    with pytest.raises(UnreadableMail):
        parse_address_list(written)


def test_refusal_quotes_nothing_that_could_forge_a_log_line() -> None:
    with pytest.raises(UnreadableMail) as caught:
        parse_address_list("/o=\u202eAcme\u0085x")
    assert (str(caught.value) + caught.value.evidence).isascii()
    assert (str(caught.value) + caught.value.evidence).isprintable()


def lines(path: Path) -> list[str]:
    kept = [line.split("   ")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return [line for line in kept if line and not line.startswith("#")]


def test_flanker_invalid_mailboxes_are_no_envelope_addresses(vectors: Path) -> None:
    written = lines(vectors / "flanker" / "addresses" / "mailbox_invalid.txt")
    assert len(written) > 80
    for one in written:
        with pytest.raises(UnreadableMail):
            pytest.fail(f"{one} was read as {parse_path(one)}")


def test_flanker_valid_mailboxes_are_read(vectors: Path) -> None:
    written = lines(vectors / "flanker" / "addresses" / "mailbox_valid.txt")
    refused = []
    for one in written:
        try:
            (mailbox,) = flatten(parse_address_list(one))
        except UnreadableMail:
            refused.append(one)
        else:
            assert parse_path(str(mailbox.address)) == mailbox.address
    # Stricter by choice: an exclamation mark in a domain is a UUCP route to some programs.
    assert [one for one in refused if "Micr!osoft99.com" not in one] == []
