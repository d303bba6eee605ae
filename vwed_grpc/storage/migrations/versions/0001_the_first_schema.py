"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE data_cache_versions")
    op.create_table(
        "block_records",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("task_record_id", sa.Text(collation="C"), nullable=False),
        sa.Column("block_id", sa.Text(collation="C"), nullable=False),
        sa.Column("iteration", sa.Text(collation="C"), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("block_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("input_data", sa.LargeBinary(), nullable=True),
        sa.Column("output_data", sa.LargeBinary(), nullable=True),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "parent_block_record_id", sa.Text(collation="C"), server_default="", nullable=False
        ),
        sa.Column("robot_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("message", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("error_message", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("progress", sa.Double(), server_default="0", nullable=False),
        sa.Column("first_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant",
            "task_record_id",
            "block_id",
            "iteration",
            "attempt",
            name=op.f("block_records_pkey"),
        ),
        sa.UniqueConstraint(
            "tenant",
            "task_record_id",
            "first_seq",
            name=op.f("block_records_tenant_task_record_id_first_seq_key"),
        ),
        sa.UniqueConstraint(
            "tenant",
            "task_record_id",
            "id",
            name=op.f("block_records_tenant_task_record_id_id_key"),
        ),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "data_cache",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("task_record_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task_record_id", "key", name=op.f("data_cache_pkey")),
    )
    op.create_index(
        "data_cache_expiring",
        "data_cache",
        ["expire_time"],
        unique=False,
        postgresql_where=sa.text("expire_time IS NOT NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("request_id", sa.Text(collation="C"), nullable=False),
        sa.Column("method", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("resource_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "request_id", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(
        op.f("idempotency_keys_expire_time"), "idempotency_keys", ["expire_time"], unique=False
    )
    op.create_table(
        "task_def_facets",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("facet", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", "facet", name=op.f("task_def_facets_pkey")),
    )
    op.create_index(
        "task_def_facets_create_time",
        "task_def_facets",
        ["tenant", "facet", "create_time", "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_create_time_desc",
        "task_def_facets",
        ["tenant", "facet", sa.literal_column("create_time DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_name", "task_def_facets", ["tenant", "facet", "name", "id"], unique=False
    )
    op.create_index(
        "task_def_facets_name_desc",
        "task_def_facets",
        ["tenant", "facet", sa.literal_column("name DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_task_type",
        "task_def_facets",
        ["tenant", "facet", "task_type", "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_task_type_desc",
        "task_def_facets",
        ["tenant", "facet", sa.literal_column("task_type DESC NULLS LAST"), "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_update_time",
        "task_def_facets",
        ["tenant", "facet", "update_time", "id"],
        unique=False,
    )
    op.create_index(
        "task_def_facets_update_time_desc",
        "task_def_facets",
        ["tenant", "facet", sa.literal_column("update_time DESC"), "id"],
        unique=False,
    )
    op.create_table(
        "task_def_versions",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("task_def_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("description", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("change_note", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("write_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "task_def_id", "version", name=op.f("task_def_versions_pkey")
        ),
    )
    op.create_table(
        "task_defs",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("description", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("change_note", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("etag", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("task_template_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_template_version", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("task_defs_pkey")),
    )
    op.create_index(
        "task_defs_live_name",
        "task_defs",
        ["tenant", "name"],
        unique=True,
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_table(
        "task_record_events",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("task_record_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "xact",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "tenant", "task_record_id", "seq", name=op.f("task_record_events_pkey")
        ),
    )
    op.create_index(
        "task_record_events_age",
        "task_record_events",
        ["event_time"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_index(
        op.f("task_record_events_tenant_xact_task_record_id_seq"),
        "task_record_events",
        ["tenant", "xact", "task_record_id", "seq"],
        unique=False,
    )
    op.create_table(
        "task_record_labels",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(collation="C"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_record_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant",
            "key",
            "value",
            "create_time",
            "task_record_id",
            name=op.f("task_record_labels_pkey"),
        ),
    )
    op.create_index(
        op.f("task_record_labels_tenant_task_record_id"),
        "task_record_labels",
        ["tenant", "task_record_id"],
        unique=False,
    )
    op.create_table(
        "task_records",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("task_def_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_def_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("task_def_name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_message", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("error_code", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("executor_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease", sa.Interval(), nullable=True),
        sa.Column("lease_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("robot_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("message", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "parent_task_record_id", sa.Text(collation="C"), server_default="", nullable=False
        ),
        sa.Column(
            "parent_block_record_id", sa.Text(collation="C"), server_default="", nullable=False
        ),
        sa.Column("root_task_record_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("retry_of", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("config_blocks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_pending", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_paused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_canceled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocks_recorded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("run_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("final_seq", sa.BigInteger(), nullable=True),
        sa.Column("pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("status_actor", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("status_reason", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("etag", sa.Text(collation="C"), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("task_records_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "task_records_claimable",
        "task_records",
        ["tenant", sa.literal_column("priority DESC"), "create_time", "id"],
        unique=False,
        postgresql_where=sa.text("status IN (1, 6)"),
    )
    op.create_index("task_records_ended", "task_records", ["tenant", "end_time"], unique=False)
    op.create_index(
        "task_records_executor_id",
        "task_records",
        ["tenant", "executor_id", sa.literal_column("create_time DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("executor_id != ''"),
    )
    op.create_index(
        "task_records_external_id",
        "task_records",
        ["tenant", "external_id", sa.literal_column("create_time DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("external_id != ''"),
    )
    op.create_index(
        "task_records_leased",
        "task_records",
        ["tenant", "id"],
        unique=False,
        postgresql_where=sa.text("status IN (2, 3, 4, 5) AND lease IS NOT NULL"),
    )
    op.create_index(
        "task_records_newest",
        "task_records",
        ["tenant", sa.literal_column("create_time DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_records_open_of_task_def",
        "task_records",
        ["tenant", "task_def_id"],
        unique=False,
        postgresql_where=sa.text("status IN (1, 2, 3, 4, 5, 6)"),
    )
    op.create_index(
        "task_records_parent_task_record_id",
        "task_records",
        ["tenant", "parent_task_record_id", sa.literal_column("create_time DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("parent_task_record_id != ''"),
    )
    op.create_index(
        "task_records_retry_of",
        "task_records",
        ["tenant", "retry_of", sa.literal_column("create_time DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("retry_of != ''"),
    )
    op.create_index(
        "task_records_robot_id",
        "task_records",
        ["tenant", "robot_id", sa.literal_column("create_time DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("robot_id != ''"),
    )
    op.create_index(
        "task_records_status",
        "task_records",
        ["tenant", "status", sa.literal_column("create_time DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_records_task_def_id",
        "task_records",
        ["tenant", "task_def_id", sa.literal_column("create_time DESC"), "id"],
        unique=False,
    )
    op.create_table(
        "task_template_facets",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("facet", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", "facet", name=op.f("task_template_facets_pkey")),
    )
    op.create_index(
        "task_template_facets_create_time",
        "task_template_facets",
        ["tenant", "facet", "create_time", "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_create_time_desc",
        "task_template_facets",
        ["tenant", "facet", sa.literal_column("create_time DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_name",
        "task_template_facets",
        ["tenant", "facet", "name", "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_name_desc",
        "task_template_facets",
        ["tenant", "facet", sa.literal_column("name DESC"), "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_task_type",
        "task_template_facets",
        ["tenant", "facet", "task_type", "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_task_type_desc",
        "task_template_facets",
        ["tenant", "facet", sa.literal_column("task_type DESC NULLS LAST"), "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_update_time",
        "task_template_facets",
        ["tenant", "facet", "update_time", "id"],
        unique=False,
    )
    op.create_index(
        "task_template_facets_update_time_desc",
        "task_template_facets",
        ["tenant", "facet", sa.literal_column("update_time DESC"), "id"],
        unique=False,
    )
    op.create_table(
        "task_template_versions",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("task_template_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("description", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("change_note", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("write_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parameters_schema", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "task_template_id", "version", name=op.f("task_template_versions_pkey")
        ),
    )
    op.create_table(
        "task_templates",
        sa.Column("tenant", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("description", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("change_note", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("etag", sa.Text(collation="C"), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("task_templates_pkey")),
    )
    op.create_index(
        "task_templates_live_name",
        "task_templates",
        ["tenant", "name"],
        unique=True,
        postgresql_where=sa.text("delete_time IS NULL"),
    )
