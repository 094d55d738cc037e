"""Everything about a certificate that needs no database: its signature, its claims, and its row made ready.

Pure, so that a batch can have it done by other processes (`hub/web/workers.py`); the single door calls the same code.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
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
from hub.errors import HubError
from hub.formats import jws, packed, sdjwt
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


def examine(token: str, terms: Terms, types: Mapping[str, CertificateType]) -> Examined:
    """Checks 2 to 8 of `register`, in their order, and the row made ready. Raises HubError kinds."""
    parts = sdjwt.parse(token)  # 2
    key = _key(str(jws.split(parts.issuer_jwt).header.get("kid", "")), terms)  # 3
    processed = sdjwt.verify(parts, key=key, now=seconds(terms.now))  # 4
    payload = processed.payload
    kind = type_of(payload, terms.department, types, terms.base_url)  # 5
    kind.check_claims({name: value for name, value in payload.items() if name not in ENVELOPE})  # 6
    holders = tuple(Holder(**holder) for holder in holders_of_claims(payload))
    kind.check_roles(holder.role for holder in holders)
    check_identifiers(payload)  # 7
    jti, version = envelope_of(payload)
    times = times_of(payload, terms.now, kind)  # 8
    uri, idx = status_of(payload, times.valid_until)
    certificate_id, body_key = uuid7(), secrets.token_bytes(32)
    return Examined(
        id=certificate_id,
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
        body_key=body_key,
        sealed_body=seal(body_key, packed.pack(token), bound_to=certificate_id.bytes),
    )


def try_examine(token: str, terms: Terms, types: Mapping[str, CertificateType]) -> Examined | HubError:
    """The same, with the refusal as the answer: it only counts when the row turns out to be new."""
    if not terms.department:
        return foreign_type()
    try:
        return examine(token, terms, types)
    except HubError as refusal:
        return refusal


def _key(kid: str, terms: Terms) -> PublicKey:
    if kid not in terms.keys:
        raise key_unknown()
    jwk = terms.keys[kid]
    if jwk is None:
        raise key_not_standing()
    return PublicKey.from_jwk(jwk)
