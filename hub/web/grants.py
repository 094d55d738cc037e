"""The grants that a verifier holds: how they stand, and giving them up (Grant Management for OAuth 2.0, draft 03)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from hub.clock import seconds
from hub.consent.evidence import approval_of
from hub.consent.manage import give_up, grants_of_request, stands
from hub.consent.model import Grant
from hub.consent.passkeys import owner_proof
from hub.web.answer import dumps, json_answer
from hub.web.caller import Caller, department_caller
from hub.web.deps import hub_of

router = APIRouter(tags=["grants"])

QUERY = "grant_management_query"
REVOKE = "grant_management_revoke"


async def querying(request: Request) -> Caller:
    """A department that may look at its own grants."""
    return await department_caller(request, scope=QUERY)


async def giving_up(request: Request) -> Caller:
    """A department that may give up its own grants."""
    return await department_caller(request, scope=REVOKE)


@router.get("/v1/grants/{grant_id}")
async def query(grant_id: str, request: Request, caller: Annotated[Caller, Depends(querying)]) -> Response:
    """How the grants of one request stand now: those that could be used, then each with its uses; and the evidence that
    a passkey approved them (`yimen verify` checks it offline), or null where a sign-in did.

    404 alike for an unknown one and another department's.
    """
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        found = await grants_of_request(tx, grant_id=grant_id)
        standing = [grant for grant in found if stands(grant, tx)]
        approval = await approval_of(tx, request=grant_id)
        owner = None
        if approval is not None:
            shown = any(_shows_number(grant) for grant in found)
            owner = await owner_proof(tx, credential_id=approval["credential_id"], with_salt=shown)
    answer: dict[str, Any] = {
        "grant_id": grant_id,
        "scopes": [{"scope": "verify"}] if standing else [],
        "claims": [],
        "authorization_details": [grant.detail for grant in standing],
        "grants": [
            {
                "grant": grant.public_id,
                "state": grant.state,
                "uses": grant.uses,
                "max_uses": grant.max_uses,
                "valid_until": seconds(grant.valid_until),
            }
            for grant in found
        ],
        "assurance": found[0].assurance if found else "login",
        "approval": approval,
        "passkey": owner and {**owner.to_json(), "leaf_hash": owner.leaf_hash.hex()},
    }
    return json_answer(dumps(answer))


@router.delete("/v1/grants/{grant_id}", status_code=204)
async def revoke(grant_id: str, request: Request, caller: Annotated[Caller, Depends(giving_up)]) -> Response:
    """Give the grants of one request up: from now on nobody can use them, and every token of theirs is dead."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        await give_up(tx, grant_id=grant_id)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def _shows_number(grant: Grant) -> bool:
    """Whether the verifier is shown the identity number of the very person who agreed."""
    paths = [tuple(path) for paths in grant.detail["fields"].values() for path in paths]
    return grant.holder == grant.approver and ("holders", None, "id_no") in paths
