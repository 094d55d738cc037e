"""The body of a witness's `add-checkpoint` request (C2SP tlog-witness).

old <size>
<base64 hash>       the consistency proof from old to the checkpoint, at most 63 lines
<empty line>
<checkpoint note>
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.errors import Malformed
from hub.formats.merkle import HASH_BYTES, MAX_PROOF, MAX_SIZE
from hub.formats.note import MAX_NOTE, Note, parse

MAX_BODY = MAX_NOTE + 4096
SIZE_TYPE = "text/x.tlog.size"
"""The media type of the size that a 409 answer carries."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """What a log asks of a witness: `old` is the size it thinks the witness remembers. Nothing verified yet."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Note

    def to_bytes(self) -> bytes:
        """The request body."""
        lines = [f"old {self.old}", *(base64.b64encode(item).decode() for item in self.proof)]
        return ("\n".join(lines) + f"\n\n{self.checkpoint}").encode()


def read(data: bytes) -> AddCheckpoint:
    """Parse a request body strictly. Raises Malformed `witness.request` and those of `note.parse`."""
    try:
        head, gap, note = data[: MAX_BODY + 1].decode("utf-8").partition("\n\n")
    except UnicodeDecodeError:
        raise _bad() from None
    lines = head.split("\n")
    match = _OLD.fullmatch(lines[0])
    if len(data) > MAX_BODY or not gap or match is None or int(match[1]) > MAX_SIZE:
        raise _bad()
    if len(lines) - 1 > MAX_PROOF:
        raise _bad()
    return AddCheckpoint(int(match[1]), _hashes(lines[1:]), parse(note))


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for line in lines:
        try:
            data = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            raise _bad() from None
        if len(data) != HASH_BYTES or base64.b64encode(data).decode() != line:
            raise _bad()
        found.append(data)
    return tuple(found)


def _bad() -> Malformed:
    return Malformed("witness.request", "见证请求格式不对。", "Not an add-checkpoint request.")
