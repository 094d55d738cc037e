"""What anybody does who watches the ledger: remember one checkpoint, and let no later one contradict it.

Pure: it needs no database and no trust in the hub. For programs that watch; nothing in the hub calls it (promise 3).
"""

from collections.abc import Sequence

from hub.errors import Conflict, Unprocessable
from hub.formats.merkle import verify_consistency
from hub.formats.note import Checkpoint, Cosigned, Note, Vkey, verify_checkpoint


def follow(
    pinned: Checkpoint | None,
    latest: Note,
    proof: Sequence[bytes],
    *,
    log_key: Vkey,
    witnesses: Sequence[Vkey] = (),
    quorum: int = 0,
) -> Cosigned:
    """Accept `latest` in place of `pinned`, or refuse it and keep both as evidence.

    1. The log's signature and origin, and every known witness's line, hold. 2. At least `quorum` of the
    witnesses vouch. 3. It is not shorter than what we saw: Conflict `ledger.rolled_back`. 4. One size has one
    root: Conflict `ledger.forked`. 5. The proof shows that it extends what we saw: Conflict `ledger.rewritten`.

    Raises those of `verify_checkpoint`, Unprocessable `ledger.quorum`.
    """
    found = verify_checkpoint(latest, log_key, witnesses)  # 1
    if len(found.witnessed) < quorum:  # 2
        raise Unprocessable("ledger.quorum", "见证签名不足。", "Too few witnesses vouch for this checkpoint.")
    new = found.checkpoint
    if pinned is None or pinned.size == 0:
        return found
    if new.size < pinned.size:  # 3
        raise Conflict(
            "ledger.rolled_back", "透明日志比之前短，历史被回滚。", "The ledger is shorter than it was."
        )
    if new.size == pinned.size and new.root != pinned.root:  # 4
        raise Conflict(
            "ledger.forked", "同一大小出现两个根，日志被分叉。", "Two roots for one size: the ledger forked."
        )
    if not verify_consistency(pinned.size, new.size, pinned.root, new.root, proof):  # 5
        raise Conflict("ledger.rewritten", "透明日志的历史被改写。", "The ledger's history was rewritten.")
    return found
