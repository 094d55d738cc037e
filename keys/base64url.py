"""Base64url without padding (RFC 7515 section 2), with exactly one accepted spelling for each byte string."""

from binascii import Error, a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def encode(data: bytes) -> str:
    """Base64url of `data`, no padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that `text` spells; `ValueError` for padding, white space, another alphabet or unused bits set.

    Encoding the result again must give `text`: one rule that covers all the ways to misspell.
    """
    raw = text.encode("ascii")  # UnicodeEncodeError is a ValueError
    try:
        data = a2b_base64(raw.translate(_FROM_URL) + b"==="[: -len(raw) % 4])
    except Error as fault:
        raise ValueError("not base64url") from fault
    if b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL) != raw:
        raise ValueError("not canonical base64url")
    return data
