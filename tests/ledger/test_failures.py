"""Storage fails, processes die, at every step: never a hole, a second head of one size, or a lost leaf."""

import asyncio
import signal
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from ledger.rig import Crash, FailingBlobs, FailingDatabase, Rig, make_rig

from hub.actor import SYSTEM
from hub.clock import now
from hub.errors import Conflict, HubError, Internal, Unavailable
from hub.formats import merkle, note
from hub.formats.merkle import verify_consistency
from hub.ledger.head import read_head
from hub.ledger.model import head, leaves
from keys.files import create as create_key

# One step after taking office: write transactions 0 (sequence), 1 (still ours?), 2 (mark published);
# puts 0-6 (tiles and bundles, some at the same time) and 7, the checkpoint.
DATABASE = [(number, when) for number, when in product(range(3), ("before", "after"))]
OBJECTS = [(number, when) for number, when in product((0, 3, 6, 7), ("before", "after"))]


async def settled(rig: Rig, hashes: list[bytes], seen: list[note.Checkpoint]) -> None:
    """Everything stands: all leaves, in order, one tree, published, and consistent with whatever was out before."""
    found = await rig.head()
    assert (found.size, found.published_size, found.root) == (
        len(hashes),
        len(hashes),
        merkle.root(hashes),
    )
    assert await rig.indices() == list(range(len(hashes)))
    report = await rig.check()
    assert report.ok, report.failures
    for old in seen:
        if old.size:
            proof = await rig.reader.consistency(old.size, found.size, at=found.size)
            assert verify_consistency(old.size, found.size, old.root, found.root, proof)


async def published(rig: Rig) -> note.Checkpoint:
    return note.verify_checkpoint(note.parse(await rig.reader.checkpoint()), rig.key).checkpoint


@pytest.mark.parametrize("same_process", [True, False], ids=["retry", "restart"])
@pytest.mark.parametrize(("number", "when"), DATABASE)
async def test_each_database_step_fails_twice(rig: Rig, number: int, when: str, same_process: bool) -> None:
    await fails_twice(rig, rig.db, number, when, same_process)


@pytest.mark.parametrize("same_process", [True, False], ids=["retry", "restart"])
@pytest.mark.parametrize(("number", "when"), OBJECTS)
async def test_each_object_step_fails_twice(
    quick_rig: Rig, number: int, when: str, same_process: bool
) -> None:
    await fails_twice(quick_rig, quick_rig.blobs, number, when, same_process)


async def fails_twice(
    rig: Rig, failing: FailingDatabase | FailingBlobs, number: int, when: str, same_process: bool
) -> None:
    """Fail, fail again, succeed at the same size, then at another."""
    sequencer = rig.sequencer()
    await sequencer.take_office()
    hashes = await rig.add(254)
    await sequencer.step()
    seen = [await published(rig)]
    hashes += await rig.add(300, first=254)
    for _ in range(2):  # twice in a row
        failing.fail(number, when)
        with suppress(Unavailable):
            await sequencer.step()
        seen.append(await published(rig))
        if not same_process:
            failing.plan.clear()
            sequencer = rig.sequencer()
            await sequencer.take_office()
    assert failing.fired
    failing.plan.clear()
    await sequencer.step()  # same size as what failed
    await sequencer.step()
    await settled(rig, hashes, seen)
    hashes += await rig.add(7, first=554)  # another size
    await sequencer.step()
    await settled(rig, hashes, seen)


@pytest.mark.parametrize(
    ("target", "number", "when"),
    [
        *[("database", number, when) for number, when in product(range(6), ("before", "after"))],
        *[("objects", number, when) for number, when in product(range(4), ("before", "after"))],
    ],
)
async def test_the_process_is_gone_between_two_steps(
    quick_rig: Rig, target: str, number: int, when: str
) -> None:
    """Crash is no Exception: nothing of ours handles it, as nothing handles a kill."""
    rig = quick_rig
    hashes = await rig.add(40)
    failing = rig.db if target == "database" else rig.blobs
    failing.fail(number, when, Crash())
    sequencer = rig.sequencer()
    with suppress(Crash):
        await sequencer.take_office()
        await sequencer.step()
    assert failing.fired
    failing.plan.clear()
    hashes += await rig.add(3, first=40)
    again = rig.sequencer()
    await again.take_office()
    await again.step()
    await settled(rig, hashes, [])


async def test_the_object_store_is_away_for_long(quick_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = quick_rig
    monkeypatch.setattr("hub.ledger.sequence.MAX_UNPUBLISHED", 25)
    sequencer = rig.sequencer(batch=10)
    await sequencer.take_office()
    hashes = await rig.add(100)
    for number in range(1000):
        rig.blobs.fail(number, "before")
    for _ in range(6):
        with pytest.raises(Unavailable):
            await sequencer.step()
    assert ((await rig.head()).size, (await rig.head()).published_size) == (30, 0)  # no further than allowed
    rig.blobs.plan.clear()
    for _ in range(10):
        await sequencer.step()
    await settled(rig, hashes, [])


async def test_missing_tiles_are_written_again_before_anything_is_published(quick_rig: Rig) -> None:
    rig = quick_rig
    hashes = await rig.add(600)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    for key in ("tile/0/000", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"):
        (rig.folder / "ledger" / key).unlink()
    again = rig.sequencer()
    await again.take_office()
    await again.step()
    await settled(rig, hashes, [])


async def test_what_a_sequencer_remembers_is_proved_before_anything_is_built_upon_it(rig: Rig) -> None:
    """From the second step on tiles are made of what is in memory. There a bit may flip, as on any disk."""
    hashes = await rig.add(300)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    remembered = sequencer._publisher._edge
    assert remembered is not None
    assert len(remembered.entries) == len(remembered.tails[0]) == 44
    remembered.tails[0][7] = b"x" * 32
    remembered.entries[7] = b"{}"
    hashes += await rig.add(20, first=300)
    await sequencer.step()
    await settled(rig, hashes, [])


@pytest.mark.parametrize("key", ["tile/0/002.p/88", "tile/entries/002.p/88", "tile/1/000.p/2"])
async def test_a_damaged_edge_is_never_built_upon(quick_rig: Rig, key: str) -> None:
    rig = quick_rig
    await rig.add(600)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    rig.flip(f"ledger/{key}", 40)
    with pytest.raises(Internal, match=r"ledger\.tile_differs") as caught:
        await rig.sequencer().take_office()
    assert key in str(caught.value)


async def test_a_database_from_last_night_is_refused(rig: Rig) -> None:
    hashes = await rig.add(10)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    async with rig.db.view(SYSTEM) as view:
        backup = (await view.all(head.select()))[0]._mapping
    hashes += await rig.add(5, first=10)
    await sequencer.step()
    await rig.sql(head.update().values(**{**backup, "epoch": 9}))  # the object store remembers more
    await rig.sql(leaves.update().where(leaves.c.idx >= 10).values(idx=None))
    with pytest.raises(HubError):
        await sequencer.step()
    with pytest.raises(Conflict, match=r"ledger\.rolled_back"):
        await rig.sequencer().take_office()


async def test_a_published_checkpoint_of_another_history_is_refused(rig: Rig) -> None:
    await rig.add(10)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    other = note.Checkpoint(rig.key.name, 7, bytes(32))
    await rig.blobs.put("ledger/checkpoint", str(note.sign_checkpoint(other, rig.signer, rig.key)).encode())
    with pytest.raises((Conflict, Internal)):
        await rig.sequencer().take_office()
    await rig.blobs.put("ledger/checkpoint", b"not a checkpoint")
    with pytest.raises(Conflict, match=r"ledger\.rolled_back"):
        await rig.sequencer().take_office()


KILLED = """
import asyncio, os, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from ledger.rig import Rig, FailingBlobs, FailingDatabase
from hub.clock import now
from hub.store.blobs import FileBlobs
from keys.files import load

class Die:
    def __init__(self, inner): self.inner, self.puts = inner, 0
    def __getattr__(self, name): return getattr(self.inner, name)
    async def put(self, key, data):
        self.puts += 1
        if self.puts == {at}: os.kill(os.getpid(), 9)
        return await self.inner.put(key, data)

async def main():
    db = FailingDatabase({url!r}, clock=now)
    rig = Rig(db, Die(FileBlobs(Path({folder!r}))), Path({folder!r}), load({key!r}, passphrase="test"))
    sequencer = rig.sequencer(batch=50)
    await sequencer.take_office()
    for number in range(100):
        for leaf in await rig.add(20, first={first} + 20 * number):
            print(leaf.hex(), flush=True)
        await sequencer.step()

asyncio.run(main())
"""


@pytest.mark.durability
async def test_killed_outright_and_nothing_acknowledged_is_lost(sqlite_database: str, tmp_path: Path) -> None:
    """SIGKILL in the middle of writes, five times over one ledger; what was acknowledged before is all there."""
    rig = make_rig(sqlite_database, tmp_path / "blobs", now)
    rig.signer = create_key(tmp_path / "keys", name="ledger", alg="EdDSA", passphrase="test")
    await rig.create()
    acknowledged: list[str] = []
    tests = Path(__file__).resolve().parent.parent
    for turn, at in enumerate((3, 8, 14, 21, 29)):
        script = KILLED.format(
            root=str(tests.parent), tests=str(tests), at=at, url=sqlite_database, first=10_000 * (turn + 1),
            folder=str(tmp_path / "blobs"), key=str(rig.signer.path),
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == -signal.SIGKILL, err.decode()[-2000:]
        acknowledged += out.decode().split()
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    report = await rig.check()
    assert report.ok, report.failures
    assert len(acknowledged) > 100
    async with rig.db.view(SYSTEM) as view:
        rows = await view.all(leaves.select())
        assert (await read_head(view)).size == len(rows) == max(row.idx for row in rows) + 1
    assert set(acknowledged) <= {row.leaf_hash.hex() for row in rows}
    await rig.db.close()
