"""The API described as a page, made from the OpenAPI document itself: offline and without scripts."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from hub.web.pages.render import render
from hub.web.pages.visit import Visit, visit_of

router = APIRouter(include_in_schema=False)

GROUPS: tuple[tuple[str, str, str], ...] = (
    ("issuers", "发证部门", "For issuers"),
    ("work orders", "工作单", "Work orders"),
    ("verifiers", "用证部门", "For verifiers"),
    ("webhooks", "变更通知", "Webhooks"),
    ("oauth", "授权", "OAuth"),
    ("public", "公开", "Public"),
)


@router.get("/developers")
async def developers_page(request: Request, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Every operation with what it promises and an example of its body."""
    document = request.app.openapi()
    groups = []
    for tag, zh, en in GROUPS:
        found = [
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag in operation.get("tags", ())
        ]
        groups.append({"id": tag.replace(" ", "-"), "name": (zh, en), "operations": found})
    return render(visit, "developers.html", groups=groups, openapi=document["openapi"])


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    media, body = next(iter(content.items()), ("", {}))
    return {
        "method": method.upper(),
        "path": path,
        "what": operation.get("description") or operation.get("summary", ""),
        "media": media,
        "example": _example(body),
        "answers": ", ".join(code for code in operation.get("responses", {}) if code.isdigit()),
    }


def _example(body: dict[str, Any]) -> str:
    example = body.get("example")
    if example is None:
        properties = body.get("schema", {}).get("properties", {})
        example = {name: one["example"] for name, one in properties.items() if "example" in one}
    if not example:
        return ""
    return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
