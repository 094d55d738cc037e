"""Turns a template and a visit into one HTML answer with its headers; the only place that knows Jinja.

Autoescape is always on and no template marks data as safe. Every answer carries a fresh nonce and the strict
policy below, although no page needs a script yet.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse

from hub.catalogue.items import ServiceItem
from hub.clock import SHANGHAI
from hub.registry.types import CertificateType
from hub.web.pages import casewords, words

if TYPE_CHECKING:
    from hub.web.pages.visit import Visit

HERE = Path(__file__).parent
STATIC = HERE / "static"


def policy(nonce: str, form_to: str = "") -> str:
    """The Content-Security-Policy of every page: nothing from elsewhere, nothing inline, no frames around it.

    `form_to` is the one other origin to which a form of this page may lead on.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
        f"form-action 'self'{' ' * bool(form_to)}{form_to}; frame-ancestors 'none'; base-uri 'none'"
    )


@pass_context
def t(context: Context, zh: str, en: str) -> str:
    """The text in the visitor's language; both stand side by side, so that none can be missing."""
    return str(context["v"].t(zh, en))


@pass_context
def _name(context: Context, thing: Any) -> str:
    """The `zh`/`en` text of a Word, of a (zh, en) pair, or of a display mapping, in the visitor's language."""
    visit = context["v"]
    if isinstance(thing, Mapping):
        return str(thing.get(visit.lang) or thing.get("zh-CN") or thing.get("zh") or "")
    if isinstance(thing, tuple):
        return str(visit.t(*thing))
    return str(visit.t(thing.zh, thing.en))


@pass_context
def _when(context: Context, moment: datetime) -> str:
    return words.when(moment, context["v"].lang)


def _clock_time(moment: datetime) -> str:
    return f"{moment.astimezone(SHANGHAI):%H:%M:%S}"


@pass_context
def _day(context: Context, value: date) -> str:
    return words.day(value, context["v"].lang)


@pass_context
def _last_day(context: Context, until: datetime) -> str:
    return words.last_day(until, context["v"].lang)


def _type_name(code: str, types: Mapping[str, CertificateType], lang: str) -> str:
    return types[code].label(lang) if code in types else code


def _item_name(code: str, items: Mapping[str, ServiceItem], lang: str) -> str:
    return items[code].label(lang) if code in items else code


def _claim_name(path: tuple[str | int | None, ...], kind: CertificateType, lang: str) -> str:
    return kind.claim_label(path, lang)


def inline_svg(picture: bytes) -> Markup:
    """A picture that this hub drew itself, to stand in a page: only the one path of it, in an `svg` of ours."""
    box = re.search(rb'viewBox="([0-9. ]+)"', picture)
    path = re.search(rb'<path [^>]*?d="([MLHVZmlhvz0-9., ]+)"', picture)
    if box is None or path is None:
        raise ValueError("not a picture of ours")
    return Markup(
        '<svg class="code" viewBox="{}" role="presentation" aria-hidden="true" focusable="false"><path d="{}"/></svg>'
    ).format(box[1].decode(), path[1].decode())


@cache
def environment() -> Environment:
    """The templates of the hub, strict: a name that is missing fails instead of printing nothing."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {"t": t, "words": words, "casewords": casewords, "style": f"/static/site.css?{_digest('site.css')}"}
    env.filters |= {"name": _name, "when": _when, "day": _day, "last_day": _last_day, "clock_time": _clock_time}
    env.filters |= {"item_name": _item_name, "type_name": _type_name, "claim_name": _claim_name}
    return env


def _digest(name: str) -> str:
    """A short hash of a static file, so that browsers may keep it for ever."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def render(
    visit: "Visit", template: str, *, status: int = 200, form_to: str = "", **context: Any
) -> HTMLResponse:
    """One whole page for this visit, never kept by any cache, with the policy and the visitor's cookies set."""
    nonce = secrets.token_urlsafe(16)
    body = environment().get_template(template).render(v=visit, nonce=nonce, **context)
    response = HTMLResponse(body, status_code=status)
    response.headers["Content-Security-Policy"] = policy(nonce, form_to)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Language"] = visit.lang
    response.headers["Vary"] = "Cookie, Accept-Language"
    visit.set_cookies(response)
    return response
