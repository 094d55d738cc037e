"""Batches at work: how many at once, and the processes that check signatures for them.

A signature check and the reading around it keep one core busy for a fifth of a millisecond each; a batch of ten
thousand would stop everybody else in this process for seconds. So other processes do it, as many as there are
cores. They are started by the first batch that is worth it, replaced when one dies, and end with the hub, however
it ends.
"""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import structlog

from hub.certificates.examine import Terms
from hub.certificates.register import Handed
from hub.errors import HubError, TooMany, Unavailable, each
from hub.formats.sdjwt import Path
from hub.registry.types import CertificateType, of_documents
from hub.store.memory import Memory, Newest, rarely_collect
from hub.store.seal import KEPT_SECONDS
from hub.verification.signed import (
    Candidate,
    Genuine,
    Shown,
    Signed,
    Unchecked,
    check_all,
    remembered,
    signed_all,
)
from hub.web.registration import examine_lines
from keys.public import PublicKey

AT_ONCE = 4
WORTH_IT = 48
"""Fewer lines than this are looked at here: handing them over and back would cost as much."""
PIECE = 128
RETRY_AFTER = 5

log = structlog.get_logger()


Members = tuple[tuple[str, str], ...]
"""A public key as its JWK says it, sorted."""


class Brought(NamedTuple):
    """A certificate whose signature a worker found to hold: its claims if they are needed, and the copy to show."""

    claims: Mapping[str, Any]
    shown: Shown

    def show(self, paths: Iterable[Path]) -> Shown:
        """The copy with the claim paths of its `Candidate`; there is no other."""
        return self.shown


class _Copies(Newest[tuple[bytes, str, tuple[Path, ...]], tuple[float, Brought]]):
    """What workers brought, for a minute: by the hash of what rests, the key, and the claim paths that are shown."""

    def __init__(self) -> None:
        super().__init__(at_most=10_000)

    def of(self, one: Candidate) -> Brought | None:
        """What was brought for the same, unless it asks questions, for which all claims are read."""
        found = self.get(self._name(one)) if not one.questions else None
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def keep_of(self, one: Candidate, brought: Brought | None) -> None:
        """Remember what was brought; a refusal never."""
        if brought is not None and not one.questions:
            self.keep(self._name(one), (time.monotonic() + KEPT_SECONDS, brought))

    def _name(self, one: Candidate) -> tuple[bytes, str, tuple[Path, ...]]:
        kid = one.key.kid if one.key is not None else ""
        return hashlib.sha256(one.rested).digest(), kid, tuple(one.paths)


class Signature(NamedTuple):
    """A signature that came with a message, and the key that it should be by."""

    key: Members
    message: bytes
    signature: bytes


def not_handled() -> Unavailable:
    """What is said of a line that was not got to."""
    return Unavailable("batch.try_again", "该行暂未处理，请重试。", "This line was not handled; send it again.")


class Batches:
    """The batches that one hub process has under way, and its workers (`workers` 0: as many as it has cores)."""

    def __init__(self, *, at_once: int = AT_ONCE, workers: int = 0) -> None:
        self.at_once = at_once
        self.workers = (
            workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or 2
        )
        self.under_way = 0
        self._pool: ProcessPoolExecutor | None = None

    def require_room(self) -> None:
        """Raises TooMany `batch.too_many` when as many batches are under way as this process takes."""
        if self.under_way >= self.at_once:
            raise TooMany(
                "batch.too_many",
                "正在处理的批量请求过多。",
                "Too many batches are being handled at the moment.",
                next_zh="请稍后重新提交同一批；已登记的行会原样答复。",
                next_en="Send the same batch again later; lines that are done are answered alike.",
                retry_after=RETRY_AFTER,
            )

    @contextmanager
    def one(self) -> Iterator[None]:
        """The place of one batch, for as long as it is answered."""
        self.require_room()
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    async def examine(
        self, lines: Sequence[bytes], terms: Terms, types: Mapping[str, CertificateType]
    ) -> list[Handed | HubError]:
        """`examine_lines`, without stopping this process: elsewhere, or a few lines at a time.

        When a worker dies over some lines they are given to new ones once more; when those die too the lines are
        answered `batch.try_again` and nobody else notices.
        """
        if len(lines) < WORTH_IT:
            return await _here(lines, terms, types)
        pieces = [lines[begin : begin + PIECE] for begin in range(0, len(lines), PIECE)]
        done = await asyncio.gather(*(self._piece(piece, terms, types) for piece in pieces))
        return [one for piece in done for one in piece]

    async def _piece(
        self, lines: Sequence[bytes], terms: Terms, types: Mapping[str, CertificateType]
    ) -> Sequence[Handed | HubError]:
        try:
            found: list[Handed | HubError] = await self._elsewhere(types, _examine, lines, terms)
            return found
        except OSError:
            return await _here(lines, terms, types)
        except BrokenProcessPool:
            return [not_handled()] * len(lines)

    async def held(self, signed: Sequence[Signature], types: Mapping[str, CertificateType]) -> set[Signature]:
        """Those of these signatures that workers found to hold. Of the others nothing is known: check them yourself.

        Workers are asked about many at once only, and about more when none is running yet.
        """
        said = await self._of_many(types, _hold, signed, PIECE)
        return {one for one, holds in zip(signed, said, strict=False) if holds}

    async def genuine(
        self, memory: Memory, asked: Sequence[Candidate], types: Mapping[str, CertificateType]
    ) -> list[Genuine | None]:
        """What departments really signed (see `verification.signed`): remembered, found by workers, or checked here.

        Workers are asked about many at once only. What one of them does not find to hold is looked at once more here.
        """
        copies = memory.of(_Copies)
        found: list[Genuine | None] = [
            copies.of(one) or remembered(memory, one.rested, one.key) if one.key is not None else None for one in asked
        ]
        unknown = [place for place, one in enumerate(asked) if found[place] is None and one.key is not None]
        piece = max(WORTH_IT // 2, -(-len(unknown) // self.workers))
        said = await self._of_many(types, _bring, [asked[place] for place in unknown], piece)
        for place, one in zip(unknown, said, strict=False):
            found[place] = one
            copies.keep_of(asked[place], one)
        left = [place for place in unknown if found[place] is None]
        here = signed_all(memory, [(asked[place].rested, asked[place].key) for place in left])
        for place, held in zip(left, here, strict=True):
            found[place] = held
        return found

    async def _of_many(
        self, types: Mapping[str, CertificateType], work: Callable[..., Any], asked: Sequence[Any], piece: int
    ) -> list[Any]:
        """What workers say of each, `piece` at a time; nothing at all when it is too few to ask, or nobody answers."""
        if len(asked) < (WORTH_IT if self._pool is not None else PIECE):
            return []
        pieces = [asked[begin : begin + piece] for begin in range(0, len(asked), piece)]
        try:
            said = await asyncio.gather(*(self._elsewhere(types, work, some) for some in pieces))
        except (OSError, BrokenProcessPool):
            return []
        return [one for some in said for one in some]

    async def _elsewhere(self, types: Mapping[str, CertificateType], work: Callable[..., Any], *given: Any) -> Any:
        """What a worker says. Raises OSError when there can be none, BrokenProcessPool when two died over it."""
        try:
            return await self._asked(types, work, *given)
        except BrokenProcessPool:  # new ones are asked once more
            return await self._asked(types, work, *given)

    async def _asked(self, types: Mapping[str, CertificateType], work: Callable[..., Any], *given: Any) -> Any:
        pool = None
        try:
            pool = self._started(types)
            return await asyncio.get_running_loop().run_in_executor(pool, work, *given)
        except OSError as fault:  # no room for another process, or no place for its socket
            log.warning("batch.no_worker", fault=type(fault).__name__, errno=fault.errno)
            raise
        except BrokenProcessPool:
            log.warning("batch.worker_died")
            if self._pool is pool:
                self.close()
            raise

    def _started(self, types: Mapping[str, CertificateType]) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context(
                "forkserver"
            )  # never fork: this process has threads and sockets
            context.set_forkserver_preload([__name__])
            documents = [kind.document for kind in types.values()]
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_begin, initargs=(documents,)
            )
        return self._pool

    def close(self) -> None:
        """Let the workers go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


async def _here(
    lines: Sequence[bytes], terms: Terms, types: Mapping[str, CertificateType]
) -> list[Handed | HubError]:
    """In this process, a few lines at a time, so that others are served in between."""
    found: list[Handed | HubError] = []
    for begin in range(0, len(lines), 8):
        found += examine_lines(lines[begin : begin + 8], terms, types)
        await asyncio.sleep(0)
    return found


_types: dict[str, CertificateType] = {}


def _begin(documents: Sequence[Mapping[str, Any]]) -> None:
    """In a worker: its types, no Ctrl-C of its own, and an end as soon as the hub is gone (also by SIGKILL)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _types.update(of_documents(documents))
    rarely_collect()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _examine(lines: Sequence[bytes], terms: Terms) -> list[Handed | HubError]:
    return examine_lines(lines, terms, _types)


def _bring(asked: Sequence[Candidate]) -> list[Brought | None]:
    known = [(one, PublicKey.from_jwk(one.key.jwk)) for one in asked if one.key is not None]
    try:
        found = check_all([Unchecked(one.rested, key) for one, key in known])
    except HubError:  # what is broken among them the hub finds itself
        return [None] * len(asked)
    done = iter(each(zip(known, found, strict=True), lambda both: _brought(both[0][0], both[1])))
    said = [None if one.key is None else next(done) for one in asked]
    return [one if isinstance(one, Brought) else None for one in said]


def _brought(one: Candidate, found: Signed | None) -> Brought | None:
    return None if found is None else Brought(found.claims if one.questions else {}, found.show(one.paths))


def _hold(signed: Sequence[Signature]) -> list[bool]:
    keys = {members: PublicKey.from_jwk(dict(members)) for members in {one.key for one in signed}}
    return [keys[one.key].verify(one.signature, one.message) for one in signed]
