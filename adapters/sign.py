"""What the department signs: the certificate itself (SD-JWT VC). The key stays in `keys`; bytes come back."""

import hashlib
import hmac
import secrets
from datetime import date, datetime
from typing import Any

from adapters.certtypes import CertificateType
from adapters.mapping import Mapped
from hub.clock import civil_day, day_end, day_start, seconds
from hub.formats.jcs import canonical
from hub.formats.sdjwt import SD, issue
from keys import base64url
from keys.signer import Signer

MAX_DECOYS = 8


def issuer_url(hub: str, department: str) -> str:
    """The `iss` of a department's certificates."""
    return f"{hub}/dept/{department}"


def ref_of(secret: bytes, dataset: str, key: tuple[str, ...]) -> str:
    """What the hub sees of a source key: HMAC-SHA256 under the agent's own secret, base64url.

    A key may be an identity number, so a plain hash would be guessed; equal keys give equal refs for ever.
    """
    return base64url.encode(hmac.digest(secret, canonical([dataset, *key]), hashlib.sha256))


def payload_of(
    mapped: Mapped,
    kind: CertificateType,
    *,
    issuer: str,
    generation: int,
    status: tuple[str, int] | None,
    now: datetime,
) -> dict[str, Any]:
    """The claims of one certificate, selectively disclosable ones wrapped in `SD`.

    Times are rounded to the Shanghai day (RFC 9901 section 10.1: iat and nbf down, exp up), so that certificates
    of one day cannot be told apart by them. `status` is (list uri, index); None only where `valid_until` is given.
    """
    today = civil_day(now)
    payload: dict[str, Any] = {
        "iss": issuer,
        "vct": kind.vct,
        "jti": base64url.encode(secrets.token_bytes(16)),
        "iat": seconds(day_start(today)),
        "nbf": seconds(day_start(date.fromisoformat(mapped.valid_from) if mapped.valid_from else today)),
        "version": generation,
    }
    if status is not None:
        payload["status"] = {"status_list": {"idx": status[1], "uri": status[0]}}
    if mapped.valid_until:
        payload["exp"] = seconds(day_end(date.fromisoformat(mapped.valid_until)))
    if kind.living:
        payload["as_of"] = mapped.as_of
    payload["holders"] = [
        {name: SD(value) for name, value in sorted(holder.items())} for holder in mapped.holders
    ]
    for name, value in mapped.claims.items():
        payload[name] = SD(value)
    return payload


def sign_certificate(
    mapped: Mapped,
    kind: CertificateType,
    *,
    issuer: str,
    generation: int,
    status: tuple[str, int] | None,
    now: datetime,
    signer: Signer,
) -> str:
    """A signed certificate with all its disclosures. Absent optional claims are hidden among decoys.

    Raises Unprocessable `sdjwt.cannot_issue`.
    """
    claims = payload_of(mapped, kind, issuer=issuer, generation=generation, status=status, now=now)
    absent = len(kind.properties - mapped.claims.keys())
    return issue(claims, signer=signer, decoys=min(absent, MAX_DECOYS))
