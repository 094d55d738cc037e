"""Our cookies: whole host, HttpOnly, SameSite=Lax, and under https Secure with the prefix `__Host-`."""

from starlette.responses import Response

from hub.web.deps import Hub


def cookie_name(hub: Hub, name: str) -> str:
    """`__Host-` binds a cookie to this very host and to https; without https browsers refuse that prefix."""
    return f"__Host-yimen-{name}" if _https(hub) else f"yimen-{name}"


def put_cookie(response: Response, hub: Hub, name: str, value: str, *, max_age: int | None) -> None:
    """Set one of our cookies: whole host, HttpOnly, SameSite=Lax, Secure under https."""
    response.set_cookie(
        cookie_name(hub, name), value, max_age=max_age, path="/", secure=_https(hub), httponly=True, samesite="lax"
    )


def drop_cookie(response: Response, hub: Hub, name: str) -> None:
    """Take one of our cookies away."""
    response.delete_cookie(cookie_name(hub, name), path="/", secure=_https(hub), httponly=True, samesite="lax")


def _https(hub: Hub) -> bool:
    return str(hub.settings.public_url).startswith("https:")
