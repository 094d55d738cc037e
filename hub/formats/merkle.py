"""The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: hashes, proofs, and the right edge of a growing
tree.

Hashes are 32 bytes. A tree of n leaves splits at the largest power of two smaller than n. The provers take a
`Nodes` function that gives stored hashes of complete subtrees, so a proof costs O(log n) reads whatever
the size.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from hub.errors import Malformed, Unprocessable

HASH_BYTES = 32
MAX_PROOF = 63
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = hashlib.sha256(b"").digest()

Nodes = Callable[[int, int], bytes]
"""`nodes(level, index)`: root of the complete subtree of leaves [index * 2^level, (index + 1) * 2^level)."""

Subtree = tuple[int, int]
"""(level, index) of a complete subtree, as `Nodes` takes it."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a tree: its size and the roots of the complete subtrees that make it up, largest
    first.

    Appending costs amortised one node hash; `peaks` has one hash for each bit set in `size`.
    """

    size: int
    peaks: list[bytes]

    @classmethod
    def empty(cls) -> Self:
        """The edge of the tree without leaves."""
        return cls(0, [])

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> Self:
        """The edge of the tree of these leaf hashes."""
        edge = cls.empty()
        for leaf in leaves:
            edge.append(leaf)
        return edge

    def append(self, leaf: bytes) -> list[tuple[Subtree, bytes]]:
        """Add one leaf hash; returns the ((level, index), hash) of each subtree that it completed, leaf
        first.
        """
        if len(leaf) != HASH_BYTES:
            raise Malformed("merkle.hash_length", "哈希长度不对。", "A hash is 32 bytes.")
        level, index, carry = 0, self.size, leaf
        done: list[tuple[Subtree, bytes]] = [((0, index), leaf)]
        while index & 1:
            carry = node_hash(self.peaks.pop(), carry)
            level, index = level + 1, index >> 1
            done.append(((level, index), carry))
        self.peaks.append(carry)
        self.size += 1
        return done

    def root(self) -> bytes:
        """The tree's root; SHA-256 of nothing for the empty tree (RFC 9162 section 2.1.1)."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Frontier":
        """An independent edge: appending to one leaves the other alone."""
        return Frontier(self.size, list(self.peaks))

    def to_bytes(self) -> bytes:
        """Eight bytes of size, big-endian, then the peaks."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises Malformed `merkle.frontier` for anything else."""
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_BYTES * size.bit_count() or size > MAX_SIZE:
            raise Malformed(
                "merkle.frontier", "树的右缘数据不完整。", "The stored edge of the tree is damaged."
            )
        return cls(size, [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)])


def root(leaves: Iterable[bytes]) -> bytes:
    """The root of the tree of these leaf hashes."""
    return Frontier.of(leaves).root()


def subtrees(start: int, end: int) -> list[Subtree]:
    """The complete subtrees, left to right, whose leaves are exactly [start, end); start aligned as in a
    proof.
    """
    found: list[Subtree] = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append((level, start >> level))
        start += 1 << level
    return found


def range_hash(start: int, end: int, nodes: Nodes) -> bytes:
    """MTH of the leaves [start, end) where [start, end) is a node of some tree (a proof's sibling)."""
    parts = [nodes(level, index) for level, index in subtrees(start, end)]
    if not parts:
        return EMPTY_ROOT
    found = parts[-1]
    for part in reversed(parts[:-1]):
        found = node_hash(part, found)
    return found


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes make the inclusion proof of `index` in a tree of `size`, leaf to root.

    Raises Unprocessable `merkle.index` unless 0 <= index < size.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise Unprocessable("merkle.index", "该序号不在树中。", "The index is not in the tree.")
    ranges: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(size1: int, size2: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes make the consistency proof (RFC 9162 section 2.1.4.1), in its order.

    Raises Unprocessable `merkle.sizes` unless 0 < size1 <= size2.
    """
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise Unprocessable("merkle.sizes", "两个大小不成立。", "Sizes must be 0 < size1 <= size2.")
    ranges: list[tuple[int, int]] = []
    start, end, whole = 0, size2, True
    while size1 != end:
        middle = start + _split(end - start)
        if size1 <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, leaf to root (RFC 9162 section
    2.1.3.1).
    """
    return [range_hash(start, end, nodes) for start, end in inclusion_ranges(index, size)]


def consistency_proof(size1: int, size2: int, nodes: Nodes) -> list[bytes]:
    """The proof that the tree of `size2` extends the tree of `size1` (RFC 9162 section 2.1.4.1)."""
    return [range_hash(start, end, nodes) for start, end in consistency_ranges(size1, size2)]


def nodes_of(leaves: Sequence[bytes]) -> Nodes:
    """`Nodes` over leaf hashes in memory: for tests and small trees."""
    found: dict[Subtree, bytes] = {}
    edge = Frontier.empty()
    for leaf in leaves:
        found.update(edge.append(leaf))
    return lambda level, index: found[level, index]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows the leaf hash at `index` of the tree (size, root). RFC 9162 section 2.1.3.2.

    Never raises: wrong lengths, sizes and types are simply not a proof.
    """
    if not (_is_size(index) and _is_size(size) and _are_hashes([leaf, root]) and _is_proof(proof)):
        return False
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that (size2, root2) extends (size1, root1). RFC 9162 section 2.1.4.2.

    size1 == 0 is refused: the empty tree is a prefix of everything and proves nothing; the witness decides it
    by itself. Never raises.
    """
    if not (_is_size(size1) and _is_size(size2) and _are_hashes([root1, root2]) and _is_proof(proof)):
        return False
    if size1 == 0 or size1 > size2:
        return False
    if size1 == size2:
        return not proof and root1 == root2
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    if not proof:
        return False
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    found1 = found2 = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found1, found2 = node_hash(sibling, found1), node_hash(sibling, found2)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found2 = node_hash(found2, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found1 == root1 and found2 == root2


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE


def _are_hashes(values: Iterable[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)


def _is_proof(proof: object) -> bool:
    return isinstance(proof, list | tuple) and len(proof) <= MAX_PROOF and _are_hashes(proof)
