"""Every leaf is provable under every later checkpoint, and every checkpoint extends every earlier one."""

import shutil
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger.rig import Rig, make_rig
from parts import FixedClock

from hub.actor import SYSTEM
from hub.errors import HubError, Internal, NotFound, Unavailable, Unprocessable
from hub.formats import merkle, note, tlogproof
from hub.formats.jws import b64u_decode
from hub.formats.note import COSIGNATURE, cosign, make_vkey
from hub.ledger.prove import prove_consistency, prove_inclusion
from keys.signer import generate


async def proof_of(rig: Rig, leaf: bytes) -> tlogproof.TlogProof:
    async with rig.db.view(SYSTEM) as view:
        return await prove_inclusion(view, rig.reader, leaf_hash=leaf)


async def checkpoint_of(rig: Rig) -> note.Checkpoint:
    return note.verify_checkpoint(note.parse(await rig.reader.checkpoint()), rig.key).checkpoint


@given(batches=st.lists(st.integers(1, 40) | st.integers(200, 300), min_size=1, max_size=4), data=st.data())
@settings(max_examples=12)
async def test_every_leaf_under_every_later_checkpoint(
    batches: list[int], data: st.DataObject, sqlite_template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    shutil.copyfile(sqlite_template, folder / "hub.db")
    rig = make_rig(f"sqlite:///{folder / 'hub.db'}", folder / "blobs", FixedClock())
    await rig.create()
    sequencer = rig.sequencer()
    await sequencer.take_office()
    hashes: list[bytes] = []
    checkpoints: list[note.Checkpoint] = []
    for count in batches:
        hashes += await rig.add(count, first=len(hashes))
        await sequencer.step()
        now = await checkpoint_of(rig)
        assert now == note.Checkpoint(now.origin, len(hashes), merkle.root(hashes))
        for index in {0, len(hashes) - 1, data.draw(st.integers(0, len(hashes) - 1))}:
            proof = tlogproof.read(str(await proof_of(rig, hashes[index])))
            assert proof.index == index
            assert tlogproof.check(proof, hashes[index], rig.key).checkpoint == now
            with pytest.raises(Unprocessable, match=r"tlogproof\.inclusion"):
                tlogproof.check(proof, hashes[index - 1] if len(hashes) > 1 else bytes(32), rig.key)
        async with rig.db.view(SYSTEM) as view:
            for old in checkpoints:
                found = await prove_consistency(view, rig.reader, size1=old.size, size2=now.size)
                assert merkle.verify_consistency(old.size, now.size, old.root, now.root, found)
        checkpoints.append(now)
    # leaves under checkpoints that are no longer the newest
    for old in checkpoints:
        index = data.draw(st.integers(0, old.size - 1))
        path = await rig.reader.inclusion(index, old.size, at=len(hashes))
        assert merkle.verify_inclusion(index, old.size, hashes[index], path, old.root)
    await rig.db.close()


async def test_any_two_sizes_are_consistent_also_unpublished_ones(rig: Rig) -> None:
    hashes = await rig.add(530)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    async with rig.db.view(SYSTEM) as view:
        for size1, size2 in ((1, 2), (255, 256), (256, 257), (3, 511), (512, 529), (530, 530)):
            proof = await prove_consistency(view, rig.reader, size1=size1, size2=size2)
            roots = merkle.root(hashes[:size1]), merkle.root(hashes[:size2])
            assert merkle.verify_consistency(size1, size2, *roots, proof)
        with pytest.raises(Unprocessable, match=r"ledger\.beyond_published"):
            await prove_consistency(view, rig.reader, size1=1, size2=531)
        with pytest.raises(Unprocessable, match=r"merkle\.sizes"):
            await prove_consistency(view, rig.reader, size1=0, size2=5)


async def test_leaves_that_are_not_out_yet_are_told_apart_from_unknown_ones(rig: Rig) -> None:
    leaf = (await rig.add(1))[0]
    with pytest.raises(Unavailable, match=r"ledger\.not_published"):
        await proof_of(rig, leaf)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    with pytest.raises(Unavailable, match=r"ledger\.not_yet"):
        await proof_of(rig, leaf)
    with pytest.raises(NotFound, match=r"ledger\.unknown_leaf"):
        await proof_of(rig, bytes(32))
    await sequencer.step()
    assert (await proof_of(rig, leaf)).path == ()


async def test_a_proof_out_of_damaged_tiles_is_not_given_out(rig: Rig) -> None:
    hashes = await rig.add(300)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    rig.flip("ledger/tile/0/000", 32 * 7)
    with pytest.raises(Internal, match=r"ledger\.proof_broken"):
        await proof_of(rig, hashes[6])
    assert tlogproof.check(await proof_of(rig, hashes[299]), hashes[299], rig.key)


async def test_a_proof_carries_the_witnesses_of_its_checkpoint(rig: Rig) -> None:
    hashes = await rig.add(3)
    sequencer = rig.sequencer()
    await sequencer.take_office()
    await sequencer.step()
    witness = generate("EdDSA")
    key = make_vkey("audit.example/w", b64u_decode(witness.public.jwk["x"]), COSIGNATURE)
    out = note.parse(await rig.reader.checkpoint())
    line = cosign(out.text, witness, key, 1_790_000_000)
    await rig.blobs.put("ledger/checkpoint", str(out.with_signatures([line])).encode())
    proof = tlogproof.read(str(await proof_of(rig, hashes[1])))
    assert tlogproof.check(proof, hashes[1], rig.key, [key]).witnessed == {"audit.example/w": 1_790_000_000}


@pytest.mark.parametrize(
    "text",
    ["", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v2\nindex 0\n\n", "c2sp.org/tlog-proof@v1\nindex 00\n\nx",
     "c2sp.org/tlog-proof@v1\nindex -1\n\nx", "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx",
     "c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\nx", "c2sp.org/tlog-proof@v1\nextra AA==\n\nx",
     "c2sp.org/tlog-proof@v1\nindex 0\n" + "A" * 43 + "=\n" * 64 + "\nx"],
)  # fmt: skip
def test_damaged_proof_files_are_refused(text: str) -> None:
    with pytest.raises(HubError):
        tlogproof.read(text)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_hostile_proof_files_raise_only_our_errors(data: bytes | str) -> None:
    for prefix in ("", "c2sp.org/tlog-proof@v1\nindex 1\n"):
        with pytest.raises(HubError):
            tlogproof.read(prefix.encode() + data if isinstance(data, bytes) else prefix + data)
