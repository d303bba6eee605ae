"""When a server could last write, and since when without a gap: what leases are counted by."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_pulse",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reachable_since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("service_pulse_pkey")),
        # Several servers write this row twice a second.
        postgresql_with={"fillfactor": "20"},
    )
