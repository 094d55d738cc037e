"""Case tables: one application, the scores that came out of it, their reviews, and the rankings they stand in."""

from enum import StrEnum

import sqlalchemy as sa

from hub.store.base import Instant, Json, key_columns, metadata


class CaseState(StrEnum):
    """Where a case stands on its way. How it ended is its `CaseOutcome`, given once."""

    OPEN = "open"
    GATHERED = "gathered"
    ACCEPTED = "accepted"
    DECIDED = "decided"
    SCORED = "scored"
    CLOSED = "closed"


class CaseOutcome(StrEnum):
    """The one final state of a case."""

    PASSED = "passed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class StepState(StrEnum):
    """One department's part: its clock runs, stands still while the applicant mends something, or has ended."""

    RUNNING = "running"
    PAUSED = "paused"
    DECIDED = "decided"


class MaterialState(StrEnum):
    """What became of something that the applicant uploaded. Mend: another upload takes its place."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    MEND = "mend"
    REFUSED = "refused"


cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("item_version", sa.Integer, nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("applicant", sa.Uuid, nullable=False, comment="who applies: the parent whose points count"),
    sa.Column("beneficiary", sa.Uuid, comment="for whom: the child"),
    sa.Column("opened_by", sa.String(96), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("hall", sa.String(32), comment="where it was accepted; null: online, or by its own department"),
    sa.Column("outcome", sa.String(12), comment="the one final state; null until then"),
    sa.Column("steps_open", sa.Integer, nullable=False, server_default="0", comment="parts not decided yet"),
    sa.Column("accepted_at", Instant),
    sa.Column("decided_at", Instant),
    sa.Column("archived_at", Instant, comment="its package is kept, or there is nothing to keep any more"),
    sa.Index("ix_cases_applicant", "applicant"),
    sa.Index("ix_cases_department", "department", "opened_at"),
)
_ENDED = sa.and_(cases.c.outcome.is_not(None), cases.c.closed_at.is_(None))
_UNKEPT = sa.and_(cases.c.closed_at.is_not(None), cases.c.archived_at.is_(None))
# What waits to be closed, and to be archived: small beside all the cases of a city.
sa.Index("ix_cases_ended", cases.c.decided_at, postgresql_where=_ENDED, sqlite_where=_ENDED)
sa.Index("ix_cases_unkept", cases.c.closed_at, postgresql_where=_UNKEPT, sqlite_where=_UNKEPT)

case_scores = sa.Table(
    "case_scores",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("scheme", sa.String(64), nullable=False),
    sa.Column("scheme_version", sa.Integer, nullable=False),
    sa.Column("total", sa.Numeric(8, 2), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False, comment="the explained lines, sealed for the applicant"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Column("scored_at", Instant, nullable=False),
    sa.Column("scored_by", sa.String(96), comment="who scored: another officer answers a review"),
    sa.Column("as_of", sa.Date, comment="the civil day that the score speaks of"),
    sa.Column("ties", Json, comment="what decides between equal totals, in the published order"),
    sa.Column("sealed_evidence", sa.LargeBinary, comment="what was shown, sealed for the applicant"),
    sa.Column("replaced_by", sa.Uuid, comment="the score that took its place; null: this one stands"),
)

points_schemes = sa.Table(
    "points_schemes",
    metadata,  # every version that ever scored anybody, for ever: a score can be computed again under its text
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("document", Json, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("published_at", Instant, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)


class ReviewState(StrEnum):
    """A review is answered once: the score was right, or it was scored anew."""

    OPEN = "open"
    UPHELD = "upheld"
    CHANGED = "changed"


score_reviews = sa.Table(
    "score_reviews",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("score_id", sa.Uuid, sa.ForeignKey("case_scores.id"), nullable=False, unique=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("sealed_reason", sa.LargeBinary, nullable=False, comment="the applicant's words, sealed for them"),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("due_on", sa.Date, comment="null: that year's calendar is not published yet"),
    sa.Column("calendar", sa.String(48), nullable=False, comment="which working-day calendar counted"),
    sa.Column("answered_at", Instant),
    sa.Column("answered_by", sa.String(96)),
    sa.Column("sealed_answer", sa.LargeBinary, comment="the department's words, sealed for the applicant"),
    sa.Column("new_score_id", sa.Uuid, sa.ForeignKey("case_scores.id")),
    sa.Index("ix_score_reviews_department", "department", "state", "asked_at"),
)

rankings = sa.Table(
    "rankings",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("department", sa.String(32), nullable=False, index=True),
    sa.Column("scheme", sa.String(64), nullable=False),
    sa.Column("scheme_version", sa.Integer, nullable=False),
    sa.Column("title_zh", sa.String(120), nullable=False),
    sa.Column("title_en", sa.String(120), nullable=False),
    sa.Column("places", sa.Integer, nullable=False),
    sa.Column("seed_sha256", sa.LargeBinary, nullable=False, comment="in the ledger before the list was closed"),
    sa.Column("sealed_seed", sa.LargeBinary, nullable=False, comment="sealed under the hub's own key until drawn"),
    sa.Column("announced_at", Instant, nullable=False),
    sa.Column("announced_leaf", sa.LargeBinary, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("closed_leaf", sa.LargeBinary),
    sa.Column("list_sha256", sa.LargeBinary, comment="of the receipts in order: who takes part"),
    sa.Column("entries", sa.Integer),
    sa.Column("revision", sa.Integer, nullable=False, comment="0: not drawn yet"),
)

ranking_entries = sa.Table(
    "ranking_entries",
    metadata,  # a case takes part in one ranking; the receipt is what the public notice shows of it
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), primary_key=True),
    sa.Column("ranking_id", sa.Uuid, sa.ForeignKey("rankings.id"), nullable=False, index=True),
    sa.Column("receipt", sa.String(22), nullable=False, unique=True),
)

ranking_results = sa.Table(
    "ranking_results",
    metadata,
    sa.Column("ranking_id", sa.Uuid, sa.ForeignKey("rankings.id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("reason", sa.String(120), nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the published list, as bytes"),
    sa.Column("drawn_at", Instant, nullable=False),
    sa.Column("drawn_by", sa.String(96), nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

ranking_lines = sa.Table(
    "ranking_lines",
    metadata,
    sa.Column("ranking_id", sa.Uuid, sa.ForeignKey("rankings.id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("receipt", sa.String(22), nullable=False),
    sa.Column("total", sa.String(16), nullable=False),
    sa.Column("ties", sa.String(120), nullable=False, comment="numbers in the published order, one blank between"),
    sa.Column("lot", sa.String(64), nullable=False),
    sa.Column("by_lot", sa.Boolean, nullable=False),
    sa.Index("ix_ranking_lines_receipt", "ranking_id", "revision", "receipt"),
)

visit_slots = sa.Table(
    "visit_slots",
    metadata,  # when a window sees people: so many at once; `taken` is only ever changed by a guarded statement
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("place_zh", sa.String(120), nullable=False),
    sa.Column("place_en", sa.String(120), nullable=False),
    sa.Column("starts_at", Instant, nullable=False),
    sa.Column("minutes", sa.SmallInteger, nullable=False),
    sa.Column("capacity", sa.SmallInteger, nullable=False),
    sa.Column("taken", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("made_by", sa.Uuid, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("closed_at", Instant, comment="no more bookings; those made stand"),
    sa.UniqueConstraint("department", "place_zh", "starts_at"),
)

visits = sa.Table(
    "visits",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("slot_id", sa.Uuid, nullable=False),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("booked_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_visits_subject", "bucket", "subject_id"),
    sa.Index("ix_visits_slot", "slot_id"),
)

case_evidence = sa.Table(
    "case_evidence",
    metadata,  # what one consent gathered: of each type the answer of the last look, as the issuer signed it
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("certificate", sa.String(43), index=True, comment="public id: who relied on it, seen from the other end"),
    sa.Column("grant_public_id", sa.String(43), nullable=False, comment="once withdrawn, this is silent"),
    sa.Column("access", sa.String(43), nullable=False, comment="the record of this look"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False, comment="of that record"),
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("issuer", sa.String(32)),
    sa.Column("checks", Json, nullable=False),
    sa.Column("sealed", sa.LargeBinary, comment="the SD-JWT with what was granted, sealed for the applicant"),
    sa.Column("gathered_at", Instant, nullable=False),
    sa.Column("replaced_by", sa.Uuid, comment="a later look at the same type"),
    sa.Index("ix_case_evidence_case", "case_id", "type_code"),
)

case_steps = sa.Table(
    "case_steps",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False),
    sa.Column("code", sa.String(48), nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("days", sa.Integer, nullable=False, comment="the legal clock, in working days"),
    sa.Column("days_unconfirmed", sa.Boolean, nullable=False),
    sa.Column("calendar", sa.String(48), nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("decided_at", Instant),
    sa.Column("decided_by", sa.String(96)),
    sa.Column("passed", sa.Boolean),
    sa.Column("reason_code", sa.String(48)),
    sa.Column("evidence", Json, comment="public ids of the looks and uploads that the decision rests on"),
    sa.Column("sealed_note", sa.LargeBinary, comment="the officer's words, sealed for the applicant"),
    sa.Column("leaf_hash", sa.LargeBinary),
    sa.UniqueConstraint("case_id", "code"),
    sa.Index("ix_case_steps_department", "department", "state", "started_at"),
)

step_pauses = sa.Table(
    "step_pauses",
    metadata,  # 补正: the clock is the applicant's until they have answered
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("step_id", sa.Uuid, sa.ForeignKey("case_steps.id"), nullable=False, index=True),
    sa.Column("reason_code", sa.String(48), nullable=False),
    sa.Column("sealed_ask", sa.LargeBinary, nullable=False, comment="what is to be mended, sealed for the applicant"),
    sa.Column("asked_by", sa.String(96), nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("answered_at", Instant),
)

case_lacking = sa.Table(
    "case_lacking",
    metadata,  # 容缺受理: accepted although these are still to come
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), primary_key=True),
    sa.Column("material", sa.String(64), primary_key=True),
    sa.Column("promised_by", sa.Date, nullable=False),
    sa.Column("fulfilled_at", Instant),
)

materials = sa.Table(
    "materials",
    metadata,  # brought once: found again by person and material, whatever the case, until it expires
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("material", sa.String(64), nullable=False),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True, comment="first brought for"),
    sa.Column("kind", sa.String(8), nullable=False, comment="pdf or image, as the limited child process read it"),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the file"),
    sa.Column("blob", sa.String(80), nullable=False),
    sa.Column("blob_sha256", sa.LargeBinary, nullable=False, comment="of the sealed bytes"),
    sa.Column("level", sa.String(1), nullable=False, comment="C: uploaded; B: a clerk compared the original"),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("reason_code", sa.String(48)),
    sa.Column("sealed_note", sa.LargeBinary),
    sa.Column("uploaded_at", Instant, nullable=False),
    sa.Column("reviewed_at", Instant),
    sa.Column("reviewed_by", sa.String(96)),
    sa.Column("compared_at", Instant),
    sa.Column("compared_by", sa.String(96)),
    sa.Column("expires_on", sa.Date, nullable=False),
    sa.Column("replaced_by", sa.Uuid),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_materials_subject", "subject_id", "material"),
)

hall_officers = sa.Table(
    "hall_officers",
    metadata,
    sa.Column("officer_id", sa.Uuid, sa.ForeignKey("officers.id"), primary_key=True),
    sa.Column("hall", sa.String(32), primary_key=True),
)

handovers = sa.Table(
    "handovers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("receipt", sa.String(22), nullable=False, unique=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("hall", sa.String(32), nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("sent_by", sa.String(96), nullable=False),
    sa.Column("sent_at", Instant, nullable=False),
    sa.Column("sent_leaf", sa.LargeBinary, comment="what the hall's receipt is signed over"),
    sa.Column("received_by", sa.String(96)),
    sa.Column("received_at", Instant),
    sa.Column("refused_by", sa.String(96)),
    sa.Column("refused_at", Instant),
    sa.Column("sealed_reason", sa.LargeBinary, comment="why it was refused, sealed for the applicant"),
    sa.Column("answered_leaf", sa.LargeBinary, comment="what the department's receipt is signed over"),
    sa.Index("ix_handovers_department", "department", "received_at"),
)


class PromiseState(StrEnum):
    """A written promise (告知承诺): to be checked afterwards, found kept, or found broken."""

    MADE = "made"
    KEPT = "kept"
    BROKEN = "broken"


case_promises = sa.Table(
    "case_promises",
    metadata,  # in the place of a paper the applicant declared in the case that what it would prove is so
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("subject_id", sa.Uuid, nullable=False, index=True),
    sa.Column("material", sa.String(64), nullable=False),
    sa.Column("department", sa.String(32), nullable=False, comment="which checks it"),
    sa.Column("basis", sa.String(32), nullable=False, comment="code of the legal basis"),
    sa.Column("sealed_text", sa.LargeBinary, nullable=False, comment="what was declared, sealed for the applicant"),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("check_by", sa.Date, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("checked_at", Instant),
    sa.Column("checked_by", sa.String(96)),
    sa.Column("sealed_note", sa.LargeBinary, comment="what the check found, sealed for the applicant"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("case_id", "material"),
    sa.Index("ix_case_promises_department", "department", "state", "check_by"),
)

case_archives = sa.Table(
    "case_archives",
    metadata,
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), primary_key=True),
    sa.Column("blob", sa.String(80), nullable=False),
    sa.Column("blob_sha256", sa.LargeBinary, nullable=False, comment="of the sealed parts, 32 bytes each"),
    sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the package"),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("keep_until", sa.Date, nullable=False, index=True),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Column("destroyed_at", Instant, comment="after its retention period"),
)

case_flags = sa.Table(
    "case_flags",
    metadata,  # something that this case relied on is not what it was: somebody has to look again
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), primary_key=True),
    sa.Column("certificate", sa.String(43), primary_key=True),
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("raised_at", Instant, nullable=False),
    sa.Column("cleared_at", Instant),
    sa.Column("cleared_by", sa.String(96)),
    sa.Column("conclusion", sa.String(48), comment="reason code of whoever looked again"),
)
