"""Authenticates a department at the OAuth doors: private_key_jwt (RFC 7523) and, for tokens, DPoP (RFC 9449)."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from hub.actor import Actor, ActorKind
from hub.clock import from_seconds, seconds
from hub.errors import HubError, Malformed, Unauthenticated
from hub.formats import dpop
from hub.formats.authorization import ASSERTION_TYPE, Assertion, check_client_assertion, peek_client
from hub.formats.dpop import Proof
from hub.registry.clients import client_key
from hub.store.replay import use_once
from hub.store.tx import Tx, View
from hub.web.body import bad_form
from hub.web.caller import spend_proof, target
from hub.web.deps import Hub, hub_of


@dataclass(frozen=True, slots=True)
class Client:
    """A department that proved itself at an OAuth door; `enter` spends what it proved itself with."""

    slug: str
    assertion: Assertion
    proof: Proof | None

    @property
    def actor(self) -> Actor:
        """The department as an actor; bound to the proved key where a proof came along."""
        return Actor(ActorKind.DEPARTMENT, department=self.slug, jkt=self.proof.jkt if self.proof else None)

    async def enter(self, tx: Tx) -> None:
        """Spend assertion and proof in the transaction that does the work.

        Raises Unauthenticated `client.assertion_replayed`, `dpop.replayed`.
        """
        key = f"{self.slug}\n{self.assertion.jti}"
        if not await use_once(tx, kind="assertion", key=key, expires_at=from_seconds(self.assertion.expires)):
            raise Unauthenticated(
                "client.assertion_replayed",
                "该客户端断言已使用过。",
                "This client assertion was used before.",
            )
        if self.proof is not None:
            await spend_proof(tx, self.proof)


async def authenticate(view: View, request: Request, form: Mapping[str, str], *, proof: bool) -> Client:
    """Who sent this form.

    1. One way of authentication: private_key_jwt, nothing in the Authorization header. 2. The assertion is signed by
    a standing client key of an active department; `aud` is our issuer as one string. 3. `client_id`, if sent, is that
    department. 4. With `proof`: a DPoP proof for this URL by the same key.
    Every failure of 2 and 3 is told alike: Unauthenticated `client.refused`. Raises Malformed `dpop.*` for 4.
    """
    hub = hub_of(request)
    if "authorization" in request.headers or "client_secret" in form:  # 1
        raise bad_form("only private_key_jwt is accepted for client authentication")
    if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
        raise _refused("client.no_assertion")
    assertion = form["client_assertion"]
    try:  # 2
        slug, kid = peek_client(assertion)
        key = await client_key(view, department=slug, kid=kid)
        checked = check_client_assertion(
            assertion, client_id=slug, audience=hub.settings.public_url, key=key, now=seconds(view.now)
        )
    except HubError as fault:
        raise _refused(f"client.{fault.code.replace('.', '_')}") from fault
    if form.get("client_id", slug) != slug:  # 3
        raise _refused("client.other_id")
    return Client(slug, checked, _proof(hub, request, view, key.kid) if proof else None)


def _proof(hub: Hub, request: Request, view: View, kid: str) -> Proof:  # 4
    sent = request.headers.getlist("dpop")
    if len(sent) != 1:
        raise Malformed("dpop.missing", "须附一个 DPoP 证明。", "Exactly one DPoP proof is needed.")
    try:
        found = dpop.check(sent[0], htm=request.method, htu=target(hub, request), now=seconds(view.now))
    except HubError as fault:
        code = fault.code if fault.code.startswith("dpop.") else "dpop.invalid"
        raise Malformed(code, fault.zh, fault.en) from fault
    if found.jkt != kid:
        raise Malformed(
            "dpop.other_key",
            "DPoP 证明须由同一把客户端密钥签署。",
            "The DPoP proof must be signed by the same client key.",
        )
    return found


def _refused(code: str) -> Unauthenticated:
    return Unauthenticated(
        code,
        "无法确认调用方部门的身份。",
        "The calling department could not be authenticated.",
        next_zh="请确认部门代号、已登记的客户端密钥、受众和本机时钟。",
        next_en="Check the slug, the registered client key, the audience, and this machine's clock.",
    )
