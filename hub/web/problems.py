"""The one table from a kind of error to an HTTP status, and the two ways in which programs are told of errors.

Doors for departments answer `application/problem+json` (RFC 9457); doors below /oauth/ answer OAuth errors
(RFC 6749 section 5.2), whose descriptions are ASCII. Pages for people are told by `pages/errors.py`.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from hub.errors import HubError
from hub.web.metrics import refused

STATUS: dict[str, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "gone": 410,
    "too_large": 413,
    "unprocessable": 422,
    "too_many": 429,
    "unavailable": 503,
    "internal": 500,
}

TITLES: dict[str, tuple[str, str]] = {
    "malformed": ("请求格式不正确", "The request breaks the rules of its format"),
    "unauthenticated": ("身份未确认", "We do not know who is asking"),
    "forbidden": ("不允许", "Not allowed"),
    "not_found": ("没有找到", "Not found"),
    "conflict": ("与现状冲突", "In conflict with how things stand"),
    "gone": ("已失效", "No longer there"),
    "too_large": ("超过大小限制", "Over a size limit"),
    "unprocessable": ("内容不成立", "Well formed, but it cannot be"),
    "too_many": ("请求过于频繁", "Too many requests"),
    "unavailable": ("暂时不可用，请稍后重试", "Try again later"),
    "internal": ("系统内部错误", "Our own fault"),
}

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}
_OWN = frozenset({"type", "title", "status", "detail", "code", "request_id", "next", "zh", "en"})

_OAUTH_CODES = {
    "consent.request_unknown": "invalid_grant",
    "redirect.not_registered": "invalid_request",
    "consent.over_caps": "invalid_authorization_details",
    "consent.case_not_yours": "invalid_authorization_details",
    "consent.basis_without_holder": "invalid_authorization_details",
    "item.unknown": "invalid_authorization_details",
    "department.suspended": "unauthorized_client",
}
_OAUTH_FAMILIES = {
    "oauth": "",
    "client": "invalid_client",
    "client_assertion": "invalid_client",
    "dpop": "invalid_dpop_proof",
    "authorization_details": "invalid_authorization_details",
}
_OAUTH_KINDS = {
    "unauthenticated": "invalid_client",
    "forbidden": "access_denied",
    "unavailable": "temporarily_unavailable",
    "internal": "server_error",
    "too_many": "temporarily_unavailable",
}
_OAUTH_STATUS = {
    "invalid_client": 401,
    "access_denied": 403,
    "temporarily_unavailable": 503,
    "server_error": 500,
}


def document(error: HubError, *, status: int, request_id: str) -> dict[str, Any]:
    """The members of a problem document; facts of the error stand beside them (they never carry personal data)."""
    refused(error.code)
    zh, en = TITLES[error.kind]
    facts = {name: value for name, value in error.facts.items() if name not in _OWN and _is_json(value)}
    return {
        "type": f"urn:yimen:problem:{error.code}",
        "title": f"{zh} {en}",
        "status": status,
        "detail": error.en,
        "code": error.code,
        "zh": error.zh,
        "en": error.en,
        "next": {"zh": error.next_zh, "en": error.next_en},
        "request_id": request_id,
        **facts,
    }


def problem(error: HubError, *, request_id: str, status: int | None = None) -> Response:
    """The answer of a department's door for `error` (RFC 9457)."""
    chosen = STATUS[error.kind] if status is None else status
    headers = dict(NO_STORE)
    if error.kind == "unauthenticated":
        headers["WWW-Authenticate"] = _challenge(error)
    if error.code == "token.scope":
        headers["WWW-Authenticate"] = 'DPoP error="insufficient_scope", algs="ES256"'
    if error.kind in ("too_many", "unavailable"):
        headers["Retry-After"] = str(error.facts.get("retry_after", 2))
    body = orjson.dumps(document(error, status=chosen, request_id=request_id))
    return Response(body, chosen, headers=headers, media_type=MEDIA_TYPE)


def oauth_error(error: HubError) -> Response:
    """The answer of an OAuth door for `error`: `error`, and an ASCII `error_description` that begins with our code."""
    refused(error.code)
    word = oauth_word(error)
    headers = {**NO_STORE, "Pragma": "no-cache"}
    status = _OAUTH_STATUS.get(word, 413 if error.kind == "too_large" else 400)
    if status == 401:
        headers["WWW-Authenticate"] = "DPoP"
    if status == 503:
        headers["Retry-After"] = str(error.facts.get("retry_after", 2))
    body = {"error": word, "error_description": _ascii(f"{error.code}: {error.en}")}
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")


def oauth_word(error: HubError) -> str:
    """The OAuth error code for one of our errors."""
    family, _, rest = error.code.partition(".")
    if family == "oauth":
        return rest
    known = _OAUTH_CODES.get(error.code) or _OAUTH_FAMILIES.get(family) or _OAUTH_KINDS.get(error.kind)
    return known or "invalid_request"


def _challenge(error: HubError) -> str:
    """RFC 9449 section 7.1: no `error` member when no credentials came at all."""
    if error.code == "token.missing":
        return 'DPoP algs="ES256"'
    word = "invalid_dpop_proof" if error.code.startswith("dpop.") else "invalid_token"
    return f'DPoP error="{word}", algs="ES256"'


def _ascii(text: str) -> str:
    """Only what RFC 6749 section 5.2 allows in a description."""
    return re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "", text)[:300]


def _is_json(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_json(item) for item in value)
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_json(item) for name, item in value.items())
    return value is None or isinstance(value, str | int | float | bool)
