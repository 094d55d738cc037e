"""Proofs out of what is published: that a leaf is in the ledger, and that one size extends another."""

from dataclasses import dataclass

import sqlalchemy as sa

from hub.errors import HubError, Internal, NotFound, Unavailable, Unprocessable
from hub.formats.merkle import verify_consistency, verify_inclusion
from hub.formats.note import Checkpoint, Note, Vkey, parse, parse_checkpoint, verify_checkpoint
from hub.formats.tlogproof import TlogProof
from hub.ledger.head import read_head
from hub.ledger.model import leaves
from hub.ledger.tileset import TileReader
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Published:
    """The newest checkpoint that is out, as a note (with cosignatures where there are any), and what it says."""

    note: Note
    checkpoint: Checkpoint


async def published(view: View, reader: TileReader) -> Published:
    """The published checkpoint. Raises Unavailable `ledger.absent`, `ledger.not_published`."""
    found = await read_head(view)
    try:
        note = parse(await reader.checkpoint())
    except NotFound:
        raise Unavailable(
            "ledger.not_published", "透明日志尚未公布。", "The ledger has not been published yet."
        ) from None
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != found.origin or checkpoint.size > found.size:
        raise Internal(
            "ledger.rolled_back",
            "数据库与已公布的透明日志不一致。",
            "The published checkpoint is not this database's.",
        )
    return Published(note, checkpoint)


async def proven_checkpoint(reader: TileReader, key: Vkey) -> bytes:
    """The published checkpoint as it lies in storage, once the ledger's own signature on it holds.

    Raises NotFound before the first, Unavailable `ledger.checkpoint_broken` for other bytes: storage is not trusted.
    """
    data = await reader.checkpoint()
    try:
        verify_checkpoint(parse(data), key)
    except HubError as refused:
        raise Unavailable(
            "ledger.checkpoint_broken",
            "文件存储中的检查点已损坏，不予提供。",
            "The checkpoint in file storage is damaged and is not served.",
            next_zh="请稍后再试；运维请检查文件存储。",
            next_en="Try again later; operators: look at the file storage.",
        ) from refused
    return data


async def prove_inclusion(view: View, reader: TileReader, *, leaf_hash: bytes) -> TlogProof:
    """The tlog-proof of one leaf under the published checkpoint; it verifies, or it is not given out.

    Raises NotFound `ledger.unknown_leaf`; Unavailable `ledger.not_yet` while the leaf waits for its index or
    its tiles (ask again in a second or two); Internal `ledger.proof_broken` when stored tiles are damaged.
    """
    row = await view.first(sa.select(leaves.c.idx).where(leaves.c.leaf_hash == leaf_hash))
    if row is None:
        raise NotFound(
            "ledger.unknown_leaf", "透明日志中没有这条记录。", "There is no such leaf in the ledger."
        )
    out = await published(view, reader)
    size = out.checkpoint.size
    if row.idx is None or row.idx >= size:
        raise Unavailable(
            "ledger.not_yet",
            "记录已收到，正在登入透明日志。",
            "The leaf is received and is being sequenced.",
            next_zh="请几秒后再试。",
            next_en="Try again in a few seconds.",
        )
    path = await reader.inclusion(row.idx, size, at=size)
    if not verify_inclusion(row.idx, size, leaf_hash, path, out.checkpoint.root):
        reader.forget()
        raise _broken()
    return TlogProof(row.idx, tuple(path), out.note)


async def prove_consistency(view: View, reader: TileReader, *, size1: int, size2: int) -> list[bytes]:
    """The proof that the tree of `size2` extends that of `size1`, both up to the published size; it verifies.

    Raises Unprocessable `merkle.sizes`, `ledger.beyond_published`, Internal `ledger.proof_broken`.
    """
    at = (await published(view, reader)).checkpoint
    if size2 > at.size:
        raise Unprocessable(
            "ledger.beyond_published", "该大小尚未公布。", "That size has not been published yet."
        )
    proof = await reader.consistency(size1, size2, at=at.size)
    root1, root2 = await reader.root(size1, at=at.size), await reader.root(size2, at=at.size)
    whole = root2 == at.root if size2 == at.size else True
    if not whole or not verify_consistency(size1, size2, root1, root2, proof):
        reader.forget()
        raise _broken()
    return proof


def _broken() -> Internal:
    return Internal(
        "ledger.proof_broken",
        "透明日志的数据块已损坏，无法出具证明。",
        "The ledger's stored tiles are damaged; no proof is given out.",
        next_zh="请联系运维人员运行 yimen ledger check。",
        next_en="Ask an operator to run: yimen ledger check",
    )
