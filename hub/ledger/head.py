"""The one signed head of the ledger: read, proved against itself, compared."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from hub.errors import HubError, Internal, Unavailable, Unprocessable
from hub.formats import jws
from hub.formats.merkle import Frontier
from hub.formats.note import Checkpoint, Note, Vkey, make_vkey, parse, verify_checkpoint
from hub.ledger.model import head, leaves
from hub.store.statement import Statement
from hub.store.tx import View
from keys.algorithms import EDDSA
from keys.signer import Signer

ONLY = 1
"""There is one ledger in a hub, and this is its row."""
HEAD = Statement(lambda _: sa.select(head).where(head.c.id == ONLY))
HEAD_LOCKED = Statement(lambda _: sa.select(head).where(head.c.id == ONLY).with_for_update())


@dataclass(frozen=True, slots=True)
class Head:
    """The head as stored. `published_size` is how far tiles and the checkpoint are out for all to read."""

    origin: str
    size: int
    root: bytes
    frontier: Frontier
    epoch: int
    checkpoint: str
    signed_at: datetime
    published_size: int

    @property
    def note(self) -> Note:
        """The checkpoint as a note; no cosignatures."""
        return parse(self.checkpoint)


async def read_head(view: View, *, lock: bool = False) -> Head:
    """The stored head; `lock` keeps other writers off it until the transaction ends.

    Raises Unavailable `ledger.absent` when no ledger was ever created here: one is made by ceremony only.
    Raises Internal `ledger.head_broken` when the stored tree edge does not give the stored root.
    """
    rows = await view.each(HEAD_LOCKED if lock else HEAD, [{}])
    if not rows:
        raise Unavailable(
            "ledger.absent",
            "透明日志尚未创建或已丢失，系统停止写入。",
            "There is no ledger here: it was never created, or it is lost. Nothing is written.",
            next_zh="首次安装请运行 yimen init；否则请从备份恢复，切勿新建。",
            next_en="On a first installation run: yimen init. Otherwise restore the backup; do not create anew.",
        )
    row = rows[0]
    edge = Frontier.from_bytes(row.frontier)
    if edge.size != row.size or edge.root() != row.root:
        raise broken_head("the stored edge of the tree does not give the stored root")
    return Head(
        row.origin,
        row.size,
        row.root,
        edge,
        row.epoch,
        row.checkpoint,
        row.signed_at,
        row.published_size,
    )


def prove_head(found: Head, key: Vkey) -> Checkpoint:
    """The head's own checkpoint, once its signature, origin, size and root agree with the row.

    Raises Internal `ledger.head_broken`.
    """
    try:
        checkpoint = verify_checkpoint(found.note, key).checkpoint
    except HubError as refused:
        raise broken_head(refused.code) from refused
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (found.origin, found.size, found.root):
        raise broken_head("the signed checkpoint says something else than the row")
    return checkpoint


def log_key(origin: str, signer: Signer) -> Vkey:
    """The ledger's verifier key: its name is the origin (tlog-tiles). Raises Unprocessable `ledger.key_alg`."""
    if signer.alg != EDDSA:
        raise Unprocessable(
            "ledger.key_alg", "日志密钥须为 Ed25519。", "The ledger is signed by an Ed25519 key."
        )
    return make_vkey(origin, jws.b64u_decode(signer.public.jwk["x"]))


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits for an index: how many leaves, and for how long the oldest has waited."""

    pending: int
    oldest: timedelta


async def lag(view: View) -> Lag:
    """How far the sequencer is behind; alarm over 10 s, no new disclosures over 4 h (DESIGN 3, rule 11)."""
    row = await view.first(
        sa.select(sa.func.count().label("pending"), sa.func.min(leaves.c.created_at).label("oldest")).where(
            leaves.c.idx.is_(None)
        )
    )
    if row is None or not row.pending:
        return Lag(0, timedelta())
    return Lag(row.pending, max(view.now - row.oldest, timedelta()))


def broken_head(why: str) -> Internal:
    """The error for a head that contradicts itself; nothing may be signed on top of it."""
    return Internal(
        "ledger.head_broken",
        "透明日志的树头数据已损坏，停止签名。",
        f"The ledger's head is damaged; signing has stopped: {why}.",
        next_zh="请运行 yimen ledger check 并联系运维人员。",
        next_en="Run: yimen ledger check, and call the operators.",
    )
