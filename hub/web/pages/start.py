"""Where somebody begins who just came in, and the answer that lets them in."""

from starlette.responses import RedirectResponse, Response

from hub.registry.model import may
from hub.registry.officers import Officer
from hub.web.pages.cookies import put_cookie
from hub.web.pages.visit import Visit


def start_of(officer: Officer | None) -> str:
    """The page that they begin with: a citizen's certificates, the first thing that an officer's roles allow."""
    if officer is None:
        return "/wallet"
    for act, page in (
        ("counter.verify", "/counter"),
        ("certificates.upload", "/officer"),
        ("certificates.approve", "/officer"),
        ("accesses.search", "/auditor"),
        ("system.operate", "/admin"),
    ):
        if may(officer.roles, act):
            return page
    return "/"


def enter(visit: Visit, token: str, following: str) -> Response:
    """On to `following`, with the cookie of a session."""
    response = RedirectResponse(following, status_code=303, headers={"Cache-Control": "no-store"})
    put_cookie(response, visit.hub, "session", token, max_age=None)
    return response
