"""The signed receipt for a leaf: a promise that whoever holds it can hold the hub to.

Receipt = JWT typ `yimen-receipt+jwt` by the hub's receipt key (DESIGN section 3, rule 7). It says that the
leaf will be in the ledger within ten seconds; a leaf missing afterwards is evidence against the hub.
"""

from dataclasses import dataclass
from datetime import datetime

from hub.clock import seconds
from hub.formats import jws
from keys.signer import Signer

RECEIPT_TYP = "yimen-receipt+jwt"
MERGE_WITHIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Issuance:
    """What signing receipts needs: who we are, which ledger, and the receipt key."""

    issuer: str
    origin: str
    signer: Signer


def receipt(issuance: Issuance, *, kind: str, leaf_hash: bytes, at: datetime) -> str:
    """Sign the receipt for one leaf. Only after the commit that made the leaf durable may it be given out."""
    now = seconds(at)
    return jws.sign(
        {
            "iss": issuance.issuer,
            "origin": issuance.origin,
            "kind": kind,
            "leaf_hash": leaf_hash.hex(),
            "iat": now,
            "in_ledger_by": now + MERGE_WITHIN_SECONDS,
        },
        issuance.signer,
        typ=RECEIPT_TYP,
    )
