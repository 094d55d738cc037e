"""Where certificates come from: which departments can answer for a type just now, since when, and with which gaps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from hub.catalogue.model import source_coverage
from hub.certificates.model import status_lists
from hub.errors import Forbidden, Unprocessable
from hub.registry.model import DepartmentState, departments, type_issuers
from hub.registry.publish import may_issue
from hub.store.tx import Tx, View

REST_AFTER = 3
"""So many pulls in a row that came to nothing: the source is left alone for a while."""
REST_SECONDS = 30
REST_AT_MOST = 600
"""The first rest, doubled each time the one pull that may try again fails too, up to this."""
ONE_TRY_SECONDS = 15
REMEMBERED = timedelta(days=7)
"""So long a source that answered pulls once counts as one that is away; afterwards as one that does not."""


@dataclass(frozen=True, slots=True)
class Source:
    """One type's source. `live`: its department takes part and a status list it signed still stands, so its agent
    is at work. `pulls`: the agent is connected and would answer for a certificate not registered yet."""

    type_code: str
    department: str
    live: bool
    last_signed: datetime | None
    pulls: bool
    covers_from: date | None
    gaps: Mapping[str, str]


async def sources(view: View) -> dict[str, Source]:
    """The best source of every type that some department may issue; one statement. Live ones before others."""
    right, list_, said = type_issuers.c, status_lists.c, source_coverage.c
    newest = (
        sa.select(list_.department, sa.func.max(list_.iat).label("iat"), sa.func.max(list_.exp).label("exp"))
        .where(list_.iat.is_not(None))
        .group_by(list_.department)
        .subquery()
    )
    rows = await view.all(
        sa.select(
            right.code, right.department, departments.c.state, newest.c.iat, newest.c.exp,
            said.covers_from, said.gaps_zh, said.gaps_en, said.pulls_until, said.pull_rests_until,
        )
        .join(departments, departments.c.slug == right.department)
        .outerjoin(newest, newest.c.department == right.department)
        .outerjoin(
            source_coverage, sa.and_(said.type_code == right.code, said.department == right.department)
        )
        .where(right.until.is_(None))
        .order_by(right.code, right.department)
    )  # fmt: skip
    found: dict[str, Source] = {}
    for row in rows:
        active = row.state == DepartmentState.ACTIVE
        connected = row.pulls_until is not None and row.pulls_until > view.now
        resting = row.pull_rests_until is not None and row.pull_rests_until > view.now
        one = Source(
            type_code=row.code,
            department=row.department,
            live=active and (connected or (row.exp is not None and row.exp > view.now)),
            last_signed=row.iat,
            pulls=active and connected and not resting,
            covers_from=row.covers_from,
            gaps={"zh-CN": row.gaps_zh or "", "en": row.gaps_en or ""},
        )
        if row.code not in found or (one.live, one.pulls) > (found[row.code].live, found[row.code].pulls):
            found[row.code] = one
    return found


@dataclass(frozen=True, slots=True)
class PullSource:
    """A source that answers pulls, or did within the week. `resting`: its breaker is open."""

    type_code: str
    department: str
    connected: bool
    resting: bool


async def pull_sources(view: View) -> dict[str, PullSource]:
    """Of every type whose source answers pulls, the one to ask: connected ones first; one small statement."""
    right, said = type_issuers.c, source_coverage.c
    rows = await view.all(
        sa.select(said.type_code, said.department, said.pulls_until, said.pull_rests_until)
        .join(
            type_issuers,
            sa.and_(right.code == said.type_code, right.department == said.department, right.until.is_(None)),
        )
        .join(departments, departments.c.slug == said.department)
        .where(said.pulls_until > view.now - REMEMBERED, departments.c.state == DepartmentState.ACTIVE)
        .order_by(said.type_code, said.department)
    )
    found: dict[str, PullSource] = {}
    for row in rows:
        resting = row.pull_rests_until is not None and row.pull_rests_until > view.now
        one = PullSource(row.type_code, row.department, row.pulls_until > view.now, resting)
        before = found.get(one.type_code)
        if before is None or (one.connected, not one.resting) > (before.connected, not before.resting):
            found[one.type_code] = one
    return found


async def answers_pulls(tx: Tx, *, types: Iterable[str], until: datetime) -> list[str]:
    """The calling department's agent is at the line and answers pulls of these types until then.

    Types that it may not issue are left out; returns those that count.
    """
    right = type_issuers.c
    rows = await tx.all(
        sa.select(right.code)
        .where(right.department == tx.actor.department, right.code.in_(sorted(types)), right.until.is_(None))
        .order_by(right.code)
    )
    counted = [str(row.code) for row in rows]
    for code in counted:
        key = {"type_code": code, "department": tx.actor.department}
        where = [source_coverage.c[name] == value for name, value in key.items()]
        if not await tx.run(source_coverage.update().where(*where).values(pulls_until=until)):
            await tx.insert_new(source_coverage, key | {"pulls_until": until, "declared_at": tx.now})
    return counted


async def may_try(tx: Tx, *, type_code: str, department: str) -> bool:
    """Whether a pull may be made now: the breaker is closed, or this is the one that tries a half-open one."""
    said = source_coverage.c
    mine = (said.type_code == type_code, said.department == department)
    row = await tx.first(sa.select(said.pull_failures, said.pull_rests_until).where(*mine))
    if row is None or row.pull_rests_until is None:
        return True
    if row.pull_rests_until > tx.now:
        return False
    before = tx.now - timedelta(seconds=ONE_TRY_SECONDS)
    free = sa.or_(said.pull_tried_at.is_(None), said.pull_tried_at <= before)
    tried = source_coverage.update().where(*mine, said.pull_rests_until <= tx.now, free)
    return await tx.run(tried.values(pull_tried_at=tx.now)) == 1


async def note_pull(tx: Tx, *, type_code: str, department: str, answered: bool) -> None:
    """A pull came to an answer, which closes the breaker, or to none: the third in a row opens it."""
    said = source_coverage.c
    mine = (said.type_code == type_code, said.department == department)
    if answered:
        troubled = sa.or_(said.pull_failures > 0, said.pull_rests_until.is_not(None))
        closed = {"pull_failures": 0, "pull_rests_until": None, "pull_tried_at": None}
        await tx.run(source_coverage.update().where(*mine, troubled).values(**closed))
        return
    counted = source_coverage.update().where(*mine).values(pull_failures=said.pull_failures + 1)
    row = (await tx.conn.execute(counted.returning(said.pull_failures))).first()
    if row is None or row.pull_failures < REST_AFTER:
        return
    rest = min(REST_AT_MOST, REST_SECONDS * 2 ** min(row.pull_failures - REST_AFTER, 8))
    opened = {"pull_rests_until": tx.now + timedelta(seconds=rest), "pull_tried_at": None}
    await tx.run(source_coverage.update().where(*mine).values(**opened))


async def declare(
    tx: Tx,
    *,
    type_code: str,
    covers_from: date | None,
    gaps_zh: str = "",
    gaps_en: str = "",
) -> None:
    """A department says what its source covers.

    Raises Forbidden `source.not_yours`, Unprocessable `source.invalid`.
    """
    department = tx.actor.department
    if department is None or not await may_issue(tx, code=type_code, department=department, moment=tx.now):
        raise Forbidden(
            "source.not_yours",
            "本部门无权签发这一类型的证照，不能申报其数据源。",
            "This department may not issue this type, so it cannot speak for its source.",
        )
    if max(len(gaps_zh), len(gaps_en)) > 200 or bool(gaps_zh) != bool(gaps_en):
        raise Unprocessable(
            "source.invalid",
            "数据源的申报不成立：缺口说明须中英文都有且不超过200字。",
            "This cannot be said of a source: gaps in both languages, 200 characters at most.",
        )
    said = {
        "covers_from": covers_from,
        "gaps_zh": gaps_zh,
        "gaps_en": gaps_en,
        "declared_at": tx.now,
    }
    key = {"type_code": type_code, "department": department}
    if not await tx.insert_new(source_coverage, key | said):
        where = [source_coverage.c[name] == value for name, value in key.items()]
        await tx.run(source_coverage.update().where(*where).values(**said))
