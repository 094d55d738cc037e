"""Who may come through which route, and whose object it opens: one row a route. A route without a row fails the suite.

`door` names the callers that are let in (DOORS); all others are turned away. `thing` names what stands in the address
and OWNERS says who may open it: anybody else is answered exactly as for an id that does not exist.
"""

from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute

from hub.web.doors import DOORS as API
from hub.web.pages.mount import DOORS as PAGES

DOORS: dict[str, frozenset[str]] = {
    "public": frozenset(),  # everybody; nothing to turn away
    "client": frozenset({"edu", "degree"}),  # OAuth: a signed assertion
    "department": frozenset({"edu", "degree"}),  # its own token
    "consent": frozenset({"consent"}),  # a consent token of edu
    "citizen": frozenset({"wang", "li"}),
    "counter": frozenset({"clerk", "clerk of si", "decider", "decider of si"}),
    "issuing": frozenset({"issuer", "second"}),
    "confirming": frozenset({"second"}),
    "opening": frozenset({"clerk", "clerk of si"}),
    "deciding": frozenset({"decider", "decider of si"}),
    "auditing": frozenset({"auditor"}),
    "operating": frozenset({"operator"}),
    "complaints": frozenset({"complaints", "complaints of edu"}),
}

PEOPLE = frozenset().union(*[DOORS[d] for d in DOORS if d not in ("public", "client", "department", "consent")])
DOORS["signed in"] = PEOPLE  # citizens and officers alike

CALLERS = ("nobody", *sorted(frozenset().union(*DOORS.values())))

OWNERS: dict[str, frozenset[str]] = {
    "certificate": frozenset({"wang", "degree"}),  # its holder, its issuer
    "case": frozenset({"wang", "edu", "clerk", "decider"}),  # the applicant, the department that handles it
    "request": frozenset({"wang"}),
    "contact": frozenset({"wang"}),
    "webhook": frozenset({"edu"}),
    "grant": frozenset({"wang"}),
    "grant_id": frozenset({"edu"}),
    "access": frozenset({"auditor", "wang"}),
    "objection": frozenset({"complaints of edu"}),  # of the department that is complained of
    "objection_id": frozenset({"edu"}),
    "entrustment": frozenset({"wang"}),
    "type": frozenset({"degree"}),
    "visit": frozenset({"wang"}),
    "rating": frozenset({"complaints"}),
    "order": frozenset({"edu", "second"}),
    "pull": frozenset({"degree"}),  # the department that was asked
    "key": frozenset({"edu"}),
    "ranking": frozenset({"decider"}),
    "passkey": frozenset({"wang"}),
    "session": frozenset({"wang"}),
    "interrupted": frozenset({"wang"}),  # what was sent before they had to prove themselves anew
    "item": frozenset({"wang", "li"}),
    "draft": frozenset({"issuer", "second"}),
    "look": frozenset({"clerk", "decider"}),
    "use_code": frozenset({"wang"}),
    "paper": frozenset({"clerk", "decider"}),
}


@dataclass(frozen=True)
class Row:
    """One route: its door, what its address names, and what a well-formed call carries."""

    door: str
    thing: str = ""
    send: dict[str, Any] = field(default_factory=dict)
    seen: bool = False  # everybody can see the thing; only who may act on it is asked, and others get 403
    alike: bool = True  # False: the owner's refusal says more than the stranger's, for a reason given beside the row


def _json(**body: Any) -> dict[str, Any]:
    return {"json": body}


def _form(**fields: str) -> dict[str, Any]:
    return {"form": fields}


ROWS: dict[str, Row] = {
    # departments that issue
    "POST /v1/departments/{slug}/enrol": Row("public"),
    "POST /v1/keys": Row("department"),
    "POST /v1/keys/{kid}/retire": Row("department", "key"),
    "POST /v1/status-lists/reserve": Row("department", send=_json(count=1)),
    "PUT /v1/status-lists": Row("department"),
    "PUT /v1/sources/{type_code}": Row(
        "department", "type", _json(), seen=True, alike=False  # types are public; here no right to issue was published
    ),
    "POST /v1/sources/{type_code}/decisions": Row(
        "department", "type",
        _json(decision="released", reason="mass_change", rows=1, total=2, held_at=1, official="0" * 64),
        seen=True, alike=False,  # as above
    ),
    "GET /v1/status-lists/mine": Row("department"),
    "POST /v1/certificates": Row("department"),
    "POST /v1/certificates/batch": Row("department"),
    "POST /v1/certificates/changes": Row("department"),
    "GET /v1/certificates/{certificate_id}": Row("department", "certificate"),
    "POST /v1/certificates/{certificate_id}/status": Row(
        "department", "certificate", _json(event="revoke", reason="test", status_list="x.y.z")
    ),
    "PUT /v1/certificates/{certificate_id}/face": Row("department", "certificate", {"content": b"%PDF-1.7"}),
    "POST /v1/pulls/next": Row("department", send=_json(types=["degree"], wait=0)),
    "POST /v1/pulls/{pull_id}/answer": Row("department", "pull", _json(outcome="not_found")),
    "GET /v1/work-orders": Row("department"),
    "GET /v1/work-orders/{order_id}/file": Row("department", "order"),
    "POST /v1/work-orders/{order_id}/done": Row("department", "order", _json(signed=1, quarantined=0)),
    # departments that verify
    "POST /v1/verifications": Row("consent", send=_json(asks=[{"type": "degree"}])),
    "POST /v1/verifications/batch": Row("department"),
    "POST /v1/cases": Row("department"),
    "GET /v1/cases": Row("department"),
    "GET /v1/cases/{case_id}": Row("department", "case"),
    "POST /v1/cases/{case_id}/score": Row("department", "case", _json(disclosures=[])),
    "GET /v1/steps": Row("department"),
    "GET /v1/cases/{case_id}/steps": Row("department", "case"),
    "POST /v1/cases/{case_id}/steps/{code}/decision": Row(
        "department", "case", _json(officer="x", passed=True, reason="verified"), alike=False  # no such officer
    ),
    "POST /v1/cases/{case_id}/steps/{code}/pause": Row(
        "department", "case", _json(officer="x", ask="x"), alike=False
    ),
    "POST /v1/cases/{case_id}/steps/{code}/resume": Row("department", "case", _json(officer="x"), alike=False),
    "GET /v1/cases/{case_id}/materials": Row("department", "case"),
    "GET /v1/cases/{case_id}/materials/{material_id}": Row("department", "case", alike=False),  # none is there
    "POST /v1/cases/{case_id}/materials/{material_id}": Row(
        "department", "case", _json(officer="x", decision="accepted"), alike=False
    ),
    "GET /v1/objections": Row("department"),
    "POST /v1/objections/{objection_id}/answer": Row(
        "department", "objection_id", _json(officer="o15", outcome="explained", words="x"), alike=False
    ),
    "GET /v1/grants/{grant_id}": Row("department", "grant_id"),
    "DELETE /v1/grants/{grant_id}": Row("department", "grant_id"),
    "POST /v1/webhooks": Row("department", send=_json(url="https://a.example/x", events=["grant.withdrawn"])),
    "GET /v1/webhooks": Row("department"),
    "POST /v1/webhooks/{webhook_id}/test": Row("department", "webhook"),
    "POST /v1/webhooks/{webhook_id}/resume": Row("department", "webhook"),
    "GET /v1/webhooks/{webhook_id}/deliveries": Row("department", "webhook"),
    "DELETE /v1/webhooks/{webhook_id}": Row("department", "webhook"),
    "GET /.well-known/webhook-keys.json": Row("public"),
    # OAuth
    "POST /oauth/token": Row("client", send=_form(grant_type="client_credentials")),
    "POST /oauth/introspect": Row("client", send=_form(token="x")),
    "POST /oauth/revoke": Row("client", send=_form(token="x")),
    "POST /oauth/par": Row("client", send=_form(response_type="code")),
    "POST /oauth/bc-authorize": Row("client", send=_form(scope="openid")),
    "GET /oauth/authorize": Row("public"),
    "GET /.well-known/oauth-authorization-server": Row("public"),
    # everybody
    "GET /items": Row("public"),
    "GET /items/{code}": Row("public"),
    "GET /items/{code}/plan": Row("citizen", "item"),
    "GET /items/{code}/form.pdf": Row("citizen", "item"),
    "GET /cases/{public_id}/rate": Row("citizen", "case"),
    "POST /cases/{public_id}/rate": Row("citizen", "case", _form(step="x", score="5")),
    "GET /replies": Row("complaints"),
    "POST /replies/{public_id}": Row("complaints", "rating", _form(words="x")),
    "GET /board": Row("public"),
    "GET /board.json": Row("public"),
    "GET /board.csv": Row("public"),
    "GET /visits": Row("citizen"),
    "POST /visits": Row("citizen", send=_form(item="x", slot="x")),
    "POST /visits/{public_id}/cancel": Row("citizen", "visit"),
    "GET /visits/{public_id}/visit.ics": Row("citizen", "visit"),
    "GET /counter/slots": Row("opening"),
    "POST /counter/slots": Row("opening", send=_form(first="x")),
    "GET /v1/items": Row("public"),
    "GET /v1/types": Row("public"),
    "GET /v1/types/{code}": Row("public"),
    "GET /v1/items/{code}": Row("public"),
    "GET /.well-known/jwt-vc-issuer/dept/{slug}": Row("public"),
    "GET /.well-known/jwks.json": Row("public"),
    "GET /v1/status-lists/{list_id}": Row("public"),
    "GET /checkpoint": Row("public"),
    "GET /tile/{rest:path}": Row("public"),
    "GET /v1/proofs/{leaf_hash}": Row("public"),
    "GET /v1/consistency/{old}/{new}": Row("public"),
    "GET /v1/trust-bundle": Row("public"),
    "GET /healthz": Row("public"),
    "GET /readyz": Row("public"),
    "GET /": Row("public"),
    "GET /login": Row("public"),
    "GET /login/keys.json": Row("public"),
    "GET /login/{code}": Row("public"),
    "GET /login/{code}/back": Row("public"),
    "POST /login/{code}/logout": Row("public"),
    "GET /login/{code}/leave": Row("public"),
    "GET /demo-login/.well-known/openid-configuration": Row("public"),
    "GET /demo-login/keys.json": Row("public"),
    "GET /demo-login/authorize": Row("public"),
    "POST /demo-login/authorize": Row("public"),
    "POST /demo-login/token": Row("public"),
    "GET /demo-login/leave": Row("public"),
    # whoever is signed in
    "GET /devices": Row("signed in"),
    "POST /devices/{public_id}/end": Row("signed in", "session"),
    "POST /devices/end": Row("signed in"),
    "GET /again/{ticket}": Row("signed in", "interrupted", alike=False),  # whoever is fresh is led on
    "GET /again/{ticket}/provider": Row("signed in", "interrupted", alike=False),  # off to the provider
    "POST /again/{ticket}/passkey": Row("signed in", "interrupted", alike=False),  # without a signature it is nobody's
    "GET /again/{ticket}/go": Row("signed in", "interrupted", alike=False),
    "GET /enter/{token}": Row("public"),
    "POST /enter/{token}": Row("public"),
    "POST /logout": Row("public"),
    "GET /help": Row("public"),
    "GET /verify": Row("public"),
    "POST /verify": Row("public"),
    "GET /v/{public_id}": Row("public"),
    "GET /developers": Row("public"),
    "GET /rankings": Row("public"),
    "GET /rankings/{public_id}": Row("public"),
    "GET /rankings/{public_id}/facts.json": Row("public"),
    "GET /rankings/{public_id}/{revision}/notice.csv": Row("public"),
    # citizens
    "GET /wallet": Row("citizen"),
    "GET /wallet/{public_id}": Row("citizen", "certificate"),
    "GET /wallet/{public_id}/face.pdf": Row("citizen", "certificate", alike=False),  # hers has no face in this test
    "GET /apply": Row("citizen"),
    "POST /cases": Row("citizen", send=_form(item="x")),
    "GET /cases/{public_id}": Row("citizen", "case"),
    "POST /cases/{public_id}/review": Row("citizen", "case", _form(reason="x")),
    "POST /cases/{public_id}/gather": Row("citizen", "case"),
    "POST /cases/{public_id}/materials": Row("citizen", "case", _form(material="x"), alike=False),  # no file is sent
    "POST /cases/{public_id}/promises": Row(
        "citizen", "case", _form(material="x", read="1"), alike=False  # no promise is taken for it
    ),
    "POST /cases/{public_id}/steps/{code}/resume": Row("citizen", "case", alike=False),  # no step has begun
    "POST /cases/{public_id}/withdraw": Row("citizen", "case"),
    "POST /cases/{public_id}/archive": Row("citizen", "case"),
    "GET /objections": Row("citizen"),
    "POST /wallet/{public_id}/object": Row("citizen", "certificate", _form(words="x")),
    "POST /accesses/{public_id}/complain": Row("citizen", "access", _form(words="x")),
    "GET /usecode": Row("citizen"),
    "POST /usecode/choice": Row("citizen", send=_form(item="x")),
    "GET /usecode/{public_id}": Row("citizen", "use_code"),
    "POST /usecode/{public_id}/stop": Row("citizen", "use_code"),
    "GET /requests": Row("citizen"),
    "GET /requests/{public_id}": Row("citizen", "request"),
    "POST /requests/{public_id}": Row("citizen", "request", _form(decision="refuse")),
    "POST /requests/{public_id}/sign": Row("citizen", "request", alike=False),  # without a ticket it is nobody's
    "GET /inbox": Row("citizen"),
    "POST /inbox/read": Row("citizen"),
    "GET /inbox/settings": Row("citizen"),
    "POST /inbox/settings": Row("citizen", send=_form(language="en")),
    "POST /inbox/contacts": Row("citizen", send=_form(address="x")),
    "POST /inbox/contacts/{public_id}/code": Row("citizen", "contact", _form(code="000000")),
    "POST /inbox/contacts/{public_id}/remove": Row("citizen", "contact"),
    "GET /outbox": Row("public"),
    "GET /passkeys": Row("citizen"),
    "POST /passkeys": Row("citizen"),
    "POST /passkeys/{public_id}/remove": Row("citizen", "passkey"),
    "GET /accesses": Row("citizen"),
    "POST /grants/{public_id}/withdraw": Row("citizen", "grant"),
    "POST /grants/{public_id}/dispute": Row("citizen", "grant", alike=False),  # not about a child: nobody's to dispute
    "GET /entrust": Row("citizen"),
    "POST /entrust": Row("citizen"),
    "POST /entrust/take": Row("citizen", send=_form(code="x")),
    "POST /entrust/{public_id}/end": Row("citizen", "entrustment"),
    # officers
    "GET /disputes": Row("complaints"),
    "POST /disputes": Row("complaints", send=_form(decision="stop")),
    "GET /counter": Row("counter"),
    "POST /counter/cases": Row("counter"),
    "GET /counter/cases/{public_id}": Row("counter", "case"),
    "POST /counter/cases/{public_id}/ask": Row("counter", "case", _form(who="applicant")),
    "POST /counter/cases/{public_id}/verify": Row("counter", "case"),
    "POST /counter/cases/{public_id}/score": Row("counter", "case"),
    "POST /counter/codes": Row("counter", send=_form(item="441900-edu-points-enrolment", code="x")),
    "POST /counter/cases/{public_id}/code": Row("counter", "case", _form(code="x")),
    "POST /counter/cases/{public_id}/paper": Row(
        "counter", "case", _form(document_type="111", document_no="x"), alike=False  # not without her document
    ),
    "GET /counter/paper": Row("counter"),
    "POST /counter/paper/withdraw": Row("counter", send=_form(document_type="111", document_no="11010519491231002X")),
    "GET /counter/paper/{public_id}": Row("counter", "paper"),
    "GET /counter/paper/{public_id}/form.pdf": Row("counter", "paper"),
    "POST /counter/paper/{public_id}/scan": Row("counter", "paper", alike=False),  # no file is sent
    "GET /counter/paper/{public_id}/scan": Row("counter", "paper", alike=False),  # nothing is scanned yet
    "POST /counter/paper/{public_id}": Row("counter", "paper", _form(decision="refuse"), alike=False),  # no scan yet
    "GET /counter/paper/{public_id}/slip.pdf": Row("counter", "paper", alike=False),  # nothing is granted yet
    "GET /office-rules": Row("public"),
    "POST /office/holds": Row("counter", send=_form(code="x", key="x", span="x")),
    "GET /halls": Row("counter"),
    "POST /halls/cases": Row("counter", send=_form(hall="x")),
    "GET /halls/cases/{public_id}": Row("counter", "case"),
    "GET /halls/cases/{public_id}/receipts": Row("counter", "case"),
    "POST /halls/cases/{public_id}/gather": Row("counter", "case"),
    "POST /halls/cases/{public_id}/materials": Row("counter", "case", _form(material="x"), alike=False),  # no file
    "POST /halls/cases/{public_id}/handover": Row("counter", "case", alike=False),  # it was taken in no hall
    "POST /halls/cases/{public_id}/answer": Row("counter", "case", _form(decision="receive"), alike=False),  # none sent
    "GET /office": Row("counter"),
    "POST /office/cases/{public_id}": Row("counter", "case", alike=False),  # not for a case without such a rule
    "GET /office/{public_id}": Row("counter", "look"),
    "POST /office/{public_id}": Row("counter", "look", _form(decision="refuse"), alike=False),  # not by who asked
    "POST /office/{public_id}/look": Row("counter", "look", alike=False),  # only by who asked
    "POST /counter/cases/{public_id}/accept": Row("counter", "case", alike=False),  # materials are missing
    "GET /counter/cases/{public_id}/materials/{material_id}/file": Row("counter", "case", alike=False),  # none is there
    "POST /counter/cases/{public_id}/materials/{material_id}": Row(
        "counter", "case", _form(decision="accepted"), alike=False  # none is there
    ),
    "GET /complaints": Row("complaints"),
    "POST /complaints/{public_id}": Row("complaints", "objection", _form(outcome="explained", words="x")),
    "GET /desk": Row("deciding"),
    "GET /desk/board": Row("deciding"),
    "GET /desk/board.csv": Row("deciding"),
    "GET /catalogue": Row("issuing"),
    "POST /catalogue/items": Row("issuing", send=_form(document="{}"), alike=False),  # no item of theirs
    "POST /catalogue/waivers": Row("issuing", send=_form(material="x", state="connected"), alike=False),
    "POST /catalogue/{public_id}": Row("issuing", "draft", _form(decision="refuse"), alike=False),  # by a reviewer only
    "GET /desk/cases/{public_id}": Row("deciding", "case"),
    "POST /desk/cases/{public_id}/reviews/{review_id}": Row("deciding", "case", alike=False),  # no review is asked for
    "POST /desk/cases/{public_id}/steps/{code}": Row(
        "deciding", "case", _form(decision="verified"), alike=False  # no step has begun
    ),
    "POST /desk/cases/{public_id}/flags/{certificate}": Row("deciding", "case", alike=False),  # nothing is flagged
    "POST /desk/cases/{public_id}/promises/{promise_id}": Row(
        "deciding", "case", _form(found="kept"), alike=False  # none was made
    ),
    "POST /desk/cases/{public_id}/archive": Row("deciding", "case"),
    "POST /desk/cases/{public_id}/close": Row("deciding", "case"),
    "POST /desk/rankings": Row("deciding"),
    "POST /desk/rankings/{public_id}/close": Row("deciding", "ranking", seen=True),
    "POST /desk/rankings/{public_id}/draw": Row("deciding", "ranking", seen=True),
    "GET /officer": Row("issuing"),
    "POST /officer/orders": Row("issuing"),
    "POST /officer/orders/{public_id}": Row("confirming", "order", _form(decision="confirm")),
    "GET /auditor": Row("auditing"),
    "GET /auditor/accesses/{public_id}": Row("auditing", "access"),
    "GET /admin": Row("operating"),
}


def routes() -> set[str]:
    """Every route of the application, as rows are named."""
    found = set()
    for door in (*API, *PAGES):
        for route in door.router.routes:
            assert isinstance(route, APIRoute), "a door has routes of FastAPI only"
            found |= {f"{method} {route.path}" for method in route.methods}
    return found
