"""An index by which the oldest run that waits is found for each tenant and task type."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "task_records_pending",
        "task_records",
        ["tenant", "task_type", "create_time"],
        postgresql_where=sa.text("status = 1"),
    )
