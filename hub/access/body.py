"""The body of an Access is not kept: it is what its row says, and its salt comes from the person's own key.

Whoever reads it back computes the commitment anew. So a row that was altered in any column, its time included, does not
give what its leaf commits to; and when the person's key is destroyed the salt is gone, and with it every way to tell by
trying what a leaf meant.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Look, Outcome, accesses, rows
from hub.clock import seconds
from hub.formats.jcs import canonical
from hub.ids import bucket_of
from hub.ledger.append import ref_of
from hub.ledger.bodies import Body
from hub.store.small import micros
from hub.store.tx import View

FIRST = bytes(32)
"""The commitment that stands before a person's first Access."""
_SALT = b"yimen access salt 1\x00"


def body_of(look: Look, *, seq: int, previous: bytes, at: datetime) -> dict[str, Any]:
    """What is committed to. Claim values are no part of it.

    A delayed look says until when, so nobody can put the day off later.
    """
    later = {} if look.visible_at is None else {"visible_at": seconds(look.visible_at)}
    return later | {
        "event": "access",
        "subject_seq": seq,
        "previous": previous.hex(),
        "department": look.department,
        "officer": str(look.officer_id) if look.officer_id else None,
        "item": look.item_code,
        "case": look.case_id,
        "purpose": look.purpose,
        "basis": str(look.basis),
        "grant": look.grant_public_id,
        "grant_seq": look.grant_seq,
        "type": look.type_code,
        "certificate": look.certificate,
        "fields": [list(path) for path in look.fields],
        "predicates": [dict(predicate) for predicate in look.predicates],
        "outcome": str(look.outcome),
        "reason": look.reason,
        "at": seconds(at),
    }


def salted(key: bytes, look: Look, *, seq: int, previous: bytes, at: datetime) -> Body:
    """The body of a look under its person's key, with salt and commitment: the same whenever it is computed.

    salt = HMAC-SHA256(key, label || previous || number || microseconds): unlike any other of this person's, also where
    a restored copy goes on from the same look. commit = SHA-256(salt || JCS(body)). Raises Malformed `jcs.*`.
    """
    event = body_of(look, seq=seq, previous=previous, at=at)
    raw = canonical(event)
    own = _SALT + previous + seq.to_bytes(8) + micros(at).to_bytes(8, signed=True)
    salt = hmac.digest(key, own, "sha256")
    return Body(salt, raw, event, hashlib.sha256(salt + raw).digest())


def look_of(row: Any) -> Look:
    """The look of a row of `accesses`."""
    return Look(
        subject_id=row.subject_id,
        department=row.department,
        item_code=row.item_code,
        case_id=row.case_id,
        purpose=row.purpose,
        basis=row.basis,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        type_code=row.type_code,
        certificate=row.certificate,
        fields=tuple(tuple(path) for path in row.fields),
        predicates=tuple(row.predicates),
        grant_public_id=row.grant_public_id,
        grant_seq=row.grant_seq,
        officer_id=row.officer_id,
        visible_at=row.visible_at,
    )


def rebuilt(key: bytes, row: Any, previous: bytes) -> Body:
    """The body that a row of `accesses` gives, when `previous` is the commitment before it.

    Its `commit` is computed: it is the row's own, and the leaf's, or something was altered.
    """
    return salted(key, look_of(row), seq=row.subject_seq, previous=previous, at=row.at)


def leaf_of(commit: bytes) -> bytes:
    """The leaf hash (32 bytes) of the look with this commitment."""
    return ref_of(bytes(commit)).leaf_hash


async def of_case(view: View, *, subject_id: UUID, case_id: str) -> dict[bytes, Body]:
    """The bodies of a person's looks for one case, by leaf hash; those of before 0022 rest in `ledger_bodies`.

    Raises Gone `subject.erased`.
    """
    key = await view.vault.person_key(view, subject_id)
    before = rows.alias("before")
    mine = (accesses.c.bucket == bucket_of(subject_id), accesses.c.subject_id == subject_id)
    forerunner = sa.and_(
        before.c.bucket == accesses.c.bucket,
        before.c.subject_id == accesses.c.subject_id,
        before.c.subject_seq == accesses.c.subject_seq - 1,
    )
    found = await view.all(
        sa.select(accesses, before.c.commit.label("previous"))
        .outerjoin(before, forerunner)
        .where(*mine, accesses.c.case_id == case_id, accesses.c.previous_commit.is_(None))
    )
    return {leaf_of(row.commit): rebuilt(key, row, bytes(row.previous or FIRST)) for row in found}
