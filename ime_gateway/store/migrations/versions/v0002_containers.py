"""IME 2.0: keys of IME addresses, who may sign containers, challenges, and what was seen. Frozen as v0001 is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add six tables; nothing that is there changes."""
    op.create_table(
        "ime_keys",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=True),
        sa.Column("opens_until", sa.Double(), nullable=True),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "thumbprint"),
    )
    op.create_table(
        "signer_pins",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("address", "thumbprint"),
    )
    op.create_index(op.f("ix_signer_pins_thumbprint"), "signer_pins", ["thumbprint"], unique=False)
    op.create_index(op.f("ix_signer_pins_state"), "signer_pins", ["state"], unique=False)
    _memory()


def _memory() -> None:
    op.create_table(
        "challenges",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_challenges_address"), "challenges", ["address"], unique=False)
    op.create_index(op.f("ix_challenges_expires_at"), "challenges", ["expires_at"], unique=False)
    op.create_index(op.f("ix_challenges_message"), "challenges", ["message"], unique=False)
    op.create_table(
        "containers_seen",
        sa.Column("replay_key", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("keep_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("replay_key"),
    )
    op.create_index(op.f("ix_containers_seen_keep_until"), "containers_seen", ["keep_until"], unique=False)
    op.create_table(
        "first_ciphertexts",
        sa.Column("key_digest", sa.Text(), nullable=False),
        sa.Column("ciphertext_digest", sa.Text(), nullable=False),
        sa.Column("keep_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_digest"),
    )
    op.create_index(op.f("ix_first_ciphertexts_keep_until"), "first_ciphertexts", ["keep_until"], unique=False)
    op.create_table(
        "learnt",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("capabilities", sa.LargeBinary(), nullable=False),
        sa.Column("signing_time", sa.Double(), nullable=False),
        sa.Column("preferred", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
