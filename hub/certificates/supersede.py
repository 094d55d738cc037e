"""A certificate replaced by a new one: both in one commit, so that a holder never has two, or none."""

from uuid import UUID

from hub.certificates import status, steps
from hub.certificates.content import foreign_type
from hub.certificates.examine import Examined, Supersession
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent
from hub.certificates.steps import Move
from hub.formats import statuslist
from hub.store.tx import Tx


async def supersede(tx: Tx, new: Examined, supersession: Supersession) -> UUID:
    """End the certificate that `new` replaces, with the signed list that says so; the row id of what ended.

    Raises Conflict `certificate.not_current`, Forbidden `certificate.type_not_yours` and
    those of `status.accept_list`.
    """
    old = await by_public_id(tx, supersession.certificate)
    if old.department != tx.actor.department or old.type_code != new.type_code:
        raise foreign_type()
    after = steps.after(old, StatusEvent.SUPERSEDE)
    if old.status_idx is not None:
        await status.accept_list(
            tx,
            token=supersession.status_list,
            changes={old.status_idx: statuslist.INVALID},
            uri=old.status_uri,
        )
    await steps.take(tx, [Move(old, after, steps.SUPERSEDED, successor=new.id)])
    return old.ref.id
