"""Status fields of incoming mail: what was opened, by which key, and what each signature is worth, one line each.

Readers' programs and administrators look there for the evidence behind a tag (peers 3b). Only we write these fields
(`mail/markers`), and what comes out of certificates stands in quotes without any, so that no name reads like a verdict.
"""

from collections.abc import Sequence
from typing import Final

from ime_gateway.mail.headers import Field, make_field
from ime_gateway.pipeline.signature_verdicts import FoundSignature, Signed
from ime_gateway.settings.site import Policy
from ime_gateway.smime.layers import EncryptedLayer, Opened

_MOST_LINES: Final = 16
_LONGEST_WORDS: Final = 200


def layer_fields(opened: Opened, signatures: Sequence[FoundSignature], signed: Signed) -> tuple[Field, ...]:
    """`X-SM-decrypted` and `X-IMEGW-Encryption` for layers that were opened, `X-IMEGW-Signature` for signatures."""
    fields: list[Field] = []
    if opened.encrypted:
        fields.append(make_field("X-SM-decrypted", "yes"))
    for number, layer in enumerate(opened.layers, 1):
        if isinstance(layer, EncryptedLayer):
            fields.append(make_field("X-IMEGW-Encryption", _encryption(number, layer, authentic=opened.authentic)))
    fields += [make_field("X-IMEGW-Signature", _signature(one)) for one in signatures[:_MOST_LINES]]
    if signed == "invalid" and not signatures:
        fields.append(make_field("X-IMEGW-Signature", 'intact=no; detail="the signature cannot be read"'))
    if signed != "no":
        fields.append(make_field("X-IMEGW-Signed", signed))
    return tuple(fields)


def sealed_fields() -> tuple[Field, ...]:
    """Of mail that goes on encrypted as it came."""
    return (make_field("X-SM-encrypted", "yes"),)


def result_tags(policy: Policy, *, opened: bool, signed: Signed) -> tuple[str, ...]:
    """The tags of the subject; none when policy wants none."""
    if not policy.result_tags:
        return ()
    tags = [policy.tags.secure] if opened else []
    if signed == "ok":
        tags.append(policy.tags.signed_ok)
    elif signed == "invalid":
        tags.append(policy.tags.signed_invalid)
    return tuple(tags)


def own_tags(policy: Policy) -> tuple[str, ...]:
    """Every tag that only a gateway may write, whatever it is called here."""
    return (*policy.tags.model_dump().values(), *_OF_OTHER_METHODS)


_OF_OTHER_METHODS: Final = ("[PGP OK]", "[PGP INVALID]")


def detail_of(opened: Opened, signatures: Sequence[FoundSignature], signed: Signed) -> str:
    """The same in a line for tracking and `explain`."""
    said = [
        f"opened with {layer.opened_with} ({layer.cipher}, {layer.key_method})"
        for layer in opened.layers
        if isinstance(layer, EncryptedLayer)
    ]
    if said and not opened.authentic:
        said.append("nothing proves that it was not changed on the way")
    match signed:
        case "ok":
            good = next(one for one in signatures if one.good)
            said.append(f"signed by {good.trust.detail}")
        case "invalid":
            said.append(f"signature invalid: {_blame(signatures)}")
        case "no":
            said.append("not signed" if not signatures else "signed around the encryption only")
    return _words(" - ".join(said), 500)


def _blame(signatures: Sequence[FoundSignature]) -> str:
    for one in signatures:
        if not one.good:
            return _fault(one) or "it is about the encrypted form only"
    return "it cannot be read"


def _fault(one: FoundSignature) -> str:
    if not one.signer.intact:
        return str(one.signer.fault)
    if one.covers == "part":
        return "it covers less than the mail"
    if not one.trust.usable:
        return one.trust.detail
    if not one.path.valid:
        return one.path.detail
    return one.identity.detail


def _encryption(number: int, layer: EncryptedLayer, *, authentic: bool) -> str:
    integrity = "proved" if layer.integrity else "by-signature" if authentic else "unproved"
    old = "; legacy=yes" if layer.legacy else ""
    return (
        f"layer={number}; cipher={layer.cipher}; key={layer.key_method}; opened-with={layer.opened_with};"
        f" integrity={integrity}{old}"
    )


def _signature(one: FoundSignature) -> str:
    certificate = one.signer.certificate
    named = f"; signer={certificate.thumbprint}" if certificate is not None else ""
    name = f'; name="{_words(certificate.subject)}"' if certificate is not None and certificate.subject else ""
    fault = _fault(one)
    detail = f'; detail="{_words(fault)}"' if fault else ""
    return (
        f"layer={one.layer}; intact={_yes(one.signer.intact)}; covers={one.covers}; path={_yes(one.path.valid)};"
        f" trust={_yes(one.trust.usable)}; identity={_yes(one.identity.matches)}; of={one.speaks_for}"
        f"{named}{name}{detail}"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _words(text: str, most: int = _LONGEST_WORDS) -> str:
    """Foreign words as plain ASCII without quotes, semicolons or control characters, cut at `most` characters."""
    plain = text.encode("ascii", "backslashreplace").decode("ascii").replace('"', "'").replace(";", ",")
    return " ".join("".join(c if " " <= c <= "~" else " " for c in plain).split())[:most]
