"""The archive package of a closed case: sealed for the applicant, kept for the item's retention period, then destroyed.

What it is made of: `hub.cases.collect`. `keep` seals it and writes its row, its leaf and the case's mark in one commit.
A process that dies in between leaves a sealed file that nobody names; the next attempt removes it (`sweep`).
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases import archivefile
from hub.cases.collect import as_json, opened_leaf
from hub.cases.model import CaseState, case_archives, cases
from hub.cases.open import Case, from_row
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Gone, HubError
from hub.ids import public_token
from hub.ledger.append import commit_event
from hub.ledger.bodies import open_body
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.store.blobs import Blobs
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View

PART = 16 * 2**20
"""A package is sealed in parts of this size: no single file outgrows what storage takes."""
DIGEST = 32


@dataclass(frozen=True, slots=True)
class Archive:
    """A kept package. `destroyed_at`: its retention period has ended, only this row is left."""

    case_id: UUID
    blob: str
    digests: bytes
    sha256: bytes
    size: int
    made_at: datetime
    keep_until: date
    leaf_hash: bytes
    destroyed_at: datetime | None


async def due(view: View, *, limit: int = 8) -> list[Case]:
    """Closed cases without a package, the oldest first."""
    rows = await view.all(
        sa.select(cases)
        .where(cases.c.closed_at.is_not(None), cases.c.archived_at.is_(None))
        .order_by(cases.c.closed_at)
        .limit(limit)
    )
    return [from_row(row) for row in rows]


async def keep(tx: Tx, blobs: Blobs, *, case: Case, package: bytes, keep_until: date) -> Archive | None:
    """Seal and keep the package; None when another process was faster, and nothing of this attempt is left.

    The leaf names the index of the package by its SHA-256.
    """
    folder = f"archives/{case.id.hex}"
    blob = f"{folder}/{public_token(9).replace('-', 'A').replace('_', 'B')}"
    mine = cases.c
    marked = await tx.run(
        cases.update()
        .where(mine.id == case.id, mine.state == CaseState.CLOSED, mine.archived_at.is_(None))
        .values(archived_at=tx.now)
    )
    if marked != 1:
        return None
    key = await tx.vault.person_key(tx, case.applicant)
    parts = [package[start : start + PART] for start in range(0, len(package), PART)]
    digests = b"".join(
        [
            await blobs.put(f"{blob}-{n}", seal(key, part, bound_to=_bound(case, n)))
            for n, part in enumerate(parts)
        ]
    )
    leaf = await commit_event(
        tx,
        kind="case.archived",
        subject_id=case.applicant,
        body={
            "event": "case.archived",
            "case": case.public_id,
            "index_sha256": hashlib.sha256(archivefile.read(package).files[archivefile.INDEX]).hexdigest(),
            "keep_until": keep_until.isoformat(),
            "at": seconds(tx.now),
        },
    )
    row = {
        "case_id": case.id, "blob": blob, "blob_sha256": digests, "sha256": hashlib.sha256(package).digest(),
        "size": len(package), "made_at": tx.now, "keep_until": keep_until, "leaf_hash": leaf.leaf_hash,
    }  # fmt: skip
    await tx.insert(case_archives, row)
    return await archive_of(tx, case=case)


async def sweep(blobs: Blobs, *, case: Case, kept: str) -> int:
    """Remove what attempts that died left behind, once `kept` is durable; returns how many files."""
    left = [key for key in await blobs.list_prefix(f"archives/{case.id.hex}/") if not key.startswith(f"{kept}-")]
    for key in left:
        await blobs.delete(key)
    return len(left)


async def give_up(tx: Tx, *, case: Case) -> None:
    """The applicant's data was erased: there is nothing to keep, and nothing will be tried again."""
    await tx.run(cases.update().where(cases.c.id == case.id).values(archived_at=tx.now))


async def archive_of(view: View, *, case: Case) -> Archive | None:
    """The package of a case, None before it is made."""
    row = await view.first(sa.select(case_archives).where(case_archives.c.case_id == case.id))
    return None if row is None else _archive(row)


async def package_of(view: View, blobs: Blobs, reader: TileReader, *, case: Case) -> bytes:
    """The package, unsealed, proved against what was kept, with the proof that its index is in the ledger.

    While that leaf waits for its place the package comes without the proof. Raises Conflict `archive.absent`, Gone
    `archive.destroyed`. Who may have it, and that the look is recorded, is the caller's (`handed_out`).
    """
    found = await archive_of(view, case=case)
    if found is None:
        raise Conflict(
            "archive.absent",
            "归档包还没有生成。",
            "There is no archive package yet.",
            next_zh="办件办结后几分钟内生成，请稍后再来。",
            next_en="It is made within minutes after the case is closed.",
        )
    if found.destroyed_at is not None:
        raise Gone("archive.destroyed", "归档包已过保存期限，已销毁。", "Its retention period is over: destroyed.")
    key = await view.vault.person_key(view, case.applicant)
    parts = []
    for n in range(len(found.digests) // DIGEST):
        digest = found.digests[n * DIGEST : (n + 1) * DIGEST]
        parts.append(
            unseal(key, await blobs.get(f"{found.blob}-{n}", sha256=digest), bound_to=_bound(case, n))
        )
    package = b"".join(parts)
    try:
        proof = await prove_inclusion(view, reader, leaf_hash=found.leaf_hash)
    except HubError:
        return package
    body = await open_body(view, leaf_hash=found.leaf_hash, subject_id=case.applicant)
    event = as_json({"kind": "case.archived", "leaf_hash": found.leaf_hash.hex(), **opened_leaf(body)})
    return archivefile.with_proof(package, event=event, proof=str(proof).encode(), at=found.made_at)


def years_after(day: date, years: int) -> date:
    """The last day of a period of so many years; from 29 February it ends on the 28th."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


async def handed_out(tx: Tx, *, case: Case) -> None:
    """Put in the ledger that the applicant took a copy. An officer's copy is an Access (`hub.access.record`)."""
    body = {"event": "archive.handed_out", "case": case.public_id, "to": "applicant", "at": seconds(tx.now)}
    await commit_event(tx, kind="archive.handed_out", subject_id=case.applicant, body=body)


async def destroy_due(view: View, *, limit: int = 50) -> list[tuple[Case, Archive]]:
    """Packages whose retention period has ended."""
    row = case_archives.c
    rows = await view.all(
        sa.select(cases, *[column.label(f"a_{column.name}") for column in row])
        .join(case_archives, row.case_id == cases.c.id)
        .where(row.destroyed_at.is_(None), row.keep_until < civil_day(view.now))
        .order_by(row.keep_until)
        .limit(limit)
    )
    return [(from_row(one), _archive(one, "a_")) for one in rows]


async def destroy(tx: Tx, blobs: Blobs, *, case: Case, archive: Archive) -> bool:
    """Destroy a package whose retention period has ended; its row and a leaf stay. Killed in between, it is done again.

    The files go first: nothing is ever told destroyed that could still be read.
    """
    if tx.actor.kind is not ActorKind.SYSTEM or archive.keep_until >= civil_day(tx.now):
        return False
    await sweep(blobs, case=case, kept="-")
    row = case_archives.c
    done = await tx.run(
        case_archives.update()
        .where(row.case_id == case.id, row.destroyed_at.is_(None))
        .values(destroyed_at=tx.now)
    )
    if done:
        body = {"event": "archive.destroyed", "case": case.public_id, "sha256": archive.sha256.hex()}
        more = {"kept_until": archive.keep_until.isoformat(), "at": seconds(tx.now)}
        await commit_event(tx, kind="archive.destroyed", subject_id=await _keeper(tx, case), body=body | more)
    return bool(done)


async def _keeper(tx: Tx, case: Case) -> UUID | None:
    """Whose event it is; nobody's once the applicant was erased."""
    try:
        await tx.vault.person_key(tx, case.applicant)
    except Gone:
        return None
    return case.applicant


def _archive(row: Any, prefix: str = "") -> Archive:
    def of(name: str) -> Any:
        return getattr(row, prefix + name)

    return Archive(
        of("case_id"), of("blob"), of("blob_sha256"), of("sha256"), of("size"), of("made_at"), of("keep_until"),
        of("leaf_hash"), of("destroyed_at"),
    )  # fmt: skip


def _bound(case: Case, part: int) -> bytes:
    """What a sealed part is bound to, so that parts cannot be swapped or taken for another case's."""
    return b"archive:" + case.id.bytes + part.to_bytes(4, "big")
