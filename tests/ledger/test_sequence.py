"""The sequencer on a good day: indices without holes, one head, everything out."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa
from ledger.rig import ORIGIN, Rig
from parts import FixedClock

from hub.actor import SYSTEM
from hub.errors import Conflict, HubError, Internal, Unavailable
from hub.formats import merkle, note, tiles
from hub.ledger import office
from hub.ledger.append import append
from hub.ledger.head import lag, log_key
from hub.ledger.model import head, leaves
from hub.ledger.sequence import Sequenced
from keys.signer import generate


async def test_a_batch_gets_indices_in_order_and_everything_is_out(rig: Rig) -> None:
    hashes = await rig.add(600)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    assert await sequencer.step() == Sequenced(600, 600)
    assert await rig.indices() == list(range(600))
    found = await rig.head()
    assert (found.size, found.root, found.published_size) == (600, merkle.root(hashes), 600)
    out = note.verify_checkpoint(note.parse(await rig.reader.checkpoint()), rig.key)
    assert out.checkpoint == note.Checkpoint(ORIGIN, 600, merkle.root(hashes))
    for tile in (*tiles.tiles_at(600), tiles.Tile(0, 0), tiles.Tile(tiles.ENTRIES, 1)):
        assert await rig.blobs.exists("ledger/" + tile.path)
    assert (await rig.reader.read(tiles.Tile(0, 2, 88))) == b"".join(hashes[512:])
    assert await sequencer.step() == Sequenced(0, 600)


async def test_growing_in_many_steps_gives_the_same_tree_and_sweeps_partial_tiles(rig: Rig) -> None:
    sequencer = rig.sequencer()
    await sequencer.take_office()
    hashes: list[bytes] = []
    for count in (1, 254, 1, 1, 255, 300, 5):
        hashes += await rig.add(count, first=len(hashes))
        await sequencer.step()
        found = await rig.head()
        assert (found.root, found.published_size) == (merkle.root(hashes), len(hashes))
    listed = await rig.blobs.list_prefix("ledger/tile/0/")
    assert listed == [
        "ledger/tile/0/000", "ledger/tile/0/001", "ledger/tile/0/002", "ledger/tile/0/003.p/44",
        "ledger/tile/0/003.p/49",
    ]  # fmt: skip


async def test_a_backlog_is_worked_off_in_batches(rig: Rig) -> None:
    await rig.add(23)
    sequencer = rig.sequencer(batch=10)
    await sequencer.take_office()
    assert [(await sequencer.step()).added for _ in range(4)] == [10, 10, 3, 0]
    assert await rig.indices() == list(range(23))


async def test_without_the_ceremony_there_is_no_ledger(bare: Rig) -> None:
    with pytest.raises(Unavailable, match=r"ledger\.absent"):
        await bare.sequencer().take_office()
    assert not await bare.blobs.list_prefix("ledger/")


async def test_the_ceremony_is_held_once_and_a_lost_ledger_is_never_begun_again(rig: Rig) -> None:
    with pytest.raises(Conflict, match=r"ledger\.exists"):
        await rig.create()
    await rig.add(3)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    await rig.sql(head.delete())
    with pytest.raises(Unavailable, match=r"ledger\.absent"):
        await sequencer.step()
    with pytest.raises(Conflict, match=r"ledger\.lost"):
        await rig.create()
    await rig.sql(leaves.delete())
    with pytest.raises(Conflict, match=r"ledger\.lost"):  # the published checkpoint remembers
        await rig.create()


async def test_the_empty_checkpoint_is_published_first(rig: Rig) -> None:
    await rig.sequencer().take_office()
    out = note.verify_checkpoint(note.parse(await rig.reader.checkpoint()), rig.key)
    assert (out.checkpoint.size, out.checkpoint.root) == (0, merkle.EMPTY_ROOT)


async def test_a_newer_sequencer_fences_the_older_off(rig: Rig) -> None:
    old, new = rig.sequencer(), rig.sequencer()
    await old.take_office()
    await new.take_office()
    await rig.add(2)
    with pytest.raises(Conflict, match=r"ledger\.fenced"):
        await old.step()
    assert (await new.step()).size == 2
    with pytest.raises(Conflict, match=r"ledger\.fenced"):
        await old.step()
    assert await rig.indices() == [0, 1]


async def test_two_at_once_never_sign_two_heads_of_one_size(rig: Rig) -> None:
    sequencers = [rig.sequencer() for _ in range(3)]
    roots: dict[int, set[bytes]] = {}

    async def work(which: int) -> None:
        for number in range(4):
            await rig.add(3, first=1000 * which + 10 * number)
            with suppress(Conflict):  # fenced off by another: that is the point
                await sequencers[which].take_office()
                await sequencers[which].step()
            if not await rig.blobs.exists("ledger/checkpoint"):
                continue
            out = note.parse_checkpoint(note.parse(await rig.reader.checkpoint()).text)
            roots.setdefault(out.size, set()).add(out.root)

    await asyncio.gather(*(work(which) for which in range(3)))
    last = rig.sequencer()
    await last.take_office()
    await last.step()
    assert sorted(index for index in await rig.indices() if index is not None) == list(range(36))
    assert all(len(found) == 1 for found in roots.values())


async def test_another_key_or_origin_cannot_take_office(rig: Rig) -> None:
    rig.signer = generate("EdDSA")
    with pytest.raises(Internal, match=r"ledger\.head_broken"):
        await rig.sequencer().take_office()
    with pytest.raises(HubError, match=r"ledger\.key_alg"):
        log_key(ORIGIN, generate("ES256"))


async def test_time_never_goes_back(rig: Rig, clock: FixedClock) -> None:
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await rig.add(1)
    await sequencer.step()
    clock.advance(hours=-1)
    await rig.add(1, first=1)
    with pytest.raises(Unavailable, match=r"ledger\.clock_backwards"):
        await sequencer.step()
    assert (await rig.head()).size == 1
    clock.advance(hours=2)
    assert (await sequencer.step()).size == 2


async def test_lag_is_the_age_of_the_oldest_pending_leaf(rig: Rig, clock: FixedClock) -> None:
    async with rig.db.view(SYSTEM) as view:
        assert (await lag(view)).pending == 0
    await rig.add(2)
    clock.advance(seconds=11)
    async with rig.db.view(SYSTEM) as view:
        found = await lag(view)
    assert (found.pending, found.oldest) == (2, timedelta(seconds=11))


async def test_events_that_read_alike_are_both_told(rig: Rig) -> None:
    async with rig.db.tx(SYSTEM) as tx:
        first = await append(tx, kind="test", event={"v": 1})
        second = await append(tx, kind="test", event={"v": 1})
    assert first.leaf_hash != second.leaf_hash


async def test_a_rolled_back_event_leaves_no_hole(rig: Rig) -> None:
    await rig.add(2)
    rig.db.fail(0, "before")
    with pytest.raises(Unavailable):
        await rig.add(1, first=2)
    await rig.add(1, first=3)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    assert await rig.indices() == [0, 1, 2]


async def test_a_damaged_pending_leaf_stops_the_signing_and_is_named(rig: Rig) -> None:
    await rig.add(3)
    await rig.sql(leaves.update().where(leaves.c.seq == 2).values(data=b'{"n":99,"v":1}'))
    sequencer = rig.sequencer()
    await sequencer.take_office()
    with pytest.raises(Internal, match=r"pending_corrupt") as caught:
        await sequencer.step()
    assert caught.value.facts["seq"] == 2
    assert (await rig.head()).size == 0
    assert await rig.indices() == [None, None, None]


async def test_run_recovers_by_itself_and_stops_when_told(rig: Rig) -> None:
    told: list[str] = []
    stop = asyncio.Event()
    await rig.add(2)
    rig.blobs.fail(1, "before")
    running = asyncio.create_task(
        rig.sequencer().run(stop, every=0.01, on_trouble=lambda refused: told.append(refused.code))
    )
    await rig.until_published(2)
    stop.set()
    await running
    assert told == ["blob.storage"]


async def test_only_one_holds_the_office(rig: Rig) -> None:
    async with office.office(rig.db.url) as first, office.office(rig.db.url) as second:
        assert first is not None
        assert first()
        assert second is None
    async with office.office(rig.db.url) as again:
        assert again is not None


async def test_standing_for_office_sequences_and_leaves_in_peace(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "RETRY_SECONDS", 0.05)
    stop = asyncio.Event()
    troubles: list[HubError] = []
    standing = [
        asyncio.create_task(
            office.stand(rig.db, rig.sequencer, stop=stop, on_trouble=troubles.append, every=0.01)
        )
        for _ in range(2)
    ]
    await rig.add(5)
    await rig.until_published(5)
    stop.set()
    await asyncio.gather(*standing)
    assert not troubles
    assert (await rig.head()).epoch == 1  # the second never got in


async def test_the_head_row_cannot_be_bent(rig: Rig) -> None:
    await rig.add(4)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    await rig.sql(head.update().values(root=sa.literal(b"x" * 32, sa.LargeBinary)))
    await rig.add(1, first=4)
    with pytest.raises(Internal, match=r"ledger\.head_broken"):
        await sequencer.step()
