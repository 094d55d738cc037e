"""Who is asking: established once at the door, carried through every verb, never guessed inside."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class ActorKind(StrEnum):
    """The kinds of callers; each door belongs to one of them."""

    PUBLIC = "public"
    DEPARTMENT = "department"
    CITIZEN = "citizen"
    OFFICER = "officer"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """One authenticated caller (or `PUBLIC`, or the hub's own jobs).

    `department` is the slug of the department that calls or that the officer works for; `subject_id` is the
    citizen's random id, or that of the company for which `person` acts; `roles` are the officer's roles; `jkt` is the
    thumbprint of the client key that the request proved possession of (RFC 9449).
    """

    kind: ActorKind
    department: str | None = None
    subject_id: UUID | None = None
    officer_id: UUID | None = None
    roles: frozenset[str] = field(default_factory=frozenset)
    jkt: str | None = None
    person: UUID | None = None

    def reference(self) -> str:
        """How records name this actor: kind and random id, never a name or a number of a person."""
        if self.kind is ActorKind.DEPARTMENT:
            return f"department:{self.department}"
        if self.kind is ActorKind.OFFICER:
            return f"officer:{self.department}:{self.officer_id}"
        if self.kind is ActorKind.CITIZEN:
            return f"subject:{self.subject_id}" + (f":by:{self.person}" if self.person else "")
        return str(self.kind)


PUBLIC = Actor(ActorKind.PUBLIC)
SYSTEM = Actor(ActorKind.SYSTEM)
