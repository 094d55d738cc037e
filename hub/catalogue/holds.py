"""Mass changes that a department's agent held back, and what its named official decided: public entries of the ledger.

An agent that finds many rows gone or changed at once stops until somebody of the department answers for it. Everybody
may see that this happened, how many it was about, and how it was decided. The official's name stays at the department:
the leaf holds SHA-256(salt || name), which the department can open to whoever has the right to ask.
"""

from collections.abc import Mapping
from typing import Literal

from hub.certificates.content import foreign_type
from hub.clock import seconds
from hub.ledger.append import LeafRef, append
from hub.registry.types import CertificateType
from hub.store.tx import Tx

KIND = "source.hold_decided"


async def decided(
    tx: Tx,
    *,
    type_code: str,
    types: Mapping[str, CertificateType],
    decision: Literal["released", "discarded"],
    reason: str,
    rows: int,
    total: int,
    held_at: int,
    official: str,
) -> LeafRef:
    """Enter one decision of the calling department. `rows` of `total`; `held_at` in seconds; `official` is hex.

    Raises Forbidden `certificate.type_not_yours`.
    """
    department = tx.actor.department
    if department is None or type_code not in types or department not in types[type_code].issuers:
        raise foreign_type()
    event = {
        "v": 1, "event": KIND, "department": department, "type": type_code, "decision": decision, "reason": reason,
        "rows": rows, "total": total, "held_at": held_at, "official": official, "at": seconds(tx.now),
    }  # fmt: skip
    return await append(tx, kind=KIND, event=event)
