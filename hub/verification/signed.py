"""What a department really signed: stored bytes checked against its key, and remembered.

What they say is remembered for a minute; that they are signed by this key, for as long as there is room: the name of
both is the SHA-256 of the bytes, which come out of sealed storage each time, and no signature ever changes its mind.
Status, validity, grant, key history and ledger are judged anew at every look.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.errors import HubError, Internal
from hub.formats import jws, packed, sdjwt
from hub.formats.disclosures import Known
from hub.formats.sdjwt import Path, SdJwt
from hub.registry.keys import DepartmentKey
from hub.store.memory import Memory, Newest
from hub.store.seal import KEPT_SECONDS
from keys.public import PublicKey


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy with some disclosures only, and the claims that it shows."""

    sd_jwt: str
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate whose signature holds: all its claims, and the copies that were made of it."""

    parts: SdJwt
    payload: Mapping[str, Any]
    claims: Mapping[str, Any]
    disclosed: Mapping[Path, str]
    known: Mapping[str, Known]
    _shown: dict[tuple[Path, ...], Shown] = field(default_factory=dict)

    def show(self, paths: Iterable[Path]) -> Shown:
        """The same certificate with only what these claim paths need (see `sdjwt.select`)."""
        wanted = tuple(paths)
        found = self._shown.get(wanted)
        if found is None:
            copy = sdjwt.choose(self.parts, self.disclosed, wanted)
            chosen = [self.known.get(text, text) for text in copy.disclosures]
            found = self._shown[wanted] = Shown(str(copy), sdjwt.process(self.payload, chosen)[0])
        return found


def check(rested: bytes, key: DepartmentKey, *, known_good: bool = False) -> Signed | None:
    """The certificate when `key` really signed what rests here (see `formats.packed`) and the disclosures fit, else
    None. With `known_good` the signature of these very bytes held before. Internal `seal.broken` when these bytes are
    no certificate at rest."""
    try:
        parts, disclosures = packed.take_apart(rested)
        parsed = jws.split(parts.issuer_jwt)
        if not known_good:
            jws.verify_parsed(parsed, typ=sdjwt.TYP, key=PublicKey.from_jwk(key.jwk))
        payload = parsed.payload
        claims, disclosed = sdjwt.process(payload, disclosures)
    except Internal:
        raise
    except HubError:
        return None
    known = {one.text: one for one in disclosures if isinstance(one, Known)}
    return Signed(parts, payload, claims, disclosed, known)


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
    kept, met = memory.of(_Kept), memory.of(_Met)
    name = (hashlib.sha256(rested).digest(), key.kid)
    found = kept.get(name)
    if found is not None and time.monotonic() < found[0]:
        return found[1]
    made = check(rested, key, known_good=met.get(name) is True)
    if made is None:
        kept.forget(name)
    else:
        met.keep(name, True)
        kept.keep(name, (time.monotonic() + KEPT_SECONDS, made))
    return made
