"""`ledger check` recomputes everything and names the first leaf that is wrong."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from ledger.rig import ORIGIN, Rig, make_rig
from parts import FixedClock, spoilt

from hub.actor import SYSTEM
from hub.errors import Gone, NotFound
from hub.formats import merkle
from hub.formats.jcs import canonical
from hub.formats.note import Checkpoint, sign_checkpoint
from hub.ledger.append import commit_event
from hub.ledger.bodies import erase_bodies, open_body
from hub.ledger.check import Report, check
from hub.ledger.model import bodies, head, leaves
from hub.store.base import PARTITIONS
from hub.store.model import person_keys


@pytest.fixture
async def full(quick_rig: Rig) -> Rig:
    """600 leaves, all out."""
    rig = quick_rig
    await rig.add(600)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    return rig


def codes(report: Report) -> set[str]:
    return {failure.code for failure in report.failures}


async def test_a_whole_ledger_passes(full: Rig) -> None:
    report = await full.check()
    assert report.ok
    assert (report.size, report.root) == (600, (await full.head()).root)
    assert (report.leaves_read, report.tiles_read) == (600, 7)


async def test_bodies_are_read_once_whatever_the_database_believes_of_them(
    postgresql_database: str, tmp_path: Path, clock: FixedClock
) -> None:
    """Statistics of before leaves got their indices say that there are none: then each is looked up in all bodies."""
    rig = make_rig(postgresql_database, tmp_path, clock)
    await rig.create()
    async with rig.db.tx(SYSTEM) as tx:
        for number in range(40):
            await commit_event(tx, kind="test", subject_id=None, body={"n": number})
    await rig.sql(sa.text("ANALYZE ledger_leaves"))
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    scans = "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_xact_user_tables WHERE relname ~ 'bodies_p'"
    async with rig.db.view(SYSTEM) as view:
        report = await check(view, rig.blobs, key=rig.key)
        assert (report.ok, report.bodies_read) == (True, 40)
        assert await view.value(sa.text(scans)) <= PARTITIONS
    await rig.db.close()


async def test_an_empty_ledger_passes(rig: Rig) -> None:
    assert (await rig.check()).ok


@pytest.mark.parametrize(
    ("key", "at", "index"),
    [
        ("tile/0/000", 0, 0),
        ("tile/0/001", 32 * 7 + 3, 256 + 7),
        ("tile/0/002.p/88", 32 * 87 + 31, 599),
        ("tile/entries/001", 5, 256),
        ("tile/1/000.p/2", 33, 256),
    ],
)
async def test_a_flipped_byte_in_a_tile_is_named(full: Rig, key: str, at: int, index: int) -> None:
    full.flip(f"ledger/{key}", at)
    report = await full.check()
    assert (codes(report), report.first_index) == ({"tile.differs"}, index)


async def test_a_missing_tile_is_named(full: Rig) -> None:
    (full.folder / "ledger/tile/entries/001").unlink()
    report = await full.check()
    assert (codes(report), report.first_index) == ({"tile.missing"}, 256)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 599])
async def test_a_flipped_bit_in_a_leaf_is_named(full: Rig, index: int) -> None:
    async with full.db.view(SYSTEM) as view:
        data = await view.value(sa.select(leaves.c.data).where(leaves.c.idx == index))
    await full.sql(leaves.update().where(leaves.c.idx == index).values(data=spoilt(data, 5)))
    report = await full.check()
    assert "leaf.hash" in codes(report)
    assert "root.differs" in codes(report)
    assert report.first_index == index


async def test_a_leaf_changed_together_with_its_hash_is_named_by_the_tiles(full: Rig) -> None:
    data = b'{"n":77777,"v":1}'
    await full.sql(
        leaves.update().where(leaves.c.idx == 300).values(data=data, leaf_hash=merkle.leaf_hash(data))
    )
    report = await full.check()
    assert codes(report) == {"root.differs", "tile.differs"}
    assert 300 in {failure.index for failure in report.failures}


async def test_a_leaf_taken_away_is_named(full: Rig) -> None:
    await full.sql(leaves.delete().where(leaves.c.idx == 123))
    report = await full.check()
    assert ("leaf.missing", 123) in {(failure.code, failure.index) for failure in report.failures}


async def test_an_index_beyond_the_head_is_named(full: Rig) -> None:
    await full.add(1, first=600)
    await full.sql(leaves.update().where(leaves.c.idx.is_(None)).values(idx=600))
    report = await full.check()
    assert (codes(report), report.first_index) == ({"leaf.beyond"}, 600)


async def test_a_head_that_was_bent_is_told(full: Rig) -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, 600, bytes(32)), full.signer, full.key)
    await full.sql(head.update().values(checkpoint=str(other)))
    assert "head.broken" in codes(await full.check())
    await full.sql(head.update().values(checkpoint=str(other).replace("600", "601")))
    assert "head.broken" in codes(await full.check())


async def test_a_foreign_or_missing_published_checkpoint_is_told(full: Rig) -> None:
    (full.folder / "ledger/checkpoint").write_bytes(b"x")
    assert codes(await full.check()) == {"checkpoint.broken"}
    (full.folder / "ledger/checkpoint").unlink()
    assert codes(await full.check()) == {"checkpoint.missing"}


async def test_a_leaf_that_waits_too_long_is_told(full: Rig, clock: FixedClock) -> None:
    await full.add(1, first=600)
    clock.advance(seconds=9)
    assert (await full.check()).ok
    clock.advance(seconds=2)
    assert codes(await full.check()) == {"pending.old"}
    assert (await full.check(older_than=timedelta(hours=1))).ok


# --- bodies and their orders ---


async def person(rig: Rig) -> UUID:
    found = uuid4()
    async with rig.db.tx(SYSTEM) as tx:
        await tx.vault.create_person_key(tx, found)
    return found


async def looks(
    rig: Rig, who: UUID, numbers: list[int], *, grant: str = "", honest: bool = True
) -> list[bytes]:
    """Accesses with these `subject_seq`, each naming the one before it; sequenced."""
    previous, hashes = bytes(32).hex(), []
    for number in numbers:
        body: dict[str, object] = {"event": "access", "subject_seq": number, "previous": previous}
        if grant:
            body |= {"grant": grant, "grant_seq": number}
        async with rig.db.tx(SYSTEM) as tx:
            leaf = await commit_event(tx, kind="access", subject_id=who, body=body)
        hashes.append(leaf.leaf_hash)
        previous = leaf.commit.hex() if honest else previous
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    return hashes


async def test_readable_bodies_are_what_their_leaves_commit_to(rig: Rig) -> None:
    who = await person(rig)
    hashes = await looks(rig, who, [1, 2, 3], grant="g")
    report = await rig.check()
    assert report.ok, report.failures
    assert (report.bodies_read, report.bodies_erased) == (3, 0)
    async with rig.db.view(SYSTEM) as view:
        body = await open_body(view, leaf_hash=hashes[1], subject_id=who)
        data = await view.value(sa.select(leaves.c.data).where(leaves.c.leaf_hash == hashes[1]))
        with pytest.raises(NotFound, match=r"ledger\.no_body"):
            await open_body(view, leaf_hash=hashes[1], subject_id=uuid4())
    assert body.event["subject_seq"] == 2
    assert data == canonical({"v": 1, "commit": sha256(body.salt + body.raw).hexdigest()})


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([1, 3], "subject_seq.order"), ([2], "subject_seq.order"), ([1, 2, 2], "subject_seq.order")],
)
async def test_a_gap_or_a_repeat_in_a_persons_looks_is_named(rig: Rig, numbers: list[int], code: str) -> None:
    await looks(rig, await person(rig), numbers)
    report = await rig.check()
    assert (codes(report), report.first_index) == ({code}, len(numbers) - 1)


async def test_a_look_that_names_another_forerunner_is_named(rig: Rig) -> None:
    await looks(rig, await person(rig), [1, 2], honest=False)
    report = await rig.check()
    assert (codes(report), report.first_index) == ({"subject_seq.previous"}, 1)


async def test_grant_events_stand_in_their_order(rig: Rig) -> None:
    for number in (1, 2, 2, 4, 3):
        async with rig.db.tx(SYSTEM) as tx:
            await commit_event(tx, kind="x", subject_id=None, body={"grant": "g", "grant_seq": number})
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    report = await rig.check()
    assert [(failure.code, failure.index) for failure in report.failures] == [
        ("grant_seq.order", 3), ("grant_seq.order", 4)
    ]  # fmt: skip


async def test_an_erased_person_leaves_proofs_and_no_alarm(rig: Rig) -> None:
    gone, other = await person(rig), await person(rig)
    hashes = await looks(rig, gone, [1, 2, 3], grant="g")
    await looks(rig, other, [1, 2])
    async with rig.db.tx(SYSTEM) as tx:
        assert await erase_bodies(tx, subject_id=gone) == 3
        assert await erase_bodies(tx, subject_id=gone) == 0
    report = await rig.check()
    assert report.ok, report.failures
    assert (report.bodies_read, report.bodies_erased) == (2, 3)
    async with rig.db.view(SYSTEM) as view:
        with pytest.raises(Gone, match=r"ledger\.body_erased"):
            await open_body(view, leaf_hash=hashes[0], subject_id=gone)
    # destroying only the key does the same
    await rig.sql(person_keys.update().where(person_keys.c.subject_id == other).values(wrapped=None))
    report = await rig.check()
    assert report.ok, report.failures
    assert report.bodies_erased == 5


async def test_a_body_taken_away_or_exchanged_is_named(rig: Rig) -> None:
    who = await person(rig)
    hashes = await looks(rig, who, [1, 2, 3])
    async with rig.db.view(SYSTEM) as view:
        sealed = await view.value(sa.select(bodies.c.sealed).where(bodies.c.leaf_hash == hashes[0]))
    await rig.sql(bodies.update().where(bodies.c.leaf_hash == hashes[1]).values(sealed=sealed))
    report = await rig.check()
    assert (codes(report), report.first_index) == ({"body.broken"}, 1)
    await rig.sql(bodies.delete().where(bodies.c.leaf_hash == hashes[1]))
    report = await rig.check()
    assert (codes(report), report.first_index) == ({"body.missing"}, 1)
