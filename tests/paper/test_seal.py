"""A seal holds until the file changes by one byte, or until its key is revoked; then it says which."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import missing, spoilt
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers

from hub import clock
from hub.errors import HubError
from hub.paper import child, layout, read, seal
from hub.paper.mupdf import mupdf
from hub.paper.seal import SealingKey, SealOutcome
from keys.signer import LocalSigner

CRL_PLACE = "http://crl.yimen.test/edu.crl"


@dataclass
class Authority:
    """A root that issues sealing x509s and revokes them."""

    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    now: datetime

    @classmethod
    def make(cls, now: datetime, name: str = "东莞市电子印章根") -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key, now).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        builder = builder.add_extension(_usage(sign=False), critical=True)
        return cls(key, builder.sign(key, SHA256()), now)

    def issue(self, *, crl_place: bool = True, name: str = "东莞理工学院学位证书专用章") -> SealingKey:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = _builder(name, str(issuer), key, self.now)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(above, critical=False)
        if crl_place:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_PLACE)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return SealingKey(LocalSigner(key), builder.sign(self.key, SHA256()), (self.root,))

    def crl(self, *revoked: SealingKey) -> x509.CertificateRevocationList:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.subject)
            .last_update(self.now - timedelta(days=1))
            .next_update(self.now + timedelta(days=6))
        )
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(above, critical=False).add_extension(
            x509.CRLNumber(1), critical=False
        )
        for key in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(key.x509.serial_number)
            builder = builder.add_revoked_certificate(
                entry.revocation_date(self.now - timedelta(hours=5)).build()
            )
        return builder.sign(self.key, SHA256())


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    subject, above = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(sign, sign, False, False, False, not sign, not sign, False, False)


@dataclass
class Office:
    """A department with its sealing key, and one face that it sealed."""

    authority: Authority
    key: SealingKey
    sealed: bytes = field(repr=False)

    async def told(
        self, data: bytes, *, crls: Sequence[Any] | None = None, roots: Sequence[Any] | None = None
    ) -> tuple[str, str]:
        found = await seal.check(
            data,
            roots=[self.authority.root] if roots is None else roots,
            crls=[self.authority.crl()] if crls is None else crls,
            now=self.authority.now,
        )
        return found.outcome.value, found.reason


@pytest.fixture(scope="module")
async def office(printed: bytes) -> Office:
    authority = Authority.make(clock.now())
    key = authority.issue()
    return Office(authority, key, await seal.seal(printed, key, reason="签发"))


def updated(data: bytes, change: Callable[[IncrementalPdfFileWriter], object]) -> bytes:
    """The file with an incremental update behind it."""
    writer = IncrementalPdfFileWriter(BytesIO(data))
    change(writer)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def by_mupdf(data: bytes, change: Callable[[Any], object], *, incremental: bool = True) -> bytes:
    """The file after `change`, as an update behind it or written anew."""
    document = mupdf.open("pdf", data)
    change(document)
    if not incremental:
        return bytes(document.tobytes(garbage=3))
    out = BytesIO()
    document.save(out, incremental=False, encryption=mupdf.PDF_ENCRYPT_KEEP, no_new_id=True)
    return out.getvalue()


# --- an honest seal -----------------------------------------------------------------------------------------------


async def test_a_sealed_face_is_valid_and_still_a_face(office: Office, a_face: Any):
    assert (await office.told(office.sealed)) == ("valid", "")
    found = await seal.check(
        office.sealed, roots=[office.authority.root], crls=[office.authority.crl()], now=office.authority.now
    )
    assert found.fingerprint == office.key.x509.fingerprint(SHA256()).hex()
    inside = await read.inspect_in_child(office.sealed)
    assert (inside.outcome, inside.reason, inside.sealed) == (read.Outcome.FOUND, "", True)
    assert inside.sd_jwt == a_face().sd_jwt


RING = b"""<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100" viewBox="0 0 100 100">
<circle cx="50" cy="50" r="46" fill="none" stroke="#c0201c" stroke-width="5"/></svg>"""


async def test_the_departments_own_picture_stands_over_its_name(office: Office, printed: bytes):
    sealed = await seal.seal(printed, office.key, picture=RING)
    assert await office.told(sealed) == ("valid", "")
    inside = read.inspect(sealed)
    assert (inside.outcome, inside.sealed) == (read.Outcome.FOUND, True)
    with mupdf.open("pdf", sealed) as document:
        pixels = document[0].get_pixmap(clip=layout.SEAL_BOX)
    colours = [pixels.samples[n : n + 3] for n in range(0, len(pixels.samples), 3)]
    assert sum(c[0] > 150 > c[1] + 60 for c in colours) > 300
    top = [pixels.pixel(pixels.width // 2, y) for y in range(12)]
    assert any(red > 150 > green + 60 for red, green, _ in top)


@pytest.mark.parametrize("picture", [b"", b"nothing", b"<svg", b"%PDF-1.7"])
async def test_a_picture_that_cannot_be_read_is_named(office: Office, printed: bytes, picture: bytes):
    with pytest.raises(HubError, match=r"seal.picture"):
        await seal.seal(printed, office.key, picture=picture)


async def test_the_child_says_the_same(office: Office):
    found = await seal.check_in_child(
        office.sealed, roots=[office.authority.root], crls=[office.authority.crl()], now=office.authority.now
    )
    assert (found.outcome, found.reason) == (SealOutcome.VALID, "")


def test_a_second_opinion_on_the_cryptography(office: Office, tmp_path: Path):
    tool = shutil.which("pdfsig") or missing("pdfsig", "apt-get install poppler-utils")
    (tmp_path / "sealed.pdf").write_bytes(office.sealed)
    said = subprocess.run(
        [tool, "-nocert", tmp_path / "sealed.pdf"], capture_output=True, check=True
    ).stdout.decode()
    assert "Signature is Valid" in said
    assert "ETSI.CAdES.detached" in said
    assert "Total document signed" in said


async def test_an_unsealed_face_says_so(office: Office, printed: bytes):
    assert (await office.told(printed)) == ("not_sealed", "no_seal")


async def test_a_key_that_is_not_of_the_x509_seals_nothing(office: Office, printed: bytes):
    other = office.authority.issue()
    with pytest.raises(HubError, match=r"seal.key"):
        await seal.seal(printed, SealingKey(other.signer, office.key.x509))


# --- after sealing (facts: the tampering table) -----------------------------------------------------------------


async def test_a_flipped_bit_is_seen(office: Office):
    middle = office.sealed.index(b"stream") + 60
    broken = spoilt(office.sealed, middle)
    assert (await office.told(broken))[0] in {"altered_after_sealing", "not_a_readable_sealed_pdf"}


@settings(max_examples=25)
@given(data=st.data())
def test_no_changed_byte_is_ever_valid(office: Office, data: st.DataObject):
    place = data.draw(st.integers(0, len(office.sealed) - 1))
    broken = bytearray(office.sealed)
    broken[place] ^= data.draw(st.integers(1, 255))
    if _signature(bytes(broken)) != _signature(office.sealed):  # its hexadecimal may change case
        assert asyncio.run(office.told(bytes(broken)))[0] != "valid"


def _signature(sealed: bytes) -> tuple[bytes, ...]:
    """The file with its `/Contents` written in capitals."""
    start = sealed.rfind(b"/Contents <") + len(b"/Contents <")
    end = start + sealed[start:].find(b">")
    return sealed[:start], sealed[start:end].upper(), sealed[end:]


async def test_text_drawn_over_the_page_is_seen(office: Office):
    def draw(writer: IncrementalPdfFileWriter) -> None:
        page = writer.root["/Pages"]["/Kids"][0]
        over = writer.add_object(generic.StreamObject(stream_data=b"1 1 1 rg 80 500 300 100 re f"))
        page["/Contents"] = generic.ArrayObject([page.raw_get("/Contents"), over])
        writer.update_container(page)

    assert (await office.told(updated(office.sealed, draw)))[0] == "altered_after_sealing"


async def test_metadata_changed_by_an_update_is_seen(office: Office):
    data = updated(office.sealed, lambda writer: writer.set_info(generic.DictionaryObject({
        generic.pdf_name("/Title"): generic.pdf_string("博士学位证书")
    })))  # fmt: skip
    assert data.startswith(office.sealed)
    assert (await office.told(data))[0] == "altered_after_sealing"


async def test_an_empty_update_is_seen(office: Office):
    data = updated(office.sealed, lambda writer: writer.add_object(generic.NullObject()))
    assert (await office.told(data))[0] == "altered_after_sealing"


async def test_an_annotation_a_page_a_rewrite_are_seen(office: Office):
    changes: list[Callable[[Any], object]] = [
        lambda d: d[0].add_freetext_annot((50, 50, 200, 90), "valid"),
        lambda d: d.new_page(),
        lambda d: None,
    ]
    for change in changes:
        assert (await office.told(by_mupdf(office.sealed, change, incremental=False)))[
            0
        ] == "altered_after_sealing"


async def test_bytes_around_the_file_are_seen(office: Office):
    assert (await office.told(office.sealed + b"junk")) == ("altered_after_sealing", "trailing_bytes")
    assert (await office.told(office.sealed + b"\n% more\n%%EOF\n"))[0] == "not_a_readable_sealed_pdf"
    more = office.sealed + office.sealed[office.sealed.rfind(b"\nxref") :]
    assert (await office.told(more))[0] == "altered_after_sealing"
    assert (await office.told(b" " + office.sealed)) == ("altered_after_sealing", "leading_bytes")


async def test_a_truncated_file_is_seen(office: Office):
    assert (await office.told(office.sealed[:-3000]))[0] in {
        "altered_after_sealing",
        "not_a_readable_sealed_pdf",
    }
    assert (await office.told(office.sealed[:2000])) == ("altered_after_sealing", "truncated")


async def test_a_wider_gap_in_the_byte_range_is_seen(office: Office):
    found = re.search(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)", office.sealed)
    assert found
    numbers = [int(n) for n in found.groups()]
    wider = b"/ByteRange [%d %d %d %d" % (numbers[0], numbers[1] - 1, numbers[2], numbers[3])
    data = office.sealed.replace(found[0], wider.ljust(len(found[0])))
    assert (await office.told(data)) == ("altered_after_sealing", "byte_range")


async def test_a_second_signature_is_seen(printed: bytes, office: Office):
    meta = signers.PdfSignatureMetadata(field_name="Other", subfilter=fields.SigSeedSubFilter.PADES)
    first = await signers.PdfSigner(meta, seal._Hand(office.key)).async_sign_pdf(
        IncrementalPdfFileWriter(BytesIO(printed))
    )
    assert (await office.told(first.getvalue())) == ("altered_after_sealing", "fields")


async def test_a_bomb_in_a_seal_ends_by_its_limits(office: Office):
    found = await seal.check_in_child(
        office.sealed,
        roots=[office.authority.root],
        crls=[office.authority.crl()],
        now=office.authority.now,
        limits=child.Limits(wall_seconds=0.05),
    )
    assert (found.outcome, found.reason) == (SealOutcome.UNREADABLE, "wall time")


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7\n%%EOF", b"%PDF-1.7\ntrailer<</Prev 9>>\nstartxref\n9\n%%EOF"]
)
async def test_what_is_no_sealed_pdf_is_never_an_error(office: Office, data: bytes):
    assert (await office.told(data))[0] in {"altered_after_sealing", "not_a_readable_sealed_pdf"}


# --- the sealing key ----------------------------------------------------------------------------------------------


async def test_another_root_with_the_same_name_is_not_trusted(office: Office, printed: bytes):
    rogue = Authority.make(office.authority.now)
    forged = await seal.seal(printed, rogue.issue())
    assert (await office.told(forged, crls=[office.authority.crl(), rogue.crl()]))[
        0
    ] == "sealing_key_not_trusted"
    assert (await office.told(office.sealed, roots=[rogue.root]))[0] == "sealing_key_not_trusted"
    assert (await office.told(office.sealed, roots=[]))[0] == "sealing_key_not_trusted"


@pytest.mark.parametrize("crl_place", [True, False])
async def test_a_revoked_key_is_told_with_or_without_a_distribution_point(
    office: Office, printed: bytes, crl_place: bool
):
    key = office.authority.issue(crl_place=crl_place)
    sealed = await seal.seal(printed, key)
    assert (await office.told(sealed)) == ("valid", "")
    assert (await office.told(sealed, crls=[office.authority.crl(key)])) == ("sealing_key_revoked", "revoked")


async def test_without_a_crl_the_status_is_unknown_and_changes_are_still_seen(office: Office):
    assert (await office.told(office.sealed, crls=[])) == ("sealing_key_status_not_available", "no_crl")
    assert (await office.told(office.sealed + b"x", crls=[])) == ("altered_after_sealing", "trailing_bytes")


async def test_somebody_elses_crl_is_none_for_this_key(office: Office):
    other = Authority.make(office.authority.now, "别处")
    outcome, _ = await office.told(office.sealed, crls=[other.crl()])
    assert outcome in {"sealing_key_status_not_available", "sealing_key_not_trusted"}


async def test_the_private_key_never_reaches_the_child(office: Office):
    pem = office.key.signer._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert pem not in office.sealed
    assert "key" not in seal.SealCheck.__dataclass_fields__
