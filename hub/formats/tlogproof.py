"""The tlog-proof file (C2SP tlog-proof): one leaf's inclusion under one signed checkpoint, checkable offline.

c2sp.org/tlog-proof@v1
extra <base64>            optional, authenticated by nothing
index <decimal>
<base64 hash>             leaf to root, one a line
<empty line>
<checkpoint note>
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.errors import Malformed, Unprocessable
from hub.formats.merkle import HASH_BYTES, MAX_PROOF, MAX_SIZE, verify_inclusion
from hub.formats.note import Cosigned, Note, Vkey, parse, verify_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MEDIA_TYPE = "text/plain; charset=utf-8"
MAX_BYTES = 80 * 1024

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A leaf's index, its audit path, and the checkpoint note that the path leads to; nothing verified yet."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: Note
    extra: bytes | None = None

    def __str__(self) -> str:
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {_b64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(_b64, self.path)
        return "\n".join(lines) + f"\n\n{self.checkpoint}"


def read(data: bytes | str) -> TlogProof:
    """Parse a tlog-proof strictly. Raises Malformed `tlogproof.shape` and those of `note.parse`."""
    text = data if isinstance(data, str) else _decode(data)
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(text) > MAX_BYTES or not gap or len(lines) < 2 or lines.pop(0) != HEADER:
        raise _bad()
    extra = None
    if lines[0].startswith("extra "):
        extra = _unb64(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None or int(match[1]) > MAX_SIZE or len(lines) > MAX_PROOF:
        raise _bad()
    path = tuple(map(_unb64, lines))
    if any(len(item) != HASH_BYTES for item in path):
        raise _bad()
    return TlogProof(int(match[1]), path, parse(note), extra)


def check(proof: TlogProof, leaf: bytes, log_key: Vkey, witnesses: Sequence[Vkey] = ()) -> Cosigned:
    """Verify that the leaf with this hash is in the log, as far as this log key and these witnesses say so.

    1. The checkpoint is the log's own and its signatures hold (`note.verify_checkpoint`).
    2. The path leads from the leaf to the checkpoint's root: else Unprocessable `tlogproof.inclusion`.
    How many witnesses are enough is the caller's policy.
    """
    cosigned = verify_checkpoint(proof.checkpoint, log_key, witnesses)  # 1
    checkpoint = cosigned.checkpoint
    if not verify_inclusion(proof.index, checkpoint.size, leaf, proof.path, checkpoint.root):  # 2
        raise Unprocessable(
            "tlogproof.inclusion", "该记录的存在证明不成立。", "The proof does not show this leaf in the log."
        )
    return cosigned


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad() from None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad() from None
    if _b64(data) != text:
        raise _bad()
    return data


def _bad() -> Malformed:
    return Malformed("tlogproof.shape", "存在证明格式不对。", "Not a tlog-proof.")
