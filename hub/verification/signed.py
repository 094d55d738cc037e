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

from hub.errors import HubError, Internal
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


def check(rested: bytes, key: PublicKey, *, known_good: bool = False) -> Signed | None:
    """The certificate when `key` really signed what rests here (see `formats.packed`) and the disclosures fit, else
    None. With `known_good` the signature of these very bytes held before. Internal `seal.broken` when these bytes are
    no certificate at rest."""
    try:
        parts, disclosures = packed.take_apart(rested)
        parsed = jws.split(parts.issuer_jwt)
        if not known_good:
            jws.verify_parsed(parsed, typ=sdjwt.TYP, key=key)
        if packed.rests_whole(rested):  # else the signed digests were computed from these very disclosures
            sdjwt.process(parsed.payload, disclosures)
    except Internal:
        raise
    except HubError:
        return None
    return Signed(parts.issuer_jwt, parsed.payload, disclosures)


class _Kept(Newest[tuple[bytes, str], tuple[float, Signed]]):
    def __init__(self) -> None:
        super().__init__(at_most=10_000)


class _Met(Newest[tuple[bytes, str], bool]):
    """Bytes whose signature by a key held: two digests each, nothing of what they say."""

    def __init__(self) -> None:
        super().__init__(at_most=50_000)


def signed(memory: Memory, rested: bytes, key: DepartmentKey | None) -> Signed | None:
    """As `check`, remembered: what it says for as long as an unwrapped key would be. A refusal is never remembered."""
    if key is None:
        return None
    name = _name(rested, key)
    found = _remembered(memory, name)
    if found is not None:
        return found
    kept, met = memory.of(_Kept), memory.of(_Met)
    made = check(rested, PublicKey.from_jwk(key.jwk), known_good=met.get(name) is True)
    if made is None:
        kept.forget(name)
    else:
        met.keep(name, True)
        kept.keep(name, (time.monotonic() + KEPT_SECONDS, made))
    return made


def checked_here(memory: Memory) -> Checking:
    """`signed` of each, one after the other."""

    async def checked(candidates: Sequence[Candidate]) -> list[Genuine | None]:
        return [signed(memory, one.rested, one.key) for one in candidates]

    return checked


def remembered(memory: Memory, rested: bytes, key: DepartmentKey) -> Signed | None:
    """What `signed` would say without checking anything; None when it would have to."""
    return _remembered(memory, _name(rested, key))


def _name(rested: bytes, key: DepartmentKey) -> tuple[bytes, str]:
    return hashlib.sha256(rested).digest(), key.kid


def _remembered(memory: Memory, name: tuple[bytes, str]) -> Signed | None:
    found = memory.of(_Kept).get(name)
    return found[1] if found is not None and time.monotonic() < found[0] else None
