"""The heart of SD-JWT (RFC 9901): claims into digests and disclosures, and disclosures back into their places.

Pure JSON: signatures, times and the profile of certificates are in `sdjwt`. All refusals have codes "sdjwt.*".
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes
from typing import Any, NamedTuple

import orjson

from hub.errors import Malformed, Unprocessable
from hub.formats import jws
from keys import base64url

MAX_DISCLOSURES = 256
MAX_BYTES = 512 * 1024
NEVER_SELECTIVE = frozenset({"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"})
"""Claims that must be visible in every copy, with everything inside them (SD-JWT VC section 2.2.2.2)."""

_RESERVED = frozenset({"_sd", "...", "_sd_alg"})

Path = tuple[str | int | None, ...]
"""A claim path: names, indices, and None for every element of an array."""


@dataclass(frozen=True, slots=True)
class SD:
    """Marks a claim or an array element that the holder may leave out. May hold further `SD` values."""

    value: Any


def refuse(code: str, zh: str, en: str) -> Malformed:
    """The refusal of an SD-JWT that breaks a rule."""
    return Malformed(f"sdjwt.{code}", zh, en)


class Known(NamedTuple):
    """A disclosure whose digest and decoded bytes are at hand, so that neither is computed again."""

    text: str
    digest: str
    raw: bytes


def process(
    payload: Mapping[str, Any], disclosures: Sequence[str | Known]
) -> tuple[dict[str, Any], dict[Path, str]]:
    """Put the disclosures in place (RFC 9901 section 7.1 steps 3 to 6); the signature is the caller's matter.

    Returns the processed payload and, by path, the disclosures that went into it. Each rule that is broken has its
    own `Malformed` code "sdjwt.*"; nothing is returned then.
    """
    walk = _Walk(disclosures)
    result = walk.payload(payload)
    if len(walk.used) != len(disclosures):
        raise refuse(
            "disclosure_unreferenced", "有未被引用的披露项", "a disclosure is referred to by nothing"
        )
    return result, walk.used


def reveal(
    payload: Mapping[str, Any], disclosures: Sequence[str | Known], paths: Iterable[Path]
) -> tuple[dict[str, Any], list[str]]:
    """What a copy with only the disclosures that these claim paths need shows, and those disclosures in their order.

    As `process` of that copy, in one pass. Paths are those of the whole certificate: each brings its claim and the
    claims around it, never what is separately hidden beneath it; None stands for every element of an array. Paths that
    find nothing are passed over.
    """
    walk = _Walk(disclosures, _leading_to(tuple(paths)))
    result = walk.payload(payload)
    kept = set(walk.used.values())
    return result, [text for one in disclosures if (text := one if isinstance(one, str) else one.text) in kept]


def _leading_to(paths: Sequence[Path]) -> Callable[[Path], bool]:
    """Whether a claim lies on the way to one of these paths, or is its end."""
    if all(type(step) in (str, int) for path in paths for step in path):  # nearly always: look it up
        return {path[:length] for path in paths for length in range(1, len(path) + 1)}.__contains__
    return lambda at: any(_leads_to(at, path) for path in paths)


def _leads_to(at: Path, path: Path) -> bool:
    return len(at) <= len(path) and all(
        (want == have and type(want) is type(have)) or (want is None and isinstance(have, int))
        for have, want in zip(at, path, strict=False)
    )


def known(text: str) -> Known:
    """A disclosure with its digest and bytes; `Malformed` "sdjwt.disclosure_base64"."""
    try:
        spelled = text.encode("ascii")
        return Known(text, base64url.encode(sha256(spelled).digest()), base64url.read(spelled))
    except ValueError as fault:
        raise refuse("disclosure_base64", "披露项编码不规范", "a disclosure is not base64url") from fault


def _require_disclosure(value: Any) -> None:
    """[salt, name, value] or [salt, value] (RFC 9901 section 4.2); names are judged where they are used."""
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise refuse("disclosure_arity", "披露项应为二元或三元数组", "a disclosure has two or three elements")
    if not isinstance(value[0], str):
        raise refuse("disclosure_salt", "披露项的盐不是字符串", "the salt of a disclosure is not a string")


class _Walk:
    """One pass over a payload: finds digests, puts values in place (all, or those `kept`), remembers what was met."""

    __slots__ = ("found", "kept", "seen", "used")

    def __init__(self, disclosures: Sequence[str | Known], kept: Callable[[Path], bool] | None = None) -> None:
        self.kept = kept
        self.found: dict[str, tuple[str, list[Any]]] = {}
        self.seen: set[str] = set()
        self.used: dict[Path, str] = {}
        every = [known(one) if isinstance(one, str) else one for one in disclosures]
        values = jws.loads_all([raw for _, _, raw in every], max_bytes=MAX_BYTES)
        for (text, digest, _), value in zip(every, values, strict=True):
            if digest in self.found:
                raise refuse("disclosure_repeated", "披露项重复", "the same disclosure came twice")
            _require_disclosure(value)
            self.found[digest] = (text, value)

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The whole of it, without the name of the digest algorithm."""
        if payload.get("_sd_alg", "sha-256") != "sha-256":
            raise refuse("sd_alg", "不支持的摘要算法", "the only digest algorithm accepted is sha-256")
        return self.object({k: v for k, v in payload.items() if k != "_sd_alg"}, ())

    def take(self, digest: Any) -> tuple[str, list[Any]] | None:
        """The disclosure for an embedded digest, None for a decoy or a claim that was left out."""
        if not isinstance(digest, str):
            raise refuse("digest_form", "摘要不是字符串", "a digest is not a string")
        if digest in self.seen:
            raise refuse("digest_repeated", "同一摘要出现两次", "a digest stands in the SD-JWT twice")
        self.seen.add(digest)
        return self.found.get(digest)

    def require_depth(self, path: Path) -> None:
        """Disclosures inside disclosures count too: the result is no deeper than any JSON that we read."""
        if len(path) >= jws.MAX_DEPTH:
            raise refuse("too_deep", "披露项嵌套过深", "disclosures are nested too deeply")

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self.object(value, path)
        if isinstance(value, list):
            return self.array(value, path)
        return value

    def object(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        self.require_depth(path)
        result: dict[str, Any] = {}
        for name, item in value.items():
            if name == "_sd":
                continue
            if name in _RESERVED:
                raise refuse(
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
            raise refuse("sd_form", "_sd 不是数组", "_sd is not an array of strings")
        for digest in digests:
            match = self.take(digest)
            if match is None:
                continue
            text, disclosure = match
            if len(disclosure) != 3:
                raise refuse(
                    "disclosure_kind", "数组元素的披露项用在对象中", "an element disclosure in an object"
                )
            name, item = disclosure[1], disclosure[2]
            if not isinstance(name, str):
                raise refuse("name_form", "披露的声明名不是字符串", "a claim name is not a string")
            if name in _RESERVED:
                raise refuse(
                    "name_reserved", "披露的声明名是保留名称", "a disclosed claim has a reserved name"
                )
            if name in result:
                raise refuse(
                    "name_taken", "披露的声明与已有声明重名", "a disclosed claim would replace another"
                )
            if not path and name in NEVER_SELECTIVE:
                raise refuse(
                    "never_selective", "该声明必须始终可见", "this claim must be visible in every copy"
                )
            here = (*path, name)
            if self.kept is None or self.kept(here):
                self.used[here] = text
                result[name] = self.value(item, here)

    def array(self, value: list[Any], path: Path) -> list[Any]:
        self.require_depth(path)
        result: list[Any] = []
        left_out = 0
        for item in value:
            if not isinstance(item, dict) or "..." not in item:
                result.append(self.value(item, (*path, len(result) + left_out)))
                continue
            if len(item) != 1:
                raise refuse(
                    "element_form", "数组元素占位符含有其他键", "an element placeholder has another key"
                )
            match = self.take(item["..."])
            if match is None:
                continue
            text, disclosure = match
            if len(disclosure) != 2:
                raise refuse(
                    "disclosure_kind", "对象成员的披露项用在数组中", "a member disclosure in an array"
                )
            here = (*path, len(result) + left_out)
            if self.kept is None or self.kept(here):
                self.used[here] = text
                result.append(self.value(disclosure[1], here))
            else:
                left_out += 1
        return result


def _require_visible(value: Any) -> None:
    """Nothing inside a never-selective claim may be hidden, disclosed or not."""
    if isinstance(value, dict):
        if not _RESERVED.isdisjoint(value):
            raise refuse("never_selective", "该声明必须始终可见", "this claim must be visible in every copy")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _require_visible(item)


def mark(claims: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A copy of `claims` in which every value that a path ends at is wrapped in `SD`. Paths may miss."""
    result = dict(claims)
    for path in sorted(paths, key=len, reverse=True):  # inner marks first, so that outer ones wrap them
        if not path:
            raise cannot("空的声明路径", "an empty claim path")
        if len(path) == 1 and isinstance(name := path[0], str):  # nearly all: no copy of the whole for each
            if name in result:
                result[name] = _mark(result[name], ())
        else:
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


def cannot(zh: str, en: str) -> Unprocessable:
    """The refusal of claims that would make an SD-JWT nobody may accept."""
    return Unprocessable("sdjwt.cannot_issue", f"无法签发：{zh}", f"cannot issue: {en}")


def _hide(value: Any, disclosures: list[str], decoys: int) -> Any:
    """`value` with every `SD` inside it replaced by its digest; the disclosures are collected."""
    if isinstance(value, str):
        if "\0" in value:
            raise cannot("文本含有非法字符", "a string holds NUL")
        return value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if abs(value) > jws.MAX_SAFE_INT:
            raise cannot("整数过大", "an integer is beyond ±(2^53-1)")
        return value
    if isinstance(value, Mapping):
        return hide(value, disclosures, decoys)
    if isinstance(value, list | tuple):
        return [_hide_element(item, disclosures, decoys) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise cannot("声明含有非 JSON 值", "a claim is not plain JSON")


def _hide_element(item: Any, disclosures: list[str], decoys: int) -> Any:
    if not isinstance(item, SD):
        return _hide(item, disclosures, decoys)
    return {"...": _disclose([_salt(), _hide(item.value, disclosures, decoys)], disclosures)}


def hide(
    value: Mapping[str, Any], disclosures: list[str], decoys: int, *, top: bool = False
) -> dict[str, Any]:
    """`value` with its `SD` members replaced by digests in `_sd`; their disclosures are added to `disclosures`."""
    result: dict[str, Any] = {}
    digests: list[str] = []
    for name, item in value.items():
        if not isinstance(name, str) or name in _RESERVED:
            raise cannot("声明名不允许", "a claim name is not allowed")
        if top and name in NEVER_SELECTIVE:
            before = len(disclosures)
            result[name] = _hide_element(item, disclosures, 0)
            if len(disclosures) != before:
                raise cannot("该声明必须始终可见", "this claim must be visible in every copy")
        elif item.__class__ is SD:
            inner = item.value
            if inner.__class__ is not str or "\0" in inner:  # nearly all are plain text
                inner = _hide(inner, disclosures, decoys)
            digests.append(_disclose([_salt(), name, inner], disclosures))
        else:
            result[name] = _hide(item, disclosures, decoys)
    if digests or top:
        noise = token_bytes(32 * decoys)
        digests += [_digest(noise[place : place + 32]) for place in range(0, 32 * decoys, 32)]
    if digests:
        result["_sd"] = sorted(digests)
    return result


def _salt() -> str:
    return base64url.encode(token_bytes(16))


def _digest(spelled: bytes) -> str:
    return base64url.encode(sha256(spelled).digest())


def _disclose(content: list[Any], disclosures: list[str]) -> str:
    spelled = base64url.spelled(dumps(content))
    disclosures.append(spelled.decode("ascii"))
    return _digest(spelled)


def dumps(value: Any) -> bytes:
    """JSON of a value that `hide` went through."""
    try:
        return orjson.dumps(value)
    except TypeError as fault:  # types were checked on the way: what is left is text that UTF-8 cannot write
        raise cannot("文本含有非法字符", "a string holds half a surrogate pair") from fault
