"""The tree against the recursive definitions of RFC 9162, and verifiers that never raise."""

import hashlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError
from hub.formats import merkle

LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(41)]
NODES = merkle.nodes_of(LEAVES)


def split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:middle]) + mth(leaves[middle:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*path(index, leaves[:middle]), mth(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), mth(leaves[:middle])]


def subproof(size: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [mth(leaves)]
    middle = split(len(leaves))
    if size <= middle:
        return [*subproof(size, leaves[:middle], whole), mth(leaves[middle:])]
    return [*subproof(size - middle, leaves[middle:], False), mth(leaves[:middle])]


@pytest.mark.parametrize("size", range(41))
def test_roots_match_the_definition(size: int) -> None:
    edge = merkle.Frontier.of(LEAVES[:size])
    assert edge.root() == mth(LEAVES[:size]) == merkle.root(LEAVES[:size])
    assert merkle.Frontier.from_bytes(edge.to_bytes()) == edge
    assert merkle.range_hash(0, size, NODES) == edge.root()


def test_leaf_and_node_are_told_apart() -> None:
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.leaf_hash(LEAVES[0] + LEAVES[1]) != merkle.node_hash(LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("size", range(1, 41))
def test_every_inclusion_proof_matches_and_verifies(size: int) -> None:
    root = mth(LEAVES[:size])
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, NODES)
        assert proof == path(index, LEAVES[:size])
        assert merkle.verify_inclusion(index, size, LEAVES[index], proof, root)
        other = (index + 1) % size
        assert size == 1 or not merkle.verify_inclusion(other, size, LEAVES[index], proof, root)


@pytest.mark.parametrize("size2", range(1, 41))
def test_every_consistency_proof_matches_and_verifies(size2: int) -> None:
    root2 = mth(LEAVES[:size2])
    for size1 in range(1, size2 + 1):
        root1 = mth(LEAVES[:size1])
        proof = merkle.consistency_proof(size1, size2, NODES)
        assert proof == subproof(size1, LEAVES[:size2], True)
        assert merkle.verify_consistency(size1, size2, root1, root2, proof)
        assert not merkle.verify_consistency(size1, size2, root1, root2, [*proof, root1])
        assert size1 == size2 or not merkle.verify_consistency(size1, size2, root2, root2, proof)


def test_consistency_from_the_empty_tree_proves_nothing() -> None:
    assert not merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, mth(LEAVES[:5]), [])
    assert not merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])


@given(st.integers(2, 40), st.data())
@settings(max_examples=150)
def test_any_flipped_byte_spoils_a_proof(size: int, data: Any) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, NODES)
    which = data.draw(st.integers(0, len(proof) - 1))
    at = data.draw(st.integers(0, 31))
    bit = 1 << data.draw(st.integers(0, 7))
    spoilt = bytearray(proof[which])
    spoilt[at] ^= bit
    bad = [*proof[:which], bytes(spoilt), *proof[which + 1 :]]
    assert not merkle.verify_inclusion(index, size, LEAVES[index], bad, mth(LEAVES[:size]))
    assert not merkle.verify_inclusion(index, size, LEAVES[index], proof[:-1], mth(LEAVES[:size]))
    assert not merkle.verify_inclusion(index, size, LEAVES[index], [*proof, proof[0]], mth(LEAVES[:size]))


anything = st.one_of(
    st.integers(), st.none(), st.floats(), st.booleans(), st.binary(max_size=40), st.text(max_size=3),
    st.lists(st.binary(min_size=31, max_size=33), max_size=70), st.lists(st.none(), max_size=2),
)  # fmt: skip


@given(anything, anything, anything, anything, anything)
def test_verifiers_never_raise(a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
    assert merkle.verify_inclusion(a, b, c, d, e) in (True, False)
    assert merkle.verify_consistency(a, b, c, d, e) in (True, False)


def test_hostile_sizes_are_no_proofs() -> None:
    leaf = LEAVES[0]
    assert not merkle.verify_inclusion(2**63, 2**64, leaf, [leaf] * 63, leaf)
    assert not merkle.verify_inclusion(0, 2**63 - 1, leaf, [leaf] * 64, leaf)
    assert not merkle.verify_inclusion(True, 2, leaf, [leaf], leaf)
    assert not merkle.verify_consistency(-1, 2, leaf, leaf, [])


@pytest.mark.parametrize("size", [-1, 0])
def test_provers_refuse_what_is_not_in_the_tree(size: int) -> None:
    with pytest.raises(HubError):
        merkle.inclusion_ranges(0, size)
    with pytest.raises(HubError):
        merkle.consistency_ranges(0, 5)


@given(st.binary(max_size=200))
def test_a_damaged_edge_is_refused(data: bytes) -> None:
    with suppress(HubError):
        assert merkle.Frontier.from_bytes(data).to_bytes() == data
