"""A browser without JavaScript: cookies, links, and forms sent as the page wrote them. Nothing is known beforehand.

It sends what a person's browser would (hidden fields, the button that was pressed, `Origin`, `Sec-Fetch-Site`), so
what works here works on a phone with scripts switched off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx

from adapters.demo.telling import surprise

SEEN_BY_NOBODY = frozenset({"script", "style", "svg"})
BLOCKS = frozenset(
    {"p", "h1", "h2", "h3", "li", "dt", "dd", "div", "section", "tr", "td", "th", "form", "br"}
)


@dataclass(slots=True)
class Box:
    """A checkbox and what stands beside it: its label and the heading above it."""

    name: str
    value: str
    heading: str
    label: str = ""


@dataclass(slots=True)
class Form:
    """A form as the page offers it."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: where it is, what it says, where it leads."""

    url: str
    status: int
    html: str
    text: str
    links: tuple[str, ...]
    forms: tuple[Form, ...]

    @property
    def path(self) -> str:
        """Its path."""
        return urlsplit(self.url).path

    def form(self, action: str) -> Form:
        """The first form that goes to a path that begins so; a page without it is a surprise."""
        for one in self.forms:
            if urlsplit(one.action).path.startswith(action):
                return one
        return surprise(
            f"页面 {self.path}（{self.status}）没有 {action} 的表单", f"{self.path} has no form for {action}"
        )

    def links_to(self, beginning: str) -> list[str]:
        """Links whose path begins so, each once, in order."""
        return list(dict.fromkeys(link for link in self.links if urlsplit(link).path.startswith(beginning)))

    def says(self, *words: str) -> bool:
        """Whether all these words stand on the page."""
        return all(word in self.text for word in words)


class Browser:
    """One person at one browser."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._http = httpx.Client(
            base_url=base,
            follow_redirects=True,
            timeout=60,
            headers={"accept": "text/html,application/xhtml+xml", "accept-language": "zh-CN,zh;q=0.9"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def open(self, address: str) -> Page:
        """Follow a link or type an address."""
        return _page(self._http.get(address, headers={"sec-fetch-site": "same-origin"}))

    def download(self, address: str) -> bytes:
        """What a link gives, as it is; anything but 200 is a surprise."""
        answer = self._http.get(address)
        if answer.status_code != 200:
            surprise(f"下载失败（{answer.status_code}）", f"a download answered {answer.status_code}")
        return answer.content

    def send(
        self,
        form: Form,
        *,
        button: str = "",
        tick: Callable[[Box], bool] | None = None,
        fill: Mapping[str, str] | None = None,
        file: tuple[str, str, bytes, str] | None = None,
    ) -> Page:
        """Fill a form in, tick what `tick` says, press the button with that value, and see where it leads.

        `file` is (field, file name, content, media type).
        """
        filled = dict(fill or {})
        data: dict[str, list[str]] = {}
        for name, value in form.fields:
            data.setdefault(name, []).append(filled.pop(name, value))
        for name, value in filled.items():
            if name not in form.choices or value in form.choices[name]:
                data[name] = [value]
            else:
                surprise(f"表单没有这个选项：{name}", f"the form offers no such choice: {name}")
        for box in form.boxes:
            if tick is not None and tick(box):
                data.setdefault(box.name, []).append(box.value)
        pressed = [one for one in form.buttons if not button or one[1] == button]
        if not pressed:
            surprise(f"表单没有这个按钮：{button}", f"the form has no such button: {button}")
        if pressed[0][0]:
            data[pressed[0][0]] = [pressed[0][1]]
        headers = {"origin": self.base, "referer": form.action, "sec-fetch-site": "same-origin"}
        files = {file[0]: file[1:]} if file else None
        if form.method == "get":
            return _page(self._http.get(form.action, params=data, headers=headers))
        return _page(self._http.post(form.action, data=data, files=files, headers=headers))


def _page(answer: httpx.Response) -> Page:
    reader = _Reader(str(answer.url))
    reader.feed(answer.text)
    text = "\n".join(line for line in ("".join(reader.text).replace("\xa0", " ")).split("\n") if line.strip())
    return Page(
        str(answer.url), answer.status_code, answer.text, text, tuple(reader.links), tuple(reader.forms)
    )


class _Reader(HTMLParser):
    """Reads what a person can see and use."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.url = url
        self.text: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._hidden = 0
        self._heading = ""
        self._in_heading = False
        self._box: Box | None = None
        self._button: list[str] | None = None
        self._select: tuple[str, list[str], str] | None = None
        self._textarea: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        found = {name: value or "" for name, value in attrs}
        if tag in SEEN_BY_NOBODY:
            self._hidden += 1
        if tag in BLOCKS:
            self.text.append("\n")
        if tag in ("h2", "h3"):
            self._heading, self._in_heading = "", True
        if tag == "a" and "href" in found:
            self.links.append(urljoin(self.url, found["href"]))
        if tag == "form":
            action = urljoin(self.url, found.get("action", self.url))
            self._form = Form(action, found.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is not None:
            self._in_form(self._form, tag, found)

    def _in_form(self, form: Form, tag: str, found: dict[str, str]) -> None:
        name, kind = found.get("name", ""), found.get("type", "text")
        if tag == "input" and "disabled" not in found:
            if kind in ("checkbox", "radio"):
                self._box = Box(name, found.get("value", "on"), self._heading)
                form.boxes.append(self._box)
            elif kind != "file" and name:
                form.fields.append((name, found.get("value", "")))
        elif tag == "textarea" and name:
            form.fields.append((name, ""))
        elif tag == "select":
            self._select = (name, [], "")
        elif tag == "option" and self._select is not None:
            value = found.get("value", "")
            self._select[1].append(value)
            if "selected" in found:
                self._select = (*self._select[:2], value)
        elif tag == "button":
            self._button = [name, found.get("value", "")]

    def handle_endtag(self, tag: str) -> None:
        """A tag closes."""
        if tag in SEEN_BY_NOBODY:
            self._hidden = max(0, self._hidden - 1)
        if tag in ("h2", "h3"):
            self._in_heading = False
        if tag == "label":
            self._box = None
        if tag == "form":
            self._form = None
        if tag == "button" and self._button is not None and self._form is not None:
            name, value, *words = self._button
            self._form.buttons.append((name, value, "".join(words).strip()))
            self._button = None
        if tag == "select" and self._select is not None and self._form is not None:
            name, values, chosen = self._select
            self._form.choices[name] = values
            self._form.fields.append((name, chosen or (values[0] if values else "")))
            self._select = None

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if self._hidden:
            return
        self.text.append(data)
        if self._in_heading:
            self._heading += data.strip()
        if self._box is not None:
            self._box.label += data.strip()
        if self._button is not None:
            self._button.append(data)
