"""How a leaf's bytes rest: a commitment as its 32 bytes, everything else as it is hashed."""

from typing import Any

import sqlalchemy as sa

RAW = b"\x01"
"""No cleartext leaf begins with this byte: JCS of an object begins with `{`. So do those kept whole, from before."""
_HEAD, _TAIL = b'{"commit":"', b'","v":1}'
_LENGTH = len(_HEAD) + 64 + len(_TAIL)


def commitment_leaf(commit: bytes) -> bytes:
    """The bytes of the leaf that shows this commitment: JCS of {"v": 1, "commit": hex} (DESIGN section 3, rule 6)."""
    return b'{"commit":"%b","v":1}' % commit.hex().encode()


def commitment_of(data: bytes) -> bytes | None:
    """The commitment that these leaf bytes show; None when they are anything else."""
    if len(data) != _LENGTH or not data.startswith(_HEAD) or not data.endswith(_TAIL):
        return None
    try:
        commit = bytes.fromhex(data[len(_HEAD) : -len(_TAIL)].decode())
    except ValueError:
        return None
    return commit if commitment_leaf(commit) == data else None


def rested(data: bytes) -> bytes:
    """The bytes of a leaf as they rest."""
    commit = commitment_of(data)
    return data if commit is None else RAW + commit


def leaf_bytes(kept: bytes) -> bytes:
    """The bytes of a leaf again, from what rests. Whatever was damaged gives bytes of another hash."""
    return commitment_leaf(kept[1:]) if kept[:1] == RAW and len(kept) == 33 else kept


class LeafBytes(sa.types.TypeDecorator[bytes]):
    """The bytes of a leaf, 33 in place of 88 for a commitment."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        """To the database."""
        return None if value is None else rested(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> bytes | None:
        """From the database."""
        return None if value is None else leaf_bytes(bytes(value))
