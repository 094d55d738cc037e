"""One signature over the leaves of one commit: each receipt is good for its own leaf, alone and for ever."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import spoilt

from hub.errors import HubError, Malformed
from hub.formats import jws, merkle
from hub.formats.receipt import TYP, Receipt, read, sign
from keys.signer import generate

HUB = generate()
CLAIMS: dict[str, Any] = {
    "iss": "https://hub", "origin": "ledger", "kind": "access", "iat": 1_795_000_000, "in_ledger_by": 1_795_000_010
}  # fmt: skip
LEAVES = [merkle.leaf_hash(number.to_bytes(2)) for number in range(600)]


def promise(leaf: bytes) -> Receipt:
    return Receipt("https://hub", "ledger", "access", leaf, 1_795_000_000, 1_795_000_010)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 16, 31, 500])
def test_each_receipt_of_a_commit_promises_its_own_leaf(size):
    made = sign(CLAIMS, LEAVES[:size], HUB)
    assert [read(one, key=HUB.public) for one in made] == [promise(leaf) for leaf in LEAVES[:size]]
    assert len({one.partition("~")[0] for one in made}) == min(size, 1)


@given(st.integers(1, 40), st.data())
def test_the_root_that_is_signed_is_that_of_rfc_9162(size, data):
    start = data.draw(st.integers(0, 500))
    leaves = LEAVES[start : start + size]
    (one, *_) = sign(CLAIMS, [*leaves, LEAVES[-1]], HUB)
    root = merkle.root(merkle.leaf_hash(leaf) for leaf in [*leaves, LEAVES[-1]])
    said = jws.verify(one.partition("~")[0], typ=TYP, key=HUB.public).payload
    assert (said["leaves_root"], said["leaves"], "leaf_hash" in said) == (root.hex(), size + 1, False)


@given(st.integers(0, 4), st.data())
def test_no_bit_of_a_tail_can_be_changed(place, data):
    token, _, tail = sign(CLAIMS, LEAVES[:5], HUB)[place].partition("~")
    raw = jws.b64u_decode(tail)
    at = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Malformed, match="signature"):
        read(f"{token}~{jws.b64u_encode(spoilt(raw, at))}", key=HUB.public)


def test_another_leaf_another_key_and_what_is_no_receipt_are_refused():
    first, second, *_ = (one.partition("~") for one in sign(CLAIMS, LEAVES[:4], HUB))
    other = sign(CLAIMS, LEAVES[10:14], HUB)[0].partition("~")
    alone = sign(CLAIMS, LEAVES[:1], HUB)[0]
    tail = jws.b64u_decode(first[2])
    for wrong in (
        f"{first[0]}~{other[2]}",  # a leaf of another commit under this signature
        first[0],  # a signature without saying which leaf
        f"{first[0]}~",
        f"{first[0]}~{jws.b64u_encode(tail[:-1])}",
        f"{first[0]}~{jws.b64u_encode(tail + LEAVES[0])}",
        f"{first[0]}~{second[2]}~",
        f"{first[0]}~{first[2]}=",
        f"{alone}~{first[2]}",  # one leaf, and a tail besides
        f"{alone}~",
        jws.sign(CLAIMS, HUB, typ=TYP),
        jws.sign({**CLAIMS, "leaf_hash": "00"}, HUB, typ=TYP),
        jws.sign({**CLAIMS, "leaf_hash": 7}, HUB, typ=TYP),
        jws.sign({**CLAIMS, "leaf_hash": LEAVES[0].hex(), "iat": "now"}, HUB, typ=TYP),
        jws.sign({**CLAIMS, "leaf_hash": LEAVES[0].hex()}, HUB, typ="JWT"),
        "",
        "~" * 10_000,
    ):
        with pytest.raises(HubError):
            read(wrong, key=HUB.public)
    with pytest.raises(HubError):
        read("~".join((first[0], first[2])), key=generate().public)
