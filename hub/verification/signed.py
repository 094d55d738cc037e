"""What a department really signed: stored bytes checked against its key, and remembered.

What they say is remembered for a minute; that they are signed by this key, for as long as there is room: the name of
both is the SHA-256 of the bytes, which come out of sealed storage each time, and no signature ever changes its mind.
Status, validity, grant, key history and ledger are judged anew at every look.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from hub.errors import HubError, Internal, each
from hub.formats import jws, packed, sdjwt
from hub.formats.disclosures import Known
from hub.formats.sdjwt import Path
from hub.registry.keys import DepartmentKey
from hub.store.memory import Memory, Newest
from hub.store.seal import KEPT_SECONDS
from keys.public import PublicKey


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy with some disclosures only, and the claims that it shows."""

    sd_jwt: str
    claims: Mapping[str, Any]


class Genuine(Protocol):
    """A certificate whose signature holds."""

    @property
    def claims(self) -> Mapping[str, Any]:
        """All of them."""
        ...

    def show(self, paths: Iterable[Path]) -> Shown:
        """The same certificate with only what these claim paths need."""
        ...


class Candidate(NamedTuple):
    """A certificate as it rests, the key that should have signed it, the claim paths that would be shown of it, and the
    questions whose answers need all its claims and show none."""

    rested: bytes
    key: DepartmentKey | None
    paths: Sequence[Path]
    questions: Sequence[Mapping[str, Any]]


Checking = Callable[[Sequence[Candidate]], Awaitable[Sequence[Genuine | None]]]
"""What checks many certificates: for each None when it is not what its department signed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate whose signature holds, and the copies that were made of it."""

    issuer_jwt: str
    payload: Mapping[str, Any]
    disclosures: Sequence[str | Known]
    _shown: dict[tuple[Path, ...], Shown] = field(default_factory=dict)

    @property
    def claims(self) -> Mapping[str, Any]:
        """All of them."""
        return sdjwt.process(self.payload, self.disclosures)[0]

    def show(self, paths: Iterable[Path]) -> Shown:
        """The same certificate with only what these claim paths need (see `sdjwt.select`)."""
        wanted = tuple(paths)
        found = self._shown.get(wanted)
        if found is None:
            claims, kept = sdjwt.reveal(self.payload, self.disclosures, wanted)
            found = self._shown[wanted] = Shown("~".join((self.issuer_jwt, *kept, "")), claims)
        return found


class Unchecked(NamedTuple):
    """A certificate as it rests, and the key that should have signed it. `known_good`: its signature held before, over
    these very bytes."""

    rested: bytes
    key: PublicKey
    known_good: bool = False


def check_all(asked: Sequence[Unchecked]) -> list[Signed | None]:
    """For each the certificate when its key really signed what rests here (see `formats.packed`) and the disclosures
    fit, else None. Each step is done for all of them before the next one: its code and its tables then stay in the
    processor's caches. Raises Internal `seal.broken` when bytes are no certificate at rest."""
    taken = each(asked, lambda one: packed.take_apart(one.rested))
    parsed = each(taken, lambda one: jws.split(one[0].issuer_jwt))
    found: list[Signed | None] = []
    for one, whole, said in zip(asked, taken, parsed, strict=True):
        if isinstance(whole, Internal):
            raise whole
        if isinstance(whole, HubError) or isinstance(said, HubError) or not _holds(one, said, whole[1]):
            found.append(None)
        else:
            found.append(Signed(whole[0].issuer_jwt, said.payload, whole[1]))
    return found


def _holds(one: Unchecked, parsed: jws.Parsed, disclosures: Sequence[str | Known]) -> bool:
    try:
        if not one.known_good:
            jws.verify_parsed(parsed, typ=sdjwt.TYP, key=one.key)
        if packed.rests_whole(one.rested):  # else the signed digests were computed from these very disclosures
            sdjwt.process(parsed.payload, disclosures)
    except HubError:
        return False
    return True


_Name = tuple[bytes, str]
"""The SHA-256 of what rests, and the id of the key."""


class _Kept(Newest[_Name, tuple[float, Signed]]):
    def __init__(self) -> None:
        super().__init__(at_most=10_000)


class _Met(Newest[_Name, bool]):
    """Bytes whose signature by a key held: two digests each, nothing of what they say."""

    def __init__(self) -> None:
        super().__init__(at_most=50_000)


def signed_all(memory: Memory, asked: Sequence[tuple[bytes, DepartmentKey | None]]) -> list[Signed | None]:
    """As `check_all`, remembered: what they say for as long as an unwrapped key would be. A refusal is never
    remembered, and nothing is signed by a key that nobody knows."""
    kept, met = memory.of(_Kept), memory.of(_Met)
    found: list[Signed | None] = []
    new: dict[int, tuple[_Name, Unchecked]] = {}
    for place, (rested, key) in enumerate(asked):
        if key is None:
            found.append(None)
            continue
        name = _name(rested, key)
        found.append(_remembered(memory, name))
        if found[place] is None:
            new[place] = name, Unchecked(rested, PublicKey.from_jwk(key.jwk), met.get(name) is True)
    made = check_all([unchecked for _, unchecked in new.values()])
    for (place, (name, _)), one in zip(new.items(), made, strict=True):
        found[place] = one
        if one is None:
            kept.forget(name)
        else:
            met.keep(name, True)
            kept.keep(name, (time.monotonic() + KEPT_SECONDS, one))
    return found


def checked_here(memory: Memory) -> Checking:
    """`signed_all`, in this process."""

    async def checked(candidates: Sequence[Candidate]) -> Sequence[Genuine | None]:
        return signed_all(memory, [(one.rested, one.key) for one in candidates])

    return checked


def remembered(memory: Memory, rested: bytes, key: DepartmentKey) -> Signed | None:
    """What `signed_all` would say without checking anything; None when it would have to."""
    return _remembered(memory, _name(rested, key))


def _name(rested: bytes, key: DepartmentKey) -> _Name:
    return hashlib.sha256(rested).digest(), key.kid


def _remembered(memory: Memory, name: _Name) -> Signed | None:
    found = memory.of(_Kept).get(name)
    return found[1] if found is not None and time.monotonic() < found[0] else None
