"""The signed receipt for a leaf: a promise that whoever holds it can hold the hub to.

It says that the leaf will be in the ledger within ten seconds (DESIGN section 3, rule 7); a leaf missing afterwards is
evidence against the hub. How it is spelled: `hub/formats/receipt.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hub.clock import seconds
from hub.formats import receipt as spelled
from keys.signer import Signer

MERGE_WITHIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Issuance:
    """What signing receipts needs: who we are, which ledger, and the receipt key."""

    issuer: str
    origin: str
    signer: Signer


def receipt(issuance: Issuance, *, kind: str, leaf_hash: bytes, at: datetime) -> str:
    """Sign the receipt for one leaf. Only after the commit that made the leaf durable may it be given out."""
    return receipts(issuance, kind=kind, leaves=[(leaf_hash, at)])[leaf_hash]


def receipts(issuance: Issuance, *, kind: str, leaves: Iterable[tuple[bytes, datetime]]) -> dict[bytes, str]:
    """The receipts for many leaves of one kind by leaf hash, as `receipt`: those of one second share a signature."""
    by_second: dict[int, dict[bytes, None]] = {}
    for leaf_hash, at in leaves:
        by_second.setdefault(seconds(at), {})[leaf_hash] = None
    made: dict[bytes, str] = {}
    for second, some in by_second.items():
        claims = {
            "iss": issuance.issuer,
            "origin": issuance.origin,
            "kind": kind,
            "iat": second,
            "in_ledger_by": second + MERGE_WITHIN_SECONDS,
        }
        hashes = list(some)
        made.update(zip(hashes, spelled.sign(claims, hashes, issuance.signer), strict=True))
    return made
