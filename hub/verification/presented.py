"""Check a certificate that somebody presents (a file, a pasted text): public, without consent, storing nothing.

Whoever holds the bytes already sees what is in them; the hub adds only whether they are genuine and standing.

 1. read      an SD-JWT in strict form                      5. registered  the hub holds exactly this signing input
 2. issuer    its department and key are known here         6. validity    between its own dates
 3. signature over exactly these bytes                      7. status      the newest department-signed list
 4. type      this department may issue it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.certificates.find import StatusWord, by_jti, word_for
from hub.certificates.model import Certificate
from hub.clock import from_seconds
from hub.errors import HubError
from hub.formats import jws, sdjwt
from hub.paper.model import Outcome
from hub.registry.departments import Department
from hub.registry.departments import get as department_of
from hub.registry.keys import DepartmentKey, history
from hub.registry.types import CertificateType
from hub.store.tx import View
from keys.public import PublicKey

CHECK_WORDS: dict[str, tuple[str, str]] = {
    "read": ("格式完整", "Complete and well formed"),
    "issuer": ("发证部门已登记", "Issuer is registered"),
    "signature": ("签名与内容一致", "Signature fits the content"),
    "type": ("部门有权签发", "Issuer may issue this type"),
    "registered": ("已在平台登记", "Registered with the hub"),
    "validity": ("在有效期内", "Within its validity"),
    "status": ("未撤销", "Not revoked"),
}


@dataclass(frozen=True, slots=True)
class Presented:
    """What can be said of a presented certificate; `checks` lists what was done, in order, until the first no.

    `claims` are only those that the presented bytes disclose. `code` is the finer word behind the outcome.
    """

    outcome: Outcome
    code: str
    checks: tuple[tuple[str, bool], ...]
    kind: CertificateType | None = None
    department: Department | None = None
    certificate: Certificate | None = None
    issued_at: datetime | None = None
    claims: Mapping[str, Any] | None = None


async def check(view: View, *, token: str, types: Mapping[str, CertificateType]) -> Presented:
    """Check presented bytes; never raises on what they contain, and says why in one named outcome."""
    done: list[tuple[str, bool]] = []

    def no(step: str, outcome: Outcome, code: str) -> Presented:
        return Presented(outcome, code, (*done, (step, False)))

    try:
        parts = sdjwt.parse(token.strip())
        unverified = jws.split(parts.issuer_jwt)
    except HubError as error:
        return no("read", Outcome.NOT_OURS, error.code)  # 1
    done.append(("read", True))
    slug = str(unverified.payload.get("iss", "")).rpartition("/dept/")[2]
    key = await _key(view, slug, str(unverified.header.get("kid", "")))
    if key is None:
        return no("issuer", Outcome.ISSUER_UNKNOWN, "issuer.key_unknown")  # 2
    done.append(("issuer", True))
    try:
        signed = jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=PublicKey.from_jwk(key.jwk))
        claims, _ = sdjwt.process(signed.payload, parts.disclosures)
    except HubError as error:
        return no("signature", Outcome.ALTERED, error.code)  # 3
    done.append(("signature", True))
    kind = next((kind for kind in types.values() if kind.vct == claims.get("vct")), None)
    if kind is None or slug not in kind.issuers:
        return no("type", Outcome.ISSUER_UNKNOWN, "issuer.not_allowed")  # 4
    done.append(("type", True))
    certificate = await by_jti(view, department=slug, jti=str(claims.get("jti", "")))
    if certificate is None or certificate.signing_input_hash != sdjwt.signing_input_hash(token.strip()):
        return no("registered", Outcome.NOT_REGISTERED, "certificate.not_registered")  # 5
    done.append(("registered", True))
    outcome, step = await _standing(view, certificate, kind, key)
    done += [("validity", step != "validity")]
    if step != "validity":
        done.append(("status", outcome is Outcome.VALID))
    return Presented(
        outcome=outcome,
        code=f"presented.{outcome}",
        checks=tuple(done),
        kind=kind,
        department=await department_of(view, slug),
        certificate=certificate,
        issued_at=from_seconds(int(claims["iat"])),
        claims=claims,
    )


async def of_public_id(
    view: View, *, certificate: Certificate, types: Mapping[str, CertificateType]
) -> Presented:
    """What the QR code on a printed face leads to: type, issuer and status, and no personal data at all."""
    kind = types[certificate.type_code]
    key = await _key(view, certificate.department, certificate.kid)
    outcome, _ = await _standing(view, certificate, kind, key) if key else (Outcome.ISSUER_UNKNOWN, "issuer")
    return Presented(
        outcome=outcome,
        code=f"presented.{outcome}",
        checks=(),
        kind=kind,
        department=await department_of(view, certificate.department),
        certificate=certificate,
        issued_at=certificate.iat,
    )


async def _standing(
    view: View, certificate: Certificate, kind: CertificateType, key: DepartmentKey
) -> tuple[Outcome, str]:
    if not key.stands_at(certificate.registered_at):
        return Outcome.KEY_NOT_VALID, "validity"
    if certificate.valid_from is not None and certificate.valid_from > view.now:
        return Outcome.FUTURE_DATED, "validity"  # 6
    word = await word_for(view, certificate, kind)
    return {
        StatusWord.EXPIRED: (Outcome.EXPIRED, "validity"),
        StatusWord.OUTDATED: (Outcome.STATUS_STALE, "status"),
        StatusWord.REVOKED: (Outcome.REVOKED, "status"),
        StatusWord.SUSPENDED: (Outcome.SUSPENDED, "status"),
        StatusWord.SUPERSEDED: (Outcome.SUPERSEDED, "status"),
        StatusWord.UNKNOWN: (Outcome.STATUS_STALE, "status"),
    }.get(word, (Outcome.VALID, "status"))  # 7


async def _key(view: View, department: str, kid: str) -> DepartmentKey | None:
    return next((key for key in await history(view, department) if key.kid == kid), None)
