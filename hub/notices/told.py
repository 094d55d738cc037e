"""What is to be told: to a citizen, or to the endpoints of a department; and which people it concerns."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.consent.represent import guardians_of
from hub.ids import bucket_of
from hub.notices.model import NoticeKind
from hub.registry.model import SubjectKind, subjects
from hub.store.rows import rows_of
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Told:
    """One notice to one person. `source` says what happened, so that the same is never told twice.

    `shown_from`: a published rule keeps it from them until then, in the wallet and everywhere.
    """

    subject_id: UUID
    kind: NoticeKind
    source: str
    at: datetime
    ref: str | None = None
    about: UUID | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    shown_from: datetime | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of kind and source."""
        return hashlib.sha256(f"{self.kind}\x00{self.source}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Event:
    """Something a department relied on has changed: a type of event and ids, nothing personal."""

    department: str
    type: str
    at: datetime
    data: dict[str, Any]


def to_each(people: Sequence[UUID], holder: UUID, **told: Any) -> list[Told]:
    """The same notice to several people, once each; to everybody but the holder it is about the holder."""
    return [
        Told(subject_id=person, about=None if person == holder else holder, **told) for person in dict.fromkeys(people)
    ]


async def concerned(view: View, holder: UUID, *others: UUID | None) -> list[UUID]:
    """Who is told of what is done with a holder's data: they, those named beside, and a child's guardians.

    Organisations have no wallet: of theirs only the people named beside are told.
    """
    people = [holder, *(one for one in others if one is not None)]
    if len(people) == 1:
        people += await guardians_of(view, child=holder)
    return await only_people(view, people)


async def only_people(view: View, found: Iterable[UUID]) -> list[UUID]:
    """Those of the subjects that are natural persons, in the order given, each once."""
    keys = [(bucket_of(one), one) for one in dict.fromkeys(found)]
    query = sa.select(subjects.c.id, subjects.c.kind)
    rows = await rows_of(view, query, sa.tuple_(subjects.c.bucket, subjects.c.id), keys)
    natural = {row.id for row in rows if row.kind == SubjectKind.NATURAL}
    return [one for _, one in keys if one in natural]
