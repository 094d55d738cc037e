"""Sealed bodies rest pressed: what comes out is what was committed to, and bodies from before are read as they are."""


import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import World

from hub.errors import Internal
from hub.formats.jcs import canonical
from hub.ledger.append import commit_event
from hub.ledger.bodies import open_body
from hub.ledger.model import bodies
from hub.ledger.press import press, unpress
from hub.store.seal import seal

LOOK = {
    "event": "access", "access": "A" * 22, "subject_seq": 3, "previous": "0f" * 32, "department": "dg-edu",
    "officer": None, "item": "441900-edu-points-enrolment", "case": "B" * 22, "purpose": "points-enrolment",
    "basis": "holder", "grant": "C" * 22, "grant_seq": 1, "type": "degree", "certificate": "D" * 22,
    "fields": [["degree_level"], ["holders", 0, "name"]], "predicates": [], "outcome": "accepted",
    "reason": "accepted", "at": 1_764_000_000,
}  # fmt: skip


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=40) | st.integers(0, 2**40) | st.none(), max_size=8))
def test_every_body_comes_back(body):
    try:
        raw = canonical(body)
    except Exception:  # not JSON that can be written
        return
    assert unpress(press(raw)) == raw


def test_a_look_rests_in_a_third():
    raw = canonical(LOOK)
    assert len(press(raw)) < len(raw) / 3


@pytest.mark.parametrize("broken", [b"\x01", b"\x01nonsense", press(canonical(LOOK))[:-3]])
def test_what_never_came_from_here_is_refused(broken):
    with pytest.raises(Internal, match=r"seal\.broken"):
        unpress(broken)


async def test_a_body_stored_before_is_still_what_its_leaf_commits_to(world: World) -> None:
    subject_id = await world.subject(world.person("王小莞"))
    async with world.tx() as tx:
        ref = await commit_event(tx, kind="access", subject_id=subject_id, body=LOOK)
        found = await open_body(tx, leaf_hash=ref.leaf_hash, subject_id=subject_id)
        assert (found.event, found.commit) == (LOOK, ref.commit)
        key = await tx.vault.person_key(tx, subject_id)
        older = seal(key, found.salt + canonical(LOOK), bound_to=ref.leaf_hash)
        await tx.run(bodies.update().where(bodies.c.leaf_hash == ref.leaf_hash).values(sealed=older))
        assert await open_body(tx, leaf_hash=ref.leaf_hash, subject_id=subject_id) == found
