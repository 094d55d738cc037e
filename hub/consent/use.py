"""Take one use of a grant: one guarded statement that repeats every condition. Never read, then write."""

from dataclasses import dataclass

import sqlalchemy as sa

from hub.certificates.model import CertificateState, certificates
from hub.consent.model import Grant, GrantState, grants
from hub.consent.withdraw import from_row
from hub.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Taken:
    """One use, taken in this transaction; `grant.seq` is its place among the grant's events."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why the grant could not be used: a code with its words."""

    code: str
    zh: str
    en: str


_PROOF_STANDS = sa.or_(
    grants.c.evidence_id.is_(None),
    sa.exists().where(
        certificates.c.bucket == grants.c.evidence_bucket,
        certificates.c.id == grants.c.evidence_id,
        certificates.c.state == CertificateState.CURRENT,
    ),
)
"""What somebody gave for another rests on a certificate (birth, licence); when that falls, so do the uses left."""


async def take_use(tx: Tx, *, grant: Grant, department: str) -> Taken | NotTaken:
    """Take one use, or say why not; under any number of callers at once exactly `max_uses` ever succeed.

    The statement repeats all conditions (verifier, standing, end, uses, proof of its giver) and holds the row's lock
    until the commit, so a use and a withdrawal have one order (DESIGN section 3, rule 10).
    """
    row = (
        await tx.conn.execute(
            grants.update()
            .where(
                grants.c.bucket == grant.bucket,
                grants.c.id == grant.id,
                grants.c.department == department,
                grants.c.state == GrantState.STANDING,
                grants.c.valid_until > tx.now,
                grants.c.uses < grants.c.max_uses,
                _PROOF_STANDS,
            )
            .values(uses=grants.c.uses + 1, seq=grants.c.seq + 1)
            .returning(grants)
        )
    ).first()
    if row is not None:
        return Taken(from_row(row))
    now = await tx.first(sa.select(grants).where(grants.c.bucket == grant.bucket, grants.c.id == grant.id))
    return _why_not(from_row(now) if now is not None else None, department, tx)


def _why_not(grant: Grant | None, department: str, tx: Tx) -> NotTaken:
    if grant is None or grant.department != department:
        return NotTaken("grant.other_verifier", "授权给了另一个部门。", "The grant names another verifier.")
    if grant.state is GrantState.WITHDRAWN:
        return NotTaken("grant.withdrawn", "授权已被本人收回。", "The citizen has withdrawn this grant.")
    if grant.state is GrantState.FROZEN:
        return NotTaken("grant.frozen", "监护有争议，授权已冻结。", "The guardian is disputed: the grant is frozen.")
    if grant.valid_until <= tx.now:
        return NotTaken("grant.expired", "授权已到期。", "The grant has ended.")
    if grant.uses < grant.max_uses:
        return NotTaken("grant.proof_fallen", "证明代理资格的证照已失效。", "What proved its giver does not stand now.")
    return NotTaken("grant.spent", "授权的使用次数已用完。", "All uses of this grant are taken.")
