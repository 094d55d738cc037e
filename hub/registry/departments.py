"""Departments: who takes part, and whether they may act just now. Every change is a cleartext ledger leaf."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import Conflict, Forbidden, Malformed, NotFound
from hub.formats.identifiers import credit_code
from hub.ledger.append import LeafRef, append
from hub.registry.model import DepartmentState, departments
from hub.store.tx import Tx, View

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SLUG_MAX = 32
_NAME_MAX = 128


@dataclass(frozen=True, slots=True)
class Department:
    """One government body. `slug` is its OAuth client id and the last part of its issuer URL."""

    slug: str
    uscc: str
    name_zh: str
    name_en: str
    state: DepartmentState
    continued_by: str | None
    created_at: datetime

    @property
    def active(self) -> bool:
        """Whether it may register and verify now."""
        return self.state is DepartmentState.ACTIVE

    def name(self, locale: str = "zh-CN") -> str:
        """Its name in Chinese, or in English where `locale` asks for that."""
        return self.name_en if locale.startswith("en") else self.name_zh


async def add(tx: Tx, *, slug: str, uscc: str, name_zh: str, name_en: str) -> Department:
    """Admit a department. `slug`: lower-case words joined by hyphens; `uscc`: GB 32100, check character included.

    Raises Malformed `department.slug`, `department.name`, `gb32100.*`; Conflict `department.exists`.
    """
    if not _SLUG.fullmatch(slug) or len(slug) > _SLUG_MAX:
        raise Malformed(
            "department.slug",
            "部门代号只能由小写字母、数字和连字符组成，最多 32 个字符。",
            "A department slug is lower-case letters, digits and hyphens, at most 32 characters.",
            next_zh="例如 dg-edu。",
            next_en="For example dg-edu.",
        )
    for name in (name_zh, name_en):
        if not name.strip() or len(name) > _NAME_MAX:
            raise Malformed(
                "department.name",
                "部门需要中文名称和英文名称，各不超过 128 个字符。",
                "A department needs a Chinese and an English name of at most 128 characters each.",
            )
    public = {"uscc": credit_code(uscc), "name_zh": name_zh.strip(), "name_en": name_en.strip()}
    row = {"slug": slug, **public, "state": DepartmentState.ACTIVE, "created_at": tx.now}
    if not await tx.insert_new(departments, row):
        raise Conflict(
            "department.exists",
            "该部门代号或统一社会信用代码已登记。",
            "A department with this slug or credit code is already registered.",
        )
    await _record(tx, "department.added", slug, **public)
    return await get(tx, slug)


async def suspend(tx: Tx, *, slug: str, reason: str) -> LeafRef:
    """Stop a department from registering and verifying; what it signed before stays verifiable.

    `reason` is a short code word, public. Raises NotFound `department.unknown`, Conflict `department.state`.
    """
    return await _move(tx, slug, DepartmentState.ACTIVE, DepartmentState.SUSPENDED, reason)


async def resume(tx: Tx, *, slug: str, reason: str) -> LeafRef:
    """Let a suspended department act again; errors as for `suspend`."""
    return await _move(tx, slug, DepartmentState.SUSPENDED, DepartmentState.ACTIVE, reason)


async def get(view: View, slug: str) -> Department:
    """The department, suspended or not; NotFound `department.unknown`."""
    row = await view.first(sa.select(departments).where(departments.c.slug == slug))
    if row is None:
        raise NotFound("department.unknown", "没有这个部门。", "There is no such department.")
    return _department(row)


async def require_active(view: View, slug: str) -> Department:
    """The department when it may act now; Forbidden `department.suspended` otherwise."""
    found = await get(view, slug)
    if not found.active:
        raise Forbidden(
            "department.suspended",
            "该部门已被暂停，暂时不能登记或核验。",
            "This department is suspended and can neither register nor verify.",
            next_zh="请联系平台管理员。",
            next_en="Contact the administrators of the hub.",
        )
    return found


async def all_departments(view: View) -> list[Department]:
    """All departments, by slug."""
    return [_department(row) for row in await view.all(sa.select(departments).order_by(departments.c.slug))]


async def _move(tx: Tx, slug: str, before: DepartmentState, after: DepartmentState, reason: str) -> LeafRef:
    if not re.fullmatch(r"[a-z0-9_.-]{1,48}", reason):
        raise Malformed(
            "department.reason",
            "理由须为代码词（小写字母、数字、点、连字符），它会公开。",
            "The reason is a code word (lower-case letters, digits, dots, hyphens); it becomes public.",
        )
    await get(tx, slug)
    moved = await tx.run(
        departments.update()
        .where(departments.c.slug == slug, departments.c.state == before)
        .values(state=after)
    )
    if not moved:
        raise Conflict("department.state", "部门已处于该状态。", "The department is in that state already.")
    return await _record(tx, f"department.{after}", slug, reason=reason)


async def _record(tx: Tx, kind: str, slug: str, **facts: str) -> LeafRef:
    event = {
        "v": 1,
        "event": kind,
        "department": slug,
        "at": seconds(tx.now),
        "by": tx.actor.reference(),
        **facts,
    }
    return await append(tx, kind=kind, event=event)


def _department(row: sa.Row[Any]) -> Department:
    return Department(
        slug=row.slug,
        uscc=row.uscc,
        name_zh=row.name_zh,
        name_en=row.name_en,
        state=DepartmentState(row.state),
        continued_by=row.continued_by,
        created_at=row.created_at,
    )
