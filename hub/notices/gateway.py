"""Text messages by whatever HTTP gateway there is: one YAML file says what it is told, and when it took the message.

    url: https://sms.example.gov.cn/v2/send
    method: POST                     # POST or PUT; GET would put a phone number into addresses
    headers: {Authorization: "Bearer ${TOKEN}"}
    secrets: sms.secrets             # beside this file, mode 0600, lines NAME=value; used as ${NAME}
    encoding: json                   # or form
    body: {mobile: "${phone}", content: "${text}", requestId: "${id}"}
    success: {status: [200], member: result.code, equals: "0"}

`${phone}` is E.164; `${national}` is the same without +86. `${id}` stays the same through retries: a gateway that keeps
to it sends once. The answer is judged and thrown away; nothing of it reaches a log.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from hub.errors import Malformed
from hub.formats import jws
from hub.notices.message import SENT, Attempt, Message

SECONDS = 15.0
ANSWER_BYTES = 64 * 1024
_MEMBERS = frozenset({"url", "method", "headers", "secrets", "encoding", "body", "success"})
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OF_MESSAGE = frozenset({"phone", "national", "text", "id"})


@dataclass(frozen=True, slots=True)
class Success:
    """When a message counts as taken: one of these statuses, and, if named, a member of the JSON answer."""

    status: tuple[int, ...] = (200,)
    member: tuple[str, ...] = ()
    equals: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway, as its file describes it."""

    url: str
    method: str
    headers: Mapping[str, str] = field(repr=False)
    encoding: str
    body: Mapping[str, Any] = field(repr=False)
    success: Success
    http: httpx.AsyncClient = field(repr=False)

    async def send(self, message: Message) -> Attempt:
        """One call. 4xx other than 408, 425 and 429 will not be better next time."""
        values = {
            "phone": message.to,
            "national": message.to.removeprefix("+86"),
            "text": message.text,
            "id": message.id,
        }
        body = _fill(self.body, values)
        sent: dict[str, Any] = {"json": body} if self.encoding == "json" else {"data": body}
        try:
            async with self.http.stream(self.method, self.url, headers=dict(self.headers), **sent) as answer:
                said = b""
                async for part in answer.aiter_bytes():
                    said += part
                    if len(said) > ANSWER_BYTES:
                        return Attempt(sent=False, fault="gateway.answer")
        except httpx.HTTPError:
            return Attempt(sent=False, fault="gateway.away")
        if answer.status_code not in self.success.status:
            for_good = 400 <= answer.status_code < 500 and answer.status_code not in (408, 425, 429)
            return Attempt(sent=False, fault=f"gateway.status_{answer.status_code}", for_good=for_good)
        return SENT if self._took(said) else Attempt(sent=False, fault="gateway.refused")

    def _took(self, said: bytes) -> bool:
        if not self.success.member:
            return True
        try:
            found: Any = jws.loads(said, max_bytes=ANSWER_BYTES)
            for name in self.success.member:
                found = found[name]
        except (Malformed, LookupError, TypeError):
            return False
        return str(found) == self.success.equals


def load_gateway(path: Path, http: httpx.AsyncClient) -> Gateway:
    """Read a gateway's file. ValueError that names what is wrong, and never a secret or the file's values."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as fault:
        raise ValueError(f"sms_gateway_file: cannot be read: {type(fault).__name__}") from None
    if not isinstance(raw, dict) or raw.keys() - _MEMBERS or not {"url", "body"} <= raw.keys():
        raise ValueError(f"sms_gateway_file: members are {', '.join(sorted(_MEMBERS))}; url and body are needed")
    method, encoding = str(raw.get("method", "POST")), str(raw.get("encoding", "json"))
    if method not in ("POST", "PUT") or encoding not in ("json", "form"):
        raise ValueError("sms_gateway_file: method is POST or PUT, encoding is json or form")
    if urlsplit(str(raw["url"])).scheme not in ("https", "http") or "${" in str(raw["url"]):
        raise ValueError("sms_gateway_file: url is an https address without placeholders")
    known = _secrets(path.parent / str(raw["secrets"])) if raw.get("secrets") else {}
    unknown = set(_NAME.findall(repr(raw))) - known.keys() - _OF_MESSAGE
    if unknown:
        raise ValueError(f"sms_gateway_file: unknown placeholders: {', '.join(sorted(unknown))}")
    headers = {str(name): str(_fill(value, known)) for name, value in (raw.get("headers") or {}).items()}
    return Gateway(
        str(raw["url"]), method, headers, encoding, _fill(raw["body"], known), _success(raw.get("success") or {}), http
    )


def _success(raw: Mapping[str, Any]) -> Success:
    status = raw.get("status", 200)
    member = str(raw.get("member", ""))
    return Success(
        tuple(status) if isinstance(status, list) else (int(status),),
        tuple(member.split(".")) if member else (),
        str(raw.get("equals", "")),
    )


def _secrets(path: Path) -> dict[str, str]:
    try:
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            raise ValueError("sms_gateway_file: the secrets must be readable by their owner alone (chmod 600)")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        raise ValueError("sms_gateway_file: the file of secrets cannot be read") from None
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _fill(thing: Any, values: Mapping[str, str]) -> Any:
    """The same shape with its placeholders filled in; what is not among `values` is left for later."""
    if isinstance(thing, str):
        return _NAME.sub(lambda match: values.get(match[1], match[0]), thing)
    if isinstance(thing, Mapping):
        return {str(name): _fill(value, values) for name, value in thing.items()}
    if isinstance(thing, list):
        return [_fill(value, values) for value in thing]
    return thing
