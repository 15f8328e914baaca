"""What is known about signers of containers: verdicts on their certificates, and what a container adds to it.

Asks the directory and the trust list, decides nothing (`ime/signers` does). What it makes, pins and capabilities, is
committed with the container itself; a refused container leaves nothing.
"""

from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ime.container import Signature
from ime_gateway.ime.endorsement import new_signer
from ime_gateway.ime.replay import KEEP_SECONDS, replay_key
from ime_gateway.ime.signers import MOST_PINS, Allowed, SignerFacts
from ime_gateway.keys.kept_for import KeptFor
from ime_gateway.keys.signer import address_match, judge_signer, leads_to_root
from ime_gateway.mail.address import Address
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.pipeline.incoming_policy import partners_of_certificates
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.ports.containers import ContainerRecord, Learnt, Pin
from ime_gateway.ports.directory import Directory, SiteView


@dataclass(slots=True)
class SignerBook:
    """Judges signers."""

    directory: Directory
    revocations: Revocations

    async def listed(self, person: Address, view: SiteView) -> tuple[Certificate, ...]:
        """What the directory has for a person: signatures may leave their certificate out."""
        return (await self.directory.certificates(view, [person.key])).get(person.key, ())

    async def learn(
        self, certificate: Certificate, carried: tuple[Certificate, ...], view: SiteView, moment: float
    ) -> None:
        """Find out what can be found out about revocations before `facts` is asked about a signer.

        moment: seconds since 1970 UTC. Raises StoreUnavailable, and TimeoutError when policy wants to know and the
        answer is still on its way.
        """
        await self.revocations.judged(view, moment, lambda anchors: judge_signer(certificate, anchors, moment, carried))

    async def facts(
        self,
        certificate: Certificate,
        carried: tuple[Certificate, ...],
        person: Address,
        view: SiteView,
        moment: float,
    ) -> SignerFacts:
        """Path, trust and identity of a signer, as three answers. moment: seconds since 1970 UTC. Raises
        StoreUnavailable."""
        anchors = self.revocations.known(view)
        verdict = judge_signer(certificate, anchors, moment, carried)
        left_out = ""
        if verdict.usable and anchors.allows(certificate) and not leads_to_root(certificate, anchors, moment, carried):
            left_out = (await self._kept_for(certificate, view)).leaves_out(person.key)
        named = address_match(certificate, [person.key])
        unknown = verdict.reason is Reason.CERTIFICATE_UNTRUSTED
        return SignerFacts(
            certificate=certificate,
            names_person=named.matches,
            names_others=bool(certificate.addresses) and not named.matches,
            trusted=verdict.usable and not left_out,
            fault=None if verdict.usable or unknown else verdict.reason,
            evidence=left_out or verdict.detail,
        )

    async def _kept_for(self, certificate: Certificate, view: SiteView) -> KeptFor:
        people = (await self.directory.owners(view, [certificate.thumbprint]))[certificate.thumbprint]
        return KeptFor(partners_of_certificates(view).get(certificate, ()), people)

    async def endorsed(
        self,
        person: Address,
        headers: HeaderBlock,
        verdict: Allowed,
        pins: tuple[Pin, ...],
        view: SiteView,
        moment: float,
    ) -> Pin | Refused | None:
        """The signer that this container brings for its sender, signed by one that is pinned already."""
        try:
            certificate = new_signer(headers)
        except UnreadableCertificate as error:
            return Refused(Reason.IME_MALFORMED, str(error))
        if certificate is None:
            return None
        state = next((pin.state for pin in pins if pin.certificate == certificate), "")
        if state == "approved":
            return None
        if verdict.how != "pin":
            return _not_endorsed("only a signer that is confirmed itself may name a new one")
        if state == "revoked":
            return _not_endorsed("the new signer was revoked by an administrator")
        facts = await self.facts(certificate, (), person, view, moment)
        if facts.fault is not None or not facts.names_person:
            return _not_endorsed(f"the new signer cannot sign for {person}: {facts.evidence}")
        if sum(pin.state == "approved" for pin in pins) >= MOST_PINS:
            return _not_endorsed(f"{MOST_PINS} signers are approved already")
        return Pin(person.key, certificate, "approved", "endorsed", moment, "named in a container")

    def record(
        self,
        person: Address,
        sender: Address,
        signature: Signature,
        verdict: Allowed,
        endorsed: Pin | None,
        moment: float,
    ) -> ContainerRecord:
        """What is committed together with the message."""
        pins = [] if endorsed is None else [endorsed]
        if verdict.how == "first-use":
            pins.append(Pin(person.key, signature.certificate, "approved", "first-use", moment, "the first that came"))
        learnt = None
        if signature.capabilities is not None:
            preferred = signature.preferred.thumbprint if signature.preferred is not None else ""
            learnt = Learnt(person.key, signature.capabilities, signature.signing_time, preferred)
        return ContainerRecord(
            replay_key(signature),
            sender.key,
            moment + KEEP_SECONDS,
            tuple(pins),
            signature.certificate.thumbprint,
            learnt,
        )


def _not_endorsed(detail: str) -> Refused:
    return Refused(Reason.IME_SIGNER_UNKNOWN, f"X-IMEGW-New-Signer: {detail}")
