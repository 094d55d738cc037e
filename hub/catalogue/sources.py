"""Where certificates come from: which departments can answer for a type just now, since when, and with which gaps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from hub.catalogue.model import source_coverage
from hub.certificates.model import status_lists
from hub.errors import Forbidden, Unprocessable
from hub.registry.model import DepartmentState, departments, type_issuers
from hub.registry.publish import may_issue
from hub.store.tx import Tx, View

PULLS_AT_MOST_SECONDS = 3600


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
            said.covers_from, said.gaps_zh, said.gaps_en, said.pulls_until,
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
        one = Source(
            type_code=row.code,
            department=row.department,
            live=active and row.exp is not None and row.exp > view.now,
            last_signed=row.iat,
            pulls=active and row.pulls_until is not None and row.pulls_until > view.now,
            covers_from=row.covers_from,
            gaps={"zh-CN": row.gaps_zh or "", "en": row.gaps_en or ""},
        )
        if row.code not in found or (one.live and not found[row.code].live):
            found[row.code] = one
    return found


async def declare(
    tx: Tx,
    *,
    type_code: str,
    covers_from: date | None,
    gaps_zh: str = "",
    gaps_en: str = "",
    pulls_until: datetime | None = None,
) -> None:
    """A department says what its source covers, and until when (an hour at most) its agent answers pulls.

    Raises Forbidden `source.not_yours`, Unprocessable `source.invalid`.
    """
    department = tx.actor.department
    if department is None or not await may_issue(tx, code=type_code, department=department, moment=tx.now):
        raise Forbidden(
            "source.not_yours",
            "本部门无权签发这一类型的证照，不能申报其数据源。",
            "This department may not issue this type, so it cannot speak for its source.",
        )
    late = pulls_until is not None and (pulls_until - tx.now).total_seconds() > PULLS_AT_MOST_SECONDS
    if late or max(len(gaps_zh), len(gaps_en)) > 200 or bool(gaps_zh) != bool(gaps_en):
        raise Unprocessable(
            "source.invalid",
            "数据源的申报不成立：缺口说明须中英文都有且不超过200字，现取时限不超过一小时。",
            "This cannot be said of a source: gaps in both languages, 200 characters at most; pulls for an hour.",
        )
    said = {
        "covers_from": covers_from,
        "gaps_zh": gaps_zh,
        "gaps_en": gaps_en,
        "pulls_until": pulls_until,
        "declared_at": tx.now,
    }
    key = {"type_code": type_code, "department": department}
    if not await tx.insert_new(source_coverage, key | said):
        where = [source_coverage.c[name] == value for name, value in key.items()]
        await tx.run(source_coverage.update().where(*where).values(**said))
