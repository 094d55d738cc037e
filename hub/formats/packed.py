"""An SD-JWT as it rests: the same characters in half the bytes, and exactly the same again when it is unpacked.

Base64url spends four characters on three bytes, and each digest in `_sd` can be computed from the disclosure that
stands beside it. What is packed:

    0x01 || n (1 byte) || signature (n bytes) || m (1 byte) || m salts of 16 bytes || raw deflate of the rest

deflate with a fixed dictionary, and

    rest = header 00 payload 00 disclosure 00 disclosure ...       all decoded from base64url
           a digest of disclosure i is 01 and two hexadecimal digits; `02 ...` is a disclosure `["salt", ...]`
           whose salt of 22 characters is the next of the salts

JSON text never contains the bytes 00, 01 and 02. `pack` unpacks what it made and compares: a token that would not
come back as it was (not canonical, not JSON, not ours) rests as the text that it is, which never begins with 0x01.
"""

import hashlib
import re
import zlib

from hub.errors import Internal
from hub.formats.disclosures import MAX_BYTES
from keys import base64url

PACKED = 0x01
SALT = 16
_OURS = re.compile(rb"[\x00-\x02]")
_DIGEST = re.compile(rb"\x01([0-9a-f]{2})")
_SALTED = re.compile(rb'\["([A-Za-z0-9_-]{22})",(.*)\]', re.DOTALL)
_DIGEST_TEXT = re.compile(rb'(?<=")[A-Za-z0-9_-]{43}(?=")')

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


def pack(token: str) -> bytes:
    """The token as it rests. `unpack` gives back exactly these characters."""
    plain = token.encode()
    try:
        packed = _pack(token)
        if packed is not None and len(packed) < len(plain) and unpack(packed) == token:
            return packed
    except ValueError:
        pass
    return plain


def unpack(rested: bytes) -> str:
    """The token of `pack`; Internal `seal.broken` when these bytes never came from it."""
    if rested[:1] != b"\x01":
        return rested.decode("ascii")
    try:
        return _unpack(rested)
    except (ValueError, IndexError, RecursionError, zlib.error) as fault:
        raise Internal(
            "seal.broken",
            "存储的数据未能通过完整性校验，已停止使用。",
            "Stored data failed its integrity check and is not used.",
            next_zh="请联系运维人员运行 yimen ledger check。",
            next_en="Ask an operator to run: yimen ledger check",
        ) from fault


def _pack(token: str) -> bytes | None:
    issuer_jwt, *encoded = token.split("~")
    if not encoded or encoded.pop():  # the last `~` ends it; a key binding does not rest
        return None
    header, payload, signature = map(base64url.decode, issuer_jwt.split("."))
    disclosures = [base64url.decode(text) for text in encoded]
    if (
        len(signature) > 255
        or len(disclosures) > 256
        or any(map(_OURS.search, (header, payload, *disclosures)))
    ):
        return None
    places = {_digest(text): b"\x01%02x" % place for place, text in enumerate(encoded)}
    salts, parts = [], [header, payload, *disclosures]
    for place, text in enumerate(parts):
        found = _SALTED.fullmatch(text) if place > 1 else None
        if found is not None:
            salts.append(base64url.decode(found[1].decode()))
            text = b"\x02" + found[2]
        parts[place] = _DIGEST_TEXT.sub(lambda match: places.get(match[0], match[0]), text)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -13, 6, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    rest = squeeze.compress(b"\x00".join(parts)) + squeeze.flush()
    return bytes((PACKED, len(signature))) + signature + bytes((len(salts),)) + b"".join(salts) + rest


def _unpack(rested: bytes) -> str:
    at = 2 + rested[1]
    signature, count = rested[2:at], rested[at]
    rest = at + 1 + count * SALT
    salts = [rested[begin : begin + SALT] for begin in range(at + 1, rest, SALT)]
    squeezed = zlib.decompressobj(-15, _DICTIONARY)
    header, payload, *parts = squeezed.decompress(rested[rest:], MAX_BYTES).split(b"\x00")
    if not squeezed.eof:
        raise ValueError("cut short")
    for place, part in enumerate(parts):
        if part[:1] == b"\x02":
            parts[place] = b'["%b",%b]' % (base64url.encode(salts.pop(0)).encode(), part[1:])
    encoded: dict[int, str] = {}

    def whole(text: bytes) -> bytes:
        """The text with its digests; a disclosure may hold digests of others, never of itself."""
        return (
            _DIGEST.sub(lambda match: _digest(disclosure(int(match[1], 16))), text)
            if b"\x01" in text
            else text
        )

    def disclosure(place: int) -> str:
        if place not in encoded:
            encoded[place] = base64url.encode(whole(parts[place]))
        return encoded[place]

    segments = (whole(header), whole(payload), signature)
    told = [".".join(map(base64url.encode, segments)), *map(disclosure, range(len(parts))), ""]
    return "~".join(told)


def _digest(disclosure: str) -> bytes:
    return base64url.encode(hashlib.sha256(disclosure.encode()).digest()).encode()
