"""Domain encryption: domain keys, partners, revocation, our own CA, and what incoming mail is remembered by. Frozen
as v0001 is."""

import json
from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_POLICY = {
    "subject_keywords": {
        "encrypt": ["[confidential]"],
        "sign": ["[sign]"],
        "plain": ["[plain]"],
        "portal": ["[priv]"],
    },
    "on_unprotectable": "refuse",
    "content_cipher": "auto",
    "hierarchy": ["smime-personal", "smime-domain"],
    "result_tags": True,
    "sent_copy_without_key": "refuse",
    "calendar": "encrypt",
    "reply_to_encrypted": "may",
    "protect_subject": "on-request",
    "additional_certificates": [],
    "opportunistic_tls": True,
    "portal": "off",
}
_MANAGED = {
    "return_to": "",
    "internal_certificates": [],
    "ime_address": "",
    "ime_signers": "confirm",
    "domain_key": "",
    "domain_pgp_key": "",
    "exchange_address": "",
    "sign_outgoing": "never",
}
_PARTNER = {"smime_certificates": [], "pgp_keys": [], "tls_profile": "", "route": "", "rollover": "approve"}


def upgrade() -> None:
    """Add tables; of stored settings drop the keys that were written out though nobody had set them."""
    _partners()
    _exchange()
    _validity()
    _authorities()
    _memory()
    _unset_defaults()


def _unset_defaults() -> None:
    """A key that a table does not name is inherited from now on. Every key was written out until now, so one that
    equals the default of that time was not named; but for the encryption of a partner, which was in force for it and
    must not get weaker, and its route, where a `*.x` above it would now send its mail elsewhere."""
    bind = op.get_bind()
    policy = bind.execute(sa.text("SELECT policy FROM site")).scalar_one_or_none()
    if policy is not None:
        bind.execute(sa.text("UPDATE site SET policy = :text"), {"text": _without(policy, _POLICY)})
    rows = bind.execute(sa.text("SELECT name, kind, settings FROM domains")).all()
    patterns = [name[1:] for name, _, _ in rows if name.startswith("*.")]
    for name, kind, settings in rows:
        defaults = dict(_MANAGED if kind == "managed" else _PARTNER)
        if any(name.endswith(ending) and name != f"*{ending}" for ending in patterns):
            defaults.pop("route", None)
        text = _without(settings, defaults)
        bind.execute(sa.text("UPDATE domains SET settings = :text WHERE name = :name"), {"text": text, "name": name})


def _without(settings: str, defaults: Mapping[str, object]) -> str:
    known = json.loads(settings)
    return json.dumps({key: value for key, value in known.items() if key not in defaults or value != defaults[key]})


def _partners() -> None:
    op.create_table(
        "domain_keys",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("announced_at", sa.Double(), nullable=True),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "thumbprint"),
    )
    op.create_table(
        "address_settings",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_table(
        "additional_certificates",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "thumbprint_checks",
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("thumbprint", "at"),
    )


def _exchange() -> None:
    op.create_table(
        "certificate_candidates",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "thumbprint"),
    )
    op.create_index(op.f("ix_certificate_candidates_at"), "certificate_candidates", ["at"], unique=False)
    op.create_index(op.f("ix_certificate_candidates_sender"), "certificate_candidates", ["sender"], unique=False)
    op.create_index(op.f("ix_certificate_candidates_state"), "certificate_candidates", ["state"], unique=False)
    op.create_index(
        op.f("ix_certificate_candidates_thumbprint"), "certificate_candidates", ["thumbprint"], unique=False
    )
    op.create_table(
        "partner_tests",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_partner_tests_expires_at"), "partner_tests", ["expires_at"], unique=False)
    op.create_index(op.f("ix_partner_tests_partner"), "partner_tests", ["partner"], unique=False)
    op.create_table(
        "notices",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("keep_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_notices_keep_until"), "notices", ["keep_until"], unique=False)


def _validity() -> None:
    op.create_table(
        "crls",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.Column("fetched_at", sa.Double(), nullable=True),
        sa.Column("next_update", sa.Double(), nullable=True),
        sa.Column("tried_at", sa.Double(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("wanted_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("url"),
    )
    op.create_table(
        "ocsp_answers",
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.Column("fetched_at", sa.Double(), nullable=True),
        sa.Column("next_update", sa.Double(), nullable=True),
        sa.Column("tried_at", sa.Double(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("wanted_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("question"),
    )


def _authorities() -> None:
    op.create_table(
        "authorities",
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("crl_number", sa.BigInteger(), nullable=False),
        sa.Column("crl", sa.LargeBinary(), nullable=True),
        sa.Column("crl_next_update", sa.Double(), nullable=True),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    op.create_table(
        "issued",
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("revocation_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("authority", "serial"),
    )
    op.create_index(op.f("ix_issued_owner"), "issued", ["owner"], unique=False)
    op.create_index(op.f("ix_issued_thumbprint"), "issued", ["thumbprint"], unique=False)
    op.create_table(
        "key_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_key_requests_owner"), "key_requests", ["owner"], unique=False)


def _memory() -> None:
    op.create_table(
        "opened_keys",
        sa.Column("key_digest", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("keep_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_digest", "address"),
    )
    op.create_index(op.f("ix_opened_keys_keep_until"), "opened_keys", ["keep_until"], unique=False)
    op.create_table(
        "protected_ids",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("keep_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_protected_ids_keep_until"), "protected_ids", ["keep_until"], unique=False)
