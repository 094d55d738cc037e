"""Receipts: the hub's signed promise that leaves will be in the ledger by a certain time.

One leaf: a JWT `yimen-receipt+jwt` that names its `leaf_hash`. Leaves that became durable in one commit share a
signature: the JWT names the `leaves_root` of a Merkle tree (RFC 9162 section 2.1) over all of them and how many
`leaves` there are, and each has its own tail behind a `~`: base64url of its leaf hash, its place (4 bytes, big-endian)
and the hashes that lead from it to that root. The data of that tree's leaves are the leaf hashes themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hub.errors import Malformed
from hub.formats import jws, merkle
from keys.signer import Signer

TYP = "yimen-receipt+jwt"
MAX_BYTES = 8192

T = TypeVar("T")

_HASH = 32
_PLACE = 4


@dataclass(frozen=True, slots=True)
class Receipt:
    """The promise of the hub `issuer` that a leaf of this kind will be in the ledger by `in_ledger_by` (seconds)."""

    issuer: str
    origin: str
    kind: str
    leaf_hash: bytes
    iat: int
    in_ledger_by: int


def sign(claims: Mapping[str, Any], leaves: Sequence[bytes], signer: Signer) -> list[str]:
    """The receipts for some leaf hashes, in order, under one signature. `claims` are `iss`, `origin`, `kind`, `iat` and
    `in_ledger_by`, as they hold for all of them."""
    if len(leaves) == 1:
        return [jws.sign({**claims, "leaf_hash": leaves[0].hex()}, signer, typ=TYP)]
    if not leaves:
        return []
    root, paths = _paths([merkle.leaf_hash(leaf) for leaf in leaves])
    token = jws.sign({**claims, "leaves_root": root.hex(), "leaves": len(leaves)}, signer, typ=TYP)
    return [
        f"{token}~{jws.b64u_encode(leaf + place.to_bytes(_PLACE) + path)}"
        for place, (leaf, path) in enumerate(zip(leaves, paths, strict=True))
    ]


def read(text: str, *, key: jws.KeySource) -> Receipt:
    """What a receipt promises, once its signature holds and its leaf is under it.

    `key` is the hub's receipt key or finds it by `kid`. The caller compares `issuer` with the hub it means. Raises
    `Malformed` `receipt.malformed` or `receipt.other_leaf`, and what `jws.verify` raises.
    """
    if len(text) > MAX_BYTES:
        raise _malformed()
    token, several, tail = text.partition("~")
    said = jws.verify(token, typ=TYP, key=key).payload
    leaf_hash = _one_of_many(said, tail) if several else _hash(said.get("leaf_hash"))
    issuer, origin, kind = (_typed(said, name, str) for name in ("iss", "origin", "kind"))
    return Receipt(issuer, origin, kind, leaf_hash, _typed(said, "iat", int), _typed(said, "in_ledger_by", int))


def _typed(said: Mapping[str, Any], name: str, kind: type[T]) -> T:
    found = said.get(name)
    if type(found) is not kind:
        raise _malformed()
    return found


def _paths(level: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The root over these hashes, and for each the hashes beside its way up, joined."""
    levels = []
    while len(level) > 1:
        levels.append(level)
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [merkle.node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]
    paths = [b""]
    for below in reversed(levels):
        # One that has nobody beside it goes up as it is.
        paths = [
            b"".join(below[place ^ 1 : (place ^ 1) + 1]) + paths[place >> 1] for place in range(len(below))
        ]
    return level[0], paths


def _one_of_many(said: Mapping[str, Any], tail: str) -> bytes:
    data = jws.b64u_decode(tail)
    leaf, place, path = data[:_HASH], data[_HASH : _HASH + _PLACE], data[_HASH + _PLACE :]
    if len(place) < _PLACE or len(path) % _HASH:
        raise _malformed()
    proof = [path[begin : begin + _HASH] for begin in range(0, len(path), _HASH)]
    size, root = said.get("leaves"), _hash(said.get("leaves_root"))
    if type(size) is not int or not merkle.verify_inclusion(
        int.from_bytes(place), size, merkle.leaf_hash(leaf), proof, root
    ):
        raise Malformed(
            "receipt.other_leaf",
            "回执的签名不含这一条记录。",
            "The leaf is not under the receipt's signature.",
        )
    return leaf


def _hash(text: object) -> bytes:
    try:
        found = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        found = b""
    if len(found) != _HASH:
        raise _malformed()
    return found


def _malformed() -> Malformed:
    return Malformed("receipt.malformed", "回执格式错误。", "This is no well-formed receipt.")
