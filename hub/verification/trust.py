"""The trust bundle: everything that somebody without a hub needs to check a certificate (`yimen verify`).

`yimen-trust+jwt` (DESIGN section 3, rule 7). What it says of keys and of issuing rights is worth nothing by itself:
each statement comes with its public leaf and the proof that the leaf is in the ledger, under one checkpoint.
"""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import HubError
from hub.formats import jws
from hub.formats.note import Vkey
from hub.ledger.model import leaves
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.registry.departments import all_departments
from hub.registry.keys import history
from hub.registry.model import KeyPurpose
from hub.registry.types import CertificateType
from hub.store.tx import View
from keys.signer import Signer

BUNDLE_TYP = "yimen-trust+jwt"


async def trust_bundle(
    view: View,
    reader: TileReader,
    *,
    issuer: str,
    log_key: Vkey,
    signer: Signer,
    types: Mapping[str, CertificateType],
    only: Collection[str] | None = None,
) -> str:
    """The bundle as of the published checkpoint; keys whose leaf is not published yet come with the next one.

    `only` narrows it to these departments: what an archive package needs for its own disclosures.
    """
    told: list[dict[str, Any]] = []
    for key in await history(view):
        if key.purpose is KeyPurpose.CLIENT or (only is not None and key.department not in only):
            continue
        proof = await _proved(view, reader, key.leaf_hash)
        if proof is not None:
            told.append(
                {
                    "department": key.department,
                    "purpose": key.purpose,
                    "kid": key.kid,
                    "not_before": seconds(key.not_before),
                    "not_after": seconds(key.not_after) if key.not_after else None,
                    "retired_at": seconds(key.retired_at) if key.retired_at else None,
                    "distrusted_from": seconds(key.distrusted_from) if key.distrusted_from else None,
                    **proof,
                }
            )
    return jws.sign(
        {
            "iss": issuer,
            "iat": seconds(view.now),
            "log_key": str(log_key),
            "departments": [
                {"slug": one.slug, "name_zh": one.name_zh, "name_en": one.name_en}
                for one in await all_departments(view)
                if only is None or one.slug in only
            ],
            "types": [
                {"code": kind.code, "vct": kind.vct, "zh": kind.label("zh-CN"), "en": kind.label("en")}
                for kind in types.values()
            ],
            "keys": told,
            "rights": await _rights(view, reader, only),
        },
        signer,
        typ=BUNDLE_TYP,
    )


async def _rights(
    view: View, reader: TileReader, only: Collection[str] | None
) -> list[dict[str, Any]]:
    """Who may issue what: the leaves that gave and ended the right, in ledger order."""
    rows = await view.all(
        sa.select(leaves.c.leaf_hash, leaves.c.data)
        .where(leaves.c.kind.in_(["type.issuer_added", "type.issuer_ended"]))
        .order_by(leaves.c.seq)
    )
    found = []
    for row in rows:
        event = json.loads(row.data)
        if only is not None and event["department"] not in only:
            continue
        proof = await _proved(view, reader, row.leaf_hash)
        if proof is not None:
            found.append({"type": event["type"], "department": event["department"], **proof})
    return found


async def _proved(view: View, reader: TileReader, leaf_hash: bytes) -> dict[str, str] | None:
    try:
        proof = await prove_inclusion(view, reader, leaf_hash=leaf_hash)
    except HubError:
        return None
    data = await view.value(sa.select(leaves.c.data).where(leaves.c.leaf_hash == leaf_hash))
    return {"leaf": base64.b64encode(data).decode(), "proof": str(proof)}
