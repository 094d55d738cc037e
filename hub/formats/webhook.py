"""Standard Webhooks 1.0.0, the asymmetric scheme: `v1a`, Ed25519 over `{id}.{timestamp}.{payload}`.

https://github.com/standard-webhooks/standard-webhooks, section "Verifying webhook authenticity". Keys are written
`whpk_` and the base64 of the 32 bytes. The time of the attempt is signed, so an old call cannot be made again later;
within the tolerance the receiver knows a repetition by its id, and ours carry the department that is meant, because one
key signs for all of them.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hub.errors import Malformed, Unauthenticated
from hub.formats import jws
from keys import base64url
from keys.errors import KeyFault
from keys.public import PublicKey
from keys.signer import Signer

TOLERANCE = 300
"""Seconds that the signed time may lie in the past or the future."""
MAX_PAYLOAD = 64 * 1024
PUBLIC_PREFIX = "whpk_"
SCHEME = "v1a"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TIME = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
MOST_SIGNATURES = 8


def sign(signers: Sequence[Signer], *, message_id: str, timestamp: int, payload: bytes) -> dict[str, str]:
    """The three headers of one attempt; one signature for each key, so that keys can be changed without a gap."""
    if not _ID.fullmatch(message_id):
        raise ValueError("a message id has letters, digits, _ and - only: a full stop would shift what is signed")
    content = _content(message_id, str(timestamp), payload)
    made = [f"{SCHEME},{base64.b64encode(signer.sign(content)).decode()}" for signer in signers]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(made),
    }


def verify(
    headers: Mapping[str, str],
    payload: bytes,
    *,
    keys: Collection[PublicKey],
    now: int,
    department: str | None = None,
    tolerance: int = TOLERANCE,
) -> dict[str, Any]:
    """The payload of a call that was really made by a holder of one of `keys`, just now; parsed strictly.

    1. all three headers, each of its shape; 2. the time is within the tolerance; 3. one signature is by one of the
    keys, over the bytes as they came; 4. with `department`, the call is meant for it. `headers` in lower case.
    Raises Unauthenticated `webhook.headers`, `webhook.time`, `webhook.signature`, `webhook.department`; Malformed
    `json.*`. The caller remembers the id for longer than the tolerance, and does nothing for one it has seen.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split(" ")
    if not _ID.fullmatch(message_id) or not _TIME.fullmatch(timestamp) or len(signatures) > MOST_SIGNATURES:  # 1
        raise _refused("webhook.headers", "缺少签名头，或格式不对。", "The signature headers are missing or malformed.")
    if abs(now - int(timestamp)) > tolerance:  # 2
        raise _refused("webhook.time", "签名时间不在允许范围内。", "The signed time is too far from now.")
    content = _content(message_id, timestamp, payload)
    if not any(key.verify(raw, content) for raw in map(_raw, signatures) if raw for key in keys):  # 3
        raise _refused("webhook.signature", "签名不成立。", "No signature is by a key we know.")
    said = jws.loads(payload, max_bytes=MAX_PAYLOAD)
    if not isinstance(said, dict) or (department is not None and said.get("department") != department):  # 4
        raise _refused("webhook.department", "不是发给本部门的。", "The call is not meant for this department.")
    return said


def write_key(key: PublicKey) -> str:
    """A public key as the standard writes it."""
    return PUBLIC_PREFIX + base64.b64encode(base64url.decode(key.jwk["x"])).decode()


def read_key(text: str) -> PublicKey:
    """A public key out of `whpk_...`. Raises Malformed `webhook.key`."""
    try:
        if not text.startswith(PUBLIC_PREFIX):
            raise ValueError("prefix")
        raw = base64.b64decode(text.removeprefix(PUBLIC_PREFIX), validate=True)
        return PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(raw)})
    except (ValueError, KeyFault) as fault:
        raise Malformed("webhook.key", "不是 whpk_ 公钥。", "This is no whpk_ public key.") from fault


def _content(message_id: str, timestamp: str, payload: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode("ascii") + payload


def _raw(signature: str) -> bytes | None:
    scheme, comma, encoded = signature.partition(",")
    if scheme != SCHEME or not comma:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _refused(code: str, zh: str, en: str) -> Unauthenticated:
    return Unauthenticated(code, zh, en)
