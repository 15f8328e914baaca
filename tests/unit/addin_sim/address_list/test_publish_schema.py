"""Schemas as directories print them (RFC 4512 section 4.1): which names may be written."""

from addin_sim.address_list.ldap_schema import parse_schema

ATTRIBUTES = [
    "( 1.2.840.113556.1.2.447 NAME 'mailNickname' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )",
    "( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'RFC4519: NAME \\27x\\27' SUP name )",
    "( 1.2.840.113556.1.2.352 NAME 'targetAddress' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' )",
    "( 1.2.3.4 SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
]
CLASSES = [
    "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
    "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST (cn ) MAY (sn ) )",
    "( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL MAY (mail ) )",
    "( 1.2.840.113556.1.5.15 NAME 'contact' SUP organizationalPerson STRUCTURAL MAY (notes ) )",
    "( 1.9 NAME 'twofold' SUP ( person $ odd ) STRUCTURAL )",
    "( 1.10 NAME 'circle' SUP circle )",
]


def test_names_are_read_in_both_spellings() -> None:
    schema = parse_schema(ATTRIBUTES, CLASSES, "CN=Configuration,DC=x")
    assert schema.attributes == {"mailnickname", "cn", "commonname", "targetaddress"}
    assert schema.knows("COMMONNAME") and not schema.knows("mail")
    assert schema.configuration == "CN=Configuration,DC=x"


def test_exchange_is_recognised_by_both_of_its_names() -> None:
    assert parse_schema(ATTRIBUTES, CLASSES, "").exchange
    without = parse_schema(ATTRIBUTES[:2], CLASSES, "")
    assert not without.exchange and without.profile == "Active Directory without Exchange"


def test_a_class_brings_all_above_it() -> None:
    schema = parse_schema(ATTRIBUTES, CLASSES, "")
    assert schema.classes("contact") == ("top", "person", "organizationalPerson", "contact")
    assert schema.classes("twofold") == ("top", "person", "twofold")
    assert schema.classes("circle") == ("circle",)
    assert schema.classes("user") == ()
