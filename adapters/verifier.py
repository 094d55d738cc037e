"""The side of a department that verifies: open a case, ask a citizen by CIBA, verify under the consent, score.

What comes back is checked here again, without the hub: `adapters.offline` needs the issuer's public key only.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from adapters.answers import MAX_ANSWER, odd_answer
from adapters.client import HubClient
from hub.clock import seconds
from hub.errors import Malformed
from hub.formats import authorization, jws

CIBA = "urn:openid:params:grant-type:ciba"
WAITING = frozenset({"authorization_pending", "slow_down"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for a citizen. `auth_req_id` is a secret; poll no faster than `interval` seconds."""

    auth_req_id: str
    interval: int
    expires_in: int


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent token, bound to our client key, and what was granted (possibly less than what was asked)."""

    token: str
    expires_in: int
    grants: tuple[str, ...]
    details: tuple[Mapping[str, Any], ...]


class VerifierClient(HubClient):
    """A department's calls at the doors for verifiers, with its own client key and scope `verify`."""

    def open_case(
        self,
        item_code: str,
        applicant: Mapping[str, str],
        beneficiary: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> str:
        """`POST /v1/cases`: gives the case id. People are `{"id_type", "id_no"}`. The same `key` is the same case."""
        body = {
            "item_code": item_code,
            "applicant": dict(applicant),
            "beneficiary": beneficiary and dict(beneficiary),
        }
        return str(self._json("POST", "/v1/cases", body, "verify", key)["case_id"])

    def waiting_steps(self) -> list[Mapping[str, Any]]:
        """`GET /v1/steps`: what waits for us to decide, the oldest first."""
        return _listed(self._json("GET", "/v1/steps", None, "verify"), "steps")

    def case_steps(self, case_id: str) -> Mapping[str, Any]:
        """`GET /v1/cases/{id}/steps`: the steps that are ours to see, with their clocks, and the final state."""
        return self._json("GET", f"/v1/cases/{case_id}/steps", None, "verify")

    def decide_step(
        self,
        case_id: str,
        step: str,
        *,
        officer: str,
        passed: bool,
        reason: str,
        note: str = "",
        key: str | None = None,
    ) -> Mapping[str, Any]:
        """`POST .../decision`: one of our officers decided, in our own system. The same `key` decides once."""
        body = {"officer": officer, "passed": passed, "reason": reason, "note": note}
        return self._json("POST", f"/v1/cases/{case_id}/steps/{step}/decision", body, "verify", key)

    def pause_step(self, case_id: str, step: str, *, officer: str, ask: str) -> Mapping[str, Any]:
        """`POST .../pause`: the applicant must mend something (补正)."""
        return self._json("POST", f"/v1/cases/{case_id}/steps/{step}/pause", {"officer": officer, "ask": ask}, "verify")

    def resume_step(self, case_id: str, step: str, *, officer: str) -> Mapping[str, Any]:
        """`POST .../resume`: the mended paper was taken."""
        return self._json("POST", f"/v1/cases/{case_id}/steps/{step}/resume", {"officer": officer}, "verify")

    def case_materials(self, case_id: str) -> list[Mapping[str, Any]]:
        """`GET /v1/cases/{id}/materials`: what was uploaded for a case that we handle."""
        return _listed(self._json("GET", f"/v1/cases/{case_id}/materials", None, "verify"), "materials")

    def judge_material(
        self, case_id: str, material: str, *, officer: str, decision: str, note: str = "", key: str | None = None
    ) -> Mapping[str, Any]:
        """`POST /v1/cases/{id}/materials/{id}`: `accepted`, `mend`, `refused`, or `compare` (the original was seen)."""
        body = {"officer": officer, "decision": decision, "note": note}
        return self._json("POST", f"/v1/cases/{case_id}/materials/{material}", body, "verify", key)

    def objections(self) -> list[Mapping[str, Any]]:
        """`GET /v1/objections`: what we have to answer, open ones first."""
        return _listed(self._json("GET", "/v1/objections", None, "verify"), "objections")

    def answer_objection(
        self, objection: str, *, officer: str, outcome: str, words: str, key: str | None = None
    ) -> Mapping[str, Any]:
        """`POST /v1/objections/{id}/answer`, once."""
        body = {"officer": officer, "outcome": outcome, "words": words}
        return self._json("POST", f"/v1/objections/{objection}/answer", body, "verify", key)

    def ask(
        self, details: Sequence[Mapping[str, Any]], *, login_hint: str, binding_message: str = ""
    ) -> Asked:
        """`POST /oauth/bc-authorize`: ask a person, who is named in the body only (`id_type:number`)."""
        found = self._form(
            "/oauth/bc-authorize",
            {
                "scope": "openid verify",
                "login_hint": login_hint,
                "binding_message": binding_message,
                "authorization_details": json.dumps(list(details), ensure_ascii=False),
            },
            proof=False,
        )
        return Asked(str(found["auth_req_id"]), int(found["interval"]), int(found["expires_in"]))

    def poll(self, asked: Asked) -> Consent | None:
        """`POST /oauth/token`: the consent, or None while the person has not decided.

        Raises Malformed `access_denied`, `expired_token`, `invalid_grant`.
        """
        try:
            found = self._form(
                "/oauth/token", {"grant_type": CIBA, "auth_req_id": asked.auth_req_id}, proof=True
            )
        except Malformed as fault:
            if fault.code in WAITING:
                return None
            raise
        return Consent(
            str(found["access_token"]),
            int(found["expires_in"]),
            tuple(map(str, found["grants"])),
            tuple(found["authorization_details"]),
        )

    def verify(
        self, token: str, asks: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> list[Mapping[str, Any]]:
        """`POST /v1/verifications` under a consent token: one use of each grant; one verdict for each certificate.

        `key`: the same call within ten minutes gets the first answer, and takes no further use.
        """
        content = json.dumps({"asks": list(asks)}, ensure_ascii=False).encode()

        def make() -> tuple[dict[str, str], bytes]:
            headers = {
                "content-type": "application/json",
                "authorization": f"DPoP {token}",
                "dpop": self._proof("POST", "/v1/verifications", token),
                **({"idempotency-key": key} if key is not None else {}),
            }
            return headers, content

        found = _object(self._persist("POST", "/v1/verifications", make))
        verdicts = found.get("verdicts")
        if not isinstance(verdicts, list) or not all(isinstance(one, dict) for one in verdicts):
            raise odd_answer()
        return verdicts

    def score(self, case_id: str, disclosures: Sequence[str], *, grade_1: bool = True) -> Mapping[str, Any]:
        """`POST /v1/cases/{id}/score` from the SD-JWTs that verification gave."""
        body = {"disclosures": list(disclosures), "grade_1": grade_1}
        return self._json("POST", f"/v1/cases/{case_id}/score", body, "verify")

    def _form(self, path: str, fields: Mapping[str, str], *, proof: bool) -> Mapping[str, Any]:
        def make() -> tuple[dict[str, str], bytes]:
            form = {
                **fields,
                "client_id": self.department,
                "client_assertion_type": authorization.ASSERTION_TYPE,
                "client_assertion": authorization.make_client_assertion(
                    self._signer(), client_id=self.department, audience=self.hub, now=seconds(self._clock())
                ),
            }
            headers = {"content-type": "application/x-www-form-urlencoded"}
            if proof:
                headers["dpop"] = self._proof("POST", path, None)
            return headers, urlencode(form).encode()

        return _object(self._persist("POST", path, make))


class AsyncVerifier:
    """The same calls for programs that live in an event loop: each is made in a worker thread.

    async with AsyncVerifier(client) as verifier:
        asked = await verifier.ask(details, login_hint="111:...")
    """

    def __init__(self, client: VerifierClient) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._client.close)

    async def open_case(
        self,
        item_code: str,
        applicant: Mapping[str, str],
        beneficiary: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> str:
        """See `VerifierClient.open_case`."""
        return await asyncio.to_thread(self._client.open_case, item_code, applicant, beneficiary, key=key)

    async def ask(
        self, details: Sequence[Mapping[str, Any]], *, login_hint: str, binding_message: str = ""
    ) -> Asked:
        """See `VerifierClient.ask`."""
        return await asyncio.to_thread(
            self._client.ask, details, login_hint=login_hint, binding_message=binding_message
        )

    async def poll(self, asked: Asked) -> Consent | None:
        """See `VerifierClient.poll`."""
        return await asyncio.to_thread(self._client.poll, asked)

    async def verify(
        self, token: str, asks: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> list[Mapping[str, Any]]:
        """See `VerifierClient.verify`."""
        return await asyncio.to_thread(self._client.verify, token, asks, key=key)


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    found = jws.loads(answer.content, max_bytes=MAX_ANSWER)
    if not isinstance(found, dict):
        raise odd_answer()
    return found


def _listed(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = found.get(name)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise odd_answer()
    return listed
