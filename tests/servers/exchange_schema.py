"""Exchange's attributes of an address list as LDIF for Active Directory's schema (MS-ADSC shapes, Exchange's OIDs).

A directory takes them in two steps: first the attributes, then the class `mailRecipient` that may contain them; both
end by telling the server to read its schema anew.
"""

import base64
from dataclasses import dataclass
from uuid import UUID

_OID = "1.2.840.113556.1."


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    cn: str
    oid: str
    """After Microsoft's arc 1.2.840.113556.1."""
    syntax: str
    """attributeSyntax after 2.5.5., and oMSyntax."""
    flags: int
    guid: str = ""
    longest: int = 0
    mapi: int = 0


_ATTRIBUTES = (
    _Attribute("mailNickname", "Mail-Nickname", "2.447", "12 64", 5, "bf9679b3-0de6-11d0-a285-00aa003049e2", 64, 14848),
    _Attribute(
        "targetAddress", "Target-Address", "2.352", "12 64", 1, "f0f8ff9f-1191-11d0-a060-00aa006c33ed", 1123, 32785
    ),
    _Attribute(
        "msExchHideFromAddressLists",
        *("Hide-From-Address-Lists", "4.7000.102.73", "8 1", 16, "a21c0b96-b093-11d2-aa06-00c04f8eedd8"),
    ),
    _Attribute("msExchRecipientDisplayType", "Recipient-Display-Type", "4.7000.102.50730", "9 2", 1, mapi=14597),
    _Attribute("msExchRecipientTypeDetails", "Recipient-Type-Details", "4.7000.102.50855", "16 65", 1),
    _Attribute(
        "internetEncoding", "Internet-Encoding", "2.551", "9 2", 0, "1677581d-47f3-11d1-a9c3-0000f80367c1", 0, 14961
    ),
    _Attribute("mAPIRecipient", "MAPI-Recipient", "2.371", "8 1", 16, "bf9679b8-0de6-11d0-a285-00aa003049e2", 0, 14912),
    _Attribute(
        "extensionAttribute1",
        *("Extension-Attribute-1", "2.423", "12 64", 16, "bf967967-0de6-11d0-a285-00aa003049e2", 1024, 32813),
    ),
)
_READ_ANEW = "dn:\nchangetype: modify\nadd: schemaUpdateNow\nschemaUpdateNow: 1\n-\n"


def attributes_ldif(suffix: str) -> str:
    """The first step, for the domain `suffix`."""
    return "\n".join(_entry(one, suffix) for one in _ATTRIBUTES) + "\n" + _READ_ANEW


def classes_ldif(suffix: str) -> str:
    """The second step."""
    names = "".join(f"mayContain: {one.name}\n" for one in _ATTRIBUTES)
    dn = f"CN=Mail-Recipient,CN=Schema,CN=Configuration,{suffix}"
    lists = f"dn: CN=Address-Book-Container,CN=Schema,CN=Configuration,{suffix}"
    return (
        f"dn: {dn}\nchangetype: modify\nadd: mayContain\n{names}-\n\n"
        f"{lists}\nchangetype: modify\nadd: possSuperiors\npossSuperiors: container\n-\n\n{_READ_ANEW}"
    )


def _entry(one: _Attribute, suffix: str) -> str:
    cn = f"ms-Exch-{one.cn}"
    syntax, om_syntax = one.syntax.split()
    lines = [
        f"dn: CN={cn},CN=Schema,CN=Configuration,{suffix}",
        "changetype: add",
        "objectClass: top",
        "objectClass: attributeSchema",
        f"cn: {cn}",
        f"attributeID: {_OID}{one.oid}",
        f"attributeSyntax: 2.5.5.{syntax}",
        f"oMSyntax: {om_syntax}",
        "isSingleValued: TRUE",
        f"lDAPDisplayName: {one.name}",
        f"adminDisplayName: {cn}",
        f"searchFlags: {one.flags}",
        "isMemberOfPartialAttributeSet: TRUE",
    ]
    if one.guid:
        lines.append(f"schemaIDGUID:: {base64.b64encode(UUID(one.guid).bytes_le).decode()}")
    if one.longest:
        lines += ["rangeLower: 1", f"rangeUpper: {one.longest}"]
    if one.mapi:
        lines.append(f"mAPIID: {one.mapi}")
    return "\n".join(lines) + "\n"
