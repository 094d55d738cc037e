"""Which department is calling: a DPoP-bound access token of ours, proved with the department's client key.

The checks that need the database (replay, key still standing) are made by `Caller.enter`, inside the transaction
that does the work, so that a proof is spent in the same commit (DESIGN section 3, rule 10).
"""

import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from starlette.requests import Request

from hub.access.record import record_anonymous
from hub.actor import PUBLIC, Actor, ActorKind
from hub.clock import from_seconds, seconds
from hub.errors import Forbidden, HubError, Malformed, Unauthenticated, each
from hub.formats import dpop, jws
from hub.formats.authorization import AccessToken, check_access_tokens, in_force, read_access_token
from hub.formats.dpop import Proof
from hub.registry import trust
from hub.registry.clients import client_owner
from hub.store.base import Instant
from hub.store.memory import Newest
from hub.store.model import replays
from hub.store.replay import forgotten, once, use_once
from hub.store.seal import KEPT_SECONDS
from hub.store.statement import Statement, dialect_insert
from hub.store.tx import Tx, View
from hub.web.deps import Hub, hub_of
from hub.web.metrics import agent_called
from keys.errors import KeyFault
from keys.public import PublicKey

MAX_TOKEN = 64 * 1024
REVOKED_KEPT = timedelta(days=1)
"""How long past its end a token is known as revoked: a hub whose clock was put back must not take it again."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A department whose token and proof are right; `enter` must be awaited before anything is done for it."""

    actor: Actor
    token: AccessToken
    proof: Proof

    @property
    def department(self) -> str:
        """The slug of the calling department."""
        return self.actor.department or ""

    async def enter(self, tx: Tx) -> None:
        """1. This proof was never used. 2. The client key stands and its department is active. 3. The token was not
        revoked. Raises Unauthenticated `dpop.replayed`, `client.unknown`, `token.revoked`."""
        fault = (await enter_all(tx, [self]))[0]
        if fault is not None:
            raise fault


async def department_caller(request: Request, *, scope: str, any_holder: bool = False) -> Caller:
    """Authenticate a call to a department's door (RFC 9449 section 7, RFC 9068 section 4).

    1. Exactly one Authorization header with the scheme DPoP, exactly one DPoP header, no token in the query.
    2. The proof is for this method, the configured public URL with this path, and this token. 3. The token is ours,
    in force, and bound to the key of the proof. 4. It has the scope of this door.
    With `any_holder` a token that is bound to another key comes through as what it is, in the hands of the department
    whose client key made the proof: verification refuses it, and the citizen sees who tried.
    Raises Unauthenticated `token.*`, `dpop.*`; Forbidden `token.scope`.
    """
    hub = hub_of(request)
    token, proof = _headers(request)  # 1
    now = seconds(hub.clock())
    try:
        checked = dpop.check(  # 2
            proof, htm=request.method, htu=target(hub, request), now=now, access_token=token
        )
    except HubError as fault:
        raise Unauthenticated(_dpop_code(fault), fault.zh, fault.en, **_CLOCK) from fault
    try:
        said = access_token(hub, token, now=now)  # 3
        if not any_holder and said.jkt != checked.jkt:
            raise Unauthenticated("token.invalid", "访问令牌绑定在另一把密钥上。", "It is bound to another key.")
    except HubError as fault:
        if any_holder:
            await _record_refusal(hub, checked)
        raise Unauthenticated(
            "token.invalid", "访问令牌无效或已过期。", "The access token is not valid."
        ) from fault
    if scope not in said.scope:  # 4
        raise Forbidden(
            "token.scope",
            f"访问令牌没有 {scope} 权限。",
            f"The access token does not have the scope {scope}.",
            next_zh="请在 /oauth/token 申请时写明 scope。",
            next_en="Ask for that scope at /oauth/token.",
        )
    slug = said.client_id
    if said.jkt != checked.jkt:
        async with hub.view(PUBLIC) as view:
            slug = await client_owner(view, kid=checked.jkt)
    return Caller(Actor(ActorKind.DEPARTMENT, department=slug, jkt=checked.jkt), said, checked)


class _Tokens(Newest[str, tuple[float, AccessToken]]):
    """Tokens of ours that this process signed, or found to be signed by us, less than a minute ago."""

    def __init__(self) -> None:
        super().__init__(at_most=10_000)


def access_token(hub: Hub, text: str, *, now: int) -> AccessToken:
    """As `access_tokens` of one. Raises Malformed, Unprocessable."""
    known = remembered(hub, text)
    if known is not None:
        return in_force(known, now)
    (found,) = access_tokens(hub, [text], now=now, key=token_keys(hub))
    if isinstance(found, HubError):
        raise found
    return found


def access_tokens(hub: Hub, texts: Sequence[str], *, now: int, key: jws.KeySource) -> list[AccessToken | HubError]:
    """Tokens of ours, in force at `now`; whose they are and whether they were revoked is for the caller to ask.

    A signature that held is remembered for a minute; times are judged at every use. `key` finds our keys.
    """
    kept, until = hub.db.memory.of(_Tokens), time.monotonic() + KEPT_SECONDS
    known = {text: remembered(hub, text) for text in texts}
    new, issuer = [text for text, found in known.items() if found is None], hub.settings.public_url
    checked = dict(zip(new, check_access_tokens(new, issuer=issuer, audience=issuer, key=key, now=now), strict=True))
    for text, said in checked.items():
        if isinstance(said, AccessToken):
            kept.keep(text, (until, said))
    return each([known[text] or checked[text] for text in texts], lambda one: in_force(one, now))


def issued(hub: Hub, text: str) -> None:
    """Remember a token that this process has signed just now, as if it had been checked: most come back at once."""
    kept = hub.db.memory.of(_Tokens)
    kept.keep(text, (time.monotonic() + KEPT_SECONDS, read_access_token(text)))


def remembered(hub: Hub, text: str) -> AccessToken | None:
    """The token that this process signed or checked less than a minute ago. Its times are the caller's to judge."""
    found = hub.db.memory.of(_Tokens).get(text)
    return found[1] if found is not None and time.monotonic() < found[0] else None


async def _record_refusal(hub: Hub, proof: Proof) -> None:
    """A department that we can tell by its key came with a token that is no good: that is recorded too."""
    actor = Actor(ActorKind.DEPARTMENT, jkt=proof.jkt)
    async with hub.tx(actor) as tx:
        slug = await client_owner(tx, kid=proof.jkt)
        await spend_proof(tx, proof)
        await record_anonymous(tx, department=slug, reason="token.invalid")


async def issuing(request: Request) -> Caller:
    """A department at a door for issuers."""
    caller = await department_caller(request, scope="issue")
    agent_called(caller.department)
    return caller


async def verifying(request: Request) -> Caller:
    """A department at a door for verifiers, with its own token: a consent token is good for verifications only."""
    caller = await department_caller(request, scope="verify")
    if caller.token.grants:
        raise Forbidden(
            "token.consent_only",
            "授权凭证只能用于核验，这里须用部门自己的令牌。",
            "A consent token is for verifications only; this door needs the department's own token.",
            next_zh="请在 /oauth/token 以 client_credentials 取得部门自己的令牌。",
            next_en="Get the department's own token at /oauth/token (client_credentials).",
        )
    return caller


async def redeeming(request: Request) -> Caller:
    """A department at the door where consent tokens are used."""
    return await department_caller(request, scope="verify", any_holder=True)


def target(hub: Hub, request: Request) -> str:
    """What `htu` must name: the configured public URL and the path as it came, never the Host header."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return hub.settings.public_url + raw.decode("ascii", "replace").partition("?")[0]


def token_keys(hub: Hub) -> "TokenKeys":
    """The public halves of the hub's own token keys, for checking tokens that came back."""
    return TokenKeys(hub)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Finds a token key of the hub by its id; LookupError for keys of any other purpose."""

    hub: Hub

    def __call__(self, kid: str) -> PublicKey:
        """The public key named `kid`, unless it was retired or serves another purpose."""
        try:
            return self.hub.keyring.public(kid, purpose="token")
        except KeyFault as fault:
            raise LookupError(kid) from fault


def _revocation() -> sa.Select[tuple[bytes]]:
    return sa.select(replays.c.key).where(replays.c.kind == "revoked", replays.c.key == sa.bindparam("token"))


def _spend(dialect: str) -> sa.Executable:
    """A proof is ours when nobody used it before and its token was not revoked; it comes with the epoch of trust."""
    until = sa.bindparam("until", type_=Instant)
    values = sa.select(sa.literal("dpop"), sa.bindparam("proof", type_=sa.LargeBinary), until).where(
        ~_revocation().exists(), ~forgotten("dpop", until)
    )
    made = dialect_insert(dialect)(replays).from_select(["kind", "key", "expires_at"], values)
    done: sa.Executable = made.on_conflict_do_nothing().returning(replays.c.key, trust.EPOCH.label("epoch"))
    return done


SPEND = Statement(_spend)
REVOKED = Statement(lambda _: _revocation())


async def enter_all(tx: Tx, callers: Sequence[Caller]) -> list[HubError | None]:
    """`Caller.enter` of many callers: for each its refusal, or None. Proofs are spent in the order of their hashes."""
    asked = [
        {
            "proof": _proof_key(one.proof),
            "until": from_seconds(one.proof.expires),
            "token": hashlib.sha256(one.token.jti.encode()).digest(),
        }
        for one in callers
    ]
    spent = await tx.each(SPEND, sorted(asked, key=lambda row: row["proof"]))
    fresh = {row.key for row in spent}
    stale = [row for row in asked if row["proof"] not in fresh]
    revoked = {row.key for row in await tx.each(REVOKED, stale)}
    remembered = await trust.current(tx, epoch=spent[0].epoch if spent else None)
    faults: list[HubError | None] = []
    for one, row in zip(callers, asked, strict=True):
        fault: HubError | None = None
        if row["token"] in revoked:
            fault = revoked_token()
        elif row["proof"] not in fresh:
            fault = _replayed()
        fresh.discard(row["proof"])  # the same proof a second time in this very group is a replay too
        try:
            await remembered.client_key(tx, department=one.department, kid=one.proof.jkt)
        except Unauthenticated as unknown:
            fault = fault or unknown
        faults.append(fault)
    return faults


async def would_enter(view: View, caller: Caller) -> bool:
    """What `enter` would say just now, with nothing spent: for work that is done before the commit that enters."""
    used = sa.and_(replays.c.kind == "dpop", replays.c.key == _proof_key(caller.proof))
    token = sa.and_(
        replays.c.kind == "revoked", replays.c.key == hashlib.sha256(caller.token.jti.encode()).digest()
    )
    if await view.first(sa.select(replays.c.key).where(sa.or_(used, token))) is not None:
        return False
    try:
        await (await trust.current(view)).client_key(view, department=caller.department, kid=caller.proof.jkt)
    except Unauthenticated:
        return False
    return True


async def spend_proof(tx: Tx, proof: Proof) -> None:
    """Use a DPoP proof up, in this transaction: Unauthenticated `dpop.replayed` when it came before."""
    if not await once(tx, kind="dpop", key=_proof_key(proof), expires_at=from_seconds(proof.expires)):
        raise _replayed()


def _proof_key(proof: Proof) -> bytes:
    """Names its owner, or one client could burn another's (RFC 9449 section 11.1)."""
    return hashlib.sha256(f"{proof.jkt}\n{proof.jti}\n{proof.htu}".encode()).digest()


def _replayed() -> Unauthenticated:
    return Unauthenticated(
        "dpop.replayed",
        "该 DPoP 证明已使用过。",
        "This DPoP proof was used before.",
        next_zh="每次请求都须生成新的证明。",
        next_en="Make a new proof for every request.",
    )


def revoked_token() -> Unauthenticated:
    """The token was good and is not any more."""
    return Unauthenticated("token.revoked", "访问令牌已被撤销。", "The access token was revoked.")


async def revoke(tx: Tx, token: AccessToken) -> None:
    """Let a token end before its time (RFC 7009)."""
    await use_once(tx, kind="revoked", key=token.jti, expires_at=from_seconds(token.exp) + REVOKED_KEPT)


async def is_revoked(tx: Tx, jti: str) -> bool:
    """Whether the token with this `jti` was revoked."""
    return bool(await revoked_among(tx, {jti}))


async def revoked_among(view: View, jtis: Collection[str]) -> set[str]:
    """Those of many tokens that were revoked."""
    named = {hashlib.sha256(jti.encode()).digest(): jti for jti in jtis}
    return {named[row.key] for row in await view.each(REVOKED, [{"token": key} for key in named])}


_CLOCK = {
    "next_zh": "请为每次请求生成新的证明，核对 htm、htu、ath，并校准本机时钟。",
    "next_en": "Make a new proof for each request; check htm, htu, ath and this machine's clock.",
}


def _headers(request: Request) -> tuple[str, str]:
    credentials, proofs = [], []
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            credentials.append(value.decode("latin-1"))
        elif name == b"dpop":
            proofs.append(value.decode("latin-1"))
    queried = request.scope["query_string"] and "access_token" in request.query_params
    if queried or len(credentials) > 1 or len(proofs) > 1:
        raise Malformed(
            "token.twice", "只能用一种方式、一次出示访问令牌。", "Present one token, once, in one way only."
        )
    if not credentials:
        raise Unauthenticated(
            "token.missing",
            "缺少访问令牌。",
            "There is no access token.",
            next_zh="请先在 /oauth/token 取得令牌。",
            next_en="Get one at /oauth/token first.",
        )
    scheme, _, token = credentials[0].partition(" ")
    if scheme.lower() != "dpop" or not token or len(token) > MAX_TOKEN or not proofs:
        raise Unauthenticated(
            "token.not_bound",
            "访问令牌须以 DPoP 方式出示，并附 DPoP 证明。",
            "The token must come under the scheme DPoP, with a DPoP proof.",
        )
    return token, proofs[0]


def _dpop_code(fault: HubError) -> str:
    return fault.code if fault.code.startswith("dpop.") else "dpop.invalid"
