"""The tables of the store, one schema on SQLite and PostgreSQL.

What is promised to a peer (parcels, envelopes, bodies, queue_rows), what was decided (events), what
administrators set (domains, certificates, trust) and what they did (audit), what IME 2.0 needs to
believe a container (ime_keys, signer_pins, challenges, containers_seen, first_ciphertexts, learnt), and what
domain encryption lives on (domain_keys to notices). Times are
seconds since 1970 UTC. Columns called `sealed…` hold nothing that could be read without the master key.
Migrations build the tables; a test compares them with this description.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s"})

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only in INTEGER PRIMARY KEY


def _text(name: str, *, index: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, index=index)


def _moment(name: str, *, index: bool = False) -> Column[float]:
    return Column(name, Double, nullable=False, index=index)


meta = Table("meta", metadata, Column("name", Text, primary_key=True), _text("value"))
"""`key_check`: which master key sealed this store."""

parcels = Table(
    "parcels",
    metadata,
    Column("id", Text, primary_key=True),
    _text("sender"),
    _text("message_id"),
    _text("origin"),
    _moment("received_at"),
    _text("ret"),
    _text("envid"),
    Column("smtputf8", Boolean, nullable=False),
    Column("sealed_return_headers", LargeBinary, nullable=False),
)
"""One accepted message."""

bodies = Table(
    "bodies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    _text("place"),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("sealed_content", LargeBinary),
)
"""A sealed body. `place`: `row` (sealed_content), `chunks` (body_chunks) or `file` (spool folder)."""

body_chunks = Table(
    "body_chunks",
    metadata,
    Column("body_id", Text, ForeignKey("bodies.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sealed_content", LargeBinary, nullable=False),
)
"""Chunks of bodies that are too large for one row, where nodes share no disk."""

envelopes = Table(
    "envelopes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body_id", Text, ForeignKey("bodies.id"), nullable=False, index=True),
    Column("base64", Boolean, nullable=False),
    Column("eight_bit", Boolean, nullable=False),
    Column("wire_size", BigInteger, nullable=False),
    Column("sealed_parts", LargeBinary, nullable=False),
)
"""How one group of recipients gets a body; head, prefix and suffix are sealed together."""

queue_rows = Table(
    "queue_rows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("parcel_id", Text, ForeignKey("parcels.id"), nullable=False, index=True),
    Column("envelope_id", Text, ForeignKey("envelopes.id"), nullable=False, index=True),
    _text("recipient"),
    _text("copy"),
    _text("protection"),
    _text("reason"),
    _text("detail"),
    _text("notify"),
    _text("orcpt"),
    _text("state"),
    _text("wish"),
    Column("due", Double),
    _moment("next_attempt"),
    Column("attempts", Integer, nullable=False),
    _text("last_reply"),
    Column("lease", Text),
    Column("lease_owner", Text),
    Index("ix_queue_rows_due", "due"),
)
"""One recipient of one copy that is still owed.

`due`: when a worker may take the row: the next attempt, or the end of its lease while one sends;
empty while held. So one index answers "what is due" however much mail is deferred.
`wish`: what an administrator asked for: `hold`, `report` or `silent` (drop with or without DSN), or nothing.
"""

events = Table(
    "events",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    _text("id", index=True),
    _text("message_id", index=True),
    _text("sender", index=True),
    _text("recipient", index=True),
    _text("copy"),
    _text("event"),
    _text("reason"),
    _text("detail"),
    _moment("at"),
    _text("row_id"),
)
"""The tracking page, one line per thing that happened to a recipient."""

failures = Table(
    "failures",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("times", Integer, nullable=False),
    _moment("first_at"),
)
"""How often the same message made us fail (design 6.5, fact 10)."""

held_evidence = Table(
    "held_evidence",
    metadata,
    Column("id", Text, primary_key=True),
    _text("digest", index=True),
    _text("sender"),
    _text("recipients"),
    Column("sealed_headers", LargeBinary, nullable=False),
    _text("cause"),
    _moment("at"),
    _text("parcel_rows"),
)
"""What is kept of a message that made us fail again and again; lists are JSON."""

next_hop_sizes = Table(
    "next_hop_sizes",
    metadata,
    Column("route", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
)
"""SIZE as each next hop announced it last (RFC 1870)."""

site = Table(
    "site",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    _text("policy"),
)
"""One row: the count of changes to live data, and the policy as JSON."""

domains = Table(
    "domains",
    metadata,
    Column("name", Text, primary_key=True),
    _text("kind"),
    _text("settings"),
)
"""`kind`: `managed` or `partner`; `settings`: JSON of the site file's model."""

domain_certificates = Table(
    "domain_certificates",
    metadata,
    Column("domain", Text, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("der", LargeBinary, nullable=False),
)
"""Certificates that stand for a whole domain, in the order of the site file."""

certificates = Table(
    "certificates",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    _text("subject"),
    Column("is_ca", Boolean, nullable=False, index=True),
    Column("der", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary),
    _moment("imported_at"),
)
"""Imported certificates of people, and links of paths."""

certificate_addresses = Table(
    "certificate_addresses",
    metadata,
    Column("address", Text, primary_key=True),
    Column("thumbprint", Text, ForeignKey("certificates.thumbprint", ondelete="CASCADE"), primary_key=True, index=True),
)
"""Address keys for which a certificate may be chosen."""

roots = Table(
    "roots",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    Column("der", LargeBinary, nullable=False),
)
"""Trust anchors."""

trust = Table(
    "trust",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    _text("verdict"),
    Column("allow_expired", Boolean, nullable=False),
    _text("note"),
)
"""The certificate trust list."""

admins = Table(
    "admins",
    metadata,
    Column("name", Text, primary_key=True),
    _text("password_hash"),
    Column("must_change", Boolean, nullable=False),
)
"""People who may use the administrators' site."""

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    _moment("at"),
    _text("actor"),
    _text("action"),
    _text("detail"),
    Column("chain", LargeBinary, nullable=False),
)
"""What administrators did. `chain` authenticates the line and everything before it, so that a line
that was changed, removed or slipped in later shows."""

ime_keys = Table(
    "ime_keys",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("thumbprint", Text, primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary),
    Column("opens_until", Double),
    _moment("made_at"),
)
"""Key pairs of the IME addresses of managed domains. `opens_until`: empty for the current key; for an older one the
end of its overlap, after which housekeeping erases its private key and keeps the certificate for the record."""

signer_pins = Table(
    "signer_pins",
    metadata,
    Column("address", Text, primary_key=True),
    Column("thumbprint", Text, primary_key=True, index=True),
    Column("der", LargeBinary, nullable=False),
    _text("state", index=True),
    _text("origin"),
    _moment("at"),
    _text("note"),
)
"""Which certificate may sign containers for whom; states and origins as in ports/containers."""

challenges = Table(
    "challenges",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _text("address", index=True),
    _text("thumbprint"),
    Column("der", LargeBinary, nullable=False),
    _moment("sent_at"),
    _moment("expires_at", index=True),
    _text("message", index=True),
)
"""Questions to mailboxes that were not answered yet; `message`: the parcel that asks."""

containers_seen = Table(
    "containers_seen",
    metadata,
    Column("replay_key", Text, primary_key=True),
    _text("sender"),
    _text("message"),
    _moment("at"),
    _moment("keep_until", index=True),
)
"""Containers that were accepted, so that none is acted upon twice; `message`: the parcel that it became."""

first_ciphertexts = Table(
    "first_ciphertexts",
    metadata,
    Column("key_digest", Text, primary_key=True),
    _text("ciphertext_digest"),
    _moment("keep_until", index=True),
)
"""The first ciphertext without a tag under each encrypted content key: about any other nobody learns anything."""

learnt = Table(
    "learnt",
    metadata,
    Column("address", Text, primary_key=True),
    Column("capabilities", LargeBinary, nullable=False),
    _moment("signing_time"),
    _text("preferred"),
)
"""What verified signatures told about their signers' programs (RFC 8551 section 2.5.2)."""

domain_keys = Table(
    "domain_keys",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("thumbprint", Text, primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    _text("state"),
    _moment("since"),
    Column("announced_at", Double),
    _moment("made_at"),
)
"""Key pairs that stand for a whole managed domain. `state`: `next` (announced, opens already), `current` (signs and is
what partners should use) or `older` (only opens); `since`: when it came into that state."""

address_settings = Table("address_settings", metadata, Column("address", Text, primary_key=True), _text("settings"))
"""What administrators set for single addresses, ours or partners': JSON of the site file's model."""

additional_certificates = Table(
    "additional_certificates",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("der", LargeBinary, nullable=False),
)
"""To which everything is encrypted, too (an archive), in the order of the site file."""

thumbprint_checks = Table(
    "thumbprint_checks",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    Column("at", Double, primary_key=True),
    _text("actor"),
    _text("method"),
    _text("person"),
    _text("note"),
)
"""Who compared a thumbprint with whom, how and when."""

certificate_candidates = Table(
    "certificate_candidates",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("thumbprint", Text, primary_key=True, index=True),
    _text("kind"),
    Column("der", LargeBinary, nullable=False),
    _text("state", index=True),
    _text("origin"),
    _text("sender", index=True),
    _text("message_id"),
    _text("evidence"),
    _moment("at", index=True),
)
"""Certificates that mail or directories brought and nobody has put in force; `owner`: an `Address.key`, or a domain."""

crls = Table(
    "crls",
    metadata,
    Column("url", Text, primary_key=True),
    Column("der", LargeBinary),
    Column("fetched_at", Double),
    Column("next_update", Double),
    _moment("tried_at"),
    _text("fault"),
    _moment("wanted_at"),
)
"""The newest list of each distribution point, and how the last attempt to get a newer one ended."""

ocsp_answers = Table(
    "ocsp_answers",
    metadata,
    Column("question", Text, primary_key=True),
    Column("der", LargeBinary),
    Column("fetched_at", Double),
    Column("next_update", Double),
    _moment("tried_at"),
    _text("fault"),
    _moment("wanted_at"),
)
"""The same for single answers (RFC 6960); `question` names issuer and serial number."""

authorities = Table(
    "authorities",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    _text("role"),
    Column("der", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary),
    _text("state"),
    Column("crl_number", BigInteger, nullable=False),
    Column("crl", LargeBinary),
    Column("crl_next_update", Double),
    _moment("made_at"),
)
"""Our own CAs: `role` `root` or `issuing`, `state` `active` or `retired`; without private key: it is kept offline."""

issued = Table(
    "issued",
    metadata,
    Column("authority", Text, primary_key=True),
    Column("serial", Text, primary_key=True),
    _text("thumbprint", index=True),
    Column("der", LargeBinary, nullable=False),
    _text("owner", index=True),
    _text("purpose"),
    _moment("made_at"),
    Column("revoked_at", Double),
    _text("revocation_reason"),
)
"""Certificates that our CAs issued; `serial` is hexadecimal, `revocation_reason` the word of RFC 5280 section 5.3.1."""

key_requests = Table(
    "key_requests",
    metadata,
    Column("id", Text, primary_key=True),
    _text("owner", index=True),
    _text("purpose"),
    Column("request", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    _moment("made_at"),
)
"""Certificate requests (PKCS#10) that wait for their certificate, with the key that waits here."""

opened_keys = Table(
    "opened_keys",
    metadata,
    Column("key_digest", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    _text("content_digest"),
    _text("message"),
    _moment("at"),
    _moment("keep_until", index=True),
)
"""For whom each encrypted content key was opened first, and with what: for nobody and nothing else it is again."""

protected_ids = Table(
    "protected_ids",
    metadata,
    Column("digest", Text, primary_key=True),
    _moment("keep_until", index=True),
)
"""Keyed hashes of the Message-IDs of mail that came encrypted: what answers it must not leave in clear."""

partner_tests = Table(
    "partner_tests",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _text("partner", index=True),
    _text("domain"),
    _text("state"),
    _text("result"),
    _moment("at"),
    _moment("expires_at", index=True),
)
"""Self-tests with partners, both directions; `result`: JSON."""

notices = Table(
    "notices",
    metadata,
    Column("name", Text, primary_key=True),
    _moment("at"),
    _moment("keep_until", index=True),
)
"""What administrators were told already, such as that a certificate ends in 30 days."""
