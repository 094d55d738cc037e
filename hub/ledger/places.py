"""Where leaves stand in the ledger. An index, once given, is for ever: it is asked of the database only once."""

from collections.abc import Sequence

import sqlalchemy as sa

from hub.ledger.model import leaves
from hub.store.memory import Newest
from hub.store.statement import Statement
from hub.store.tx import View

PLACE = Statement(
    lambda _: sa.select(leaves.c.leaf_hash, leaves.c.idx).where(leaves.c.leaf_hash == sa.bindparam("leaf"))
)


class Places(Newest[bytes, int]):
    """One process's memory of indices."""

    def __init__(self) -> None:
        super().__init__(at_most=100_000)


async def indices_of(view: View, wanted: Sequence[bytes]) -> dict[bytes, int]:
    """The index of each leaf that has one; a pending or unknown leaf is left out."""
    kept = view.memory.of(Places)
    found = {leaf: index for leaf in wanted if (index := kept.get(leaf)) is not None}
    unknown = sorted({leaf for leaf in wanted if leaf not in found})
    for row in await view.each(PLACE, [{"leaf": leaf} for leaf in unknown]):
        if row.idx is not None:
            found[row.leaf_hash] = row.idx
            kept.keep(row.leaf_hash, row.idx)
    return found
