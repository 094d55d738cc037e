"""Pages of a SOAP service: an envelope with places for page and size goes out, row elements come back.

Many services answer with XML inside a text element; `inside` names that element. Names are compared without
namespaces. A document type declaration is refused, and with it every entity.
"""

from xml.etree import ElementTree  # no declaration, no entities: see _parsed

import httpx

from adapters.model import HttpSource
from adapters.sources.pages import Page, odd


class Soap:
    """See `adapters.sources.pages.Dialect`."""

    def request(self, source: HttpSource, mark: str) -> httpx.Request:
        """The envelope for one page."""
        text = (source.body or "").replace("{page}", mark).replace("{size}", str(source.page_size))
        headers = {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{source.action}"'}
        return httpx.Request("POST", source.url, content=text.encode(), headers={**headers, **source.headers})

    def page(self, source: HttpSource, body: bytes) -> Page:
        """What the answer says."""
        root = _parsed(body)
        if _first(root, "Fault") is not None:
            raise odd("SOAP Fault")
        if source.inside is not None:
            holder = _first(root, source.inside)
            if holder is None or holder.text is None:
                raise odd(f"no {source.inside}")
            root = _parsed(holder.text.encode())
        rows = [
            {_name(cell): _text(cell) for cell in element}
            for element in root.iter()
            if _name(element) == source.rows
        ]
        total = _number(root, source.total) if source.total else None
        following = _first(root, source.following) if source.following else None
        return Page([*rows], total, (_text(following) if following is not None else None) or None)


def _parsed(body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise odd("document type declaration")
    try:
        return ElementTree.fromstring(body.lstrip())  # noqa: S314  # no declaration, no entities
    except (ElementTree.ParseError, ValueError, LookupError) as fault:
        raise odd("not XML") from fault


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _first(root: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next((element for element in root.iter() if _name(element) == name), None)


def _text(element: ElementTree.Element) -> str | None:
    nil = any(name.endswith("}nil") and said in ("true", "1") for name, said in element.attrib.items())
    return None if nil or element.text is None else element.text.strip()


def _number(root: ElementTree.Element, name: str) -> int:
    found = _first(root, name)
    text = _text(found) if found is not None else None
    if text is None or not text.isdigit():
        raise odd(f"no {name}")
    return int(text)
