"""cases points rankings

Revision ID: 0008
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "points_schemes",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_points_schemes")),
    )
    op.create_table(
        "rankings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=False),
        sa.Column("scheme_version", sa.Integer(), nullable=False),
        sa.Column("title_zh", sa.String(length=120), nullable=False),
        sa.Column("title_en", sa.String(length=120), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column(
            "seed_sha256",
            sa.LargeBinary(),
            nullable=False,
            comment="in the ledger before the list was closed",
        ),
        sa.Column(
            "sealed_seed",
            sa.LargeBinary(),
            nullable=False,
            comment="sealed under the hub's own key until drawn",
        ),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_leaf", sa.LargeBinary(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_leaf", sa.LargeBinary(), nullable=True),
        sa.Column(
            "list_sha256", sa.LargeBinary(), nullable=True, comment="of the receipts in order: who takes part"
        ),
        sa.Column("entries", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False, comment="0: not drawn yet"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rankings")),
        sa.UniqueConstraint("public_id", name=op.f("uq_rankings_public_id")),
    )
    with op.batch_alter_table("rankings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rankings_department"), ["department"], unique=False)

    op.create_table(
        "ranking_entries",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("ranking_id", sa.Uuid(), nullable=False),
        sa.Column("receipt", sa.String(length=22), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_ranking_entries_case_id")),
        sa.ForeignKeyConstraint(["ranking_id"], ["rankings.id"], name=op.f("fk_ranking_entries_ranking_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_ranking_entries")),
        sa.UniqueConstraint("receipt", name=op.f("uq_ranking_entries_receipt")),
    )
    with op.batch_alter_table("ranking_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ranking_entries_ranking_id"), ["ranking_id"], unique=False)

    op.create_table(
        "ranking_lines",
        sa.Column("ranking_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.String(length=22), nullable=False),
        sa.Column("total", sa.String(length=16), nullable=False),
        sa.Column(
            "ties",
            sa.String(length=120),
            nullable=False,
            comment="numbers in the published order, one blank between",
        ),
        sa.Column("lot", sa.String(length=64), nullable=False),
        sa.Column("by_lot", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["ranking_id"], ["rankings.id"], name=op.f("fk_ranking_lines_ranking_id")),
        sa.PrimaryKeyConstraint("ranking_id", "revision", "position", name=op.f("pk_ranking_lines")),
    )
    with op.batch_alter_table("ranking_lines", schema=None) as batch_op:
        batch_op.create_index("ix_ranking_lines_receipt", ["ranking_id", "revision", "receipt"], unique=False)

    op.create_table(
        "ranking_results",
        sa.Column("ranking_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=120), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="of the published list, as bytes"),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drawn_by", sa.String(length=96), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["ranking_id"], ["rankings.id"], name=op.f("fk_ranking_results_ranking_id")),
        sa.PrimaryKeyConstraint("ranking_id", "revision", name=op.f("pk_ranking_results")),
    )
    op.create_table(
        "score_reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("score_id", sa.Uuid(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column(
            "sealed_reason",
            sa.LargeBinary(),
            nullable=False,
            comment="the applicant's words, sealed for them",
        ),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "due_on", sa.Date(), nullable=True, comment="null: that year's calendar is not published yet"
        ),
        sa.Column(
            "calendar", sa.String(length=48), nullable=False, comment="which working-day calendar counted"
        ),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.String(length=96), nullable=True),
        sa.Column(
            "sealed_answer",
            sa.LargeBinary(),
            nullable=True,
            comment="the department's words, sealed for the applicant",
        ),
        sa.Column("new_score_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_score_reviews_case_id")),
        sa.ForeignKeyConstraint(
            ["new_score_id"], ["case_scores.id"], name=op.f("fk_score_reviews_new_score_id")
        ),
        sa.ForeignKeyConstraint(["score_id"], ["case_scores.id"], name=op.f("fk_score_reviews_score_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score_reviews")),
        sa.UniqueConstraint("public_id", name=op.f("uq_score_reviews_public_id")),
        sa.UniqueConstraint("score_id", name=op.f("uq_score_reviews_score_id")),
    )
    with op.batch_alter_table("score_reviews", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_score_reviews_case_id"), ["case_id"], unique=False)
        batch_op.create_index(
            "ix_score_reviews_department", ["department", "state", "asked_at"], unique=False
        )

    with op.batch_alter_table("case_scores", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "scored_by",
                sa.String(length=96),
                nullable=True,
                comment="who scored: another officer answers a review",
            )
        )
        batch_op.add_column(
            sa.Column("as_of", sa.Date(), nullable=True, comment="the civil day that the score speaks of")
        )
        batch_op.add_column(
            sa.Column(
                "ties",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                nullable=True,
                comment="what decides between equal totals, in the published order",
            )
        )
        batch_op.add_column(
            sa.Column(
                "sealed_evidence",
                sa.LargeBinary(),
                nullable=True,
                comment="what was shown, sealed for the applicant: for recomputation",
            )
        )
        batch_op.add_column(
            sa.Column(
                "replaced_by",
                sa.Uuid(),
                nullable=True,
                comment="the score that took its place; null: this one stands",
            )
        )

    # Of several scores of one case only the newest stands.
    op.execute(
        "UPDATE case_scores SET replaced_by = (SELECT later.id FROM case_scores AS later"
        " WHERE later.case_id = case_scores.case_id AND later.scored_at > case_scores.scored_at"
        " ORDER BY later.scored_at LIMIT 1)"
    )


def downgrade() -> None:
    with op.batch_alter_table("case_scores", schema=None) as batch_op:
        batch_op.drop_column("replaced_by")
        batch_op.drop_column("sealed_evidence")
        batch_op.drop_column("ties")
        batch_op.drop_column("as_of")
        batch_op.drop_column("scored_by")

    with op.batch_alter_table("score_reviews", schema=None) as batch_op:
        batch_op.drop_index("ix_score_reviews_department")
        batch_op.drop_index(batch_op.f("ix_score_reviews_case_id"))

    op.drop_table("score_reviews")
    op.drop_table("ranking_results")
    with op.batch_alter_table("ranking_lines", schema=None) as batch_op:
        batch_op.drop_index("ix_ranking_lines_receipt")

    op.drop_table("ranking_lines")
    with op.batch_alter_table("ranking_entries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ranking_entries_ranking_id"))

    op.drop_table("ranking_entries")
    with op.batch_alter_table("rankings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rankings_department"))

    op.drop_table("rankings")
    op.drop_table("points_schemes")
