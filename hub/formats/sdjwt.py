"""SD-JWT (RFC 9901) and the profile of SD-JWT VC that certificates follow.

A certificate is `<issuer JWT>~<disclosure>~...~`. Claims that stand in a disclosure can be left out of a copy without
hurting the issuer's signature; everything else is always visible. Presentations of one certificate are linkable.
"""

import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from hub.errors import Malformed, TooLarge, Unprocessable
from hub.formats import jws
from keys import base64url
from keys.signer import Signer

TYP = "dc+sd-jwt"
MAX_BYTES = 512 * 1024
MAX_DISCLOSURES = 256
NEVER_SELECTIVE = frozenset({"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"})
"""Claims that must be visible in every copy, with everything inside them (SD-JWT VC section 2.2.2.2)."""

_RESERVED = frozenset({"_sd", "...", "_sd_alg"})

Path = tuple[str | int | None, ...]
"""A claim path: names, indices, and None for every element of an array."""


@dataclass(frozen=True, slots=True)
class SD:
    """Marks a claim or an array element that the holder may leave out. May hold further `SD` values."""

    value: Any


@dataclass(frozen=True, slots=True)
class SdJwt:
    """The parts of an SD-JWT as received; nothing is verified. `kb_jwt` is the key binding, if one came along."""

    issuer_jwt: str
    disclosures: tuple[str, ...]
    kb_jwt: str | None

    def __str__(self) -> str:
        return "~".join((self.issuer_jwt, *self.disclosures, self.kb_jwt or ""))

    @property
    def bound_part(self) -> str:
        """Everything before the key binding, with the last `~`: what `sd_hash` covers (RFC 9901 section 4.3.1)."""
        return "~".join((self.issuer_jwt, *self.disclosures, ""))


@dataclass(frozen=True, slots=True)
class Processed:
    """A verified SD-JWT. `payload` has the disclosed claims in place and no trace of the others.

    `disclosed` maps the path of each disclosed claim, as it stands in `payload`, to its disclosure.
    `signing_input_hash` is the SHA-256 (32 bytes) by which a certificate is known, whatever was left out.
    """

    payload: dict[str, Any]
    header: dict[str, Any]
    kid: str
    disclosed: dict[Path, str]
    signing_input_hash: bytes


def _refuse(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"sdjwt.{code}", zh, en)


# ---------------------------------------------------------------- reading


def parse(token: str, max_bytes: int = MAX_BYTES) -> SdJwt:
    """Split a compact SD-JWT (RFC 9901 section 4) without verifying it.

    Raises `TooLarge` above `max_bytes` or 256 disclosures, `Malformed` ("sdjwt.form") for another shape.
    """
    if not isinstance(token, str) or not token.isascii():
        raise _refuse("form", "证照不是 ASCII 文本", "the SD-JWT is not ASCII text")
    if len(token) > max_bytes:
        raise TooLarge("sdjwt.too_large", "证照数据过大", "the SD-JWT is too large")
    issuer_jwt, *disclosures = token.split("~")
    if not disclosures:
        raise _refuse("form", "证照缺少结尾的波浪号", "the final ~ of the SD-JWT is missing")
    kb_jwt = disclosures.pop()
    if not issuer_jwt or not all(disclosures):
        raise _refuse("form", "证照有空的部分", "a part of the SD-JWT is empty")
    if len(disclosures) > MAX_DISCLOSURES:
        raise TooLarge("sdjwt.too_many_disclosures", "披露项过多", "there are too many disclosures")
    return SdJwt(issuer_jwt, tuple(disclosures), kb_jwt or None)


def signing_input_hash(token: str) -> bytes:
    """SHA-256 of `header.payload` as signed: the same for every copy, whatever it discloses."""
    signing_input, dot, _signature = token.partition("~")[0].rpartition(".")
    if not dot or not signing_input.isascii():
        raise _refuse("form", "证照格式错误", "this is not an SD-JWT")
    return hashlib.sha256(signing_input.encode("ascii")).digest()


def verify(
    token: str | SdJwt,
    *,
    key: jws.KeySource,
    now: int,
    typ: str = TYP,
    require_kb: bool = False,
    skew: int = jws.SKEW,
) -> Processed:
    """Verify an SD-JWT as a certificate (RFC 9901 section 7, SD-JWT VC section 2.4); abort at the first failure.

    1. Shape and size. 2. Key binding by the caller's policy: a missing one is refused when required, one that
    nobody asked for is refused too, so that it is never mistaken for checked. When it is required use
    `keybinding.verify`, which also checks it. 3. Header `typ`, `alg`; `key` belongs to the issuer. 4. Signature.
    5-6. Disclosures, by `process`. 7. The profile: `vct`, `iss`, `status`, `exp`, and the times at `now` (seconds), on
    the processed payload. Status, ledger and whether this issuer may issue this `vct` are the caller's checks.
    Raises `Malformed`, `TooLarge`, or `Unprocessable` for times and unknown keys.
    """
    parts = token if isinstance(token, SdJwt) else parse(token)  # 1
    if require_kb and parts.kb_jwt is None:  # 2
        raise _refuse("kb_missing", "缺少持有人密钥绑定", "key binding is required and missing")
    if not require_kb and parts.kb_jwt is not None:
        raise _refuse("kb_unexpected", "不应带有密钥绑定", "a key binding that nobody asked for")
    signed = jws.verify(parts.issuer_jwt, typ=typ, key=key)  # 3, 4
    payload, disclosed = process(signed.payload, parts.disclosures)  # 5, 6
    _require_profile(payload, require_kb)  # 7
    jws.check_times(payload, now=now, skew=skew)
    digest = hashlib.sha256(signed.signing_input).digest()
    return Processed(payload, signed.header, signed.kid, disclosed, digest)


def process(payload: Mapping[str, Any], disclosures: Sequence[str]) -> tuple[dict[str, Any], dict[Path, str]]:
    """Put the disclosures in place (RFC 9901 section 7.1 steps 3 to 6); the signature is the caller's matter.

    Returns the processed payload and, by path, the disclosures that went into it. Each rule that is broken has its
    own `Malformed` code "sdjwt.*"; nothing is returned then.
    """
    if payload.get("_sd_alg", "sha-256") != "sha-256":
        raise _refuse("sd_alg", "不支持的摘要算法", "the only digest algorithm accepted is sha-256")
    walk = _Walk(disclosures)
    result = walk.object({k: v for k, v in payload.items() if k != "_sd_alg"}, ())
    if len(walk.used) != len(disclosures):
        raise _refuse(
            "disclosure_unreferenced", "有未被引用的披露项", "a disclosure is referred to by nothing"
        )
    return result, walk.used


def _read_disclosure(text: str) -> list[Any]:
    """[salt, name, value] or [salt, value] (RFC 9901 section 4.2); names are judged where they are used."""
    try:
        raw = base64url.decode(text)
    except ValueError as fault:
        raise _refuse("disclosure_base64", "披露项编码不规范", "a disclosure is not base64url") from fault
    value = jws.loads(raw, max_bytes=MAX_BYTES)
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise _refuse(
            "disclosure_arity", "披露项应为二元或三元数组", "a disclosure has two or three elements"
        )
    if not isinstance(value[0], str):
        raise _refuse("disclosure_salt", "披露项的盐不是字符串", "the salt of a disclosure is not a string")
    return value


class _Walk:
    """One pass over a payload: finds digests, puts values in place, remembers what was met."""

    __slots__ = ("found", "seen", "used")

    def __init__(self, disclosures: Sequence[str]) -> None:
        self.found: dict[str, tuple[str, list[Any]]] = {}
        self.seen: set[str] = set()
        self.used: dict[Path, str] = {}
        for text in disclosures:
            digest = _digest(text)
            if digest in self.found:
                raise _refuse("disclosure_repeated", "披露项重复", "the same disclosure came twice")
            self.found[digest] = (text, _read_disclosure(text))

    def take(self, digest: Any) -> tuple[str, list[Any]] | None:
        """The disclosure for an embedded digest, None for a decoy or a claim that was left out."""
        if not isinstance(digest, str):
            raise _refuse("digest_form", "摘要不是字符串", "a digest is not a string")
        if digest in self.seen:
            raise _refuse("digest_repeated", "同一摘要出现两次", "a digest stands in the SD-JWT twice")
        self.seen.add(digest)
        return self.found.get(digest)

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self.object(value, path)
        if isinstance(value, list):
            return self.array(value, path)
        return value

    def object(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, item in value.items():
            if name == "_sd":
                continue
            if name in _RESERVED:
                raise _refuse(
                    "reserved_name", "保留名称出现在不允许的位置", "a reserved name in a wrong place"
                )
            if not path and name in NEVER_SELECTIVE:
                _require_visible(item)
                result[name] = item
            else:
                result[name] = self.value(item, (*path, name)) if isinstance(item, dict | list) else item
        if "_sd" in value:
            self.members(value["_sd"], result, path)
        return result

    def members(self, digests: Any, result: dict[str, Any], path: Path) -> None:
        """Insert the disclosed members of one object."""
        if not isinstance(digests, list):
            raise _refuse("sd_form", "_sd 不是数组", "_sd is not an array of strings")
        for digest in digests:
            match = self.take(digest)
            if match is None:
                continue
            text, disclosure = match
            if len(disclosure) != 3:
                raise _refuse(
                    "disclosure_kind", "数组元素的披露项用在对象中", "an element disclosure in an object"
                )
            name, item = disclosure[1], disclosure[2]
            if not isinstance(name, str):
                raise _refuse("name_form", "披露的声明名不是字符串", "a claim name is not a string")
            if name in _RESERVED:
                raise _refuse(
                    "name_reserved", "披露的声明名是保留名称", "a disclosed claim has a reserved name"
                )
            if name in result:
                raise _refuse(
                    "name_taken", "披露的声明与已有声明重名", "a disclosed claim would replace another"
                )
            if not path and name in NEVER_SELECTIVE:
                raise _refuse(
                    "never_selective", "该声明必须始终可见", "this claim must be visible in every copy"
                )
            here = (*path, name)
            self.used[here] = text
            result[name] = self.value(item, here)

    def array(self, value: list[Any], path: Path) -> list[Any]:
        result: list[Any] = []
        for item in value:
            if not isinstance(item, dict) or "..." not in item:
                result.append(self.value(item, (*path, len(result))))
                continue
            if len(item) != 1:
                raise _refuse(
                    "element_form", "数组元素占位符含有其他键", "an element placeholder has another key"
                )
            match = self.take(item["..."])
            if match is None:
                continue
            text, disclosure = match
            if len(disclosure) != 2:
                raise _refuse(
                    "disclosure_kind", "对象成员的披露项用在数组中", "a member disclosure in an array"
                )
            here = (*path, len(result))
            self.used[here] = text
            result.append(self.value(disclosure[1], here))
        return result


def _require_visible(value: Any) -> None:
    """Nothing inside a never-selective claim may be hidden, disclosed or not."""
    if isinstance(value, dict):
        if not _RESERVED.isdisjoint(value):
            raise _refuse("never_selective", "该声明必须始终可见", "this claim must be visible in every copy")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _require_visible(item)


def _require_profile(payload: Mapping[str, Any], bound: bool) -> None:
    vct = payload.get("vct")
    if not isinstance(vct, str) or not vct:
        raise _refuse("vct", "证照缺少类型 vct", "vct is missing or not a string")
    iss = payload.get("iss")
    if not isinstance(iss, str) or not is_issuer_url(iss):
        raise _refuse("iss", "证照缺少签发者或其格式错误", "iss is missing or not a plain https URL")
    if payload.get("exp") is None and "status" not in payload:
        raise _refuse("unlimited", "证照既无到期时间也无状态", "exp and status are both missing")
    if "status" in payload:
        status_reference(payload)
    if bound and not (isinstance(payload.get("cnf"), dict) and isinstance(payload["cnf"].get("jwk"), dict)):
        raise _refuse("cnf", "证照未绑定持有人密钥", "the certificate is bound to no holder key")


def status_reference(payload: Mapping[str, Any]) -> tuple[str, int] | None:
    """(uri, index) of the status list entry, None when there is no `status`; `Malformed` for another shape."""
    if "status" not in payload:
        return None
    entry = payload["status"].get("status_list") if isinstance(payload["status"], dict) else None
    if isinstance(entry, dict):
        idx, uri = entry.get("idx"), entry.get("uri")
        if type(idx) is int and idx >= 0 and isinstance(uri, str) and uri:
            return uri, idx
    raise _refuse("status", "证照的状态引用格式错误", "status.status_list is not {idx, uri}")


@lru_cache(maxsize=1024)
def is_issuer_url(text: str) -> bool:
    """Whether `text` is an https URL with a host and without user, query or fragment (our profile of `iss`).

    Plain http is accepted for names that cannot be public (loopback, one label, `.localhost`, `.test`), so that a
    demo works; a production hub refuses such a public URL in its settings.
    """
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?", text):
        return False
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        return False
    return bool(host) and (url.scheme == "https" or _is_private_name(str(host)))


def _is_private_name(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".test"))


# ---------------------------------------------------------------- choosing what to show


def claims(token: str) -> dict[str, Any]:
    """The processed payload of a token that was verified before (when it was stored). Nothing is verified here."""
    parts = parse(token)
    return process(jws.split(parts.issuer_jwt).payload, parts.disclosures)[0]


def paths(token: str) -> list[Path]:
    """The paths of all claims that this token discloses, as they stand in its processed payload. Not verified."""
    parts = parse(token)
    return list(process(jws.split(parts.issuer_jwt).payload, parts.disclosures)[1])


def select(token: str, paths: Iterable[Path]) -> str:
    """The same certificate with only the disclosures that these claim paths need, in their old order.

    A path brings its claim and the claims around it, never what is separately hidden beneath it: ask for that by
    its own path. None stands for every element of an array. Paths that find nothing are passed over, since a claim
    may simply not exist (see `paths`). A key binding is dropped: it covers other bytes. The signature is not checked.
    """
    parts = parse(token)
    _, disclosed = process(jws.split(parts.issuer_jwt).payload, parts.disclosures)
    wanted = tuple(paths)
    keep = {text for at, text in disclosed.items() if any(_leads_to(at, path) for path in wanted)}
    return "~".join((parts.issuer_jwt, *(text for text in parts.disclosures if text in keep), ""))


def _leads_to(at: Path, path: Path) -> bool:
    """Whether the claim at `at` lies on the way to `path`, or is its end."""
    return len(at) <= len(path) and all(
        (want == have and type(want) is type(have)) or (want is None and isinstance(have, int))
        for have, want in zip(at, path, strict=False)
    )


# ---------------------------------------------------------------- issuing


def issue(
    claims: Mapping[str, Any],
    *,
    signer: Signer,
    typ: str = TYP,
    disclose: Iterable[Path] = (),
    header: Mapping[str, Any] | None = None,
    decoys: int = 0,
) -> str:
    """Sign `claims` as an SD-JWT with all disclosures attached (RFC 9901 section 5).

    Selectively disclosable is what is wrapped in `SD` and what a path of `disclose` ends at. Each object that hides
    something, and the top level, gets `decoys` more digests that fit nothing. Salts are 128 random bits; digests
    are sorted, so their order tells nothing. Claims must be plain JSON (strings, whole numbers within 2^53-1, finite
    numbers, booleans, None, lists, dicts). Raises `Unprocessable` ("sdjwt.cannot_issue") for what `verify` would refuse.
    """
    marked = mark(claims, disclose)
    disclosures: list[str] = []
    payload = _hide_object(marked, disclosures, decoys, top=True)
    if "_sd" in payload or disclosures:
        payload["_sd_alg"] = "sha-256"
    if len(disclosures) > MAX_DISCLOSURES:
        raise _cannot("可选披露项过多", "more selectively disclosable claims than a verifier accepts")
    token = "~".join((jws.sign(payload, signer, typ=typ, header=header), *disclosures, ""))
    if typ == TYP:
        try:
            _require_profile(payload, bound=False)
        except Malformed as fault:
            raise _cannot(fault.zh, fault.en) from fault
    return token


def mark(claims: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A copy of `claims` in which every value that a path ends at is wrapped in `SD`. Paths may miss."""
    result = dict(claims)
    for path in sorted(paths, key=len, reverse=True):  # inner marks first, so that outer ones wrap them
        if not path:
            raise _cannot("空的声明路径", "an empty claim path")
        result = _mark(result, path)
    return result


def _mark(value: Any, path: Path) -> Any:
    if not path:
        return value if isinstance(value, SD) else SD(value)
    if isinstance(value, SD):
        return SD(_mark(value.value, path))
    step, rest = path[0], path[1:]
    if isinstance(value, Mapping) and isinstance(step, str):
        return {k: _mark(v, rest) if k == step else v for k, v in value.items()}
    if isinstance(value, list | tuple) and not isinstance(step, str):
        return [_mark(v, rest) if step is None or i == step else v for i, v in enumerate(value)]
    return value


def _cannot(zh: str, en: str) -> Unprocessable:
    return Unprocessable("sdjwt.cannot_issue", f"无法签发：{zh}", f"cannot issue: {en}")


def _hide(value: Any, disclosures: list[str], decoys: int) -> Any:
    """`value` with every `SD` inside it replaced by its digest; the disclosures are collected."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int):
        if abs(value) > jws.MAX_SAFE_INT:
            raise _cannot("整数过大", "an integer is beyond ±(2^53-1)")
        return value
    if isinstance(value, Mapping):
        return _hide_object(value, disclosures, decoys)
    if isinstance(value, list | tuple):
        return [_hide_element(item, disclosures, decoys) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _cannot("声明含有非 JSON 值", "a claim is not plain JSON")


def _hide_element(item: Any, disclosures: list[str], decoys: int) -> Any:
    if not isinstance(item, SD):
        return _hide(item, disclosures, decoys)
    return {"...": _disclose([_salt(), _hide(item.value, disclosures, decoys)], disclosures)}


def _hide_object(
    value: Mapping[str, Any], disclosures: list[str], decoys: int, *, top: bool = False
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    digests: list[str] = []
    for name, item in value.items():
        if not isinstance(name, str) or name in _RESERVED:
            raise _cannot("声明名不允许", "a claim name is not allowed")
        if top and name in NEVER_SELECTIVE:
            before = len(disclosures)
            result[name] = _hide_element(item, disclosures, 0)
            if len(disclosures) != before:
                raise _cannot("该声明必须始终可见", "this claim must be visible in every copy")
        elif isinstance(item, SD):
            digests.append(_disclose([_salt(), name, _hide(item.value, disclosures, decoys)], disclosures))
        else:
            result[name] = _hide(item, disclosures, decoys)
    if digests or top:
        digests += [_digest(secrets.token_hex(32)) for _ in range(decoys)]
    if digests:
        result["_sd"] = sorted(digests)
    return result


def _salt() -> str:
    return base64url.encode(secrets.token_bytes(16))


def _digest(text: str) -> str:
    return base64url.encode(hashlib.sha256(text.encode("ascii")).digest())


def _disclose(content: list[Any], disclosures: list[str]) -> str:
    try:
        text = base64url.encode(_dumps(content))
    except UnicodeEncodeError as fault:
        raise _cannot("文本含有非法字符", "a string holds half a surrogate pair") from fault
    disclosures.append(text)
    return _digest(text)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
