"""The ceremony that creates the ledger, once, on purpose."""

import sqlalchemy as sa

from hub.errors import Conflict
from hub.formats.merkle import EMPTY_ROOT, Frontier
from hub.formats.note import Checkpoint, sign_checkpoint
from hub.ledger.head import ONLY, Head, log_key, read_head
from hub.ledger.model import head, leaves
from hub.ledger.tileset import CHECKPOINT, PREFIX
from hub.store.blobs import Blobs
from hub.store.tx import Tx
from keys.signer import Signer


async def create(tx: Tx, *, blobs: Blobs, origin: str, signer: Signer, prefix: str = PREFIX) -> Head:
    """Create the empty ledger `origin` (schema-less URL, stable for ever) and sign its first head.

    1. No head stands. 2. No leaf ever had an index. 3. The object store holds no published checkpoint. A head
    that is missing where one of these remains was lost, and a lost ledger is restored, never begun again.
    Publishing the empty checkpoint is the sequencer's first act. Raises Conflict `ledger.exists`, `ledger.lost`.
    """
    if await tx.first(sa.select(head.c.id)) is not None:  # 1
        raise Conflict("ledger.exists", "透明日志已经存在。", "The ledger exists already.")
    indexed = await tx.first(sa.select(leaves.c.idx).where(leaves.c.idx.is_not(None)).limit(1))  # 2
    if indexed is not None or await blobs.exists(prefix + CHECKPOINT):  # 3
        raise Conflict(
            "ledger.lost",
            "此处曾有透明日志但树头已丢失，不能新建。",
            "A ledger was here and its head is lost; a new one must not be begun.",
            next_zh="请从备份恢复数据库。",
            next_en="Restore the database from its backup.",
        )
    note = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), signer, log_key(origin, signer))
    made = await tx.insert_new(
        head,
        {
            "id": ONLY,
            "origin": origin,
            "size": 0,
            "root": EMPTY_ROOT,
            "frontier": Frontier.empty().to_bytes(),
            "epoch": 0,
            "checkpoint": str(note),
            "signed_at": tx.now,
            "published_size": 0,
        },
    )
    if not made:
        raise Conflict("ledger.exists", "透明日志已经存在。", "The ledger exists already.")
    return await read_head(tx)
