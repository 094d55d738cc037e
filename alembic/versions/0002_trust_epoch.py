"""The trust epoch: one number that the database raises whenever whom we trust changes.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RAISE = "BEGIN UPDATE trust_epoch SET epoch = epoch + 1; END"
TRUSTED = ("departments", "department_keys", "type_issuers")


def upgrade() -> None:
    op.create_table(
        "trust_epoch",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_epoch")),
    )
    op.execute("INSERT INTO trust_epoch (id, epoch) VALUES (1, 1)")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION raise_trust_epoch() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN UPDATE trust_epoch SET epoch = epoch + 1; RETURN NULL; END$$"
        )
    for table in TRUSTED:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER raise_trust_epoch AFTER INSERT OR UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION raise_trust_epoch()"
            )
            continue
        for act in ("insert", "update", "delete"):
            op.execute(f"CREATE TRIGGER raise_trust_epoch_{table}_{act} AFTER {act} ON {table} {RAISE}")


def downgrade() -> None:
    for table in TRUSTED:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER raise_trust_epoch ON {table}")
            continue
        for act in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER raise_trust_epoch_{table}_{act}")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION raise_trust_epoch()")
    op.drop_table("trust_epoch")
