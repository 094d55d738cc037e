"""Officers: who acts for a department, in which roles. Role changes are cleartext leaves without any name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import Conflict, NotFound
from hub.ids import uuid7
from hub.ledger.append import LeafRef, append
from hub.registry.model import (
    APART,
    DepartmentState,
    Role,
    departments,
    officer_roles,
    officers,
    sessions,
)
from hub.registry.roster import OfficerRow, RowError
from hub.store.tx import Tx, View

ACTIVE = "active"
DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Officer:
    """One person who acts for a department; `login` is what the department's identity provider calls them."""

    id: UUID
    department: str
    login: str
    name: str
    active: bool
    roles: frozenset[str]
    created_at: datetime

    def reference(self) -> str:
        """How records name this officer."""
        return f"officer:{self.department}:{self.id}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do: numbers, and every error with its line. With errors nothing is done."""

    added: int
    changed: int
    unchanged: int
    dry_run: bool
    errors: tuple[RowError, ...] = field(default=())


async def import_officers(tx: Tx, *, rows: Sequence[OfficerRow], dry_run: bool) -> ImportReport:
    """Add officers and set their roles to what the rows say. All rows, or (with any error) none.

    An officer whom no row names is left alone; a disabled one who is named again becomes active. Every error is
    reported with its line: unknown department, unknown role, roles one person must not combine, named twice.
    """
    known = {r.slug for r in await tx.all(sa.select(departments.c.slug).where(_active_department()))}
    errors = [error for row in rows for error in _faults(row, known)] + _repeated(rows)
    added = changed = unchanged = 0
    if not errors:
        for row in rows:
            before = await by_login(tx, row.department, row.login)
            if before is None:
                added += 1
            elif before.active and before.roles == row.roles and before.name == row.name:
                unchanged += 1
                continue
            else:
                changed += 1
            if not dry_run:
                await _put(tx, row, before)
    return ImportReport(added, changed, unchanged, dry_run, tuple(sorted(errors, key=lambda e: e.line)))


async def disable(tx: Tx, *, officer_id: UUID) -> LeafRef:
    """Stop an officer at once: roles count no more, sessions end.

    Raises NotFound `officer.unknown`, Conflict `officer.state`.
    """
    found = await get(tx, officer_id)
    done = await tx.run(
        officers.update()
        .where(officers.c.id == officer_id, officers.c.state == ACTIVE)
        .values(state=DISABLED, disabled_at=tx.now)
    )
    if not done:
        raise Conflict("officer.state", "该工作人员已停用。", "This officer is disabled already.")
    await tx.run(
        sessions.update()
        .where(sessions.c.officer_id == officer_id, sessions.c.ended_at.is_(None))
        .values(ended_at=tx.now)
    )
    return await _record(tx, "officer.disabled", found.department, officer_id)


async def get(view: View, officer_id: UUID) -> Officer:
    """The officer, disabled or not; NotFound `officer.unknown`."""
    found = await _one(view, officers.c.id == officer_id)
    if found is None:
        raise NotFound("officer.unknown", "没有这名工作人员。", "There is no such officer.")
    return found


async def by_login(view: View, department: str, login: str) -> Officer | None:
    """The officer whom a department knows by this login, disabled or not."""
    return await _one(view, sa.and_(officers.c.department == department, officers.c.login == login))


async def all_officers(view: View, department: str | None = None) -> list[Officer]:
    """All officers (of one department), by department and login."""
    query = sa.select(officers).order_by(officers.c.department, officers.c.login)
    if department is not None:
        query = query.where(officers.c.department == department)
    return [await _officer(view, row) for row in await view.all(query)]


async def roles_of(view: View, officer_id: UUID) -> frozenset[str]:
    """The roles that count now: none for a disabled officer or one of a suspended department."""
    rows = await view.all(
        sa.select(officer_roles.c.role)
        .join(officers, officers.c.id == officer_roles.c.officer_id)
        .join(departments, departments.c.slug == officers.c.department)
        .where(officers.c.id == officer_id, officers.c.state == ACTIVE, _active_department())
    )
    return frozenset(row.role for row in rows)


async def _put(tx: Tx, row: OfficerRow, before: Officer | None) -> None:
    officer_id = before.id if before else uuid7()
    if before is None:
        await tx.insert(
            officers,
            {
                "id": officer_id,
                "department": row.department,
                "login": row.login,
                "name": row.name,
                "state": ACTIVE,
                "created_at": tx.now,
            },
        )
    else:
        await tx.run(
            officers.update()
            .where(officers.c.id == officer_id)
            .values(name=row.name, state=ACTIVE, disabled_at=None)
        )
        if not before.active:
            await _record(tx, "officer.enabled", row.department, officer_id)
    held = before.roles if before else frozenset()
    for role in sorted(held - row.roles):
        await tx.run(
            officer_roles.delete().where(
                officer_roles.c.officer_id == officer_id, officer_roles.c.role == role
            )
        )
        await _record(tx, "officer.role_taken", row.department, officer_id, role)
    for role in sorted(row.roles - held):
        await tx.insert(officer_roles, {"officer_id": officer_id, "role": role, "since": tx.now})
        await _record(tx, "officer.role_given", row.department, officer_id, role)


def _faults(row: OfficerRow, known: set[str]) -> Iterable[RowError]:
    if row.department not in known:
        yield RowError(
            row.line, "officer.department", "部门不存在或已暂停", "unknown or suspended department"
        )
    for role in sorted(row.roles - set(Role)):
        yield RowError(row.line, "officer.role", f"角色不存在：{role}", f"unknown role: {role}")
    for pair in APART:
        if pair <= row.roles:
            both = " + ".join(sorted(pair))
            yield RowError(
                row.line, "officer.apart", f"同一人不能兼任：{both}", f"one person must not hold both: {both}"
            )


def _repeated(rows: Sequence[OfficerRow]) -> list[RowError]:
    seen: set[tuple[str, str]] = set()
    found = []
    for row in rows:
        if (row.department, row.login) in seen:
            found.append(
                RowError(row.line, "officer.repeated", "该登录名在文件中重复", "this login appears twice")
            )
        seen.add((row.department, row.login))
    return found


async def _one(view: View, condition: sa.ColumnElement[bool]) -> Officer | None:
    row = await view.first(sa.select(officers).where(condition))
    return None if row is None else await _officer(view, row)


async def _officer(view: View, row: sa.Row[Any]) -> Officer:
    roles = await view.all(sa.select(officer_roles.c.role).where(officer_roles.c.officer_id == row.id))
    return Officer(
        id=row.id,
        department=row.department,
        login=row.login,
        name=row.name,
        active=row.state == ACTIVE,
        roles=frozenset(r.role for r in roles),
        created_at=row.created_at,
    )


async def _record(tx: Tx, kind: str, department: str, officer_id: UUID, role: str | None = None) -> LeafRef:
    event = {
        "v": 1,
        "event": kind,
        "department": department,
        "officer": officer_id.hex,
        "at": seconds(tx.now),
    }
    return await append(tx, kind=kind, event=event if role is None else {**event, "role": role})


def _active_department() -> sa.ColumnElement[bool]:
    return departments.c.state == DepartmentState.ACTIVE
