"""Take one use of a grant: one guarded statement that repeats every condition. Never read, then write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.certificates.model import CertificateState, certificates
from hub.consent.model import Grant, GrantState, grants
from hub.consent.withdraw import from_row
from hub.store.base import Instant
from hub.store.model import public_ids
from hub.store.statement import Statement
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Use:
    """What is wanted: one use of the grant with this public id, by this department."""

    grant: str
    department: str


@dataclass(frozen=True, slots=True)
class Taken:
    """One use, taken in this transaction; `grant.seq` is its place among the grant's events."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why the grant could not be used: a code with its words, and the grant if there is one."""

    code: str
    zh: str
    en: str
    grant: Grant | None = None


_PROOF_STANDS = sa.or_(
    grants.c.evidence_id.is_(None),
    sa.exists().where(
        certificates.c.bucket == grants.c.evidence_bucket,
        certificates.c.id == grants.c.evidence_id,
        certificates.c.state == CertificateState.CURRENT.value,
    ),
)
"""What somebody gave for another rests on a certificate (birth, licence); when that falls, so do the uses left."""


def _named() -> sa.ColumnElement[bool]:
    return sa.and_(
        public_ids.c.token == sa.bindparam("grant"),
        public_ids.c.kind == "grant",
        grants.c.bucket == public_ids.c.bucket,
        grants.c.id == public_ids.c.row_id,
    )


def _take(_: str) -> sa.Executable:
    return (
        grants.update()
        .where(
            _named(),
            grants.c.department == sa.bindparam("by"),
            grants.c.state == GrantState.STANDING.value,
            grants.c.valid_until > sa.bindparam("now", type_=Instant),
            grants.c.uses < grants.c.max_uses,
            _PROOF_STANDS,
        )
        .values(uses=grants.c.uses + sa.literal(1), seq=grants.c.seq + sa.literal(1))
        .returning(sa.bindparam("ordinal", type_=sa.Integer).label("ordinal"), *grants.c)
    )


TAKE = Statement(_take, unique=("grant",))
GRANT = Statement(lambda _: sa.select(*grants.c).where(_named()))


async def take_uses(tx: Tx, wanted: Sequence[Use]) -> list[Taken | NotTaken]:
    """Take one use for each, or say why not; under any number of callers at once exactly `max_uses` ever succeed.

    The statement repeats all conditions (verifier, standing, end, uses, proof of its giver) and holds the row's lock
    until the commit, so a use and a withdrawal have one order (DESIGN section 3, rule 10). Grants are locked in the
    order of their ids, so that no two callers wait for each other.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place].grant)
    rows = await tx.each(
        TAKE,
        [
            {"ordinal": place, "grant": wanted[place].grant, "by": wanted[place].department, "now": tx.now}
            for place in order
        ],
    )
    taken = {row.ordinal: from_row(row) for row in rows}
    lost = await by_public_ids(tx, (use.grant for place, use in enumerate(wanted) if place not in taken))
    return [
        Taken(taken[place]) if place in taken else _why_not(lost.get(use.grant), use.department, tx)
        for place, use in enumerate(wanted)
    ]


async def by_public_ids(view: View, named: Iterable[str]) -> dict[str, Grant]:
    """The grants with these public ids; one that is not there is left out."""
    rows: list[Any] = await view.each(GRANT, [{"grant": grant} for grant in sorted(set(named))])
    return {row.public_id: from_row(row) for row in rows}


def _why_not(grant: Grant | None, department: str, tx: Tx) -> NotTaken:
    if grant is None:
        return NotTaken("token.grant_unknown", "授权凭证中的授权不存在。", "The token names no known grant.")
    if grant.department != department:
        why = ("grant.other_verifier", "授权给了另一个部门。", "The grant names another verifier.")
    elif grant.state is GrantState.WITHDRAWN:
        why = ("grant.withdrawn", "授权已被本人收回。", "The citizen has withdrawn this grant.")
    elif grant.state is GrantState.FROZEN:
        why = ("grant.frozen", "监护有争议，授权已冻结。", "The guardian is disputed: the grant is frozen.")
    elif grant.valid_until <= tx.now:
        why = ("grant.expired", "授权已到期。", "The grant has ended.")
    elif grant.uses < grant.max_uses:
        why = ("grant.proof_fallen", "证明代理资格的证照已失效。", "What proved its giver does not stand now.")
    else:
        why = ("grant.spent", "授权的使用次数已用完。", "All uses of this grant are taken.")
    return NotTaken(*why, grant)
