"""The secret by which servers know what they have stored in Redis (`cache.seal`)."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal_keys",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("seal_keys_pkey")),
    )
    # Each of the two has 122 random bits.
    op.execute("""
        INSERT INTO seal_keys (tenant, key)
        SELECT '', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    """)
