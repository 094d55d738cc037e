"""Answers as they look, for the OpenAPI document: nothing here is sent to anybody."""

from collections.abc import Mapping
from typing import Any

Answers = dict[int | str, dict[str, Any]]


def answer(status: int, example: Any, media_type: str = "application/json") -> Answers:
    """What OpenAPI is told of a successful answer."""
    said = "Done" if status < 204 else "Done, nothing to say"
    return {status: {"description": said, "content": {media_type: {"example": example}}}}


def text(example: str, media_type: str) -> Answers:
    """The same for an answer that is not JSON."""
    return answer(200, example, media_type)


_LIST = {
    "uri": "https://hub.example/v1/status-lists/9tX…",
    "size": 131072,
    "bits": 2,
    "seq": 1,
    "sha256": "5e88…",
}
_CASE: Mapping[str, Any] = {
    "case_id": "mZvU8dLE2anteF0wAnMLwQ",
    "item_code": "441900-edu-points-enrolment",
    "item_version": 1,
    "state": "open",
    "opened_at": 1795397400,
    "closed_at": None,
}
_CERTIFICATE = {
    "certificate_id": "IRVAcmgXkSIO1AP3SBwpXA",
    "state": "current",
    "receipt": "eyJ…",
    "replayed": False,
    "status_list": None,
}
_VERDICT = {
    "outcome": "accepted",
    "reason": "accepted",
    "type": "degree",
    "checks": [
        {"number": 1, "name": "time", "result": "passed", "code": "time.passed", "zh": "通过", "en": "passed"}
    ],
    "certificate": "IRVAcmgXkSIO1AP3SBwpXA",
    "issuer": "dg-degree",
    "registered_at": 1795397400,
    "sd_jwt": "eyJ…~WyJ…~",
    "claims": {"degree_level": "bachelor"},
    "predicates": [],
    "access": "p21NO4PoYQ8rF2m1a0bXUEr0Zf3sQvJ7cGm2TqKxWds",
    "receipt": "eyJ…",
}

ENROLLED = answer(201, {"keys": [{"kid": "Z6d0…", "purpose": "client"}], "receipt": "eyJ…"})
DECIDED_HOLD = answer(201, {"receipt": "eyJ…"})
RETIRED = answer(200, {"kid": "Z6d0…", "retired_at": 1795397400, "receipt": "eyJ…"})
RESERVED = answer(201, {"reserved": [{"uri": _LIST["uri"], "idx": 81273}], "lists": [_LIST]})
PUSHED = answer(200, {"uri": _LIST["uri"], "seq": 2, "sha256": "9f86…"})
MY_LISTS = answer(200, {"lists": [{**_LIST, "token": "eyJ…"}]})
REGISTERED = answer(201, _CERTIFICATE)
REGISTERED_LINES = text(
    '{"line":1,"status":201,"certificate_id":"IRVA…","state":"current","receipt":"eyJ…","replayed":false,"status_list":null}\n'
    '{"line":2,"status":422,"problem":{"code":"type.claims_invalid","zh":"…","en":"…"}}\n',
    "application/x-ndjson",
)
STATE = answer(
    200,
    {
        "certificate_id": "IRVAcmgXkSIO1AP3SBwpXA",
        "type": "degree",
        "state": "current",
        "since": 1795397400,
        "version": 1,
        "registered_at": 1795397400,
        "status": {"uri": _LIST["uri"], "idx": 81273},
        "leaf_hash": "0f3a…",
    },
)
CHANGED = answer(200, {"certificate_id": "IRVAcmgXkSIO1AP3SBwpXA", "state": "revoked"})
CHANGED_MANY = answer(
    200,
    {
        "results": [
            {"certificate_id": "IRVA…", "state": "superseded", "replayed": False, "new": _CERTIFICATE},
            {"certificate_id": "p21N…", "state": "revoked", "replayed": False, "new": None},
        ]
    },
)
OPENED = answer(201, _CASE)
CASE = answer(200, _CASE)
CASES = answer(200, {"cases": [_CASE], "next": None})
SCORED = answer(
    201,
    {
        "scheme": "dg-school-2026",
        "scheme_version": 1,
        "total": "86.00",
        "score": {"lines": []},
        "scored_at": 1795397400,
        "receipt": "eyJ…",
    },
)
VERIFIED = answer(200, {"verdicts": [_VERDICT]})
VERIFIED_LINES = text('{"line":1,"status":200,"verdicts":[{"outcome":"accepted"}]}\n', "application/x-ndjson")
TOKEN = answer(200, {"access_token": "eyJ…", "token_type": "DPoP", "expires_in": 300, "scope": "issue"})
ASKED = answer(200, {"auth_req_id": "kAX…", "expires_in": 604800, "interval": 5})
PUSHED = answer(201, {"request_uri": "urn:ietf:params:oauth:request_uri:kAX…", "expires_in": 60})
INTROSPECTED = answer(200, {"active": True, "client_id": "dg-edu", "scope": "verify", "exp": 1795397700})
