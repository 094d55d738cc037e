"""What a department has registered: how many of each type in each state. Counts only, no holder."""

from dataclasses import dataclass

import sqlalchemy as sa

from hub.certificates.model import CertificateState, certificates
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many certificates of one type a department has in each state."""

    type_code: str
    current: int
    suspended: int
    superseded: int
    revoked: int
    without_face: int


async def counts(view: View, *, department: str) -> list[TypeCount]:
    """The counts of one department, by type; types without any certificate are not listed."""
    table = certificates.c
    rows = await view.all(
        sa.select(
            table.type_code,
            table.state,
            sa.func.count().label("number"),
            sa.func.count().filter(table.face_key.is_(None)).label("faceless"),
        )
        .where(table.department == department)
        .group_by(table.type_code, table.state)
        .order_by(table.type_code)
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        one = found.setdefault(row.type_code, {})
        one[row.state] = row.number
        if row.state == CertificateState.CURRENT:
            one["without_face"] = row.faceless
    return [
        TypeCount(
            type_code=code,
            current=one.get(CertificateState.CURRENT, 0),
            suspended=one.get(CertificateState.SUSPENDED, 0),
            superseded=one.get(CertificateState.SUPERSEDED, 0),
            revoked=one.get(CertificateState.REVOKED, 0),
            without_face=one.get("without_face", 0),
        )
        for code, one in found.items()
    ]
