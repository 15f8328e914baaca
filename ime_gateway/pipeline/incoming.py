"""Mail of an internet listener: whatever could steer us or impress a reader is removed, the rest passes.

Control and status headers of outsiders are stripped at every nesting level, and so are the headers by
which Exchange talks to itself (design 6.5, fact 6): an outsider steers nothing (P5).
"""

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.markers import strip_markers
from ime_gateway.pipeline.admission import Admitted
from ime_gateway.pipeline.outgoing import addressed_recipients
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.ports.reception import Submission


def prepare_incoming(submission: Submission, admitted: Admitted) -> Prepared | Refused:
    """A message from outside without any marker; refused when markers hide where they cannot be removed."""
    try:
        message = strip_markers(admitted.message, exchange_headers=True)
    except UnreadableMail as error:
        return Refused(Reason.MALFORMED, str(error))
    return Prepared(
        message=message,
        sender=submission.sender,
        recipients=addressed_recipients(submission, message.headers),
        direction="incoming",
        origin="internet",
        as_it_came=admitted.message,
    )
