"""After a restore: what others know of this ledger, and the two ways in which it may go on.

Either nobody knows a newer head than the one that was put back: then the same ledger goes on (`resume`). Or
somebody does, or nobody can tell: then its history up to here goes on under a new name with a new key (`succeed`),
and the old one is frozen where it was last seen. The old name never signs a second tree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx

from hub.actor import SYSTEM
from hub.errors import Conflict
from hub.formats.addcheckpoint import AddCheckpoint
from hub.formats.merkle import MAX_SIZE, Frontier
from hub.formats.note import Checkpoint, Note, Vkey, parse, parse_vkey, sign_checkpoint, verify_checkpoint
from hub.ledger.append import append
from hub.ledger.cosign import WitnessAddress
from hub.ledger.head import Head, log_key, prove_head, read_head
from hub.ledger.hold import Hold, release_hold
from hub.ledger.model import head
from hub.ledger.tileset import PREFIX
from hub.ledger.tiling import read_hashes
from hub.store.blobs import Blobs
from hub.store.tx import Database, Tx, View
from keys.signer import Signer

FROZEN = "frozen/"
STEP = 4096


@dataclass(frozen=True, slots=True)
class Known:
    """What one source knows of the ledger: `source` has seen this size; `fits` False when its tree is another one."""

    source: str
    size: int
    fits: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """The restored head among what others know. `silent`: witnesses that gave no answer."""

    size: int
    known: tuple[Known, ...]
    silent: tuple[str, ...]

    @property
    def newest(self) -> int:
        """The largest size that anybody has seen."""
        return max((one.size for one in self.known), default=0)

    @property
    def newer(self) -> tuple[Known, ...]:
        """The sources that have seen more than the restored head, or another tree."""
        return tuple(one for one in self.known if one.size > self.size or not one.fits)

    @property
    def proved(self) -> bool:
        """Whether everybody who would know was heard, and at least one of them."""
        return bool(self.known) and not self.silent and not self.newer


async def look_around(
    view: View,
    *,
    hold: Hold,
    witnesses: Sequence[WitnessAddress],
    http: httpx.AsyncClient,
    seen: Iterable[tuple[str, bytes]] = (),
) -> Standing:
    """Ask everybody who may know more than the restored head; nothing is signed for it.

    1. The head's own signature holds. 2. The checkpoint that was published in the blob store before the restore
    (what the restore put there itself proves nothing). 3. Checkpoints in `seen` (name, note) that people kept. 4.
    Every witness is shown the head that it may have cosigned before; its answer tells the size it remembers.
    """
    key = parse_vkey(hold.log_key)
    found = await read_head(view)
    if found.origin == hold.origin:  # else `succeed` was cut short, and has proved it
        prove_head(found, key)  # 1
    kept = [("文件存储 blob store", hold.live.encode())] if hold.live is not None else []
    notes = [(name, verify_checkpoint(parse(data), key).checkpoint) for name, data in (*kept, *seen)]  # 2, 3
    roots = await _roots(view, {one.size for _, one in notes if one.size <= found.size})
    known = [
        Known(name, one.size, one.size > found.size or roots[one.size] == one.root) for name, one in notes
    ]
    answers = [(witness.key.name, await _remembered(witness, found, http)) for witness in witnesses]  # 4
    known += [Known(name, *answer) for name, answer in answers if answer is not None]
    return Standing(found.size, tuple(known), tuple(name for name, answer in answers if answer is None))


async def resume(tx: Tx, *, hold: Hold, standing: Standing, stopped: bool) -> None:
    """The same ledger goes on: a public leaf says so. `stopped`: the operator vouches that nothing was signed since.

    Raises Conflict `ledger.newer_known` when somebody has seen more, whatever is vouched for; `ledger.unproved`
    when nobody was heard and nothing is vouched for. The caller releases the hold after the commit.
    """
    if standing.newer:
        raise _newer(standing)
    if not standing.proved and not stopped:
        silent = "、".join(standing.silent)
        raise Conflict(
            "ledger.unproved",
            f"不能确认备份之后没有签过更新的检查点{f'（见证方没有应答：{silent}）' if silent else ''}。",
            "Nobody can say that no newer checkpoint was signed after the backup"
            f"{f' (no answer from {silent})' if silent else ''}.",
            next_zh="接通见证方，或用 --seen 给出审计方保存的检查点；确知备份后平台再没有运行过时加 --stopped；"
            "否则请用 yimen ledger succeed。",
            next_en="Bring the witnesses back, or give checkpoints that auditors kept with --seen; if you know that "
            "the hub did not run after the backup add --stopped; otherwise use: yimen ledger succeed",
        )
    event = {"v": 1, "backup": hold.backup, "size": hold.size, "root": hold.root, "stopped": stopped,
             "heard": sorted(one.source for one in standing.known)}  # fmt: skip
    await append(tx, kind="ledger.resumed", event=event)


async def succeed(
    db: Database, blobs: Blobs, *, hold: Hold, standing: Standing, origin: str, signer: Signer
) -> Head:
    """The history up to the restored head goes on as the ledger `origin`, under the new key `signer`.

    1. Another name and another key than before. 2. What the old ledger published is kept under `frozen/`. 3. In one
    transaction: the head is signed under the new name, as yet unpublished, and a public leaf tells what it follows
    and how much of the old one is known to be lost. 4. The old files leave the place where the new ones go. 5. The hold
    is released. Can be run again after any crash.

    Raises Conflict `ledger.same_name`.
    """
    key = log_key(origin, signer)
    if origin == hold.origin or key.public == parse_vkey(hold.log_key).public:  # 1
        raise Conflict(
            "ledger.same_name",
            "新账本须用新的名称和新的密钥。",
            "The ledger that follows needs another name and another key.",
            next_zh="请先设置 YIMEN_LEDGER_ORIGIN 为新名称。",
            next_en="Set YIMEN_LEDGER_ORIGIN to the new name first.",
        )
    async with db.view(SYSTEM) as view:
        begun = (await read_head(view)).origin == origin
    if not begun:
        await _freeze(blobs, hold)  # 2
        async with db.tx(SYSTEM) as tx:  # 3
            await _take_over(tx, hold, standing, origin, signer, key)
    for name in await blobs.list_prefix(PREFIX):  # 4
        await blobs.delete(name)
    await release_hold(blobs)  # 5
    async with db.view(SYSTEM) as view:
        return await read_head(view)


async def _take_over(
    tx: Tx, hold: Hold, standing: Standing, origin: str, signer: Signer, key: Vkey
) -> None:
    found = await read_head(tx, lock=True)
    prove_head(found, parse_vkey(hold.log_key))
    note = sign_checkpoint(Checkpoint(origin, found.size, found.root), signer, key)
    await tx.run(
        head.update().values(
            origin=origin, checkpoint=str(note), epoch=found.epoch + 1, published_size=0, signed_at=tx.now
        )
    )
    event = {
        "v": 1, "follows": hold.origin, "key": hold.log_key, "size": found.size, "root": found.root.hex(),
        "known_size": max(standing.newest, found.size), "backup": hold.backup,
    }  # fmt: skip
    await append(tx, kind="ledger.succeeded", event=event)


async def _freeze(blobs: Blobs, hold: Hold) -> None:
    folder = f"{FROZEN}{hold.backup}/"
    for name in await blobs.list_prefix(PREFIX):
        await blobs.put(folder + name.removeprefix(PREFIX), await blobs.get(name))


async def _roots(view: View, sizes: set[int]) -> dict[int, bytes]:
    """The roots of the stored leaves at these sizes."""
    whole = Frontier.empty()
    roots = {0: whole.root()}
    last = max(sizes, default=0)
    while whole.size < last:
        for one in await read_hashes(view, whole.size, min(whole.size + STEP, last)):
            whole.append(one)
            if whole.size in sizes:
                roots[whole.size] = whole.root()
    return roots


async def _remembered(
    witness: WitnessAddress, found: Head, http: httpx.AsyncClient
) -> tuple[int, bool] | None:
    """The size that a witness remembers, and whether its tree is ours; None without an answer that tells."""
    note: Note = found.note
    body = AddCheckpoint(found.size, (), note).to_bytes()
    try:
        reply = await http.post(f"{witness.url}/add-checkpoint", content=body)
    except httpx.HTTPError:
        return None
    if reply.status_code in (200, 422):  # it remembers this size: the same tree, or another one
        return found.size, reply.status_code == 200
    told = reply.text.strip()
    if reply.status_code == 409 and told.isascii() and told.isdigit() and len(told) < 20:
        return min(int(told), MAX_SIZE), True
    return None


def _newer(standing: Standing) -> Conflict:
    one = max(standing.newer, key=lambda known: known.size)
    lost = one.size - standing.size
    what_zh = f"少了 {lost} 条记录" if lost > 0 else "是另一棵树"
    what_en = f"{lost} leaves are missing here" if lost > 0 else "its tree is another one"
    return Conflict(
        "ledger.newer_known",
        f"{one.source} 见过 {one.size} 条，恢复的只有 {standing.size} 条：{what_zh}。原账本不能再签名。",
        f"{one.source} has seen {one.size} leaves, the restored ledger has {standing.size}: {what_en}. "
        "Under its old name it must not sign again.",
        next_zh="有更新的备份就改用它；没有就用 yimen ledger succeed，以新名称继续。",
        next_en="Restore a newer backup if there is one; if not, go on under a new name: yimen ledger succeed",
        size=standing.size,
        newest=one.size,
    )


