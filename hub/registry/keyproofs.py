"""What a key itself must say before it is admitted: proof of possession, and the word of the key before it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hub.clock import seconds
from hub.errors import HubError, Malformed, Unprocessable
from hub.formats import jws
from hub.registry.model import KeyPurpose
from keys.algorithms import ES256
from keys.public import PublicKey

PROOF_TYP = "yimen-key-proof+jwt"
ROTATION_TYP = "yimen-key-rotation+jwt"
PROOF_SECONDS = 600
SKEW_SECONDS = 30


def public_key(jwk: Any) -> PublicKey:
    """The offered key; only ES256 is admitted. Raises Malformed `key.*` without repeating any value."""
    key = jws.key_from_jwk(jwk)
    if key.alg != ES256:
        raise Malformed(
            "key.algorithm",
            "部门密钥只接受 ES256（P-256）。",
            "Department keys are ES256 (P-256) and nothing else.",
        )
    return key


def check_key_proof(
    token: Any,
    *,
    key: PublicKey,
    department: str,
    purpose: KeyPurpose,
    audience: str,
    code_sha256: str | None,
    now: datetime,
) -> None:
    """Check `yimen-key-proof+jwt`: signed by `key` itself, for this hub, department, purpose and code.

    With `code_sha256` None (a rotation) the proof names no code. Raises Malformed `key.proof`.
    """
    said = _verified(token, PROOF_TYP, {key.kid: key})
    wanted = {"aud": audience, "department": department, "purpose": str(purpose)}
    if (
        any(said.get(name) != value for name, value in wanted.items())
        or said.get("code_sha256") != code_sha256
    ):
        raise _bad_proof()
    _check_age(said, now)


def check_rotation_proof(
    token: Any,
    *,
    keys: Mapping[str, PublicKey],
    department: str,
    purpose: KeyPurpose,
    audience: str,
    next_kid: str,
    now: datetime,
) -> str:
    """Check `yimen-key-rotation+jwt`: one of `keys` vouches for `next_kid`. Returns the kid that did.

    Raises Malformed `key.proof`, Unprocessable `key.unknown` when no standing key of the purpose signed it.
    """
    kid = _kid(token)
    if kid not in keys:
        raise Unprocessable(
            "key.unknown",
            "轮换须由同一用途的当前有效密钥签名。",
            "A rotation is signed by a key of the same purpose that stands now.",
            next_zh="若旧密钥已遗失，请向平台管理员申请登记码。",
            next_en="If the old key is lost, ask the administrators of the hub for an enrolment code.",
        )
    said = _verified(token, ROTATION_TYP, keys)
    wanted = {"aud": audience, "department": department, "purpose": str(purpose), "next_kid": next_kid}
    if any(said.get(name) != value for name, value in wanted.items()):
        raise _bad_proof()
    _check_age(said, now)
    return kid


def _kid(token: Any) -> str:
    if not isinstance(token, str):
        raise _bad_proof()
    return str(jws.split(token).header.get("kid", ""))


def _verified(token: Any, typ: str, keys: Mapping[str, PublicKey]) -> Mapping[str, Any]:
    def find(kid: str) -> PublicKey:
        if kid not in keys:
            raise _bad_proof()
        return keys[kid]

    if not isinstance(token, str):
        raise _bad_proof()
    try:
        return jws.verify(token, typ=typ, key=find).payload
    except HubError as error:
        raise _bad_proof() from error


def _check_age(said: Mapping[str, Any], now: datetime) -> None:
    made, present = said.get("iat"), seconds(now)
    if type(made) is not int or not present - PROOF_SECONDS <= made <= present + SKEW_SECONDS:
        raise _bad_proof()


def _bad_proof() -> Malformed:
    return Malformed(
        "key.proof",
        "密钥持有证明不正确（签名、受众、部门、用途、登记码或时间不符）。",
        "The proof of the key does not hold (signature, audience, department, purpose, code or time).",
        next_zh="请用该密钥重新签署持有证明，并检查本机时间。",
        next_en="Sign the proof again with that key, and check this machine's clock.",
    )
