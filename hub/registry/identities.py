"""Whom an account of an identity provider means: a person by their identity number, an officer by their login.

Roles never come from a provider: it says who somebody is, the registry says what they may do. An account stays with
whom it meant at first; a provider that lets it mean somebody else is refused until an administrator looked into it.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.errors import Conflict, Forbidden, HubError, Unauthenticated
from hub.formats.identifiers import RESIDENT_TYPE
from hub.registry import officers, subjects
from hub.registry.model import Level, SubjectKind, identities, reaches
from hub.registry.officers import Officer
from hub.registry.providers import Provider
from hub.store.tx import Tx, View

LEAST = Level.SUBSTANTIAL
"""A sign-in that is less sure than this is nobody's: it could speak for another provider's people."""


def account_of(view: View, provider: Provider, sub: str) -> bytes:
    """How an account rests: HMAC of provider and `sub`."""
    return view.vault.blind("identity", f"{provider.code}\n{sub}")


def provider_session_of(view: View, provider: Provider, sid: str) -> bytes:
    """How a provider's own session id rests."""
    return view.vault.blind("identity.session", f"{provider.code}\n{sid}")


async def citizen(tx: Tx, *, provider: Provider, sub: str, level: Level, claims: Mapping[str, Any]) -> UUID:
    """The person that this account is, by the identity number that the provider vouches for.

    1. The provider signs citizens in, at a level that counts. 2. The number leads to a person, who is made where
    nobody knows them yet: the same number from another provider leads to the same person. 3. The account meant nobody
    else before. Raises Forbidden `login.audience`, `login.level`, `login.other_person`, Unauthenticated
    `login.claims`, and what `subjects.resolve` raises.
    """
    if provider.department is not None:
        raise _wrong_audience()
    require_level(level)  # 1
    id_no = _said(claims, provider.claims["id_no"])
    id_type = _said(claims, provider.claims["id_type"]) if provider.claims["id_type"] else RESIDENT_TYPE
    person = await subjects.resolve(tx, id_type=id_type, id_no=id_no, kind=SubjectKind.NATURAL)  # 2
    name = claims.get(provider.claims["name"])
    if isinstance(name, str) and name and await subjects.face(tx, person) is None:
        await subjects.remember_face(tx, subject_id=person, name=name[:64], id_type=id_type, id_no=id_no)
    row = {"provider": provider.code, "account": account_of(tx, provider, sub), "subject_id": person, "since": tx.now}
    if not await tx.insert_new(identities, row):  # 3
        before = await tx.value(sa.select(identities.c.subject_id).where(_is(row)))
        if before is None or await subjects.canonical(tx, before) != person:
            raise Forbidden(
                "login.other_person",
                "这个登录账号以前属于另一个人，为安全起见不能登录。",
                "This account meant somebody else before, so it lets nobody in.",
                next_zh="请到窗口核实身份，由身份提供方更正。",
                next_en="Have your identity checked at a counter, and the provider's record corrected.",
            )
    return person


async def officer(tx: Tx, *, provider: Provider, sub: str, claims: Mapping[str, Any]) -> Officer:
    """The active officer of the provider's own department that this account is.

    The first account that names an officer is theirs; another one that names the same login is refused. Raises
    Forbidden `login.audience`, `login.unknown_officer`, `login.other_account`, Unauthenticated `login.claims`.
    """
    if provider.department is None:
        raise _wrong_audience()
    login = _said(claims, provider.claims["login"])
    found = await officers.by_login(tx, provider.department, login)
    if found is None or not found.active or not await officers.roles_of(tx, found.id):
        raise Forbidden(
            "login.unknown_officer",
            "本平台没有登记您为这个部门的在岗工作人员，不能登录。",
            "You are not registered here as an active officer of this department.",
            next_zh="请平台管理员用 yimen officer import 登记，或核对登录名。",
            next_en="Ask an administrator to register you: yimen officer import",
        )
    account = account_of(tx, provider, sub)
    row = {"provider": provider.code, "account": account, "officer_id": found.id, "since": tx.now}
    if not await tx.insert_new(identities, row):
        mine = await tx.value(sa.select(identities.c.officer_id).where(_is(row)))
        if mine != found.id:
            raise Forbidden(
                "login.other_account",
                "这个工作人员已绑定另一个登录账号，或这个账号已属于另一名工作人员。",
                "This officer is bound to another account, or this account to another officer.",
                next_zh="确认换了账号后，请平台管理员运行 yimen officer unlink。",
                next_en="When the account really changed, an administrator runs: yimen officer unlink",
            )
    return found


async def unlink(tx: Tx, *, officer_id: UUID) -> int:
    """Forget which accounts an officer had: the next sign-in binds anew. How many; Conflict `login.not_linked`."""
    done = await tx.run(identities.delete().where(identities.c.officer_id == officer_id))
    if not done:
        raise Conflict("login.not_linked", "该工作人员没有绑定账号。", "This officer is bound to no account.")
    return done


def require_level(level: str, wanted: Level = LEAST) -> None:
    """Forbidden `login.level` for a sign-in that is less sure than `wanted`."""
    if not reaches(level, wanted):
        raise Forbidden(
            "login.level",
            "这次登录的实名等级不够，不能继续。",
            "This sign-in is not sure enough of who you are.",
            next_zh="请在身份提供方改用更高等级的方式（如人脸核验）登录后再试。",
            next_en="Sign in again at your provider with a stronger method.",
        )


def _is(row: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(identities.c.provider == row["provider"], identities.c.account == row["account"])


def _said(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise Unauthenticated(
            "login.claims",
            f"身份提供方没有给出需要的信息（{name}）。",
            f"The provider did not say what is needed ({name}).",
            next_zh="请平台管理员核对该身份提供方的声明映射：yimen idp list。",
            next_en="An administrator checks the provider's claims: yimen idp list",
        )
    return value


def _wrong_audience() -> HubError:
    return Forbidden(
        "login.audience",
        "这个身份提供方不能办理这类登录。",
        "This provider does not sign in people of this kind.",
    )

