"""What the ledger says of a registration is what the certificate's row says: it is computed, and kept nowhere else.

Its salt comes from the key of the person whose certificate it is first of all. So a row that was altered in any of
these columns, its time included, does not give what its leaf commits to; and when that person's key is destroyed the
salt is gone, and with it every way to tell by trying what the leaf meant.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.clock import seconds
from hub.formats.jcs import canonical
from hub.ledger.bodies import Body
from hub.store.small import micros

REGISTERED = "certificate.registered"
_SALT = b"yimen registration salt 1\x00"


def body_of(
    *, department: str, type_code: str, public_id: str, signing_input_hash: bytes, kid: str, at: datetime
) -> dict[str, Any]:
    """What is committed to. No claim is part of it."""
    return {
        "event": REGISTERED,
        "department": department,
        "type": type_code,
        "certificate": public_id,
        "signing_input_sha256": signing_input_hash.hex(),
        "kid": kid,
        "at": seconds(at),
    }


def salted(key: bytes, certificate_id: UUID, body: dict[str, Any], *, at: datetime) -> Body:
    """The body under its person's key, with salt and commitment: the same whenever it is computed.

    salt = HMAC-SHA256(key, label || certificate id || microseconds); commit = SHA-256(salt || JCS(body)).
    """
    raw = canonical(body)
    salt = hmac.digest(key, _SALT + certificate_id.bytes + micros(at).to_bytes(8, signed=True), "sha256")
    return Body(salt, raw, body, hashlib.sha256(salt + raw).digest())
