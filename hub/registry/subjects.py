"""People and organisations: a random id each, found through keyed blind indexes, never by a stored number.

DESIGN section 3, rule 1. An identifier is only ever stored as an HMAC; what a person is called is sealed under
the person's own key.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, HubError, NotFound, Unprocessable
from hub.formats.identifiers import CREDIT_TYPE, RESIDENT_TYPE, normal_id, resident_id
from hub.ids import bucket_of
from hub.ledger.append import LeafRef, commit_event
from hub.registry import officers as officers_room
from hub.registry.locks import each_alone, one_at_a_time
from hub.registry.model import SubjectKind, may, subject_identifiers, subjects
from hub.store.tx import Tx, View

PEOPLE = b"subjects"
"""The family of locks under which people are made: nobody is made twice."""
_ALIAS_STEPS = 16


@dataclass(frozen=True, slots=True)
class Face:
    """What the newest signed certificate called this holder. `birth_date` is read from a resident number."""

    name: str
    id_type: str
    id_no: str
    birth_date: date | None


async def find(view: View, *, id_type: str, id_no: str) -> UUID | None:
    """The subject that this identifier belongs to now, aliases followed; None when nobody is known by it.

    Raises Malformed `gb11643.*`, `gb32100.*`, `identifier.*`; Conflict `subject.ambiguous` when several different
    subjects carry it: then nobody may be guessed.
    """
    return await _found(view, blinds_of(view, id_type, normal_id(id_type, id_no)))


async def resolve(tx: Tx, *, id_type: str, id_no: str, kind: SubjectKind | str) -> UUID:
    """The subject of this identifier; made when absent, with a key of its own (128 random bits as id).

    A credit code is an organisation's and every other number a person's, known or not: otherwise the first who
    names a number could make it the wrong kind for ever.
    Callers with several people resolve them in a fixed order. Raises as `find`, and Unprocessable
    `subject.kind` when the identifier belongs to the other kind (natural, legal).
    """
    blinds = blinds_of(tx, id_type, normal_id(id_type, id_no))
    wanted = SubjectKind(kind)
    if (id_type == CREDIT_TYPE) != (wanted is SubjectKind.LEGAL):
        raise wrong_kind()
    found = await _found(tx, blinds)
    if found is None:
        current = blinds[tx.vault.current_pepper]
        await each_alone(tx, PEOPLE, {current})
        found = await _found(tx, blinds)
        if found is None:
            return await _create(tx, id_type, normal_id(id_type, id_no), current, wanted)
    await _require_kind(tx, found, wanted)
    return found


async def canonical(view: View, subject_id: UUID) -> UUID:
    """The subject that this one was merged into, however many times; itself when it never was."""
    for _ in range(_ALIAS_STEPS):
        into = await view.value(
            sa.select(subjects.c.merged_into).where(
                subjects.c.bucket == bucket_of(subject_id), subjects.c.id == subject_id
            )
        )
        if into is None:
            return subject_id
        subject_id = into
    raise Conflict("subject.alias_loop", "主体合并关系有误。", "The chain of merged subjects does not end.")


async def aliases(view: View, subject_id: UUID) -> list[UUID]:
    """Every subject id whose records belong to the same holder: the canonical one first."""
    known = [await canonical(view, subject_id)]
    fresh = known
    while fresh:
        rows = await view.all(sa.select(subjects.c.id).where(subjects.c.merged_into.in_(fresh)))
        fresh = [row.id for row in rows if row.id not in known]
        known = known + fresh
    return known


async def add_identifier(tx: Tx, *, subject_id: UUID, id_type: str, id_no: str) -> None:
    """A further identifier for a known subject (a new passport, a number after correction). Repeating is harmless.

    Raises Conflict `subject.identifier_taken` when it leads to somebody else: that asks for a merge by two officers.
    """
    blinds = blinds_of(tx, id_type, normal_id(id_type, id_no))
    current = blinds[tx.vault.current_pepper]
    await each_alone(tx, PEOPLE, {current})
    owner = await canonical(tx, subject_id)
    found = await _found(tx, blinds)
    if found is not None and found != owner:
        raise Conflict(
            "subject.identifier_taken",
            "该证件号码已属于另一主体。",
            "This identifier already belongs to another subject.",
            next_zh="若确为同一主体，请由两名工作人员合并。",
            next_en="If both are the same holder, two officers merge them.",
        )
    if found is None:
        await _insert_identifier(tx, owner, id_type, normal_id(id_type, id_no), current)


async def numbers_of(view: View, subject_id: UUID) -> list[tuple[str, str]]:
    """The (type, number) pairs that this subject is known by now, the one of its face first; none for an alias of it.

    For asking a department about exactly this person. Raises NotFound `subject.unknown`, Gone `subject.erased`.
    """
    known = await face(view, subject_id)
    found = [(known.id_type, known.id_no)] if known is not None else []
    table = subject_identifiers.c
    rows = await view.all(
        sa.select(table.id_type, table.sealed)
        .where(table.subject_id == subject_id, table.until.is_(None), table.sealed.is_not(None))
        .order_by(table.since)
    )
    for row in rows:
        plain = await view.vault.open_for(view, subject_id, row.sealed, bound_to=_number_bound(subject_id))
        found.append((row.id_type, plain.decode()))
    return list(dict.fromkeys(found))


def _number_bound(subject_id: UUID) -> bytes:
    return b"number:" + subject_id.bytes


async def end_identifier(tx: Tx, *, subject_id: UUID, id_type: str, id_no: str) -> None:
    """From now on this identifier leads to nobody; certificates that carry it stay. NotFound `subject.unknown`."""
    blinds = blinds_of(tx, id_type, normal_id(id_type, id_no))
    ended = await tx.run(
        subject_identifiers.update()
        .where(
            subject_identifiers.c.blind.in_(blinds.values()),
            subject_identifiers.c.subject_id == subject_id,
            subject_identifiers.c.until.is_(None),
        )
        .values(until=tx.now)
    )
    if not ended:
        raise _unknown()


async def merge(tx: Tx, *, keep: UUID, gone: UUID, first_officer: UUID, second_officer: UUID) -> LeafRef:
    """Declare two subjects to be one holder; `gone` becomes an alias of `keep`. Nothing is moved or rewritten.

    1. Two different active officers who may administer the registry. 2. Two different subjects of one kind.
    3. One guarded UPDATE; the event is committed to the ledger, sealed for `keep`.
    Raises Forbidden `subject.merge_officers`, Conflict `subject.merge_state`, Unprocessable `subject.kind`.
    """
    for officer in (first_officer, second_officer):  # 1
        roles = await officers_room.roles_of(tx, officer)
        if first_officer == second_officer or not may(roles, "registry.administer"):
            raise Forbidden(
                "subject.merge_officers",
                "合并主体须由两名不同的、有权限的工作人员办理。",
                "A merge takes two different officers who both may administer the registry.",
            )
    await one_at_a_time(tx, b"subjects:merge")
    target = await canonical(tx, keep)  # 2
    kept, lost = await _row(tx, target), await _row(tx, gone)
    if target == gone or lost.merged_into is not None:
        raise Conflict("subject.merge_state", "这两个主体已经合并。", "These subjects are merged already.")
    await _require_kind(tx, gone, SubjectKind(kept.kind))
    await tx.run(  # 3
        subjects.update()
        .where(subjects.c.bucket == bucket_of(gone), subjects.c.id == gone, subjects.c.merged_into.is_(None))
        .values(merged_into=target)
    )
    body = {
        "event": "subject.merged",
        "keep": target.hex,
        "gone": gone.hex,
        "officers": [first_officer.hex, second_officer.hex],
        "at": seconds(tx.now),
    }
    return await commit_event(tx, kind="subject.merged", subject_id=target, body=body)


async def remember_face(tx: Tx, *, subject_id: UUID, name: str, id_type: str, id_no: str) -> None:
    """Keep what the newest signed certificate calls this holder, sealed under the holder's key.

    A resident number is never replaced by another kind of number. Raises NotFound `subject.unknown`,
    Gone `subject.erased`.
    """
    if id_type != RESIDENT_TYPE:
        held = await face(tx, subject_id)
        if held is not None and held.id_type == RESIDENT_TYPE:
            return
    plain = orjson.dumps({"name": name, "id_type": id_type, "id_no": normal_id(id_type, id_no)})
    sealed = await tx.vault.seal_for(tx, subject_id, plain, bound_to=face_bound(subject_id))
    done = await tx.run(
        subjects.update()
        .where(subjects.c.bucket == bucket_of(subject_id), subjects.c.id == subject_id)
        .values(sealed_face=sealed)
    )
    if not done:
        raise _unknown()


async def face(view: View, subject_id: UUID) -> Face | None:
    """Name and number for showing to the holder or to somebody entitled; None when none was remembered.

    Raises NotFound `subject.unknown`, Gone `subject.erased`.
    """
    row = await _row(view, subject_id)
    if row.sealed_face is None:
        return None
    plain = await view.vault.open_for(view, subject_id, row.sealed_face, bound_to=face_bound(subject_id))
    said = json.loads(plain)
    return Face(said["name"], said["id_type"], said["id_no"], _born(said, civil_day(view.now)))


async def kind_of(view: View, subject_id: UUID) -> SubjectKind:
    """Whether this is a person or an organisation; NotFound `subject.unknown`."""
    return SubjectKind((await _row(view, subject_id)).kind)


def _born(said: dict[str, str], today: date) -> date | None:
    if said["id_type"] != RESIDENT_TYPE:
        return None
    try:
        return resident_id(said["id_no"], today=today).born
    except HubError:
        return None


def blinds_of(view: View, id_type: str, normal: str) -> dict[int, bytes]:
    """The blind index under every pepper still in use: rows made before a pepper was changed are found too."""
    return {
        version: view.vault.blind(f"id:{id_type}", normal, pepper=version) for version in view.vault.peppers
    }


async def _found(view: View, blinds: dict[int, bytes]) -> UUID | None:
    rows = await view.all(
        sa.select(subject_identifiers.c.subject_id)
        .where(subject_identifiers.c.blind.in_(blinds.values()), subject_identifiers.c.until.is_(None))
        .distinct()
    )
    owners = {await canonical(view, row.subject_id) for row in rows}
    if len(owners) > 1:
        raise ambiguous()
    return owners.pop() if owners else None


async def _create(tx: Tx, id_type: str, normal: str, blind: bytes, kind: SubjectKind) -> UUID:
    subject_id = uuid.uuid4()  # random, not time-ordered: it decides the bucket and must tell nothing
    await tx.insert(
        subjects,
        {"bucket": bucket_of(subject_id), "id": subject_id, "kind": kind, "created_at": tx.now},
    )
    await tx.vault.create_person_key(tx, subject_id)
    await _insert_identifier(tx, subject_id, id_type, normal, blind)
    return subject_id


async def _insert_identifier(tx: Tx, subject_id: UUID, id_type: str, normal: str, blind: bytes) -> None:
    row = {
        "blind": blind,
        "subject_id": subject_id,
        "pepper": tx.vault.current_pepper,
        "id_type": id_type,
        "sealed": await tx.vault.seal_for(tx, subject_id, normal.encode(), bound_to=_number_bound(subject_id)),
        "since": tx.now,
    }
    if not await tx.insert_new(subject_identifiers, row):  # it was ended before, and is back
        await tx.run(
            subject_identifiers.update()
            .where(subject_identifiers.c.blind == blind, subject_identifiers.c.subject_id == subject_id)
            .values(since=tx.now, until=None)
        )


async def _require_kind(view: View, subject_id: UUID, wanted: SubjectKind) -> None:
    if await kind_of(view, subject_id) is not wanted:
        raise wrong_kind()


def ambiguous() -> Conflict:
    """The refusal to guess between several people."""
    return Conflict(
        "subject.ambiguous",
        "该证件号码对应多个主体，系统不会猜测。",
        "This identifier leads to several subjects, and the hub does not guess.",
        next_zh="请由两名工作人员核实后合并或更正。",
        next_en="Two officers must look into it, and merge or correct.",
    )


def wrong_kind() -> Unprocessable:
    """The refusal of a number that belongs to the other kind of subject."""
    return Unprocessable(
        "subject.kind",
        "该证件号码属于另一类主体（自然人与法人不能混用）。",
        "This identifier belongs to the other kind of subject (person or organisation).",
    )


async def _row(view: View, subject_id: UUID) -> sa.Row[Any]:
    row = await view.first(
        sa.select(subjects).where(subjects.c.bucket == bucket_of(subject_id), subjects.c.id == subject_id)
    )
    if row is None:
        raise _unknown()
    return row


def face_bound(subject_id: UUID) -> bytes:
    """What a sealed face is bound to."""
    return b"face:" + subject_id.bytes


def _unknown() -> NotFound:
    return NotFound("subject.unknown", "没有这个主体。", "There is no such subject.")
