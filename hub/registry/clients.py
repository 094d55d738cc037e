"""Which department is calling: the client keys with which active departments authenticate now."""

import sqlalchemy as sa

from hub.errors import Unauthenticated
from hub.registry.keys import DepartmentKey, from_row
from hub.registry.model import DepartmentState, KeyPurpose, department_keys, departments
from hub.store.tx import View
from keys.public import PublicKey


async def client_key(view: View, *, department: str, kid: str) -> PublicKey:
    """The key with which an active department authenticates now; every failure is told alike.

    Raises Unauthenticated `client.unknown`.
    """
    found = await of_active(view, department=department, kid=kid)
    if not found.stands_at(view.now):
        raise unknown_client()
    return PublicKey.from_jwk(found.jwk)


async def of_active(view: View, *, department: str, kid: str) -> DepartmentKey:
    """A client key of an active department, with its whole life. Raises Unauthenticated `client.unknown`."""
    row = await view.first(
        sa.select(department_keys)
        .join(departments, departments.c.slug == department_keys.c.department)
        .where(
            department_keys.c.kid == kid,
            department_keys.c.department == department,
            department_keys.c.purpose == KeyPurpose.CLIENT,
            departments.c.state == DepartmentState.ACTIVE,
        )
    )
    if row is None:
        raise unknown_client()
    return from_row(row)


def unknown_client() -> Unauthenticated:
    """Who is calling cannot be told, or may not call."""
    return Unauthenticated(
        "client.unknown",
        "无法确认调用方部门的身份。",
        "The calling department could not be authenticated.",
        next_zh="请确认部门代号、客户端密钥是否已登记且有效，部门是否被暂停。",
        next_en="Check the department slug, whether its client key is registered and valid, and that it is active.",
    )


async def client_owner(view: View, *, kid: str) -> str:
    """The slug of the active department whose standing client key this is. Raises Unauthenticated `client.unknown`."""
    slug = await view.value(
        sa.select(department_keys.c.department).where(
            department_keys.c.kid == kid, department_keys.c.purpose == KeyPurpose.CLIENT
        )
    )
    await client_key(view, department=slug or "", kid=kid)
    return str(slug)
