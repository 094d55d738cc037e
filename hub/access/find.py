"""One look found again by the id that it is known by outside."""

import sqlalchemy as sa

from hub.access.body import leaf_of
from hub.access.model import accesses, commit_named
from hub.ledger.model import leaves
from hub.store.tx import View


async def named(view: View, public_id: str) -> sa.ColumnElement[bool]:
    """The condition on `accesses` that finds this look.

    The id spells the commitment, so its leaf is known, and the leaf's time is the look's: no index over ids is needed.
    """
    found, commit = accesses.c.public_id == public_id, commit_named(public_id)
    if commit is None:
        return found
    at = await view.value(sa.select(leaves.c.created_at).where(leaves.c.leaf_hash == leaf_of(commit)))
    return sa.false() if at is None else sa.and_(accesses.c.at == at, found)
