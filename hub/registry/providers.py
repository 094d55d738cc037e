"""Identity providers as data: who signs citizens in, and who signs in the officers of one department.

A provider is public history: adding and disabling one are cleartext leaves. Secrets are in files that it names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import Conflict, Malformed, NotFound
from hub.ledger.append import LeafRef, append
from hub.registry import departments
from hub.registry.model import Level, identity_providers, officers, sessions
from hub.store.tx import Tx, View

PURPOSE = "login"
"""Of the hub's own key for private_key_jwt, and of the secret from which nonces and PKCE verifiers are derived."""
DEMO = "demo"
"""The code of the demonstration's own provider, which is in no table and in no production hub."""

CITIZEN_CLAIMS = {"id_no": "id_number", "id_type": "", "name": "name"}
OFFICER_CLAIMS = {"login": "preferred_username"}
SCOPE = "openid profile"

CODE = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")


class Method(StrEnum):
    """How the hub proves itself at a provider's token endpoint (OpenID Connect Core, section 9)."""

    PRIVATE_KEY_JWT = "private_key_jwt"
    FOR_ENDPOINT = "private_key_jwt+url"  # the assertion is for the token endpoint's URL: older providers want that
    SECRET_BASIC = "client_secret_basic"
    SECRET_POST = "client_secret_post"


@dataclass(frozen=True, slots=True)
class Provider:
    """One identity provider. `department` None: it signs citizens in; else that department's officers and nobody else.

    `claims` says which claim holds what: `id_no`, `name` and optionally `id_type` of a citizen, `login` of an officer.
    """

    code: str
    issuer: str
    client_id: str
    name_zh: str
    name_en: str
    department: str | None = None
    method: str = Method.PRIVATE_KEY_JWT
    secret_file: str | None = None
    scope: str = SCOPE
    claims: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    level: str = Level.SUBSTANTIAL
    active: bool = True

    def __post_init__(self) -> None:
        usual = OFFICER_CLAIMS if self.department else CITIZEN_CLAIMS
        object.__setattr__(self, "claims", {**usual, **dict(self.claims)})
        object.__setattr__(self, "levels", dict(self.levels))

    @property
    def by_key(self) -> bool:
        """Whether the hub proves itself with its own key, and no secret is shared."""
        return self.method in (Method.PRIVATE_KEY_JWT, Method.FOR_ENDPOINT)

    def assures(self, acr: str | None) -> Level:
        """The level of a sign-in with this `acr`: what the map says, low where it is silent, never above `level`."""
        said = Level(self.levels.get(acr or "", Level.LOW)) if self.levels else Level(self.level)
        order = list(Level)
        return min(said, Level(self.level), key=order.index)

    def asks_for(self, level: Level) -> str:
        """The `acr_values` that reach at least `level`, the strongest first; empty when it knows none."""
        order = list(Level)
        enough = [(order.index(Level(one)), acr) for acr, one in self.levels.items() if Level(one) in order]
        return " ".join(acr for rank, acr in sorted(enough, reverse=True) if rank >= order.index(level))


async def add(tx: Tx, provider: Provider, *, plain_http: bool = False) -> LeafRef:
    """Connect a provider, in the ledger too. Sessions that a department's officers got by one-time links end.

    Raises Malformed `provider.invalid`, Conflict `provider.exists`, NotFound `department.unknown`.
    """
    _require_well_formed(provider, plain_http=plain_http)
    if provider.department is not None:
        await departments.get(tx, slug=provider.department)
    row = {
        "code": provider.code,
        "issuer": provider.issuer,
        "department": provider.department,
        "client_id": provider.client_id,
        "method": provider.method,
        "secret_file": provider.secret_file,
        "name_zh": provider.name_zh,
        "name_en": provider.name_en,
        "scope": provider.scope,
        "claims": dict(provider.claims),
        "levels": dict(provider.levels),
        "level": provider.level,
        "created_at": tx.now,
    }
    if not await tx.insert_new(identity_providers, row):
        raise Conflict(
            "provider.exists",
            "这个代号或签发者已经接入。",
            "A provider with this code or issuer is connected already.",
            next_zh="用 yimen idp list 查看；停用的可以用 yimen idp enable 恢复。",
            next_en="See yimen idp list; a disabled one comes back with yimen idp enable.",
        )
    if provider.department is not None:
        await _end_links(tx, provider.department)
    return await _record(tx, "provider.added", provider)


async def disable(tx: Tx, *, code: str) -> LeafRef:
    """Stop a provider at once: nobody signs in through it and its sessions end.

    Raises NotFound `provider.unknown`, Conflict `provider.state`.
    """
    found = await by_code(tx, code)
    table = identity_providers.c
    done = await tx.run(
        identity_providers.update()
        .where(table.code == code, table.disabled_at.is_(None))
        .values(disabled_at=tx.now)
    )
    if not done:
        raise _state("身份提供方已停用。", "This provider is disabled already.")
    await tx.run(
        sessions.update()
        .where(sessions.c.provider == code, sessions.c.ended_at.is_(None))
        .values(ended_at=tx.now)
    )
    return await _record(tx, "provider.disabled", found)


async def enable(tx: Tx, *, code: str) -> LeafRef:
    """Take a disabled provider back. Raises as `disable`."""
    found = await by_code(tx, code)
    table = identity_providers.c
    done = await tx.run(
        identity_providers.update()
        .where(table.code == code, table.disabled_at.is_not(None))
        .values(disabled_at=None)
    )
    if not done:
        raise _state("身份提供方没有停用。", "This provider is not disabled.")
    if found.department is not None:
        await _end_links(tx, found.department)
    return await _record(tx, "provider.enabled", found)


async def by_code(view: View, code: str) -> Provider:
    """The provider, active or not; NotFound `provider.unknown`."""
    row = await view.first(sa.select(identity_providers).where(identity_providers.c.code == code))
    if row is None:
        raise NotFound("provider.unknown", "没有接入这个身份提供方。", "No such identity provider is connected.")
    return _provider(row)


async def all_providers(view: View) -> list[Provider]:
    """All, disabled ones too, citizens' first."""
    table = identity_providers.c
    rows = await view.all(sa.select(identity_providers).order_by(table.department.is_not(None), table.code))
    return [_provider(row) for row in rows]


async def of_department(view: View, slug: str) -> list[Provider]:
    """The active providers of a department: its officers enter through them and in no other way."""
    return [one for one in await all_providers(view) if one.active and one.department == slug]


def _require_well_formed(provider: Provider, *, plain_http: bool) -> None:
    parts = urlsplit(provider.issuer)
    schemes = ("https", "http") if plain_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise _invalid("issuer 须为 https 地址，不带参数", "the issuer is an https URL without query and fragment")
    if not CODE.fullmatch(provider.code) or provider.code == DEMO:
        raise _invalid("代号须为 2 到 32 个小写字母、数字或 -", "the code has 2 to 32 of a-z, 0-9 and -")
    if provider.method not in list(Method):
        raise _invalid("认证方式不支持", f"the method is one of {', '.join(Method)}")
    if provider.by_key == bool(provider.secret_file):
        zh = "密钥文件只用于 client_secret 方式，且必须有"
        raise _invalid(zh, "a secret file goes with a client_secret method, and only there")
    if not {provider.level, *provider.levels.values()} <= set(Level):
        raise _invalid("等级须为 low、substantial、high", f"a level is one of {', '.join(Level)}")
    usual = OFFICER_CLAIMS if provider.department else CITIZEN_CLAIMS
    if set(provider.claims) != set(usual):
        raise _invalid(f"声明只能有 {'、'.join(usual)}", f"the claims are {', '.join(usual)}")
    if "openid" not in provider.scope.split():
        raise _invalid("scope 须含 openid", "the scope holds openid")


async def _end_links(tx: Tx, department: str) -> None:
    mine = sa.select(officers.c.id).where(officers.c.department == department)
    await tx.run(
        sessions.update()
        .where(sessions.c.officer_id.in_(mine), sessions.c.provider.is_(None), sessions.c.ended_at.is_(None))
        .values(ended_at=tx.now)
    )


async def _record(tx: Tx, kind: str, provider: Provider) -> LeafRef:
    event: dict[str, Any] = {
        "v": 1,
        "event": kind,
        "provider": provider.code,
        "issuer": provider.issuer,
        "department": provider.department,
        "level": provider.level,
        "at": seconds(tx.now),
    }
    return await append(tx, kind=kind, event=event)


def _provider(row: sa.Row[Any]) -> Provider:
    return Provider(
        code=row.code,
        issuer=row.issuer,
        client_id=row.client_id,
        name_zh=row.name_zh,
        name_en=row.name_en,
        department=row.department,
        method=row.method,
        secret_file=row.secret_file,
        scope=row.scope,
        claims=row.claims,
        levels=row.levels,
        level=row.level,
        active=row.disabled_at is None,
    )


def _state(zh: str, en: str) -> Conflict:
    return Conflict("provider.state", zh, en)


def _invalid(zh: str, en: str) -> Malformed:
    return Malformed("provider.invalid", f"身份提供方的配置不对：{zh}。", f"The provider's settings: {en}.")
