"""The first administrator, and one-time links by which officers enter before an identity provider is connected."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from hub.errors import Conflict, Malformed, NotFound, Unauthenticated
from hub.ids import public_token
from hub.registry import departments as departments_room
from hub.registry import officers as officers_room
from hub.registry import providers
from hub.registry.locks import one_at_a_time
from hub.registry.model import (
    Role,
    departments,
    identity_providers,
    officer_roles,
    officers,
    one_time_links,
)
from hub.registry.roster import OfficerRow
from hub.store.tx import Tx

LINK_HOURS = 24


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """A secret that is shown once; only its hash is stored."""

    officer_id: UUID
    token: str
    expires_at: datetime


async def initialise(
    tx: Tx, *, slug: str, uscc: str, name_zh: str, name_en: str, login: str, name: str
) -> OneTimeLink:
    """Make the department that runs the hub (unless it is there) and its first administrator, once.

    Gives a one-time link for 24 hours. Raises Conflict `ceremony.done` when an administrator exists, and what
    `departments.add` raises.
    """
    await one_at_a_time(tx, b"ceremony")
    exists = await tx.value(
        sa.select(officer_roles.c.role)
        .join(officers, officers.c.id == officer_roles.c.officer_id)
        .where(officer_roles.c.role == Role.ADMINISTRATOR, officers.c.state == officers_room.ACTIVE)
        .limit(1)
    )
    if exists is not None:
        raise Conflict(
            "ceremony.done",
            "平台已初始化，已有管理员。",
            "The hub is initialised: an administrator exists.",
            next_zh="管理员可用 yimen officer import 添加其他人员。",
            next_en="An administrator adds other people with: yimen officer import",
        )
    if await tx.value(sa.select(departments.c.slug).where(departments.c.slug == slug)) is None:
        await departments_room.add(tx, slug=slug, uscc=uscc, name_zh=name_zh, name_en=name_en)
    row = OfficerRow(1, slug, login, name, frozenset({Role.ADMINISTRATOR.value}))
    report = await officers_room.import_officers(tx, rows=[row], dry_run=False)
    if report.errors:
        fault = report.errors[0]
        raise Malformed(fault.code, fault.zh, fault.en)
    first = await officers_room.by_login(tx, slug, login)
    assert first is not None  # noqa: S101 - written a moment ago in this transaction
    return await make_link(tx, officer_id=first.id)


async def make_link(tx: Tx, *, officer_id: UUID, hours: int = LINK_HOURS) -> OneTimeLink:
    """A fresh one-time link for an active officer whose department has no identity provider yet.

    Raises NotFound `officer.unknown` also for a disabled one, Conflict `link.has_provider`.
    """
    found = await officers_room.get(tx, officer_id)
    if not found.active:
        raise NotFound("officer.unknown", "没有这名工作人员。", "There is no such officer.")
    if await providers.of_department(tx, found.department):
        raise Conflict(
            "link.has_provider",
            "该部门已接入身份提供方，工作人员只能从那里登录。",
            "This department has an identity provider: its officers enter through it only.",
            next_zh="身份提供方出故障时，先运行 yimen idp disable，再制作链接。",
            next_en="When that provider is broken: yimen idp disable, then make the link.",
        )
    token = public_token(32)
    expires = tx.now + timedelta(hours=hours)
    await tx.insert(
        one_time_links, {"token_hash": _hash(token), "officer_id": officer_id, "expires_at": expires}
    )
    return OneTimeLink(officer_id, token, expires)


async def redeem_link(tx: Tx, *, token: str) -> UUID:
    """Spend a link and say whose it was. Unknown, spent, late, disabled, and one of a department that has got an
    identity provider meanwhile are told alike.

    Raises Unauthenticated `link.refused`. One guarded UPDATE: of two clicks only one gets in.
    """
    digest = _hash(token)
    spent = await tx.run(
        one_time_links.update()
        .where(
            one_time_links.c.token_hash == digest,
            one_time_links.c.used_at.is_(None),
            one_time_links.c.expires_at > tx.now,
            sa.exists().where(
                officers.c.id == one_time_links.c.officer_id,
                officers.c.state == officers_room.ACTIVE,
                ~sa.exists().where(
                    identity_providers.c.department == officers.c.department,
                    identity_providers.c.disabled_at.is_(None),
                ),
            ),
        )
        .values(used_at=tx.now)
    )
    if not spent:
        raise Unauthenticated(
            "link.refused",
            "链接无效、已使用或已过期。",
            "The link is not valid, was used, or is out of time.",
            next_zh="请向平台管理员重新索取一次性链接。",
            next_en="Ask an administrator for a new one-time link.",
        )
    found: UUID = await tx.value(
        sa.select(one_time_links.c.officer_id).where(one_time_links.c.token_hash == digest)
    )
    return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
