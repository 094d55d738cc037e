"""The holders of many certificates at once: found, and made when absent, in statements that do not grow with them.

The same rules as `hub.registry.subjects` (blind indexes, aliases, kinds, faces), which does it for one.
"""

import json
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from hub.errors import HubError
from hub.formats.identifiers import CREDIT_TYPE, RESIDENT_TYPE, normal_id
from hub.ids import bucket_of
from hub.registry.locks import each_alone
from hub.registry.model import SubjectKind, subject_identifiers, subjects
from hub.registry.subjects import PEOPLE, ambiguous, blinds_of, canonical, face_bound, wrong_kind
from hub.store.model import person_keys
from hub.store.rows import add_rows, keys_of, rows_of
from hub.store.seal import erased, seal, unseal
from hub.store.tx import Tx, View

Number = tuple[str, str]
"""(id_type, id_no) as signed."""
Face = dict[str, str]


@dataclass
class People:
    """Everybody whom some certificates name: who is known, and who could not be told or must not be used."""

    known: dict[Number, UUID] = field(default_factory=dict)
    keys: dict[UUID, bytes] = field(default_factory=dict, repr=False)
    refused: dict[Number, HubError] = field(default_factory=dict)
    faces: dict[UUID, Face | None] = field(default_factory=dict, repr=False)
    normal: dict[Number, str] = field(default_factory=dict, repr=False)
    blinds: dict[Number, dict[int, bytes]] = field(default_factory=dict, repr=False)

    def refusal(self, numbers: Iterable[Number]) -> HubError | None:
        """Why the first of these cannot be a holder; None when all can."""
        if not self.refused:
            return None
        return next((self.refused[number] for number in numbers if number in self.refused), None)

    def face_of(self, number: Number, name: str) -> Face:
        """What a certificate calls the holder with this number."""
        return {"name": name, "id_type": number[0], "id_no": self.normal[number]}


async def meet(view: View, numbers: Iterable[Number]) -> People:
    """Find who has these numbers. One that cannot be a number, leads to several people, to somebody erased or to
    the other kind is in `refused`; one that leads to nobody yet is in neither."""
    people = People()
    for number in dict.fromkeys(numbers):
        try:
            people.normal[number] = normal_id(*number)
        except HubError as fault:
            people.refused[number] = fault
        else:
            people.blinds[number] = blinds_of(view, number[0], people.normal[number])
    await _find(view, people, people.blinds)
    return people


async def make_missing(tx: Tx, people: People, said: Iterable[tuple[Number, str]]) -> None:
    """Make everybody among these numbers (each with a name) who is not known yet, with a key and a face of their own.

    Under the lock that `subjects.resolve` takes, after a second look: somebody refused then is in `refused`.
    Two spellings of one number are one person.
    """
    missing = {number: name for number, name in said if number not in people.known}
    if not missing:
        return
    blinds = {number: people.blinds[number][tx.vault.current_pepper] for number in missing}
    await each_alone(tx, PEOPLE, set(blinds.values()))
    if tx.dialect == "postgresql":  # while we waited somebody else may have made them
        await _find(tx, people, missing)
    made: dict[bytes, UUID] = {}
    rows: tuple[list[Any], ...] = ([], [], [])
    for number, name in missing.items():
        if number in people.known or number in people.refused:
            continue
        blind = blinds[number]
        if blind not in made:
            subject_id = made[blind] = uuid.uuid4()  # random: it decides the bucket and must tell nothing
            key, wrapped = tx.vault.new_person_key(subject_id)
            face, bucket = people.face_of(number, name), bucket_of(subject_id)
            people.keys[subject_id], people.faces[subject_id] = key, face
            rows[0].append((bucket, subject_id, kind_for(number[0]), _sealed(key, subject_id, face), tx.now))
            rows[1].append((bucket, subject_id, wrapped, tx.vault.current_kek, tx.now))
            rows[2].append((blind, subject_id, tx.vault.current_pepper, number[0], tx.now))
        people.known[number] = made[blind]
    await add_rows(tx, subjects, ("bucket", "id", "kind", "sealed_face", "created_at"), rows[0])
    await add_rows(tx, person_keys, ("bucket", "subject_id", "wrapped", "kek", "created_at"), rows[1])
    await add_rows(tx, subject_identifiers, ("blind", "subject_id", "pepper", "id_type", "since"), rows[2])


async def remember_faces(tx: Tx, people: People, said: Iterable[tuple[Number, str]]) -> None:
    """Keep what the newest of these (in their order) calls each person; who is called the same costs no write.

    A resident number is never replaced by another kind of number.
    """
    changed: dict[UUID, Face] = {}
    for number, name in said:
        subject_id, face = people.known[number], people.face_of(number, name)
        before = people.faces[subject_id]
        if face == before or (before and before["id_type"] == RESIDENT_TYPE != number[0]):
            continue
        people.faces[subject_id] = changed[subject_id] = face
    for subject_id in sorted(changed):
        sealed = _sealed(people.keys[subject_id], subject_id, changed[subject_id])
        mine = sa.and_(subjects.c.bucket == bucket_of(subject_id), subjects.c.id == subject_id)
        await tx.run(subjects.update().where(mine).values(sealed_face=sealed))


def kind_for(id_type: str) -> SubjectKind:
    """A credit code is an organisation's, every other number a person's."""
    return SubjectKind.LEGAL if id_type == CREDIT_TYPE else SubjectKind.NATURAL


async def _find(view: View, people: People, numbers: Iterable[Number]) -> None:
    spelled: dict[bytes, list[Number]] = {}
    for number in numbers:
        for blind in people.blinds[number].values():
            spelled.setdefault(blind, []).append(number)
    table = subject_identifiers.c
    query = sa.select(table.blind, table.subject_id).where(table.until.is_(None))
    owners: dict[Number, set[UUID]] = {}
    for row in await rows_of(view, query, table.blind, spelled):
        for number in spelled[row.blind]:
            owners.setdefault(number, set()).add(row.subject_id)
    rows = await _subjects(view, {one for found in owners.values() for one in found})
    targets: dict[UUID, UUID] = {}
    for one, row in rows.items():
        targets[one] = one if row.merged_into is None else await canonical(view, one)
    rows |= await _subjects(view, set(targets.values()) - rows.keys())
    keys = await keys_of(view, rows)
    for number, found in owners.items():
        ways = {targets[one] for one in found}
        if len(ways) > 1:
            people.refused[number] = ambiguous()
            continue
        row = rows[ways.pop()]
        if SubjectKind(row.kind) is not kind_for(number[0]):
            people.refused[number] = wrong_kind()
        elif row.id not in keys:
            people.refused[number] = erased()
        else:
            people.known[number] = row.id
            people.keys[row.id] = keys[row.id]
            people.faces[row.id] = _opened(keys[row.id], row)


async def _subjects(view: View, ids: Collection[UUID]) -> dict[UUID, sa.Row[Any]]:
    table = subjects.c
    query = sa.select(table.id, table.kind, table.merged_into, table.sealed_face)
    places = [(bucket_of(one), one) for one in ids]
    return {row.id: row for row in await rows_of(view, query, sa.tuple_(table.bucket, table.id), places)}


def _opened(key: bytes, row: sa.Row[Any]) -> Face | None:
    if row.sealed_face is None:
        return None
    face: Face = json.loads(unseal(key, row.sealed_face, bound_to=face_bound(row.id)))
    return face


def _sealed(key: bytes, subject_id: UUID, face: Face) -> bytes:
    return seal(key, orjson.dumps(face), bound_to=face_bound(subject_id))
