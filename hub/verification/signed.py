"""What a department really signed: stored bytes checked against its key, and remembered for a minute.

Only the answer "these bytes are signed by this key, and say this" is remembered, under the SHA-256 of the bytes, which
come out of sealed storage each time. Status, validity, grant, key history and ledger are judged anew at every look.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.errors import HubError, Internal
from hub.formats import jws, packed, sdjwt
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
    _shown: dict[tuple[Path, ...], Shown] = field(default_factory=dict)

    def show(self, paths: Iterable[Path]) -> Shown:
        """The same certificate with only what these claim paths need (see `sdjwt.select`)."""
        wanted = tuple(paths)
        found = self._shown.get(wanted)
        if found is None:
            copy = sdjwt.choose(self.parts, self.disclosed, wanted)
            found = self._shown[wanted] = Shown(
                str(copy), sdjwt.process(self.payload, copy.disclosures)[0]
            )
        return found


def check(rested: bytes, key: DepartmentKey) -> Signed | None:
    """The certificate when `key` really signed what rests here (see `formats.packed`) and the disclosures fit, else
    None. Internal `seal.broken` when these bytes are no certificate at rest."""
    try:
        parts, disclosures = packed.take_apart(rested)
        payload = jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=PublicKey.from_jwk(key.jwk)).payload
        claims, disclosed = sdjwt.process(payload, disclosures)
    except Internal:
        raise
    except HubError:
        return None
    return Signed(parts, payload, claims, disclosed)


class _Kept(Newest[tuple[bytes, str], tuple[float, Signed]]):
    def __init__(self) -> None:
        super().__init__(at_most=10_000)


def signed(memory: Memory, rested: bytes, key: DepartmentKey | None) -> Signed | None:
    """As `check`, remembered for as long as an unwrapped key would be. A refusal is never remembered."""
    if key is None:
        return None
    kept = memory.of(_Kept)
    name = (hashlib.sha256(rested).digest(), key.kid)
    found = kept.get(name)
    if found is not None and time.monotonic() < found[0]:
        return found[1]
    made = check(rested, key)
    if made is None:
        kept.forget(name)
    else:
        kept.keep(name, (time.monotonic() + KEPT_SECONDS, made))
    return made
