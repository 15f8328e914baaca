"""Self-tests with partners: a partner's request is answered, the answer to ours is judged.

Answers go to the exchange address that an administrator set for the partner, never to where a request claims to come
from; only a request that a trusted certificate of the partner signed gets one, once, and none with an empty sender
(RFC 3834 section 2): so nobody can make us write to strangers, nor two gateways write to each other for ever.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.ime.challenge import token_hash
from ime_gateway.keys.exchange_mail import Letter, cipher_for, write_mail
from ime_gateway.keys.exchange_note import SelfTestAnswer, SelfTestRequest
from ime_gateway.keys.partner_keys import encryption_choice
from ime_gateway.keys.partner_test import FRESH_SECONDS, Arrived, answered_report
from ime_gateway.keys.signer import judge_signer
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.pipeline.exchange.candidates import AnchorsOf, keep_certificates
from ime_gateway.pipeline.exchange.reader import ExchangeMail
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import TEST_KEPT_SECONDS, OwnMail, PartnerTest
from ime_gateway.ports.keyring import KeptKey
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.smime.sign import SigningKey


@dataclass(frozen=True, slots=True)
class SignerTrust:
    """What the signature of such a mail is worth for one partner."""

    trusted: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Answering:
    """A request that gets an answer."""

    recipient: Address
    """The partner's exchange address."""
    answer: SelfTestAnswer
    view: SiteView


def signer_trust(mail: ExchangeMail, partner: str, view: SiteView, anchors_of: AnchorsOf, moment: float) -> SignerTrust:
    """Whether the signer is a certificate of this partner, and usable. moment: seconds since 1970 UTC."""
    if mail.signer is None:
        return SignerTrust(False, mail.fault)
    verdict = judge_signer(mail.signer, anchors_of(view), moment, mail.carried)
    if mail.signer not in view.domain_certificates.get(partner, ()):
        return SignerTrust(False, f"{mail.signer.thumbprint} is not set as a certificate of {partner}")
    return SignerTrust(verdict.usable, verdict.detail)


def take_request(
    live: RegistryTransaction,
    mail: ExchangeMail,
    note: SelfTestRequest,
    sender: Address | None,
    anchors_of: AnchorsOf,
    moment: float,
) -> Answering | str:
    """The answer to a partner's request, once; or one line for tracking why it gets none."""
    view = live.view()
    address = recipient_settings(view.policy, view.partners, view.addresses, note.domain).exchange_address.value
    if note.domain not in view.partners or not address:
        return f"self-test of {note.domain} is not answered: it is no partner here with an exchange_address"
    if note.partner != mail.domain or abs(moment - note.at) > FRESH_SECONDS:
        return f"self-test of {note.domain} is not answered: it is for somebody else, or out of date"
    if sender is None:
        return f"self-test of {note.domain} is not answered: its envelope sender is empty"
    trust = signer_trust(mail, note.domain, view, anchors_of, moment)
    if mail.signer is None or not trust.trusted:
        kept = keep_certificates(live, mail, sender, anchors_of, moment)
        return f"self-test of {note.domain} is not answered: {trust.detail}; {kept}"
    opened_with = mail.opened_with.certificate.thumbprint if mail.opened_with else ""
    answer = SelfTestAnswer(
        domain=mail.domain,
        partner=note.domain,
        token=note.token,
        at=moment,
        opened_with=opened_with,
        cipher=mail.cipher,
        signed_by=mail.signer.thumbprint,
        trusted=True,
        detail=trust.detail,
    )
    told = json.dumps({"signed_by": mail.signer.thumbprint, "opened_with": opened_with})
    ends = moment + TEST_KEPT_SECONDS
    test = PartnerTest(token_hash(note.token), note.domain, mail.domain, "answered", told, moment, ends)
    if not live.partner_tests.answering(test):
        return f"self-test of {note.domain} is not answered: it was, or there were too many today"
    return Answering(parse_path(address), answer, view)


def answer_mail(
    answering: Answering,
    mail: ExchangeMail,
    key: KeptKey | None,
    anchors_of: AnchorsOf,
    hostname: str,
    unique: str,
    randomness: Callable[[int], bytes],
) -> OwnMail | str:
    """The answer, signed and encrypted like all mail to this partner; or why there can be none.

    Raises UnreadableCertificate when our key cannot sign.
    """
    answer, view = answering.answer, answering.view
    certificates = view.domain_certificates.get(answer.partner, ())
    choice = encryption_choice(certificates, anchors_of(view), answer.at)
    if key is None:
        return f"self-test of {answer.partner} cannot be answered: {answer.domain} has no domain key"
    if choice.certificate is None:
        return f"self-test of {answer.partner} cannot be answered encrypted: {choice.detail}"
    letter = Letter(
        author=mail.address,
        recipient=answering.recipient,
        subject=f"Encryption self-test: answer of {answer.domain}",
        text=_ANSWER.format(domain=answer.domain, partner=answer.partner),
        unique=unique,
        hostname=hostname,
        moment=answer.at,
        automatic="auto-replied",
        in_reply_to=mail.message_id if mail.message_id.isascii() and mail.message_id.isprintable() else "",
    )
    signing = SigningKey.from_pkcs8(key.certificate, key.private_key)
    cipher = cipher_for(choice.certificate, view.policy.content_cipher)
    head, body = write_mail(letter, answer, (), signing, (choice.certificate,), cipher, randomness)
    detail = f"answer to the self-test of {answer.partner}"
    return OwnMail(unique, "", answering.recipient, head, body, letter.message_id, "smime-domain", detail)


_ANSWER = """\
This is the automatic answer of the mail encryption gateway of
{domain} to a self-test of {partner}.
Nobody needs to read or answer it.
"""


def take_answer(
    live: RegistryTransaction,
    mail: ExchangeMail,
    note: SelfTestAnswer | None,
    token: str,
    anchors_of: AnchorsOf,
    moment: float,
) -> str:
    """Judge the answer to one of our tests and keep the result; one line for tracking. note: None when a person
    answered."""
    view = live.view()
    test = live.partner_tests.found(token_hash(token))
    if test is None or test.state != "waiting" or test.domain != mail.domain:
        return "answer to no self-test that waits"
    if note is not None and (note.domain != test.partner or note.partner != test.domain):
        return f"answer to the self-test with {test.partner} is from somebody else"
    trust = signer_trust(mail, test.partner, view, anchors_of, moment)
    if note is not None and not trust.trusted:
        # A claim in somebody else's mail must not end the test: the partner's own answer may still come.
        return f"answer to the self-test with {test.partner} is not believed: {trust.detail}"
    arrived = Arrived(
        at=moment,
        encrypted=mail.encrypted,
        opened_with=mail.opened_with.certificate.thumbprint if mail.opened_with else "",
        key_state=mail.opened_with.state if mail.opened_with else "",
        cipher=mail.cipher,
        signed_by=mail.signer.thumbprint if mail.signer else "",
        trusted=trust.trusted,
        detail=trust.detail,
    )
    passed, report = answered_report(json.loads(test.result), note, arrived)
    live.partner_tests.finish(test.token_hash, "passed" if passed else "failed", json.dumps(report))
    return f"self-test with {test.partner} {'passed' if passed else 'failed'}"
