"""QR codes: made as vectors, read from pictures. What is read is untrusted text: match our own origin first."""

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import qrcode
import zxingcpp
from qrcode.image.svg import SvgPathImage

from hub.errors import Malformed, Unprocessable
from hub.paper import child

MAX_TEXT = 2_000  # bytes that still make a readable code (version 40-M holds 2,331)
MAX_CODES = 8
QUIET_MODULES = 4


def svg(text: str) -> bytes:
    """`text` as an SVG with error correction M and the quiet zone of 4 modules; the same text, the same bytes.

    Raises Unprocessable `qr.too_long` over 2,000 bytes.
    """
    image = _code(text).make_image(image_factory=SvgPathImage)
    out = BytesIO()
    image.save(out)
    return out.getvalue()


def modules(text: str) -> int:
    """Modules along one side, without the quiet zone (17 + 4 x version)."""
    return int(_code(text).modules_count)


def _code(text: str) -> Any:
    if not 0 < len(text.encode()) <= MAX_TEXT:
        raise Unprocessable("qr.too_long", "二维码内容为空或过长。", "The QR text is empty or too long.")
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=QUIET_MODULES)
    code.add_data(text)
    code.make(fit=True)
    return code


def decode(gray: bytes, width: int, height: int) -> list[str]:
    """Texts of the QR codes in an 8-bit grey picture (rows from the top, no padding), at most `MAX_CODES`."""
    if len(gray) != width * height:
        raise Malformed("qr.picture", "图像尺寸不符。", "The picture has another size than it says.")
    picture = memoryview(gray).cast("B", (height, width))
    formats = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    found = zxingcpp.read_barcodes(picture, formats=formats, text_mode=zxingcpp.TextMode.Plain)
    return list(dict.fromkeys(code.text for code in found if code.text))[:MAX_CODES]


def read(data: bytes) -> list[str]:
    """Texts of the QR codes in a PNG, JPEG or PDF (its first pages); [] when there are none.

    Only for bytes that are trusted, or inside a child: for anything uploaded use `read_in_child`.
    """
    from hub.paper.read import inspect  # reading builds on this module

    return list(inspect(data).qr)


async def read_in_child(data: bytes, limits: child.Limits | None = None) -> list[str]:
    """`read` in a limited child. Raises TooComplex when the limits are used up."""
    found = await child.run("qr", data, limits)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def job(data: bytes) -> Iterable[str]:
    """The child's side of `read_in_child`."""
    return read(data)
