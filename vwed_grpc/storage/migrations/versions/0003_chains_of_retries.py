"""Each retry knows the run that its chain began with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "task_records",
        sa.Column("retry_chain", sa.Text(collation="C"), server_default="", nullable=False),
    )
    # A run that is gone is where a chain begins that was cut before.
    op.execute("""
        WITH RECURSIVE chain (tenant, id, first) AS (
            SELECT r.tenant, r.id, r.retry_of FROM task_records r
             WHERE r.retry_of <> ''
               AND NOT EXISTS (SELECT FROM task_records o
                                WHERE o.tenant = r.tenant AND o.id = r.retry_of
                                  AND o.retry_of <> '')
            UNION ALL
            SELECT r.tenant, r.id, c.first FROM chain c
              JOIN task_records r ON r.tenant = c.tenant AND r.retry_of = c.id
             WHERE r.retry_of <> '')
        UPDATE task_records r SET retry_chain = chain.first FROM chain
         WHERE r.tenant = chain.tenant AND r.id = chain.id
    """)
    op.create_index(
        "task_records_open_retries",
        "task_records",
        ["tenant", "retry_chain", "attempt"],
        unique=False,
        postgresql_where=sa.text("retry_chain <> '' AND status IN (1, 2, 3, 4, 5, 6)"),
    )
