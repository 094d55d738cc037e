"""Base64url without padding (RFC 7515 section 2), with exactly one accepted spelling for each byte string."""

from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
# The letters of the other alphabet, and the padding, become a byte that no alphabet has.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
# By length mod 4: the padding to add, and the last letters that leave no unused bit set (None: any letter).
_ENDINGS: tuple[tuple[bytes, bytes | None], ...] = (
    (b"", None),
    (b"", b""),
    (b"==", b"AQgw"),
    (b"=", b"AEIMQUYcgkosw048"),
)


def encode(data: bytes) -> str:
    """Base64url of `data`, no padding."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode("ascii")


def spelled(data: bytes) -> bytes:
    """The same as ASCII bytes, for what is hashed as it is spelled."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def decode(text: str) -> bytes:
    """The bytes that `text` spells, such that `encode` of them is `text` again.

    `ValueError` for padding, white space, foreign letters, an impossible length or unused bits that are set.
    """
    return read(text.encode("ascii"))  # UnicodeEncodeError is a ValueError


def read(raw: bytes) -> bytes:
    """As `decode`, of text that is ASCII bytes."""
    padding, last = _ENDINGS[len(raw) % 4]
    if last is not None and raw[-1] not in last:
        raise ValueError("not canonical base64url")
    return a2b_base64(raw.translate(_FROM_URL) + padding, strict_mode=True)  # its Error is a ValueError
