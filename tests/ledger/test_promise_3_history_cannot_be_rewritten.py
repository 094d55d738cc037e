"""Promise 3: whoever remembers one checkpoint notices any rewriting, even by one who holds the database, the object
store and the ledger's own key. Each attack is run twice: with the mechanism, and with it taken out."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from ledger.rig import ORIGIN, Rig

from hub.actor import SYSTEM
from hub.errors import Conflict, HubError
from hub.formats import merkle, note
from hub.formats.note import Checkpoint, sign_checkpoint
from hub.ledger import follow as following
from hub.ledger.append import commit_event
from hub.ledger.follow import follow
from hub.ledger.model import bodies, head, leaves
from hub.ledger.prove import prove_consistency


async def out(rig: Rig) -> note.Note:
    return note.parse(await rig.reader.checkpoint())


async def look(rig: Rig, pinned: Checkpoint | None) -> Checkpoint:
    """An outsider fetches the newest checkpoint and the proof since theirs, and follows it or refuses."""
    latest = await out(rig)
    proof: list[bytes] = []
    if pinned is not None and pinned.size:
        async with rig.db.view(SYSTEM) as view:
            try:
                size2 = note.parse_checkpoint(latest.text).size
                proof = await prove_consistency(view, rig.reader, size1=pinned.size, size2=size2)
            except HubError:
                proof = []  # the attacker's server has none to give
    return follow(pinned, latest, proof, log_key=rig.key).checkpoint


async def rewrite_everything(rig: Rig, change: sa.Executable) -> None:
    """The operator changes rows, then rebuilds hashes, head, tiles and checkpoint, and signs with the real key."""
    async with rig.db.tx(SYSTEM) as tx:
        await tx.run(change)
        rows = await tx.all(sa.select(leaves).where(leaves.c.idx.is_not(None)).order_by(leaves.c.idx))
        edge = merkle.Frontier.empty()
        await tx.run(leaves.update().where(leaves.c.idx.is_not(None)).values(idx=None))
        for row in rows:
            await tx.run(
                leaves.update()
                .where(leaves.c.seq == row.seq)
                .values(idx=edge.size, leaf_hash=merkle.leaf_hash(row.data))
            )
            edge.append(merkle.leaf_hash(row.data))
        forged = sign_checkpoint(Checkpoint(ORIGIN, edge.size, edge.root()), rig.signer, rig.key)
        await tx.run(
            head.update().values(
                size=edge.size,
                root=edge.root(),
                frontier=edge.to_bytes(),
                checkpoint=str(forged),
                published_size=0,
            )
        )
    for key in await rig.blobs.list_prefix("ledger/"):
        await rig.blobs.delete(key)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()


ATTACKS = {
    "changed": leaves.update().where(leaves.c.idx == 3).values(data=b'{"n":1000,"v":1}'),
    "removed": leaves.delete().where(leaves.c.idx == 3),
    "swapped": leaves.update().where(leaves.c.idx.in_([3, 4])).values(
        data=sa.case((leaves.c.idx == 3, b'{"n":4,"v":1}'), else_=b'{"n":3,"v":1}'),
        leaf_hash=sa.case((leaves.c.idx == 3, b"3" * 32), else_=b"4" * 32),
    ),
}  # fmt: skip


async def attacked(rig: Rig, attack: str, grow: int) -> Checkpoint:
    """A ledger of ten leaves that an outsider saw, then rewritten by the operator and grown."""
    await rig.add(10)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    pinned = await look(rig, None)
    assert pinned.size == 10
    await rig.add(grow, first=10)
    await rewrite_everything(rig, ATTACKS[attack])
    assert (await rig.check()).ok  # by itself the forged ledger is perfect: nobody inside could tell
    return pinned


@pytest.mark.parametrize("grow", [0, 1, 20])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_outsider_notices_any_rewriting(rig: Rig, attack: str, grow: int) -> None:
    pinned = await attacked(rig, attack, grow)
    with pytest.raises(Conflict) as caught:
        await look(rig, pinned)
    assert caught.value.code in {"ledger.rewritten", "ledger.forked", "ledger.rolled_back"}
    report = await rig.check(pinned=pinned)
    assert [failure.code for failure in report.failures] == (
        ["checkpoint.ahead"] if report.size < pinned.size else ["root.differs"]
    )


async def test_without_the_consistency_proof_nobody_would_notice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mechanism taken out: the same attack passes, so the test above tests the mechanism and nothing else."""
    pinned = await attacked(rig, "changed", 20)
    monkeypatch.setattr(following, "verify_consistency", lambda *_: True)
    assert (await look(rig, pinned)).size == 30


async def test_without_remembering_nobody_would_notice(rig: Rig) -> None:
    """A log proves nothing without a second party that remembers."""
    await attacked(rig, "changed", 5)
    assert (await look(rig, None)).size == 15


async def test_an_honest_ledger_is_followed(rig: Rig) -> None:
    sequencer = rig.sequencer()
    await sequencer.take_office()
    pinned = await look(rig, None)
    for number in range(5):
        await rig.add(1 + 100 * number, first=1000 * number)
        await sequencer.step()
        pinned = await look(rig, pinned)
    assert pinned.size == 1005
    assert await look(rig, pinned) == pinned


async def test_an_older_checkpoint_and_a_fork_are_refused(rig: Rig) -> None:
    await rig.add(3)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    old = await out(rig)
    await rig.add(3, first=3)
    await sequencer.step()
    pinned = await look(rig, None)
    with pytest.raises(Conflict, match=r"ledger\.rolled_back"):
        follow(pinned, old, [], log_key=rig.key)
    fork = sign_checkpoint(replace(pinned, root=bytes(32)), rig.signer, rig.key)
    with pytest.raises(Conflict, match=r"ledger\.forked"):
        follow(pinned, fork, [], log_key=rig.key)
    with pytest.raises(HubError, match=r"ledger\.quorum"):
        follow(pinned, await out(rig), [], log_key=rig.key, quorum=1)


async def test_an_event_about_a_person_cannot_be_told_from_its_leaf(rig: Rig) -> None:
    """No personal data in a leaf, and none that could be found by trying: the commitment is salted."""
    body = {"event": "access", "name": "陈小莞", "id_no": "441900199403150023"}
    async with rig.db.tx(SYSTEM) as tx:
        first = await commit_event(tx, kind="access", subject_id=None, body=body)
        second = await commit_event(tx, kind="access", subject_id=None, body=body)
        stored = await tx.all(sa.select(leaves.c.data))
        sealed = await tx.all(sa.select(bodies.c.sealed))
    assert first.commit != second.commit
    for row in stored:
        assert set(row.data) <= set(b'{"commit":"0123456789abcdef","v":1}')
    for row in sealed:
        assert b"4419" not in row.sealed
        assert "陈".encode() not in row.sealed
