"""Where a department's own pages take a browser back after consent: registered beforehand, compared as written."""

import re
from urllib.parse import urlsplit

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import HubError, Malformed
from hub.ledger.append import append
from hub.registry import departments
from hub.registry.model import redirect_uris
from hub.store.tx import Tx, View

_PLAIN = re.compile(r"[\x21\x24-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]{1,512}")
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})


async def allow(tx: Tx, *, department: str, uri: str) -> None:
    """Let browsers come back to `uri` of this department; a cleartext leaf says so. Twice is the same as once.

    https only, http for a program on the person's own machine (RFC 8252 section 7.3); no fragment, no user
    information. Raises Malformed `redirect.uri`, NotFound `department.unknown`.
    """
    await departments.get(tx, department)
    _check(uri)
    row = {"department": department, "uri": uri, "since": tx.now}
    if await tx.insert_new(redirect_uris, row):
        event = {
            "v": 1,
            "event": "department.redirect_allowed",
            "department": department,
            "uri": uri,
            "at": seconds(tx.now),
            "by": tx.actor.reference(),
        }
        await append(tx, kind="department.redirect_allowed", event=event)


async def allowed(view: View, *, department: str, uri: str) -> bool:
    """Whether browsers may be sent to exactly this address for this department."""
    row = redirect_uris.c
    query = sa.select(row.uri).where(row.department == department, row.uri == uri)
    return await view.value(query) is not None


async def of_department(view: View, *, department: str) -> list[str]:
    """All addresses of a department, in order."""
    row = redirect_uris.c
    found = await view.all(sa.select(row.uri).where(row.department == department).order_by(row.uri))
    return [one.uri for one in found]


def _check(uri: str) -> None:
    if not _PLAIN.fullmatch(uri):
        raise _refuse()
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    except ValueError as fault:
        raise _refuse() from fault
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not secure or not host or "@" in parts.netloc or "#" in uri:
        raise _refuse()


def _refuse() -> HubError:
    return Malformed(
        "redirect.uri",
        "回跳地址须是完整的 https 地址，不含用户信息和 # 片段。",
        "A redirect URI is a whole https address without user information and fragment.",
        next_zh="例如 https://edu.example.gov.cn/yimen/back。",
        next_en="For example https://edu.example.gov.cn/yimen/back.",
    )
