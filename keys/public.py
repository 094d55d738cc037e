"""Public keys: strict JWKs, RFC 7638 thumbprints, signature checks on a key that is parsed only once."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys import base64url
from keys.algorithms import EDDSA, ES256, SIGNATURE_BYTES
from keys.errors import KeyFault

P256 = ec.SECP256R1()
_ECDSA = ec.ECDSA(SHA256())
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What wallets that export WebCrypto keys add (RFC 7517 section 4): accepted, checked where it could contradict
# us, and dropped from what we write.
_HARMLESS_MEMBERS = frozenset({"kid", "use", "alg", "key_ops", "ext"})

_ED25519_P = 2**255 - 19
_ED25519_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_ED25519_WEAK_Y = frozenset({0, 1, _ED25519_P - 1, _ED25519_Y8, _ED25519_P - _ED25519_Y8})
"""The y coordinates of all points of order 1, 2, 4 and 8: under such a key one signature fits many messages."""

RawPublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def _refuse(zh: str, en: str) -> KeyFault:
    return KeyFault("key.jwk", zh, en)


class PublicKey:
    """A parsed ES256 or Ed25519 public key. Equal and hashed by `kid`, its RFC 7638 thumbprint; immutable."""

    __slots__ = ("_key", "_members", "alg", "kid")

    alg: str
    kid: str

    def __init__(self, key: RawPublicKey) -> None:
        self._key = key
        if isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(key.curve, ec.SECP256R1):
                raise _refuse("只接受 P-256 曲线", "only the curve P-256 is accepted")
            numbers = key.public_numbers()
            self.alg = ES256
            self._members = {
                "kty": "EC",
                "crv": "P-256",
                "x": base64url.encode(numbers.x.to_bytes(32, "big")),
                "y": base64url.encode(numbers.y.to_bytes(32, "big")),
            }
        elif isinstance(key, ed25519.Ed25519PublicKey):
            self.alg = EDDSA
            self._members = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(key.public_bytes_raw())}
        else:
            raise _refuse("不支持的密钥类型", "the key type is not supported")
        canonical = json.dumps(self._members, separators=(",", ":"), sort_keys=True)
        self.kid = base64url.encode(hashlib.sha256(canonical.encode("ascii")).digest())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> "PublicKey":
        """Parse a public JWK (RFC 7517, RFC 8037): EC P-256 or OKP Ed25519 and nothing else.

        1. No private member: a JWK with `d` is refused whole. 2. Known members only, `alg` and `use` must not
        contradict. 3. Coordinates are canonical base64url of exactly 32 bytes. 4. The point is on the curve and
        not of small order. Raises `KeyFault` ("key.private_member", "key.jwk"); the text never repeats a value.
        """
        if not isinstance(jwk, Mapping):
            raise _refuse("公钥不是 JSON 对象", "the key is not a JSON object")
        members = set(jwk)
        if members & _PRIVATE_MEMBERS:  # 1
            raise KeyFault(
                "key.private_member",
                "公钥中含有私钥成分，请立即更换该密钥",
                "a private member in a public key",
            )
        kty = jwk.get("kty")
        wanted = _MEMBERS.get(kty) if isinstance(kty, str) else None
        if wanted is None:
            raise _refuse("不支持的密钥类型", "the key type is not supported")
        if not members.issuperset(wanted) or members - set(wanted) - _HARMLESS_MEMBERS:  # 2
            raise _refuse("公钥成员缺失或多余", "members of the key are missing or unknown")
        alg, curve = (ES256, "P-256") if kty == "EC" else (EDDSA, "Ed25519")
        if jwk["crv"] != curve or jwk.get("alg", alg) != alg or jwk.get("use", "sig") != "sig":
            raise _refuse("公钥的曲线、算法或用途不符", "the curve, algorithm or use of the key is wrong")
        x, y = jwk["x"], jwk["y"] if alg == ES256 else ""
        if not isinstance(x, str) or not isinstance(y, str):
            raise _refuse("公钥坐标不是字符串", "a coordinate of the key is not a string")
        return _parse(alg, x, y)

    @property
    def jwk(self) -> dict[str, str]:
        """A fresh dict of the required members only: kty, crv, x and, for EC, y."""
        return dict(self._members)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (64 bytes: r || s, or Ed25519) over `message` is by this key. Never raises on bytes."""
        if len(signature) != SIGNATURE_BYTES:
            return False  # a DER signature, among others
        try:
            if self.alg == ES256:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                cast(ec.EllipticCurvePublicKey, self._key).verify(encode_dss_signature(r, s), message, _ECDSA)
            else:
                cast(ed25519.Ed25519PublicKey, self._key).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.kid == self.kid

    def __hash__(self) -> int:
        return hash(self.kid)

    def __repr__(self) -> str:
        return f"PublicKey(alg={self.alg!r}, kid={self.kid!r})"


@lru_cache(maxsize=4096)
def _parse(alg: str, x: str, y: str) -> PublicKey:
    """Steps 3 and 4 of `PublicKey.from_jwk`, once for each key; `y` is of no account for Ed25519."""
    try:
        x_bytes = _coordinate(x)  # 3
        if alg == ES256:
            numbers = ec.EllipticCurvePublicNumbers(_number(x_bytes), _number(_coordinate(y)), P256)
            return PublicKey(numbers.public_key())  # 4: raises ValueError off the curve
        height = int.from_bytes(x_bytes, "little") % 2**255
        if height >= _ED25519_P or height in _ED25519_WEAK_Y:  # 4, and one spelling for each point
            raise ValueError("point")
        return PublicKey(ed25519.Ed25519PublicKey.from_public_bytes(x_bytes))
    except ValueError as fault:
        raise _refuse("公钥坐标无效", "the coordinates of the key are not valid") from fault


def _coordinate(text: str) -> bytes:
    data = base64url.decode(text)
    if len(data) != 32:
        raise ValueError("length")
    return data


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 SHA-256 thumbprint of a public JWK, base64url; `KeyFault` when the key is not acceptable."""
    return PublicKey.from_jwk(jwk).kid
