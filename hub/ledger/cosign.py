"""Collects the witnesses' cosignatures for a checkpoint: all asked at once, none waited for long.

A missing quorum alarms and never stops business (DESIGN section 3, rule 11); a witness that remembers more than
we have does stop the signing: then we were rolled back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import httpx

from hub.errors import Conflict, HubError, Malformed
from hub.formats.addcheckpoint import AddCheckpoint
from hub.formats.merkle import MAX_SIZE
from hub.formats.note import COSIGNATURE, Note, SignatureLine, Vkey, parse, parse_vkey, verify

Prove = Callable[[int], Awaitable[list[bytes]]]
"""`prove(old)`: the consistency proof from `old` (not 0) to the checkpoint in question."""

REST_SECONDS = 30.0
"""How long a witness that did not answer is left alone."""


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness that we ask: its cosignature key and the URL that `/add-checkpoint` hangs on."""

    key: Vkey
    url: str


def witness_address(text: str) -> WitnessAddress:
    """Read `"<vkey> <url>"` as settings hold it. Raises Malformed `witness.setting`, `note.vkey`."""
    vkey, _, url = text.strip().partition(" ")
    key = parse_vkey(vkey)
    if key.kind != COSIGNATURE or not url.strip().startswith(("https://", "http://")):
        raise Malformed(
            "witness.setting", "见证方设置不对。", 'A witness is set as "<verifier key of type 0x04> <URL>".'
        )
    return WitnessAddress(key, url.strip().rstrip("/"))


class Cosigner:
    """Asks the witnesses. Remembers what size each one has seen, and who is not answering."""

    def __init__(
        self,
        witnesses: Sequence[WitnessAddress],
        *,
        http: httpx.AsyncClient,
        quorum: int = 0,
        deadline: float = 1.0,
    ) -> None:
        self.quorum = quorum
        self._witnesses = list(witnesses)
        self._http = http
        self._deadline = deadline
        self._sizes: dict[str, int] = {}
        self._rests: dict[str, float] = {}

    def short(self, note: Note) -> bool:
        """Whether fewer than the quorum of our witnesses have cosigned this note."""
        return len(self.held(note)) < self.quorum

    def held(self, note: Note) -> set[str]:
        """The names of the witnesses whose lines are in the note."""
        known = {(witness.key.name, witness.key.key_id) for witness in self._witnesses}
        return {line.name for line in note.signatures if (line.name, line.key_id) in known}

    async def collect(self, note: Note, size: int, prove: Prove) -> Note:
        """The note with the lines of the witnesses that answered in time, each verified.

        Raises Conflict `ledger.rolled_back` when a witness has seen more than `size`.
        """
        have = self.held(note)
        ask = [
            witness
            for witness in self._witnesses
            if witness.key.name not in have and monotonic() >= self._rests.get(witness.key.name, 0.0)
        ]
        lines = await asyncio.gather(*(self._ask(witness, note, size, prove) for witness in ask))
        ahead = [
            witness.key.name for witness in self._witnesses if self._sizes.get(witness.key.name, 0) > size
        ]
        if ahead:
            raise Conflict(
                "ledger.rolled_back",
                f"见证方 {ahead[0]} 见过更大的日志，疑似回滚，停止签名。",
                f"The witness {ahead[0]} has seen a larger ledger; signing has stopped.",
                next_zh="请勿继续运行，从完整备份恢复后再启动。",
                next_en="Do not go on; restore from a complete backup first.",
            )
        return note.with_signatures(line for line in lines if line is not None)

    async def _ask(
        self, witness: WitnessAddress, note: Note, size: int, prove: Prove
    ) -> SignatureLine | None:
        name = witness.key.name
        try:
            async with asyncio.timeout(self._deadline):
                for _ in range(2):  # one retry, with the size that a 409 tells
                    old = min(self._sizes.get(name, 0), size)
                    proof = await prove(old) if 0 < old < size else []
                    body = AddCheckpoint(old, tuple(proof), note).to_bytes()
                    reply = await self._http.post(f"{witness.url}/add-checkpoint", content=body)
                    if reply.status_code == 200:
                        return self._line(witness, note, size, reply.text)
                    if reply.status_code != 409:
                        break
                    self._sizes[name] = _size(reply.text)
                    if self._sizes[name] > size:
                        return None  # `collect` stops everything
        except (httpx.HTTPError, TimeoutError, OSError, Malformed):
            pass
        self._rests[name] = monotonic() + REST_SECONDS
        return None

    def _line(self, witness: WitnessAddress, note: Note, size: int, text: str) -> SignatureLine | None:
        try:
            held = verify(parse(f"{note.text}\n{text}"), [witness.key])
        except HubError:
            self._rests[witness.key.name] = monotonic() + REST_SECONDS
            return None
        self._sizes[witness.key.name] = size
        return held[0][1]


def _size(text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19 or int(digits) > MAX_SIZE:
        raise Malformed("witness.size", "见证方的答复不对。", "The witness answered with no size.")
    return int(digits)
