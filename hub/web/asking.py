"""What both ways of asking for consent share (CIBA and redirect): the details, their item, and the case."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.cases.open import by_public_id as case_by_public_id
from hub.catalogue.items import ServiceItem
from hub.consent.model import CaseFacts
from hub.errors import Forbidden, NotFound, Unprocessable
from hub.formats import jws
from hub.formats.authorization import Detail, parse_details
from hub.store.tx import View
from hub.web.body import bad_form
from hub.web.deps import Hub

DETAILS_BYTES = 64 * 1024

CLIENT_FORM = {
    "client_id": "dg-edu",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "eyJ…",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, for which service item and case; nothing of it is checked against the item's caps yet."""

    details: tuple[Detail, ...]
    item: ServiceItem
    case: CaseFacts


async def asked(hub: Hub, view: View, form: Mapping[str, str]) -> Asked:
    """Read `authorization_details` of a form, closed schema (RFC 9396): one item and one case for all of them.

    Raises Malformed `oauth.invalid_request`, `json.*`, `authorization_details.*`; Unprocessable
    `authorization_details.several_cases`, `item.unknown`; Forbidden `consent.case_not_yours`.
    """
    if "authorization_details" not in form:
        raise bad_form("authorization_details is missing")
    details = parse_details(jws.loads(form["authorization_details"], max_bytes=DETAILS_BYTES))
    if len({(detail.item_code, detail.case_id) for detail in details}) != 1:
        raise Unprocessable(
            "authorization_details.several_cases",
            "一次只能为一个办件请求授权。",
            "One request is for one case.",
        )
    item = hub.items.get(details[0].item_code)
    if item is None:
        raise Unprocessable("item.unknown", "没有这个事项。", "There is no such service item.")
    try:
        case = (await case_by_public_id(view, details[0].case_id)).facts()
    except NotFound as fault:
        raise Forbidden(
            "consent.case_not_yours",
            "没有这个办件，或者它不属于本部门的这个事项。",
            "There is no such case, or it is not this department's case for this item.",
        ) from fault
    return Asked(tuple(details), item, case)


def form_schema(**fields: str) -> dict[str, Any]:
    """What OpenAPI is told of a form that the door reads itself."""
    properties = {name: {"type": "string", "example": example} for name, example in fields.items()}
    content = {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": properties}}}
    return {"requestBody": {"required": True, "content": content}}
