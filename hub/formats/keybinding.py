"""Key binding of SD-JWT (RFC 9901 section 4.3): a holder proves possession of the key in `cnf`, for one occasion."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import Malformed, Unprocessable
from hub.formats import jws, sdjwt
from keys.public import PublicKey
from keys.signer import Signer

TYP = "kb+jwt"
MAX_AGE = 300
"""Seconds that a key binding may be old: an occasion, not a standing permission."""


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """A checked key binding. The caller still consumes `nonce`, once, in its own commit."""

    jkt: str
    aud: str
    nonce: str
    iat: int


def _refuse(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"keybinding.{code}", zh, en)


def make(
    token: str, *, signer: Signer, aud: str, nonce: str, now: int, transaction_data: Sequence[str] = ()
) -> str:
    """`token` (an SD-JWT ending in `~`, with the disclosures already chosen) with a key binding appended.

    `transaction_data` are the base64url strings of OpenID4VP section 8.4, exactly as they were sent.
    """
    parts = sdjwt.parse(token)
    payload: dict[str, Any] = {"iat": now, "aud": aud, "nonce": nonce, "sd_hash": _sd_hash(parts)}
    if transaction_data:
        payload["transaction_data_hashes"] = [_hash(text) for text in transaction_data]
        payload["transaction_data_hashes_alg"] = "sha-256"
    return parts.bound_part + jws.sign(payload, signer, typ=TYP)


def verify(
    token: str,
    *,
    key: jws.KeySource,
    now: int,
    aud: str,
    nonce: str,
    transaction_data: Sequence[str] = (),
    typ: str = sdjwt.TYP,
    max_age: int = MAX_AGE,
) -> tuple[sdjwt.Processed, KeyBinding]:
    """Verify an SD-JWT with the key binding that it must carry: `sdjwt.verify`, then `check`."""
    parts = sdjwt.parse(token)
    processed = sdjwt.verify(parts, key=key, now=now, typ=typ, require_kb=True)
    holder = jws.key_from_jwk(processed.payload["cnf"]["jwk"])
    bound = check(
        parts,
        holder=holder,
        now=now,
        aud=aud,
        nonce=nonce,
        transaction_data=transaction_data,
        max_age=max_age,
    )
    return processed, bound


def check(
    parts: sdjwt.SdJwt,
    *,
    holder: PublicKey,
    now: int,
    aud: str,
    nonce: str,
    transaction_data: Sequence[str] = (),
    max_age: int = MAX_AGE,
) -> KeyBinding:
    """Check the key binding of a verified SD-JWT (RFC 9901 section 7.3 step 5).

    1. Present. 2. `typ`, `alg` and signature by `holder`, the key in `cnf`. 3. `iat` at most `max_age` seconds ago.
    4. `aud` is exactly ours. 5. `nonce` is exactly ours. 6. `sd_hash` covers these very bytes. 7. The hashes of
    `transaction_data`, in order, when there is any. Raises `Malformed` ("keybinding.*", "jws.*") or `Unprocessable`
    ("keybinding.old").
    """
    if parts.kb_jwt is None:  # 1
        raise _refuse("missing", "缺少持有人密钥绑定", "key binding is required and missing")
    payload = jws.verify_with(jws.split(parts.kb_jwt), typ=TYP, public=holder).payload  # 2
    iat = jws.numeric_date(payload, "iat")  # 3
    if iat is None:
        raise _refuse("iat", "密钥绑定缺少时间", "the key binding has no time")
    if not now - max_age <= iat <= now + jws.SKEW:
        raise Unprocessable(
            "keybinding.old", "密钥绑定不是当前做出的", "the key binding was not made just now"
        )
    if not _same(payload.get("aud"), aud):  # 4
        raise _refuse("aud", "密钥绑定的受众不符", "the key binding is for somebody else")
    if not _same(payload.get("nonce"), nonce):  # 5
        raise _refuse("nonce", "密钥绑定的随机数不符", "the key binding answers another challenge")
    if not _same(payload.get("sd_hash"), _sd_hash(parts)):  # 6
        raise _refuse("sd_hash", "密钥绑定与出示内容不符", "the key binding covers other disclosures")
    if transaction_data:  # 7
        hashes = [_hash(text) for text in transaction_data]
        alg = payload.get("transaction_data_hashes_alg", "sha-256")
        if alg != "sha-256" or payload.get("transaction_data_hashes") != hashes:
            raise _refuse(
                "transaction_data", "密钥绑定未覆盖交易内容", "the key binding covers other transaction data"
            )
    return KeyBinding(holder.kid, aud, nonce, iat)


def _same(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), wanted.encode())


def _sd_hash(parts: sdjwt.SdJwt) -> str:
    return _hash(parts.bound_part)


def _hash(text: str) -> str:
    return jws.b64u_encode(hashlib.sha256(text.encode("ascii")).digest())
