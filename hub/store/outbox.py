"""The transactional outbox: what happened and somebody must be told of, written in the commit in which it happened.

So nothing is told that did not happen, and nothing that happened is lost with the process that did it. Rooms put in;
`hub.notices` takes out, and writes down whom it will tell in the same commit.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from hub.store.model import outbox
from hub.store.statement import Statement
from hub.store.tx import Tx


async def emit(tx: Tx, *, kind: str, **facts: str | int | None) -> None:
    """Say in this commit that something happened. `facts` are ids and codes, never a name, a number or a claim."""
    await tx.insert(outbox, {"kind": kind, "facts": facts, "at": tx.now})


async def emit_all(tx: Tx, *, kind: str, facts: Sequence[Mapping[str, str | int | None]]) -> None:
    """As `emit`, of many things of one kind, in their order."""
    await tx.insert(outbox, [{"kind": kind, "facts": dict(one), "at": tx.now} for one in facts])


TAKE = Statement(
    lambda _: (
        sa.select(outbox)
        .order_by(outbox.c.seq)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )
)


async def take(tx: Tx, *, limit: int) -> Sequence[Any]:
    """The oldest entries, taken out: gone when this transaction commits, and nobody else has them meanwhile."""
    rows = await tx.each(TAKE, [{"most": limit}])
    if rows:
        await tx.run(outbox.delete().where(outbox.c.seq.in_([row.seq for row in rows])))
    return rows
