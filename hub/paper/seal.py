"""The department's seal on a face (PAdES B-B), and the check that it still covers what one sees.

A seal says who sealed these bytes, nothing more: the certificate is the SD-JWT attached inside, checked on its own.

What libraries call valid is not enough: they accept bytes behind the end of the file, and updates that only touch
metadata, even on a file certified against any change. So `check` asks, in this order:

1. first and last bytes: nothing before `%PDF-`, nothing but one line end after the last `%%EOF`;
2. exactly one signature, in the field `IssuerSeal`, and no time-stamp or second revision;
3. `/ByteRange` written out: from 0, to the end of the file, leaving out exactly the `/Contents` string and its zeros;
4. the signature is intact and valid, and pyHanko, too, sees the entire file covered and nothing modified;
5. the x509 leads to one of the given roots and was not revoked, by CRLs that the caller brings (never fetched).
   Without a CRL the answer is "status unknown": revocation mode `require`, since the softer ones ignore CRLs for an
   x509 without a distribution point.
"""

import asyncio
import base64
import json
import logging
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from io import BytesIO
from typing import Any

from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from asn1crypto.algos import SignedDigestAlgorithm
from asn1crypto.parser import peek as asn1_peek
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate, CertificateRevocationList, load_der_x509_certificate
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers
from pyhanko.sign.ades.report import AdESIndeterminate
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import SignatureCoverageLevel, async_validate_pdf_signature
from pyhanko.stamp import StaticStampStyle
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from hub.errors import Internal, Unprocessable
from hub.paper import child
from hub.paper.layout import A4, SEAL_BOX
from hub.paper.mupdf import lock, mupdf
from hub.paper.read import MAX_PDF, ends
from keys.algorithms import ES256
from keys.public import PublicKey
from keys.signer import Signer

FIELD = "IssuerSeal"
_BOX = (
    SEAL_BOX[0],
    round(A4.height) - SEAL_BOX[3],
    SEAL_BOX[2],
    round(A4.height) - SEAL_BOX[1],
)  # y grows upwards here
_FILL = SimpleBoxLayoutRule(AxisAlignment.ALIGN_MID, AxisAlignment.ALIGN_MID, margins=Margins(0, 0, 0, 0))
logging.getLogger("pyhanko").setLevel(
    logging.CRITICAL
)  # it logs tracebacks with names; what we find, we return
_Store: Any = SimpleCertificateStore  # pyHanko claims types that it does not have
CHECK_LIMITS = child.Limits()


@dataclass(frozen=True)
class SealingKey:
    """What a department seals with: a signer for ES256 that is used for nothing else, its x509, and those above it."""

    signer: Signer
    x509: Certificate
    chain: tuple[Certificate, ...] = ()


class SealOutcome(StrEnum):
    """Everything the check of a seal can say."""

    VALID = "valid"
    NOT_SEALED = "not_sealed"
    ALTERED = "altered_after_sealing"
    NOT_TRUSTED = "sealing_key_not_trusted"
    REVOKED = "sealing_key_revoked"
    STATUS_UNKNOWN = "sealing_key_status_not_available"
    UNREADABLE = "not_a_readable_sealed_pdf"


@dataclass(frozen=True)
class SealCheck:
    """The answer about one seal. `reason` is the stable word for the failing step; `fingerprint` is the SHA-256 (hex)
    of the x509 that sealed, to be looked up in the registry, and is empty when none was reached."""

    outcome: SealOutcome
    reason: str = ""
    fingerprint: str = ""


async def seal(
    face: bytes, key: SealingKey, *, picture: bytes | None = None, reason: str = "", location: str = ""
) -> bytes:
    """`face` with a PAdES B-B signature that certifies it against any change; about 12 KB more, 70 ms of CPU.

    `picture` (SVG, PNG, or a one-page PDF) is the seal as the department has it registered; it is laid over
    `layout.SEAL_BOX`. Without one the seal is invisible: we never draw an official seal of our own invention.
    Not deterministic (signing time, ECDSA): store the bytes once. An agent's job, never a request.
    Raises Unprocessable `seal.key` when signer and x509 do not belong together or are not P-256, `seal.picture` when
    the picture cannot be read, and Internal `seal.not_sealed` when the result does not check.
    """
    hand = _Hand(key)
    meta = signers.PdfSignatureMetadata(
        field_name=FIELD,
        subfilter=fields.SigSeedSubFilter.PADES,
        md_algorithm="sha256",
        reason=reason or None,
        location=location or None,
        certify=True,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
    )
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:  # pyHanko imports pages from files only
        visible: dict[str, Any] = {}
        if picture is not None:
            file.write(_as_pdf(picture))
            file.flush()
            style = StaticStampStyle.from_pdf_file(
                file.name, border_width=0, background_layout=_FILL, background_opacity=0.85
            )
            visible = {"stamp_style": style, "new_field_spec": fields.SigFieldSpec(FIELD, box=_BOX)}
        signer = signers.PdfSigner(meta, hand, **visible)
        sealed = bytes((await signer.async_sign_pdf(IncrementalPdfFileWriter(BytesIO(face)))).getvalue())
    found = await _check(sealed, key.chain or (key.x509,), (), datetime.now(UTC))
    if found.outcome is not SealOutcome.STATUS_UNKNOWN:  # all but trust, which is the verifier's question
        raise Internal(
            "seal.not_sealed", "签章后的文件未通过检查。", "The sealed file does not check.", why=found.reason
        )
    return sealed


def _as_pdf(picture: bytes) -> bytes:
    kind = "svg" if b"<svg" in picture[:1024] else "pdf" if picture.startswith(b"%PDF-") else "image"
    try:
        with lock, mupdf.open(stream=picture, filetype=kind) as document:
            if len(document) != 1:
                raise ValueError("not one page")
            return bytes(document.convert_to_pdf())
    except Exception:
        raise Unprocessable(
            "seal.picture",
            "无法读取印章图样，应为 SVG、PNG 或单页 PDF。",
            "The picture of the seal cannot be read; it should be SVG, PNG or a one-page PDF.",
            next_zh="请重新导出印章图样。",
            next_en="Export the picture of the seal again.",
        ) from None


class _Hand(signers.Signer):
    """Lets pyHanko sign through `keys.Signer`, which alone holds the key."""

    def __init__(self, key: SealingKey) -> None:
        if key.signer.alg != ES256 or _kid(key.x509) != key.signer.kid:
            raise Unprocessable(
                "seal.key",
                "签章密钥与签章证书不匹配，或不是 P-256 密钥。",
                "The sealing key does not belong to its x509, or is not on P-256.",
                next_zh="请检查签章密钥配置。",
                next_en="Check how the sealing key is configured.",
            )
        super().__init__(
            signing_cert=_asn1(key.x509),
            cert_registry=_Store.from_certs([_asn1(certificate) for certificate in key.chain]),
            signature_mechanism=SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            embed_roots=False,
        )
        self._signer = key.signer

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """DER of the signature over `data`; in a dry run, as many bytes as the longest."""
        if dry_run:
            return bytes(72)
        raw = self._signer.sign(data)
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


async def check_in_child(
    data: bytes,
    *,
    roots: Sequence[Certificate],
    crls: Sequence[CertificateRevocationList],
    now: datetime,
    limits: child.Limits = CHECK_LIMITS,
) -> SealCheck:
    """`check` in a limited child process. A file that uses up its limits is `not_a_readable_sealed_pdf`."""
    asked = {
        "data": base64.b64encode(data).decode(),
        "roots": [base64.b64encode(root.public_bytes(Encoding.DER)).decode() for root in roots],
        "crls": [base64.b64encode(crl.public_bytes(Encoding.DER)).decode() for crl in crls],
        "now": now.astimezone(UTC).isoformat(),
    }
    if len(data) > MAX_PDF:
        return SealCheck(SealOutcome.UNREADABLE, "bytes")
    try:
        answer = await child.run("seal", json.dumps(asked).encode(), limits)
        return SealCheck(SealOutcome(answer["outcome"]), str(answer["reason"]), str(answer["fingerprint"]))
    except child.TooComplex as spent:
        return SealCheck(SealOutcome.UNREADABLE, spent.facts["why"])
    except (ValueError, TypeError, KeyError):  # not an answer of ours any more
        return SealCheck(SealOutcome.UNREADABLE, "answer")


def job(data: bytes) -> dict[str, str]:
    """The child's side of `check_in_child`."""
    asked = json.loads(data)
    roots = [load_der_x509_certificate(base64.b64decode(root)) for root in asked["roots"]]
    crls = [base64.b64decode(crl) for crl in asked["crls"]]
    now = datetime.fromisoformat(asked["now"])
    return asdict(asyncio.run(_check(base64.b64decode(asked["data"]), roots, crls, now)))


async def check(
    data: bytes, *, roots: Sequence[Certificate], crls: Sequence[CertificateRevocationList], now: datetime
) -> SealCheck:
    """Whether `data` is a face sealed by an x509 under `roots` that was not revoked at `now`, and nothing since.

    Raises nothing for content. Without limits, and 10 ms of CPU: for uploads see `check_in_child`.
    """
    return await _check(data, roots, [crl.public_bytes(Encoding.DER) for crl in crls], now)


async def _check(
    data: bytes, roots: Sequence[Certificate], crls: Sequence[bytes], now: datetime
) -> SealCheck:
    if fault := ends(data):  # 1.
        return SealCheck(SealOutcome.ALTERED, fault)
    try:
        return await _validated(data, roots, crls, now)
    except MemoryError:
        raise
    except (
        Exception
    ) as fault:  # hostile files raise AssertionError, KeyError, OSError and others from pyHanko
        return SealCheck(SealOutcome.UNREADABLE, type(fault).__name__)


async def _validated(
    data: bytes, roots: Sequence[Certificate], crls: Sequence[bytes], now: datetime
) -> SealCheck:
    reader = PdfFileReader(BytesIO(data))
    found = list(reader.embedded_signatures)
    if not found:
        return SealCheck(SealOutcome.NOT_SEALED, "no_seal")
    if [signature.field_name for signature in found] != [FIELD]:  # 2.
        return SealCheck(SealOutcome.ALTERED, "fields")
    signature = found[0]
    if fault := _range_fault(signature, data):  # 3.
        return SealCheck(SealOutcome.ALTERED, fault)
    fingerprint = signature.signer_cert.sha256.hex()
    status = await async_validate_pdf_signature(signature, _context(roots, crls, now))
    outcome, reason = _integrity(status) or (_trust(status) if crls else _NO_CRL)  # 4. 5.
    return SealCheck(outcome, reason, fingerprint)


_HEXADECIMAL = re.compile(rb"<(?:[0-9A-Fa-f]{2})+>")
_NO_CRL = (SealOutcome.STATUS_UNKNOWN, "no_crl")


def _range_fault(signature: Any, data: bytes) -> str:
    """ISO 32000-2, 12.8.1: two ranges that leave out the hexadecimal `/Contents` string and nothing else."""
    try:
        start, first, second, length = (int(number) for number in signature.byte_range)
    except (TypeError, ValueError):
        return "byte_range"
    gap = data[first:second]
    whole = start == 0 and 0 < first < second and second + length == len(data)
    if not whole or _HEXADECIMAL.fullmatch(gap) is None:
        return "byte_range"
    contents = bytes.fromhex(gap[1:-1].decode())
    return "padding" if contents[asn1_peek(contents) :].strip(b"\0") else ""


def _context(roots: Sequence[Certificate], crls: Sequence[bytes], now: datetime) -> ValidationContext:
    return ValidationContext(
        trust_roots=[_asn1(root) for root in roots],
        allow_fetching=False,
        crls=[asn1_crl.CertificateList.load(crl) for crl in crls],
        revocation_mode="require" if crls else "soft-fail",  # without CRLs trust is not asked of it at all
        moment=now,
    )


def _integrity(status: Any) -> tuple[SealOutcome, str] | None:
    if not (status.intact and status.valid):
        return SealOutcome.ALTERED, "signature"
    if status.coverage != SignatureCoverageLevel.ENTIRE_FILE:
        return SealOutcome.ALTERED, "coverage"
    if status.modification_level != ModificationLevel.NONE or not status.docmdp_ok:
        return SealOutcome.ALTERED, "modified"
    return None


def _trust(status: Any) -> tuple[SealOutcome, str]:
    if status.revoked or status.trust_problem_indic == AdESIndeterminate.REVOKED_NO_POE:
        return SealOutcome.REVOKED, "revoked"
    if not status.trusted or not status.bottom_line:
        indication = getattr(status.trust_problem_indic, "name", "") or "policy"
        return SealOutcome.NOT_TRUSTED, indication.lower()
    return SealOutcome.VALID, ""


def _kid(certificate: Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return PublicKey(key).kid
    return ""


def _asn1(certificate: Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
