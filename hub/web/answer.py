"""Answers of the department doors: JSON that is never cached, with the hub's signed receipt."""

import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hub.ledger.receipt import Issuance, receipt
from hub.web.deps import Hub


def dumps(value: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON answer."""
    return orjson.dumps(value)


def json_answer(body: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A ready JSON answer; not to be stored by anybody on the way."""
    every = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status, headers=every, media_type="application/json")


def issuance_of(hub: Hub) -> Issuance:
    """What signing receipts of this hub needs, for a caller with many to sign."""
    return Issuance(hub.settings.public_url, hub.settings.origin, hub.signer("receipt"))


def receipt_for(hub: Hub, *, kind: str, leaf_hash: bytes, at: datetime) -> str:
    """The signed receipt for a leaf. It may be made inside the transaction and given out only after its commit."""
    return receipt(issuance_of(hub), kind=kind, leaf_hash=leaf_hash, at=at)


def request_id(request: Request) -> str:
    """The number under which this request stands in the logs."""
    return str(getattr(request.state, "request_id", ""))


def whereabouts(fault: BaseException) -> list[str]:
    """Where a fault happened, for the log: file and line of its last frames and of its causes.

    Never its message and never local variables: both may hold what somebody sent.
    """
    places: list[str] = []
    while True:
        frames = traceback.extract_tb(fault.__traceback__)[-6:]
        places += [f"{type(fault).__name__} {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
        cause = fault.__cause__ or fault.__context__
        if cause is None or len(places) > 24:
            return places
        fault = cause
