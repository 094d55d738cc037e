"""Everything about a certificate that needs no database: its signature, its claims, and its row made ready.

Pure, so that a batch can have it done by other processes (`hub/web/workers.py`); the single door calls the same code.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from hub.certificates.content import (
    check_identifiers,
    envelope_of,
    foreign_type,
    holders_of_claims,
    status_of,
    times_of,
    type_of,
)
from hub.clock import seconds
from hub.errors import HubError, each
from hub.formats import packed, sdjwt
from hub.ids import public_token, uuid7
from hub.registry.keys import key_not_standing, key_unknown
from hub.registry.types import ENVELOPE, CertificateType
from hub.store.seal import seal
from keys.public import PublicKey


class Source(NamedTuple):
    """Which row of the department's own database a certificate was made from.

    `ref` is a keyed hash made by the agent, never the row's key itself. `generation` grows each time the row
    changes or comes back, so that A -> B -> A is three certificates and a resend is none.
    """

    dataset: str
    ref: str
    generation: int
    claims_hash: bytes


class Supersession(NamedTuple):
    """The certificate that a new one replaces, and the signed list that says so."""

    certificate: str
    status_list: str


class Application(NamedTuple):
    """What a department hands in."""

    token: str
    source: Source | None = None
    supersedes: Supersession | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What applications are examined against: who hands them in, when, and that department's certificate keys.

    `keys` has the public JWK of each key that stands at `now`, and None for each that does not any more.
    """

    department: str
    base_url: str
    now: datetime
    keys: Mapping[str, Mapping[str, str] | None]

    def key(self, kid: str) -> PublicKey:
        """The key with this id. Raises Unprocessable `key.unknown`, `key.not_standing`."""
        if kid not in self.keys:
            raise key_unknown()
        jwk = self.keys[kid]
        if jwk is None:
            raise key_not_standing()
        return _public(tuple(sorted(jwk.items())))


class Holder(NamedTuple):
    """A holder as signed."""

    name: str
    id_type: str
    id_no: str
    role: str


class Examined(NamedTuple):
    """A certificate that may be registered as far as its bytes tell, and what its row will say.

    The body is sealed already, under a key of its own and bound to `id`; the key is on its way to its holders.
    """

    id: UUID
    public_id: str
    type_code: str
    type_version: int
    jti: str
    version: int
    kid: str
    signing_input_hash: bytes
    iat: datetime
    valid_from: datetime | None
    valid_until: datetime | None
    as_of: date | None
    status_uri: str | None
    status_idx: int | None
    holders: tuple[Holder, ...]
    body_key: bytes
    sealed_body: bytes


def examine(
    tokens: Sequence[str], terms: Terms, types: Mapping[str, CertificateType]
) -> list[Examined | HubError]:
    """Checks 2 to 8 of `register`, in their order, and the rows made ready; or why not.

    A refusal only counts when the row turns out to be new. Each step is done for all before the next one: code and
    tables then stay in the processor's caches, which makes it a third faster than certificate by certificate.
    """
    if not terms.department:
        return [foreign_type()] * len(tokens)
    verified = sdjwt.verify_all(tokens, key=terms.key, now=seconds(terms.now))
    said = each(verified, lambda one: _content(one, terms, types))
    rested = [
        b"" if isinstance(one, HubError) or isinstance(whole, HubError) else packed.pack(token, whole)
        for one, whole, token in zip(said, verified, tokens, strict=True)
    ]
    return [
        one
        if isinstance(one, HubError)
        else one._replace(sealed_body=seal(one.body_key, body, bound_to=one.id.bytes))
        for one, body in zip(said, rested, strict=True)
    ]


def _content(processed: sdjwt.Processed, terms: Terms, types: Mapping[str, CertificateType]) -> Examined:
    payload = processed.payload
    kind = type_of(payload, terms.department, types, terms.base_url)  # 5
    kind.check_claims({name: value for name, value in payload.items() if name not in ENVELOPE})  # 6
    holders = tuple(Holder(**holder) for holder in holders_of_claims(payload))
    kind.check_roles(holder.role for holder in holders)
    check_identifiers(payload)  # 7
    jti, version = envelope_of(payload)
    times = times_of(payload, terms.now, kind)  # 8
    uri, idx = status_of(payload, times.valid_until)
    return Examined(
        id=uuid7(),
        public_id=public_token(),
        type_code=kind.code,
        type_version=kind.version,
        jti=jti,
        version=version,
        kid=processed.kid,
        signing_input_hash=processed.signing_input_hash,
        iat=times.iat,
        valid_from=times.valid_from,
        valid_until=times.valid_until,
        as_of=times.as_of,
        status_uri=uri,
        status_idx=idx,
        holders=holders,
        body_key=secrets.token_bytes(32),
        sealed_body=b"",
    )


@lru_cache(maxsize=1024)
def _public(members: tuple[tuple[str, str], ...]) -> PublicKey:
    """One key signs thousands: read it once."""
    return PublicKey.from_jwk(dict(members))
