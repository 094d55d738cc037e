"""Close a case: its final state is given and nothing of it is open. From then on its archive package is made.

A decider of the handling department closes it, or the hub does once nothing more can come: at once where no score
exists, `SETTLED_DAYS` after the decision where one does, since a score may be reviewed and ranked until then.
"""

from datetime import timedelta

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.model import (
    CaseOutcome,
    CaseState,
    PromiseState,
    ReviewState,
    case_flags,
    case_lacking,
    case_promises,
    case_scores,
    cases,
    ranking_entries,
    rankings,
    score_reviews,
)
from hub.cases.open import Case, by_public_id, from_row
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, HubError
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.tx import Tx, View

SETTLED_DAYS = 60
"""A rule of this hub: how long after the decision a scored case is kept in hand."""


async def close(tx: Tx, *, case: Case) -> Case:
    """Close a case. Closed stays closed.

    1. A decider of the handling department, or the hub itself. 2. The final state is given. 3. Nothing is open: no
    review, no flag, no ranking that was not drawn, no promised material. 4. One guarded statement.
    Raises Forbidden `case.not_yours_to_close`, Conflict `case.not_decided`, `case.still_open`.
    """
    actor = tx.actor
    officer = actor.department == case.department and may(actor.roles, "cases.decide")
    if not (officer or actor.kind is ActorKind.SYSTEM):  # 1
        raise Forbidden(
            "case.not_yours_to_close",
            "只有办理部门的审批人员可以办结归档。",
            "Only a decider of the handling department closes a case.",
        )
    if case.outcome is None:  # 2
        raise Conflict(
            "case.not_decided", "这个办件还没有最终结果。", "This case has no final state yet.",
            next_zh="请等各部门都作出决定。", next_en="Wait until every department has decided.",
        )  # fmt: skip
    if await tx.value(sa.select(sa.literal(1)).where(cases.c.id == case.id, *_nothing_open())) is None:  # 3
        raise Conflict(
            "case.still_open",
            "还有复核、更正提示、未排名的名单、容缺材料或未核查的承诺没有处理，不能归档。",
            "A review, a flag, a ranking not drawn, a material to follow or an unchecked promise is still open.",
            next_zh="请先处理这些事项。",
            next_en="Deal with these first.",
        )
    closed = await tx.run(  # 4
        cases.update()
        .where(cases.c.id == case.id, cases.c.state != CaseState.CLOSED)
        .values(state=CaseState.CLOSED, closed_at=tx.now)
    )
    if closed == 1:
        body = {"event": "case.closed", "case": case.public_id, "department": case.department}
        more = {"by": actor.reference(), "at": seconds(tx.now)}
        await commit_event(tx, kind="case.closed", subject_id=case.applicant, body=body | more)
    return await by_public_id(tx, case.public_id)


async def ripe(view: View, *, limit: int = 50) -> list[Case]:
    """Cases that the hub closes by itself now, the oldest decision first."""
    scored = sa.exists().where(case_scores.c.case_id == cases.c.id)
    settled = cases.c.decided_at <= view.now - timedelta(days=SETTLED_DAYS)
    rows = await view.all(
        sa.select(cases)
        .where(cases.c.outcome.is_not(None), cases.c.closed_at.is_(None))
        .where(sa.or_(settled, ~scored), *_nothing_open())
        .order_by(cases.c.decided_at)
        .limit(limit)
    )
    return [from_row(row) for row in rows]


async def close_ripe(tx: Tx, *, limit: int = 50) -> int:
    """Close what is ripe; returns how many. Safe beside any number of others who do the same."""
    done = 0
    for case in await ripe(tx, limit=limit):
        try:
            await close(tx, case=case)
        except HubError:  # its applicant was erased: nothing can be written for them any more
            await tx.run(
                cases.update()
                .where(cases.c.id == case.id)
                .values(state=CaseState.CLOSED, closed_at=tx.now, archived_at=tx.now)
            )
        done += 1
    return done


def _nothing_open() -> list[sa.ColumnElement[bool]]:
    """What a case must be free of. A withdrawn or rejected one owes no promised material any more."""
    here = cases.c.id
    review, flag, lacking, entry = score_reviews.c, case_flags.c, case_lacking.c, ranking_entries.c
    promised = sa.exists().where(lacking.case_id == here, lacking.fulfilled_at.is_(None))
    word = case_promises.c
    unchecked = sa.exists().where(word.case_id == here, word.state == PromiseState.MADE)
    undrawn = (
        sa.exists()
        .where(entry.case_id == here, entry.ranking_id == rankings.c.id, rankings.c.revision == 0)
        .select_from(ranking_entries.join(rankings, entry.ranking_id == rankings.c.id))
    )
    return [
        ~sa.exists().where(review.case_id == here, review.state == ReviewState.OPEN),
        ~sa.exists().where(flag.case_id == here, flag.cleared_at.is_(None)),
        sa.or_(cases.c.outcome != CaseOutcome.PASSED, sa.and_(~promised, ~unchecked)),
        ~undrawn,
    ]
