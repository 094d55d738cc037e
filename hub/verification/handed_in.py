"""Check what anybody handed in: a certificate's text, its printed face, or the code on it. No sign-in, no Access:
nothing leaves that was not in the file already, and of a code alone only what is printed on every face.

The checks, in order; the first that fails decides the answer, and every check is named in it:
 1. issuer      a department of this hub that may issue this type
 2. key         its certificate key stood when the certificate was registered (or stands now)
 3. signature   over the received bytes, and every disclosure belongs to it
 4. registered  the hub holds a certificate with these very signed bytes
 5. face        a PDF is byte for byte the face that the department registered
 6. validity    not before its first day, not after its last
 7. status      the department's newest signed list: not revoked, not suspended
 8. ledger      the registration has its place in the ledger
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hub.certificates import find
from hub.certificates.face import read_face
from hub.certificates.find import StatusWord
from hub.certificates.model import Certificate, certificate_jtis, certificates
from hub.clock import from_seconds
from hub.errors import Gone, HubError, Malformed, NotFound, Unavailable
from hub.formats import jws, sdjwt
from hub.ledger.model import leaves
from hub.paper.model import WORDS, Inspection
from hub.paper.model import Outcome as Read
from hub.registry import departments
from hub.registry.departments import Department
from hub.registry.keys import find_key, key_at
from hub.registry.model import KeyPurpose
from hub.registry.types import CertificateType
from hub.store.blobs import Blobs
from hub.store.tx import View
from hub.verification import signed
from hub.verification.model import CheckResult
from keys.public import PublicKey

_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")


class Answer(StrEnum):
    """Everything that can be said about what somebody handed in. Closed: there is no generic error."""

    VALID = "valid"
    NOT_OURS = "not_our_document"
    ALTERED = "altered_after_sealing"
    ISSUER_UNKNOWN = "issuer_unknown"
    KEY_NOT_VALID = "key_not_valid_at_signing"
    NOT_REGISTERED = "not_registered"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    FUTURE_DATED = "future_dated"
    STATUS_STALE = "status_stale"
    TOO_LARGE = "too_large"
    TOO_COMPLEX = "too_complex"
    UNREADABLE_PHOTO = "unreadable_photo"
    PASSWORD = "password_protected"


Sentence = tuple[str, str, str, str]
"""What happened in Chinese and English, what to do now in Chinese and English."""

_ASK_ISSUER = ("请联系发证部门。", "Contact the issuing department.")

_OWN_WORDS: dict[Answer, Sentence] = {
    Answer.VALID: (
        "签名真实，证照现在有效。",
        "The signature is genuine and the certificate is valid now.",
        "",
        "",
    ),
    Answer.NOT_REGISTERED: (
        "签名真实，但本平台没有登记过这份证照，因此不知道它现在是否有效。",
        "The signature is genuine, but this certificate was never registered here: whether it stands is unknown.",
        *_ASK_ISSUER,
    ),
    Answer.SUSPENDED: (
        "证照已被发证部门暂停使用。",
        "The certificate is suspended by its issuer.",
        *_ASK_ISSUER,
    ),
    Answer.EXPIRED: ("证照已过有效期。", "The certificate has expired.", *_ASK_ISSUER),
}


def words(answer: Answer) -> Sentence:
    """The sentence of an answer, in both languages, with what to do now."""
    if answer in _OWN_WORDS:
        return _OWN_WORDS[answer]
    said = WORDS[Read(answer)]
    return (said.zh, said.en, said.next_zh, said.next_en)


class Part(StrEnum):
    """The checks in their order."""

    ISSUER = "issuer"
    KEY = "key"
    SIGNATURE = "signature"
    REGISTERED = "registered"
    FACE = "face"
    VALIDITY = "validity"
    STATUS = "status"
    LEDGER = "ledger"


PART_WORDS: dict[Part, tuple[str, str]] = {
    Part.ISSUER: ("发证部门已登记，并有权签发此类证照", "The issuer is registered and may issue this type"),
    Part.KEY: ("签名所用的密钥当时有效", "The signing key stood at the time"),
    Part.SIGNATURE: ("签名与内容一致，没有改动", "The signature fits the content; nothing was changed"),
    Part.REGISTERED: ("本平台登记过这份证照", "The certificate is registered here"),
    Part.FACE: (
        "页面与发证部门登记的证面完全相同",
        "The page is exactly the face that the issuer registered",
    ),
    Part.VALIDITY: ("在有效期内", "Within its validity"),
    Part.STATUS: ("没有被撤销或暂停", "Not revoked and not suspended"),
    Part.LEDGER: ("登记已写入透明日志", "The registration is in the ledger"),
}


@dataclass(slots=True)
class Finding:
    """The answer about one thing handed in. `claims` are only those that the file itself disclosed.

    `from_code` says that only a code was read: then nothing is known about the paper it is printed on.
    """

    answer: Answer
    results: dict[Part, CheckResult] = field(default_factory=dict)
    kind: CertificateType | None = None
    issuer: Department | None = None
    certificate: Certificate | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    issued_at: datetime | None = None
    status_checked_at: datetime | None = None
    sha256: str = ""
    from_code: bool = False

    def checks(self) -> list[tuple[int, Part, CheckResult | None]]:
        """Every check with its number and result; None for those that were not reached."""
        return [(n, part, self.results.get(part)) for n, part in enumerate(Part, 1)]


async def check(
    view: View,
    *,
    data: bytes,
    inspection: Inspection,
    types: Mapping[str, CertificateType],
    base_url: str,
    blobs: Blobs,
) -> Finding:
    """Answer about bytes that were handed in and what the limited child read in them. Never raises for content."""
    digest = hashlib.sha256(data).hexdigest()
    if inspection.outcome is not Read.FOUND:
        return Finding(Answer(inspection.outcome), sha256=digest)
    if inspection.sd_jwt is not None:
        face = data if inspection.kind == "pdf" else None
        found = await check_token(
            view, token=inspection.sd_jwt, face=face, types=types, base_url=base_url, blobs=blobs
        )
    else:
        found = await _check_codes(view, inspection.qr, types, base_url)
    found.sha256 = digest
    return found


async def check_token(
    view: View,
    *,
    token: str,
    face: bytes | None,
    types: Mapping[str, CertificateType],
    base_url: str,
    blobs: Blobs,
) -> Finding:
    """Checks 1 to 8 of an SD-JWT; `face` is the whole PDF that carried it, if one did."""
    found = Finding(Answer.VALID)
    try:
        parsed = jws.split(sdjwt.parse(token).issuer_jwt)
    except HubError:
        found.answer = Answer.ALTERED
        return found
    payload = parsed.payload
    slug, jti, kid = (
        _plain(value)
        for value in (
            str(payload.get("iss", "")).removeprefix(f"{base_url}/dept/"),
            payload.get("jti"),
            parsed.header.get("kid"),
        )
    )
    found.kind = next((kind for kind in types.values() if kind.vct == payload.get("vct")), None)
    try:
        found.issuer = await departments.get(view, slug=slug)
    except NotFound:
        return _end(found, Part.ISSUER, Answer.ISSUER_UNKNOWN)
    if found.kind is None or slug not in found.kind.issuers:  # 1
        return _end(found, Part.ISSUER, Answer.ISSUER_UNKNOWN)
    found.results[Part.ISSUER] = CheckResult.PASSED
    row = await _registered(view, slug, jti)
    moment = row.registered_at if row else view.now
    try:
        key = await key_at(view, department=slug, kid=kid, purpose=KeyPurpose.CERTIFICATE, moment=moment)  # 2
    except HubError as fault:
        known = fault.code == "key.not_standing"
        return _end(found, Part.KEY, Answer.KEY_NOT_VALID if known else Answer.ISSUER_UNKNOWN)
    found.results[Part.KEY] = CheckResult.PASSED
    try:
        signed = jws.numeric_date(payload, "iat") or 0
        processed = sdjwt.verify(token, key=key, now=signed)  # 3: times are judged below, as of today
    except HubError as fault:
        late = isinstance(fault, Malformed) or not fault.code.startswith("jwt.")
        return _end(found, Part.SIGNATURE, Answer.ALTERED if late else Answer.FUTURE_DATED)
    found.results[Part.SIGNATURE] = CheckResult.PASSED
    found.claims, found.issued_at = processed.payload, _moment(signed)
    if row is None or row.signing_input_hash != processed.signing_input_hash:  # 4
        return _end(found, Part.REGISTERED, Answer.NOT_REGISTERED)
    found.results[Part.REGISTERED] = CheckResult.PASSED
    certificate = find.from_row(row)
    found.results[Part.FACE] = await _face(view, certificate, face, blobs)  # 5
    if found.results[Part.FACE] is CheckResult.FAILED:
        return _end(found, Part.FACE, Answer.ALTERED)
    return await _standing(view, found, certificate)


async def _face(view: View, certificate: Certificate, face: bytes | None, blobs: Blobs) -> CheckResult:
    """Whether a PDF is the registered one; undecided when none is registered, or it cannot be read now."""
    if face is None:
        return CheckResult.NOT_NEEDED
    try:
        held = (await find.holders_of(view, certificate))[0]
        registered = await read_face(view, held=held, blobs=blobs)
    except (NotFound, Gone, Unavailable, IndexError):
        return CheckResult.UNDECIDED
    return CheckResult.PASSED if hmac.compare_digest(registered, face) else CheckResult.FAILED


async def landing(view: View, *, public_id: str, types: Mapping[str, CertificateType]) -> Finding:
    """What the code on a printed face leads to: type, issuer, dates and status; nothing about the holder.

    Raises NotFound `certificate.unknown`.
    """
    certificate = await find.by_public_id(view, public_id)
    found = Finding(
        Answer.VALID, kind=types[certificate.type_code], issued_at=certificate.iat, from_code=True
    )
    found.issuer = await departments.get(view, slug=certificate.department)
    if certificate.department not in _kind(found).issuers:
        return _end(found, Part.ISSUER, Answer.ISSUER_UNKNOWN)
    found.results[Part.ISSUER] = CheckResult.PASSED
    key = await find_key(view, department=certificate.department, kid=certificate.kid)
    if key is None or not key.stands_at(certificate.registered_at):
        return _end(found, Part.KEY, Answer.KEY_NOT_VALID)
    found.results[Part.KEY] = CheckResult.PASSED
    holders = await find.holders_of(view, certificate)
    rested = (await find.open_body(view, holders[0])).encode()
    if signed.check_all([signed.Unchecked(rested, PublicKey.from_jwk(key.jwk))])[0] is None:
        return _end(found, Part.SIGNATURE, Answer.ALTERED)
    found.results |= {
        Part.SIGNATURE: CheckResult.PASSED,
        Part.REGISTERED: CheckResult.PASSED,
        Part.FACE: CheckResult.UNDECIDED,
    }
    return await _standing(view, found, certificate)


_STANDING: dict[StatusWord, tuple[Part, Answer]] = {
    StatusWord.EXPIRED: (Part.VALIDITY, Answer.EXPIRED),
    StatusWord.REVOKED: (Part.STATUS, Answer.REVOKED),
    StatusWord.SUSPENDED: (Part.STATUS, Answer.SUSPENDED),
    StatusWord.SUPERSEDED: (Part.STATUS, Answer.SUPERSEDED),
}


async def _standing(view: View, found: Finding, certificate: Certificate) -> Finding:
    """Checks 6 to 8, for a certificate whose signed bytes are known to be genuine."""
    found.certificate = certificate
    found.status_checked_at = view.now
    word = await find.word_for(view, certificate, _kind(found))
    if certificate.valid_from is not None and certificate.valid_from > view.now:  # 6
        return _end(found, Part.VALIDITY, Answer.FUTURE_DATED)
    found.results[Part.VALIDITY] = CheckResult.PASSED
    if word in _STANDING:
        return _end(found, *_STANDING[word])
    if word is StatusWord.UNKNOWN:  # 7
        found.results[Part.STATUS] = CheckResult.UNDECIDED
        found.answer = Answer.STATUS_STALE
        return found
    found.results[Part.STATUS] = CheckResult.PASSED
    index = await view.value(sa.select(leaves.c.idx).where(leaves.c.leaf_hash == certificate.leaf_hash))
    found.results[Part.LEDGER] = CheckResult.UNDECIDED if index is None else CheckResult.PASSED  # 8
    return found


def _plain(value: object) -> str:
    """A name that may be looked up: visible ASCII, else "", which finds nothing."""
    return value if isinstance(value, str) and _VISIBLE.fullmatch(value) else ""


def _moment(seconds: int) -> datetime | None:
    try:
        return from_seconds(seconds)
    except (OverflowError, ValueError, OSError):
        return None


def _kind(found: Finding) -> CertificateType:
    """The type of a finding that has passed check 1."""
    if found.kind is None:
        raise ValueError("the type was not found yet")
    return found.kind


def _end(found: Finding, part: Part, answer: Answer) -> Finding:
    undecided = answer is Answer.NOT_REGISTERED
    found.results[part] = CheckResult.UNDECIDED if undecided else CheckResult.FAILED
    found.answer = answer
    return found


async def _registered(view: View, department: str, jti: str) -> sa.Row[Any] | None:
    return await view.first(
        sa.select(certificates)
        .join(
            certificate_jtis,
            sa.and_(
                certificate_jtis.c.bucket == certificates.c.bucket,
                certificate_jtis.c.certificate_id == certificates.c.id,
            ),
        )
        .where(certificate_jtis.c.department == department, certificate_jtis.c.jti == jti)
    )


async def _check_codes(
    view: View, codes: tuple[str, ...], types: Mapping[str, CertificateType], base_url: str
) -> Finding:
    """A photo: the first code of our own origin counts; what it leads to is all that can be said."""
    for code in codes:
        public_id = code.removeprefix(f"{base_url}/v/")
        if public_id != code:
            try:
                return await landing(view, public_id=public_id.split("#")[0], types=types)
            except NotFound:
                return Finding(Answer.NOT_REGISTERED, from_code=True)
    return Finding(Answer.NOT_OURS)
