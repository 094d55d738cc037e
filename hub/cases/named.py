"""Somebody named by a number that an officer typed or a department's system sent: found or made, and guarded."""

from uuid import UUID

from hub.consent.guard import admit
from hub.registry import subjects
from hub.registry.model import SubjectKind
from hub.store.tx import Tx


async def by_number(tx: Tx, *, id_type: str, id_no: str, kind: SubjectKind) -> UUID:
    """The person of a number; one whom we do not know is answered like one whom we know, and counted.

    Raises `Stopped` for whoever sends many numbers that nobody here has: that is how a list is tried out.
    """
    if await subjects.find(tx, id_type=id_type, id_no=id_no) is None:
        await admit(tx, "unknown_number")
    return await subjects.resolve(tx, id_type=id_type, id_no=id_no, kind=kind)
