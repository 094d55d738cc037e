"""Compact JWS (RFC 7515) and the strict reading of base64url and JSON that every signed input goes through.

A signed thing must have one spelling: base64url is canonical, JSON has no key twice, and a key is used with the
one algorithm it was registered for, whatever a header says.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from json.scanner import make_scanner
from typing import Any, NamedTuple

import orjson

from hub.errors import Malformed, TooLarge, Unprocessable
from keys import base64url
from keys.errors import KeyFault
from keys.public import PublicKey
from keys.signer import Signer

MAX_JWS_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_SAFE_INT = 2**53 - 1
SKEW = 30
"""Seconds that two honest clocks may differ."""

KeySource = PublicKey | Callable[[str], PublicKey]
"""A key, or the lookup that turns a `kid` into one (raising `LookupError` or a `HubError` when there is none)."""

_KID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_FORBIDDEN_HEADERS = frozenset({"crit", "jku", "x5u", "b64", "jwk", "zip"})
_ESCAPED_TROUBLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
# A string (closed, or running to the end) or a bracket. Possessive, so an input cannot make it backtrack.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\[\s\S]?[^"\\]*+)*+"?|[\[{\]}]')


def b64u_encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64url.encode(data)


def b64u_decode(text: str) -> bytes:
    """The bytes spelled by `text`; `Malformed` for padding, white space, foreign letters or unused bits set."""
    try:
        return base64url.decode(text)
    except ValueError as fault:
        raise Malformed(
            "base64url.not_canonical", "base64url 编码不规范", "not canonical unpadded base64url"
        ) from fault


def _json_fault(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"json.{code}", zh, en)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _json_fault("duplicate_key", "JSON 对象含有重复的键", "a JSON object has the same key twice")
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > MAX_SAFE_INT:
        raise _json_fault("big_integer", "JSON 整数超出 ±(2^53−1)", "a JSON integer is beyond ±(2^53-1)")
    return number


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _json_fault("not_finite", "JSON 数字过大", "a JSON number is not finite")
    return number


def _constant(_name: str) -> Any:
    raise _json_fault("not_finite", "JSON 含有 NaN 或 Infinity", "JSON contains NaN or Infinity")


_NOT_QUICK = object()
_BLANK = b" \t\r\n"
_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
# typeshed wants a scanner as context; at run time it is the decoder, as in `json.decoder` itself.
_scan = make_scanner(_decoder)  # type: ignore[arg-type]


def _decode(text: str) -> Any:
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    # Rarely there is white space around the value, or rubbish: `decode` knows both.
    return value if end == len(text) else _decoder.decode(text)


def loads(data: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON from a stranger (RFC 8259, narrowed).

    1. At most `max_bytes` bytes of UTF-8 without a byte order mark. 2. At most `max_depth` arrays and objects inside
    one another, counted before parsing. 3. No key twice, at any depth; no NaN or Infinity; no integer beyond
    ±(2^53-1). 4. No lone surrogate and no NUL in any string (a database could not keep it). Raises `TooLarge`
    ("json.too_large") or `Malformed` ("json.*").
    """
    if len(data) > max_bytes:  # 1
        raise TooLarge("json.too_large", "JSON 数据过大", "the JSON text is too large")
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        if text is data and not text.isascii() and len(text.encode("utf-8")) > max_bytes:
            raise TooLarge("json.too_large", "JSON 数据过大", "the JSON text is too large")
    except UnicodeError as fault:
        raise _json_fault("not_utf8", "JSON 不是有效的 UTF-8", "the JSON text is not valid UTF-8") from fault
    if text.count("{") + text.count("[") > max_depth:  # 2: the cheap count is an upper bound
        _require_depth(text, max_depth)
    if "\\" not in text and (quick := _as_written(text)) is not _NOT_QUICK:
        return quick
    try:
        value = _decode(text)  # 3
    except (ValueError, RecursionError) as fault:
        raise _json_fault("syntax", "JSON 格式错误", "this is not valid JSON") from fault
    if "\\u" in text and _ESCAPED_TROUBLE.search(
        text
    ):  # 4: only an escape can bring one in, so look closer only then
        _require_clean(value)
    return value


def _as_written(text: str) -> Any:
    """The value of text that comes out of a writer of JSON as it went in, read by that writer's own reader.

    Then no key stood in it twice and every number is what it says; that writer refuses integers beyond ±(2^53-1).
    Blanks between the parts are what other writers differ in: both are compared without any. Nearly all inputs are of
    this kind, which is read in a tenth of the time; of any other the careful reader says what is wrong.
    """
    try:
        value = orjson.loads(text)
        written = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except (TypeError, ValueError):  # not JSON, a longer integer, or deeper than a writer goes
        return _NOT_QUICK
    raw = text.encode()
    if written == raw or written.translate(None, _BLANK) == raw.translate(None, _BLANK):
        return value
    return _NOT_QUICK


def loads_all(texts: Sequence[bytes], *, max_bytes: int) -> list[Any]:
    """Each of these texts as `loads` reads it, which is asked only when one is not as a writer of JSON writes it.

    Raises what `loads` raises, for the first text that it refuses.
    """
    whole = b"[%b]" % b",".join(texts)
    deepest = whole.count(b"{") + whole.count(b"[") - len(texts)  # an upper bound, where each is an array or object
    if len(whole) <= max_bytes and deepest <= MAX_DEPTH and b"\\" not in whole:
        try:
            values: list[Any] = orjson.loads(whole)
            # Each text is that of its own value: no comma or bracket of one reaches into the next.
            if [orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) for value in values] == list(texts):
                return values
        except (TypeError, ValueError):
            pass
    return [loads(text, max_bytes=max_bytes) for text in texts]


def _require_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = text[match.start()]
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                raise _json_fault("too_deep", "JSON 嵌套过深", "the JSON text is nested too deeply")
        elif mark in "]}":
            depth -= 1


def _require_clean(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or not _encodable(value):
            raise _json_fault(
                "bad_character", "JSON 含有非法字符", "a string holds NUL or half a surrogate pair"
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_clean(key)
            _require_clean(item)
    elif isinstance(value, list):
        for item in value:
            _require_clean(item)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Parsed(NamedTuple):
    """A JWS taken apart. Nothing in it has been verified. `raw` are the bytes of the payload."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signing_input: bytes
    signature: bytes
    raw: bytes


class Verified(NamedTuple):
    """A JWS whose signature, algorithm and type are right. Times and claims are still to be judged."""

    header: dict[str, Any]
    payload: dict[str, Any]
    kid: str
    signing_input: bytes
    signature: bytes
    raw: bytes


def sign(
    payload: Mapping[str, Any], signer: Signer, *, typ: str, header: Mapping[str, Any] | None = None
) -> str:
    """A compact JWS over `payload` with `alg`, `kid` and `typ` in its header, after the members of `header`."""
    if header:
        whole = {**header, "alg": signer.alg, "typ": typ, "kid": signer.kid}
        return sign_bytes(orjson.dumps(payload), signer, whole)
    return _sign(_plain_header(signer.alg, typ, signer.kid), orjson.dumps(payload), signer)


def sign_bytes(payload: bytes, signer: Signer, header: Mapping[str, Any]) -> str:
    """A compact JWS with exactly this header over these payload bytes; for formats that forbid a `kid`."""
    return _sign(base64url.encode(orjson.dumps(header)), payload, signer)


@lru_cache(maxsize=256)
def _plain_header(alg: str, typ: str, kid: str) -> str:
    return base64url.encode(orjson.dumps({"alg": alg, "typ": typ, "kid": kid}))


def _sign(header: str, payload: bytes, signer: Signer) -> str:
    signing_input = header + "." + base64url.encode(payload)
    return signing_input + "." + base64url.encode(signer.sign(signing_input.encode("ascii")))


@lru_cache(maxsize=1024)
def _known_header(segment: str) -> Any:
    """One key writes the same header again and again: parse it once. Callers get a copy."""
    return loads(b64u_decode(segment), max_bytes=512)


def split(token: str, *, max_bytes: int = MAX_JWS_BYTES) -> Parsed:
    """Take a compact JWS apart, strictly, without verifying it; `Malformed` or `TooLarge`."""
    if not isinstance(token, str) or not token.isascii():
        raise Malformed("jws.not_ascii", "令牌不是 ASCII 文本", "the token is not ASCII text")
    if len(token) > max_bytes:
        raise TooLarge("jws.too_large", "令牌过大", "the token is too large")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise Malformed("jws.parts", "令牌应为三段", "a compact JWS has three non-empty parts")
    header = (
        _known_header(parts[0]) if len(parts[0]) <= 512 else loads(b64u_decode(parts[0]), max_bytes=max_bytes)
    )
    raw = b64u_decode(parts[1])
    payload = loads(raw, max_bytes=max_bytes)
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise Malformed(
            "jws.not_object", "令牌的头或内容不是 JSON 对象", "header or payload is not a JSON object"
        )
    signing_input = token[: -len(parts[2]) - 1].encode("ascii")
    return Parsed(dict(header), payload, signing_input, b64u_decode(parts[2]), raw)


def verify(
    token: str, *, typ: str | Collection[str | None], key: KeySource, max_bytes: int = MAX_JWS_BYTES
) -> Verified:
    """`split`, then `verify_parsed`."""
    return verify_parsed(split(token, max_bytes=max_bytes), typ=typ, key=key)


def verify_parsed(parsed: Parsed, *, typ: str | Collection[str | None], key: KeySource) -> Verified:
    """Check a parsed JWS against one key, or against the key that its `kid` finds.

    1. `kid` is well formed; a fixed key must be the one it names, if it names any. 2. `verify_with`.
    Raises `Malformed` ("jws.*"), and `Unprocessable` ("key.unknown") when the lookup finds no key.
    """
    return verify_with(parsed, typ=typ, public=_find_key(parsed.header, key))


def verify_with(
    parsed: Parsed,
    *,
    typ: str | Collection[str | None],
    public: PublicKey,
    allow: frozenset[str] = frozenset(),
) -> Verified:
    """Check a parsed JWS against `public`, whatever `kid` says (holder keys come without one).

    1. `typ` is exactly the wanted one (RFC 8725 section 3.11). 2. No header that we would have to obey (`crit`,
    `jku`, `x5u`, `b64`, `jwk`, `zip`), but for those in `allow`. 3. `alg` equals the key's registered algorithm.
    4. The signature over the received bytes. Raises `Malformed` ("jws.*").
    """
    header = parsed.header
    wanted = (typ,) if isinstance(typ, str) else typ
    found = header.get("typ")
    if not (found is None or isinstance(found, str)) or found not in wanted:  # 1
        raise Malformed("jws.typ", "令牌类型不符", "the token is of another type")
    if not (_FORBIDDEN_HEADERS - allow if allow else _FORBIDDEN_HEADERS).isdisjoint(header):  # 2
        raise Malformed("jws.header", "令牌头含有不允许的成员", "the header has a member that is not allowed")
    if header.get("alg") != public.alg:  # 3
        raise Malformed(
            "jws.alg", "签名算法与登记的密钥不符", "the algorithm is not the one of the registered key"
        )
    if not public.verify(parsed.signature, parsed.signing_input):  # 4
        raise Malformed("jws.signature", "签名无效", "the signature is not valid")
    return Verified(header, parsed.payload, public.kid, parsed.signing_input, parsed.signature, parsed.raw)


def _find_key(header: Mapping[str, Any], key: KeySource) -> PublicKey:
    if isinstance(key, PublicKey):
        if header.get("kid", key.kid) != key.kid:
            raise Malformed("jws.kid_other", "令牌指向另一把密钥", "the token names another key")
        return key
    kid = header.get("kid")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise Malformed("jws.kid", "密钥标识缺失或不规范", "the key id is missing or not well formed")
    try:
        return key(kid)
    except LookupError as fault:
        raise Unprocessable("key.unknown", "未登记的密钥", "the key is not registered") from fault


def key_from_jwk(jwk: Any) -> PublicKey:
    """The public key of a JWK that came in a token; `Malformed` with the code of the `KeyFault`."""
    try:
        return PublicKey.from_jwk(jwk)
    except KeyFault as fault:
        raise Malformed(fault.code, fault.zh, fault.en) from fault


def numeric_date(payload: Mapping[str, Any], name: str) -> int | None:
    """The integer seconds of a time claim, None when absent; `Malformed` ("jwt.time") for any other value."""
    value = payload.get(name)
    if value is None and name not in payload:
        return None
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INT:  # bool is an int in Python, not here
        raise Malformed("jwt.time", "时间字段不是整数秒", "a time claim is not whole seconds", claim=name)
    return value


def check_times(payload: Mapping[str, Any], *, now: int, skew: int = SKEW) -> None:
    """Judge `iat`, `nbf` and `exp` where present (RFC 7519 section 4.1), in seconds, with `skew` on either side.

    Raises `Malformed` ("jwt.time") for a value that is not whole seconds, `Unprocessable` ("jwt.expired",
    "jwt.not_yet", "jwt.issued_in_future") for one that does not hold at `now`.
    """
    iat, nbf, exp = (numeric_date(payload, name) for name in ("iat", "nbf", "exp"))
    if exp is not None and now >= exp + skew:
        raise Unprocessable("jwt.expired", "已过有效期", "it has expired")
    if nbf is not None and nbf > now + skew:
        raise Unprocessable("jwt.not_yet", "尚未生效", "it is not valid yet")
    if iat is not None and iat > now + skew:
        raise Unprocessable("jwt.issued_in_future", "签发时间在未来", "its time of issue is in the future")
