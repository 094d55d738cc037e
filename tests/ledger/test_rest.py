"""Leaves rest in fewer bytes: what comes out is what was hashed, for every leaf that there can be."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from ledger.rig import Rig

from hub.actor import SYSTEM
from hub.formats.merkle import leaf_hash
from hub.ledger.append import LEAF, leaves_of, ref_of
from hub.ledger.model import leaves
from hub.ledger.rest import commitment_leaf, commitment_of, leaf_bytes, rested

COMMIT = bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_a_commitment_rests_as_its_bytes(commit: bytes) -> None:
    leaf = commitment_leaf(commit)
    assert (commitment_of(leaf), len(rested(leaf)), leaf_bytes(rested(leaf))) == (commit, 33, leaf)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"n":' + b"1" * 27 + b"}",
        commitment_leaf(COMMIT).upper(),
        commitment_leaf(COMMIT).replace(b"0", b" "),
        commitment_leaf(COMMIT)[:-1],
        b'{"commit":"%b","v":2}' % COMMIT.hex().encode(),
    ],
)
def test_any_other_leaf_rests_as_it_is(data: bytes) -> None:
    assert commitment_of(data) is None
    assert rested(data) == leaf_bytes(rested(data)) == data


async def test_a_damaged_commitment_is_named_and_one_kept_whole_is_read(rig: Rig) -> None:
    async with rig.db.tx(SYSTEM) as tx:
        await tx.each(LEAF, leaves_of(tx, kind="x", refs=[ref_of(COMMIT), ref_of(bytes(32))]))
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    whole = sa.text("UPDATE ledger_leaves SET data = :data WHERE seq = 1")
    await rig.sql(whole.bindparams(sa.bindparam("data", commitment_leaf(COMMIT), sa.LargeBinary)))
    report = await rig.check(read_bodies=False)
    assert report.ok, report.failures
    await rig.sql(whole.bindparams(sa.bindparam("data", b"\x01" + bytes([1, *COMMIT[1:]]), sa.LargeBinary)))
    report = await rig.check(read_bodies=False)
    assert ("leaf.hash", 0) in {(failure.code, failure.index) for failure in report.failures}
    async with rig.db.view(SYSTEM) as view:
        row = await view.first(sa.select(leaves).where(leaves.c.seq == 2))
    assert row is not None
    assert leaf_hash(row.data) == row.leaf_hash
