"""Reads what programs send: sizes before parsing, strict JSON, forms without repeated names, closed schemas."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request

from hub.errors import Malformed, TooLarge, Unprocessable
from hub.formats import jws

SMALL = 16 * 1024
FORM = 128 * 1024
CERTIFICATE = 704 * 1024
"""One SD-JWT of 512 KiB and one status list token, in JSON."""


class Body(BaseModel):
    """A closed, strict JSON body: an unknown member or another JSON type refuses the whole."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


T = TypeVar("T", bound=Body)


async def read_bytes(request: Request, *, max_bytes: int) -> bytes:
    """The whole body, refused as soon as it is larger than `max_bytes`: TooLarge `body.too_large`."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:19]) > max_bytes:
        raise _too_large(max_bytes)
    parts, total = [], 0
    try:
        async for part in request.stream():
            total += len(part)
            if total > max_bytes:
                raise _too_large(max_bytes)
            parts.append(part)
    except ClientDisconnect as gone:
        raise Malformed("body.cut_short", "请求正文中断。", "The request body was cut short.") from gone
    return b"".join(parts)


async def read_body(request: Request, model: type[T], *, max_bytes: int = SMALL) -> tuple[T, bytes]:
    """The JSON body as `model`, and its bytes.

    Raises TooLarge `body.too_large`, Malformed `json.*`, `body.media_type`, Unprocessable `body.invalid`.
    """
    _require_media_type(request, "application/json")
    data = await read_bytes(request, max_bytes=max_bytes)
    return parse(data, model, max_bytes=max_bytes), data


def parse(data: bytes, model: type[T], *, max_bytes: int) -> T:
    """One JSON text as `model`; errors as in `read_body`, with a pointer to each wrong member, never its value."""
    value = jws.loads(data, max_bytes=max_bytes)
    try:
        return model.model_validate(value)
    except ValidationError as fault:
        found = [
            {"pointer": "".join(f"/{part}" for part in error["loc"]), "code": error["type"]}
            for error in fault.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Unprocessable(
            "body.invalid",
            "请求正文缺少字段、含有多余字段或类型不符。",
            "Members of the body are missing, unknown, or of another type.",
            next_zh="请对照接口说明（/openapi.json）逐项检查。",
            next_en="Compare the body with the description in /openapi.json.",
            errors=found[:20],
        ) from fault


async def read_form(request: Request, *, max_bytes: int = FORM) -> Mapping[str, str]:
    """The fields of an OAuth form; a repeated or nameless one is Malformed `oauth.invalid_request` (RFC 6749 3.2)."""
    _require_media_type(request, "application/x-www-form-urlencoded")
    data = await read_bytes(request, max_bytes=max_bytes)
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=40,
                          encoding="utf-8", errors="strict")  # fmt: skip
    except ValueError as fault:
        raise bad_form("the body is not a form") from fault
    form = dict(pairs)
    if len(form) != len(pairs):
        raise bad_form("a parameter is repeated")
    return {name: value for name, value in form.items() if value != ""}


def bad_form(why: str) -> Malformed:
    """An OAuth request that cannot be taken."""
    return Malformed(
        "oauth.invalid_request", "OAuth 请求格式不正确。", f"The request cannot be taken: {why}."
    )


def request_schema(model: type[Body], example: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAPI is told of a body that the door reads itself."""
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{model.__name__}/$defs/{{model}}")
    content = {"application/json": {"schema": _inline(schema), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def lines_schema(example: str) -> dict[str, Any]:
    """What OpenAPI is told of a body of newline-delimited JSON, by one example line."""
    content = {"application/x-ndjson": {"schema": {"type": "string"}, "example": f"{example}\n"}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(schema: Any, defs: Mapping[str, Any] | None = None) -> Any:
    """The schema without `$defs`: our bodies are small and do not refer to themselves."""
    if isinstance(schema, dict):
        known = schema.get("$defs", defs or {})
        if "$ref" in schema:
            return _inline(known[schema["$ref"].rsplit("/", 1)[-1]], known)
        return {name: _inline(value, known) for name, value in schema.items() if name != "$defs"}
    if isinstance(schema, list):
        return [_inline(one, defs) for one in schema]
    return schema


def _require_media_type(request: Request, wanted: str) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise Malformed(
            "body.media_type",
            f"请求正文须为 {wanted}。",
            f"The content type of the request must be {wanted}.",
        )


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body.too_large", "请求正文过大。", "The request body is too large.", max_bytes=max_bytes)
