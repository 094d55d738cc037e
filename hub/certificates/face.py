"""The printed face that an agent made: checked against the registered certificate, stored sealed, given back.

The hub renders and seals nothing in a department's name (DESIGN section 3, rule 13).
"""

import hashlib
import secrets

import sqlalchemy as sa

from hub.certificates.find import Held, holders_of, open_key, unknown_certificate
from hub.certificates.model import Certificate, certificates
from hub.errors import Forbidden, NotFound, Unprocessable
from hub.formats import sdjwt
from hub.paper.model import Inspection
from hub.store.blobs import Blobs
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View


async def keep_face(
    tx: Tx, *, certificate: Certificate, pdf: bytes, inspection: Inspection, blobs: Blobs
) -> None:
    """Store the face of one certificate of the calling department.

    1. the certificate is its own; 2. the file (inspected by the caller in a limited child) carries exactly this
    certificate. The blob is sealed with the certificate's own key and written before the row names it.
    """
    if certificate.department != tx.actor.department:  # 1
        raise Forbidden(
            "certificate.not_owner",
            "只有签发部门可以上传这份证照的证面。",
            "Only the department that issued this certificate may upload its face.",
        )
    inside = inspection.sd_jwt
    if inside is None or sdjwt.signing_input_hash(inside) != certificate.signing_input_hash:  # 2
        raise Unprocessable(
            "face.other_certificate",
            "PDF 中附带的不是这份证照。",
            "The SD-JWT attached to the PDF is not this certificate.",
            next_zh="请用登记的原始 SD-JWT 重新生成证面。",
            next_en="Render the face again from the SD-JWT that was registered.",
        )
    held = (await holders_of(tx, certificate))[0]
    sealed = seal(await open_key(tx, held), pdf, bound_to=b"face" + certificate.ref.id.bytes)
    key = f"faces/{certificate.ref.bucket:03d}/{secrets.token_hex(16)}"
    await blobs.put(key, sealed)
    await tx.run(
        certificates.update()
        .where(certificates.c.bucket == certificate.ref.bucket, certificates.c.id == certificate.ref.id)
        .values(face_key=key, face_sha256=hashlib.sha256(sealed).digest())
    )


async def read_face(view: View, *, held: Held, blobs: Blobs) -> bytes:
    """The PDF for its holder; NotFound `face.not_ready` while the agent has not made it yet."""
    table = certificates.c
    row = await view.first(
        sa.select(table.face_key, table.face_sha256).where(
            table.bucket == held.certificate.ref.bucket, table.id == held.certificate.ref.id
        )
    )
    if row is None:
        raise unknown_certificate()
    if row.face_key is None:
        raise NotFound(
            "face.not_ready",
            "证面 PDF 正在由发证部门制作，证照本身已可核验。",
            "The issuer is still making the PDF; the certificate itself can already be verified.",
            next_zh="请稍后再下载。",
            next_en="Download it later.",
        )
    sealed = await blobs.get(row.face_key, sha256=row.face_sha256)
    return unseal(await open_key(view, held), sealed, bound_to=b"face" + held.certificate.ref.id.bytes)
