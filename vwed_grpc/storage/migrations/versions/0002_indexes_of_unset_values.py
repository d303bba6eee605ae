"""The indexes of lists have the runs, too, that no executor or robot has, or no other system named.

Lists by create_time with the filter value "" read them in order. What releases before this one ask
for is found in these indexes as well.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("external_id", "executor_id", "robot_id")


def upgrade() -> None:
    for column in _COLUMNS:
        op.drop_index(f"task_records_{column}", "task_records")
        op.create_index(
            f"task_records_{column}",
            "task_records",
            ["tenant", column, sa.literal_column("create_time DESC"), "id"],
        )
