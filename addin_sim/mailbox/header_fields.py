"""The header fields of a message that the add-in looks at, whichever protocol fetches them.

Fetching whole headers would be slow in a full Inbox. What `sent_items`, `challenges` and `message_ids` read of an
`Item` must be among these.
"""

from addin_sim.challenges import CHALLENGE_HEADER
from addin_sim.sent_items import COPY_HEADER

LOOKED_AT = ("From", "Date", "Message-ID", "References", "Content-Type", COPY_HEADER, CHALLENGE_HEADER)
