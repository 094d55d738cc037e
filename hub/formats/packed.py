"""An SD-JWT as it rests: the same characters in half the bytes, and exactly the same again when it is unpacked.

Base64url spends four characters on three bytes, and each digest in `_sd` can be computed from the disclosure that
stands beside it. What is packed:

    0x01 || n (1 byte) || signature (n bytes) || m (1 byte) || m salts of 16 bytes || raw deflate of the rest

deflate with a fixed dictionary, and

    rest = header 00 payload 00 disclosure 00 disclosure ...       all decoded from base64url
           a digest of disclosure i is 01 and two hexadecimal digits; `02 ...` is a disclosure `["salt", ...]`
           whose salt of 22 characters is the next of the salts

JSON text never contains the bytes 00, 01 and 02. A token that would not come back as it was (not canonical, not
JSON, not ours) rests as the text that it is, which never begins with 0x01. Each step of `pack` can be taken back:
base64url has one spelling for the bytes that it gave, none of the three bytes stood in them before, and a digest is
put in again from the disclosure that it was computed from. Where one disclosure names another they are put in one
within the other, which may go too deep: then it is unpacked at once, and compared.
"""

import hashlib
import zlib
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from functools import lru_cache

from zlib_ng import zlib_ng

from hub.errors import Internal
from hub.formats.disclosures import MAX_BYTES, Known
from hub.formats.sdjwt import Processed, SdJwt, parse
from keys import base64url

PACKED = 0x01
SALT = 16
_OURS = b"\x00\x01\x02"
_PLACES = [b"\x01%02x" % place for place in range(256)]
_SD, _ELEMENT = b'"_sd"', b'"..."'
_TO_URL = bytes.maketrans(b"+/", b"-_")

_DICTIONARY = (  # never to be changed: another one is another first byte. What is most frequent stands last.
    b'"valid_until":"2"as_of":"20"birth_date":"19"address":"number":"school":"major":"degree_level":"bachelor"master"'
    b'"education_level":"conferred_on":"20"issued_on":"20"registered_on":"19"months":"continuous_months":"area":'
    b'"usage":"location":"employer":"position":"from":"to":"company_name":"tax_paid":"year":"hours":"level":"grade":'
    b'"household_no":"address_code":"441900"move_in_on":"relation":"married_on":"children":"first_child"'
    b'{"_sd":["001"],"version":1,"nbf":17"exp":18"certificate_identifier":"1.2.156.3005.2.12441900MB'
    b'"spouse"child"co_owner"owner"head"student"holders"\x00\x02"name","\xe7\x8e\x8b\xe5\xb0\x8f'
    b'\x00\x02"id_type","111\x00\x02"id_no","441900198\x00\x02"id_no","441900199\x00\x02"role","owner"'
    b'{"_sd":["\x0100","\x0101","\x0102","\x0103","\x0104","\x0105","\x0106","\x0107","\x0108","\x0109","\x010a"'
    b',"\x010b","\x010c","\x010d","\x010e","\x010f"]},{"_sd":["\x011"]}],"_sd_alg":"sha-256","holders":[{"_sd":["\x01'
    b'{"iss":"https://hub.example/dept/dg-","vct":"urn:yimen:certificate::1","jti":"urn:uuid:","iat":17'
    b',"status":{"status_list":{"uri":"https://hub.example/v1/status-lists/","idx":1}},"_sd":["\x01'
    b'{"alg":"ES256","typ":"dc+sd-jwt","kid":""}\x00{"iss":"https://'
)


def pack(token: str, checked: Processed | None = None) -> bytes:
    """The token as it rests. `unpack` gives back exactly these characters.

    `checked` is what `sdjwt.verify` said of this very token, if it was asked: that is not computed again.
    """
    plain = token.encode()
    try:
        packed = _pack(token, checked)
    except ValueError:
        return plain
    return packed if packed is not None and len(packed) < len(plain) else plain


def rests_whole(rested: bytes) -> bool:
    """Whether a token rests as the text that it is."""
    return rested[:1] != b"\x01"


def unpack(rested: bytes) -> str:
    """The token of `pack`; Internal `seal.broken` when these bytes never came from it."""
    if rests_whole(rested):
        return rested.decode("ascii")
    parts, _ = take_apart(rested)
    return str(parts)


def take_apart(rested: bytes) -> tuple[SdJwt, Sequence[str | Known]]:
    """What `sdjwt.parse` says of the token of `pack`, and its disclosures with what was computed of them on the way.

    Raises as `unpack`; Malformed `sdjwt.*` for a token that rests as the text that it is.
    """
    if rests_whole(rested):
        parts = parse(rested.decode("ascii"))
        return parts, parts.disclosures
    try:
        return _unpack(rested)
    except (ValueError, IndexError, StopIteration, RecursionError, zlib.error) as fault:
        raise Internal(
            "seal.broken",
            "存储的数据未能通过完整性校验，已停止使用。",
            "Stored data failed its integrity check and is not used.",
            next_zh="请联系运维人员运行 yimen ledger check。",
            next_en="Ask an operator to run: yimen ledger check",
        ) from fault


def _pack(token: str, checked: Processed | None) -> bytes | None:
    issuer_jwt, *encoded = token.split("~")
    if not encoded or encoded.pop():  # the last `~` ends it; a key binding does not rest
        return None
    first, second, third = issuer_jwt.split(".")
    header = _header(first)
    if checked is not None and _is_of(checked, third, encoded):
        known, payload, signature = checked.known, checked.raw, checked.signature
    else:
        known = [Known(text, _digest(text).decode(), base64url.decode(text)) for text in encoded]
        payload, signature = base64url.decode(second), base64url.decode(third)
    parts = [one.raw for one in known]
    if len(signature) > 255 or len(parts) > 255 or _holds_ours(b"".join((header, payload, *parts))):
        return None
    places = dict(zip([one.digest.encode() for one in known], _PLACES, strict=False))
    salts, nested = [], False
    for place, text in enumerate(parts):
        shorter = text
        if text[24:26] == b'",' and text.startswith(b'["') and text.endswith(b"]"):
            salts.append(base64url.read(text[2:24]))
            shorter = b"\x02" + text[26:-1]
        if _SD in text or _ELEMENT in text:
            shorter = _with_places(shorter, places)
            nested = nested or b"\x01" in shorter
        parts[place] = shorter
    plain = b"\x00".join((header, _with_places(payload, places), *parts))
    if len(plain) >= MAX_BYTES:  # more than `unpack` takes out
        return None
    # Its quick level: 18 bytes more than the best one of zlib, which takes 18 us where this takes 7.
    squeeze = zlib_ng.compressobj(1, zlib.DEFLATED, -13, 5, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    rest = squeeze.compress(plain) + squeeze.flush()
    packed = b"".join((bytes((PACKED, len(signature))), signature, bytes((len(salts),)), *salts, rest))
    return None if nested and not _comes_back(packed, token) else packed


def _is_of(checked: Processed, signature: str, disclosures: list[str]) -> bool:
    """Whether that was said of the token with these parts: no other one has this signature."""
    return [one.text for one in checked.known] == disclosures and base64url.encode(checked.signature) == signature


@lru_cache(maxsize=1024)
def _header(segment: str) -> bytes:
    """One key writes the same header again and again."""
    return base64url.decode(segment)


def _holds_ours(text: bytes) -> bool:
    return len(text.translate(None, _OURS)) != len(text)


def _with_places(text: bytes, places: Mapping[bytes, bytes]) -> bytes:
    """The text in which each string that is the digest of a disclosure names its place instead."""
    return b'"'.join([places.get(piece, piece) for piece in text.split(b'"')])


def _comes_back(packed: bytes, token: str) -> bool:
    try:
        return unpack(packed) == token
    except Internal:
        return False


def _unpack(rested: bytes) -> tuple[SdJwt, list[Known]]:
    at = 2 + rested[1]
    signature, salt = rested[2:at], at + 1
    rest = salt + rested[at] * SALT
    squeezed = zlib.decompressobj(-15, _DICTIONARY)
    header, payload, *parts = squeezed.decompress(rested[rest:], MAX_BYTES).split(b"\x00")
    if not squeezed.eof:
        raise ValueError("cut short")
    salts = iter(_spelled([rested[place : place + SALT] for place in range(salt, rest, SALT)], 2))
    parts = [
        b"".join((b'["', next(salts), b'",', part[1:], b"]")) if part[:1] == b"\x02" else part for part in parts
    ]
    disclosures = _Disclosures(parts)
    segments = (header, disclosures.filled(payload), signature)
    known = disclosures.all()
    return SdJwt(".".join(map(base64url.encode, segments)), tuple(one.text for one in known), None), known


def _spelled(some: list[bytes], padding: int) -> list[bytes]:
    """Base64url of byte strings of one length, which `padding` zero bytes make a multiple of three; in one call."""
    if not some:
        return []
    every = b2a_base64(bytes(padding).join(some), newline=False).translate(_TO_URL)
    step = (len(some[0]) + padding) // 3 * 4
    return [every[place : place + step - padding] for place in range(0, step * len(some), step)]


class _Disclosures:
    """What rested of each, and what it is once the digests are in it: it may hold those of others, never its own.

    A class, as two inner functions that call one another would keep themselves and all this alive until Python looks.
    """

    __slots__ = ("known", "parts")

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.known: list[Known | None] = [None] * len(parts)
        plain = [place for place, part in enumerate(parts) if b"\x01" not in part]
        spelled = [b2a_base64(parts[place], newline=False).translate(_TO_URL, b"=") for place in plain]
        digests = _spelled([hashlib.sha256(one).digest() for one in spelled], 1)
        for place, text, digest in zip(plain, spelled, digests, strict=True):
            self.known[place] = Known(text.decode(), digest.decode(), parts[place])

    def at(self, place: int) -> Known:
        """The disclosure at a place."""
        found = self.known[place]
        if found is None:
            found = self.known[place] = _known(self.filled(self.parts[place]))
        return found

    def filled(self, text: bytes) -> bytes:
        """The text with a digest where a place was named."""
        first, *named = text.split(b"\x01")
        return first + b"".join([self.at(int(one[:2], 16)).digest.encode() + one[2:] for one in named])

    def all(self) -> list[Known]:
        """Every disclosure, in order."""
        return [self.at(place) for place in range(len(self.parts))]


def _known(raw: bytes) -> Known:
    text = base64url.encode(raw)
    return Known(text, _digest(text).decode(), raw)


def _digest(disclosure: str) -> bytes:
    found = b2a_base64(hashlib.sha256(disclosure.encode()).digest(), newline=False)
    return found.translate(_TO_URL, b"=")
