"""Department keys over time: first keys by a two-person ceremony, later ones signed by the key before them.

Keys are public history (DESIGN section 3, rule 5): every change is a cleartext leaf, nothing is ever deleted,
and a signature is judged by the key as it stood at the moment of registration.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hub.clock import from_seconds, seconds
from hub.errors import Conflict, Forbidden, Malformed, NotFound, Unauthenticated, Unprocessable
from hub.ids import public_token
from hub.ledger.append import LeafRef, append
from hub.registry import departments as departments_room
from hub.registry.keyproofs import check_key_proof, check_rotation_proof, public_key
from hub.registry.locks import one_at_a_time
from hub.registry.model import DepartmentState, KeyPurpose, department_keys, departments, enrolment_codes
from hub.store.tx import Tx, View
from keys.public import PublicKey

CODE_HOURS = 72


@dataclass(frozen=True, slots=True)
class DepartmentKey:
    """One key and its whole life. `leaf_hash` is the leaf by which it was admitted."""

    kid: str
    department: str
    purpose: KeyPurpose
    alg: str
    jwk: Mapping[str, str]
    not_before: datetime
    not_after: datetime | None
    registered_at: datetime
    retired_at: datetime | None
    distrusted_from: datetime | None
    leaf_hash: bytes

    def stands_at(self, moment: datetime) -> bool:
        """Whether a signature by this key, made and registered at `moment`, counts."""
        ends = (self.not_after, self.retired_at, self.distrusted_from)
        return self.not_before <= moment and all(end is None or moment < end for end in ends)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Keys that were just admitted, and the leaf that says so."""

    keys: tuple[tuple[str, KeyPurpose], ...]
    leaf: LeafRef


async def make_enrolment_code(
    tx: Tx, *, department: str, made_by: str, approved_by: str, hours: int = CODE_HOURS
) -> str:
    """A one-time code (128 bits) with which a department brings its first keys; only its hash is stored.

    `made_by` and `approved_by` are references of two different people (`officer:<department>:<id>`). Raises
    Forbidden `enrolment.same_person`, Malformed `enrolment.hours`, NotFound `department.unknown`.
    """
    if made_by == approved_by or not made_by or not approved_by:
        raise Forbidden(
            "enrolment.same_person",
            "登记码须由两个不同的人制作和批准。",
            "An enrolment code is made by one person and approved by another.",
        )
    if not 1 <= hours <= 24 * 14:
        raise Malformed(
            "enrolment.hours",
            "登记码有效期为 1 到 336 小时。",
            "An enrolment code lasts between 1 and 336 hours.",
        )
    await departments_room.require_active(tx, department)
    code = public_token()
    expires = tx.now + timedelta(hours=hours)
    await tx.insert(
        enrolment_codes,
        {
            "code_hash": _code_hash(code),
            "department": department,
            "made_by": made_by,
            "approved_by": approved_by,
            "expires_at": expires,
        },
    )
    event = {"made_by": made_by, "approved_by": approved_by, "expires_at": seconds(expires)}
    await _record(tx, "key.code_made", department, event)
    return code


async def enrol(
    tx: Tx, *, department: str, code: str, offers: Sequence[Mapping[str, Any]], audience: str
) -> Admitted:
    """Admit the keys a department offers with its one-time code. All of them, or none.

    Each offer is `{"purpose","jwk","proof","not_after"?}` (not_after: seconds). 1. The code is this department's,
    unused and in time: it is spent by one guarded UPDATE, and every failure is answered alike. 2. One key a
    purpose. 3. Each key proves that its private half is at hand, for this hub, department, purpose and code.
    4. No key was ever used by anybody for anything. 5. One leaf tells it all.
    Raises Unauthenticated `enrolment.refused`, Malformed `enrolment.offers`, `key.proof`, Conflict `key.in_use`.
    """
    spent = await tx.run(  # 1
        enrolment_codes.update()
        .where(
            enrolment_codes.c.code_hash == _code_hash(code),
            enrolment_codes.c.department == department,
            enrolment_codes.c.used_at.is_(None),
            enrolment_codes.c.expires_at > tx.now,
            sa.exists().where(
                departments.c.slug == department, departments.c.state == DepartmentState.ACTIVE
            ),
        )
        .values(used_at=tx.now)
    )
    if not spent:
        raise Unauthenticated(
            "enrolment.refused",
            "登记码无效、已使用或已过期。",
            "The enrolment code is not valid, was used, or is out of time.",
            next_zh="请向平台管理员重新申请登记码。",
            next_en="Ask the administrators of the hub for a new code.",
        )
    admitted: list[tuple[PublicKey, KeyPurpose, datetime | None]] = []
    for offer in offers:
        purpose = _purpose(offer.get("purpose"))
        if any(purpose is seen for _, seen, _ in admitted):  # 2
            raise _bad_offers()
        key = public_key(offer.get("jwk"))
        check_key_proof(  # 3
            offer.get("proof"),
            key=key,
            department=department,
            purpose=purpose,
            audience=audience,
            code_sha256=_code_hash(code).hex(),
            now=tx.now,
        )
        admitted.append((key, purpose, _not_after(tx, offer.get("not_after"))))
    if not admitted:
        raise _bad_offers()
    return await _admit(tx, department, admitted, by="code")  # 4, 5


async def rotate(
    tx: Tx, *, department: str, purpose: str, jwk: Any, proof: Any, previous_proof: Any, audience: str
) -> Admitted:
    """Admit the next key of one purpose; the key before stays until it is retired, so nothing breaks meanwhile.

    1. The new key proves possession. 2. A key of the same purpose that stands now vouches for exactly that kid.
    3. The new key was never used before. Raises Malformed `key.proof`, Unprocessable `key.unknown` and
    `key.not_standing`, Conflict `key.in_use`.
    """
    asked = _purpose(purpose)
    key = public_key(jwk)
    check_key_proof(  # 1
        proof, key=key, department=department, purpose=asked, audience=audience, code_sha256=None, now=tx.now
    )

    known = {k.kid: k for k in await history(tx, department) if k.purpose is asked and k.stands_at(tx.now)}
    previous = check_rotation_proof(  # 2
        previous_proof,
        keys={kid: PublicKey.from_jwk(found.jwk) for kid, found in known.items()},
        department=department,
        purpose=asked,
        audience=audience,
        next_kid=key.kid,
        now=tx.now,
    )
    return await _admit(tx, department, [(key, asked, None)], by="rotation", previous=previous)  # 3


async def retire(tx: Tx, *, department: str, kid: str) -> LeafRef:
    """End a key now. What it signed before stays good; the last standing key of a purpose cannot be retired.

    Raises NotFound `key.unknown`, Conflict `key.last` or `key.retired`.
    """
    await one_at_a_time(tx, f"keys:{department}".encode())
    kept = [k for k in await history(tx, department) if k.stands_at(tx.now)]
    row = await tx.first(
        sa.select(department_keys).where(
            department_keys.c.kid == kid, department_keys.c.department == department
        )
    )
    if row is None:
        raise NotFound("key.unknown", "没有这把密钥。", "There is no such key.")
    if any(k.kid == kid for k in kept) and not any(k.kid != kid and k.purpose == row.purpose for k in kept):
        raise Conflict(
            "key.last",
            "这是该用途的最后一把有效密钥，不能停用。",
            "This is the last standing key of its purpose and cannot be retired.",
            next_zh="请先轮换出新密钥，再停用旧密钥；若私钥已泄露，请管理员登记为不可信。",
            next_en="Rotate first, then retire; if the key leaked, ask an administrator to distrust it.",
        )
    done = await tx.run(
        department_keys.update()
        .where(department_keys.c.kid == kid, department_keys.c.retired_at.is_(None))
        .values(retired_at=tx.now)
    )
    if not done:
        raise Conflict("key.retired", "该密钥已停用。", "This key is retired already.")
    return await _record(tx, "key.retired", department, {"kid": kid, "purpose": row.purpose})


async def distrust(tx: Tx, *, kid: str, from_: datetime) -> LeafRef:
    """Say that a key was in wrong hands since `from_`: what was registered later does not count any more.

    The moment can only be moved to an earlier one. Raises NotFound `key.unknown`, Conflict `key.distrusted`.
    """
    row = await tx.first(sa.select(department_keys).where(department_keys.c.kid == kid))
    if row is None:
        raise NotFound("key.unknown", "没有这把密钥。", "There is no such key.")
    earlier = sa.or_(department_keys.c.distrusted_from.is_(None), department_keys.c.distrusted_from > from_)
    done = await tx.run(
        department_keys.update().where(department_keys.c.kid == kid, earlier).values(distrusted_from=from_)
    )
    if not done:
        raise Conflict(
            "key.distrusted",
            "该密钥已从更早的时间起不可信。",
            "This key is already distrusted from an earlier moment.",
        )
    event = {"kid": kid, "purpose": row.purpose, "from": seconds(from_)}
    return await _record(tx, "key.distrusted", row.department, event)


async def key_at(
    view: View, *, department: str, kid: str, purpose: KeyPurpose, moment: datetime
) -> PublicKey:
    """The department's key of that purpose when it stood at `moment`.

    Raises Unprocessable `key.unknown` (also for another department's key or another purpose) or
    `key.not_standing` (not yet, expired, retired or distrusted by then).
    """
    row = await view.first(
        sa.select(department_keys).where(
            department_keys.c.kid == kid,
            department_keys.c.department == department,
            department_keys.c.purpose == purpose,
        )
    )
    if row is None:
        raise key_unknown()
    if not from_row(row).stands_at(moment):
        raise key_not_standing()
    return PublicKey.from_jwk(row.jwk)


async def keys_at(
    view: View, *, department: str, purpose: KeyPurpose, moment: datetime
) -> dict[str, Mapping[str, str] | None]:
    """Every key that the department ever had for this purpose: the public JWK when it stood at `moment`, else None."""
    query = sa.select(department_keys).where(
        department_keys.c.department == department, department_keys.c.purpose == purpose
    )
    found = map(from_row, await view.all(query))
    return {key.kid: key.jwk if key.stands_at(moment) else None for key in found}


def key_unknown() -> Unprocessable:
    """The refusal of a signature by a key that this department does not have for this purpose."""
    return Unprocessable(
        "key.unknown",
        "签名所用的密钥未登记在该部门的该用途下。",
        "The signing key is not registered for this department and this purpose.",
        next_zh="请用已登记的密钥签名，或先登记该密钥。",
        next_en="Sign with a registered key, or register this key first.",
    )


def key_not_standing() -> Unprocessable:
    """The refusal of a signature by a key that does not count at that moment."""
    return Unprocessable(
        "key.not_standing",
        "签名所用的密钥当时无效（未生效、已过期、已停用或不可信）。",
        "The signing key did not stand at that moment (not yet valid, expired, retired or distrusted).",
        next_zh="请用当前有效的密钥重新签名。",
        next_en="Sign again with a key that stands now.",
    )


async def find_key(view: View, *, department: str, kid: str) -> DepartmentKey | None:
    """A department's key with its whole life, retired or not; None when it never had that key."""
    row = await view.first(
        sa.select(department_keys).where(
            department_keys.c.kid == kid, department_keys.c.department == department
        )
    )
    return None if row is None else from_row(row)


async def history(view: View, department: str | None = None) -> list[DepartmentKey]:
    """All keys ever admitted (of one department, or of all), oldest first; retired ones stay for ever."""
    query = sa.select(department_keys).order_by(department_keys.c.registered_at, department_keys.c.kid)
    if department is not None:
        query = query.where(department_keys.c.department == department)
    return [from_row(row) for row in await view.all(query)]


async def _admit(
    tx: Tx,
    department: str,
    admitted: Sequence[tuple[PublicKey, KeyPurpose, datetime | None]],
    *,
    by: str,
    previous: str | None = None,
) -> Admitted:
    told = [
        {
            "kid": key.kid,
            "purpose": purpose,
            "alg": key.alg,
            "jwk": key.jwk,
            "not_after": seconds(until) if until else None,
        }
        for key, purpose, until in admitted
    ]
    leaf = await _record(tx, "key.admitted", department, {"keys": told, "by": by, "previous": previous})
    for key, purpose, until in admitted:
        row = {
            "kid": key.kid,
            "department": department,
            "purpose": purpose,
            "alg": key.alg,
            "jwk": key.jwk,
            "not_before": tx.now,
            "not_after": until,
            "registered_at": tx.now,
            "leaf_hash": leaf.leaf_hash,
        }
        if not await tx.insert_new(department_keys, row):
            raise Conflict(
                "key.in_use",
                "该密钥已登记过；一把密钥只能属于一个部门的一个用途。",
                "This key was registered before; a key belongs to one department and one purpose.",
                next_zh="请为每个用途生成新的密钥。",
                next_en="Generate a new key for each purpose.",
            )
    return Admitted(tuple((key.kid, purpose) for key, purpose, _ in admitted), leaf)


async def _record(tx: Tx, kind: str, department: str, facts: Mapping[str, Any]) -> LeafRef:
    event = {"v": 1, "event": kind, "department": department, "at": seconds(tx.now), **facts}
    return await append(tx, kind=kind, event=event)


def _code_hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


def _purpose(value: Any) -> KeyPurpose:
    if not isinstance(value, str) or value not in set(KeyPurpose):
        raise Malformed(
            "key.purpose",
            "密钥用途只能是 certificate、status 或 client。",
            "The purpose of a key is certificate, status or client.",
        )
    return KeyPurpose(value)


def _not_after(tx: Tx, value: Any) -> datetime | None:
    if value is None:
        return None
    if type(value) is not int or not seconds(tx.now) < value < 1 << 33:
        raise Malformed(
            "key.not_after",
            "密钥截止时间须是将来的秒数。",
            "The end of a key is a number of seconds in the future.",
        )
    return from_seconds(value)


def _bad_offers() -> Malformed:
    return Malformed(
        "enrolment.offers",
        "须提供 1 到 3 把密钥，每个用途最多一把。",
        "Offer between one and three keys, at most one for each purpose.",
    )


def from_row(row: sa.Row[Any]) -> DepartmentKey:
    """The key of a row that selects all columns."""
    return DepartmentKey(
        kid=row.kid,
        department=row.department,
        purpose=KeyPurpose(row.purpose),
        alg=row.alg,
        jwk=row.jwk,
        not_before=row.not_before,
        not_after=row.not_after,
        registered_at=row.registered_at,
        retired_at=row.retired_at,
        distrusted_from=row.distrusted_from,
        leaf_hash=row.leaf_hash,
    )
