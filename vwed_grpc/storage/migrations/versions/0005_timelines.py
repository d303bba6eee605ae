"""Which copy of the data this is: a random id, and PostgreSQL's timelines that it went through."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "timelines",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("timeline", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("copy", sa.Text(collation="C"), nullable=False),
        sa.Column("first_xact", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("writable_from", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "timeline", name=op.f("timelines_pkey")),
    )
    # Servers add rows for later ones, and wait before they write on them; on this one nobody waits.
    op.execute("""
        INSERT INTO timelines (tenant, timeline, copy, first_xact, writable_from)
        SELECT '', ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int,
               right(gen_random_uuid()::text, 12), (pg_current_xact_id()::text)::bigint,
               clock_timestamp()
    """)
