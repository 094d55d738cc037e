"""Certificate types: what each kind is called, who may issue it, whom it is about, what it may say.

A type is a data file (`hub/registry/types/<code>.json`), read once at start and never changed while running.
This module is pure: it reads package data and answers questions, and knows no database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker

from hub.errors import Malformed, Unprocessable
from hub.registry.datafiles import display, in_locale, load_folder

ClaimPath = tuple[str | int | None, ...]

ENVELOPE = frozenset(
    {"iss", "vct", "jti", "iat", "nbf", "exp", "status", "as_of", "version", "holders", "_sd_alg"}
)
"""Payload members that every certificate may carry; all the others belong to its type."""

_MASKS = frozenset({"none", "id_no", "name", "address", "number"})


@dataclass(frozen=True, slots=True)
class ClaimInfo:
    """One claim of a type: where it stands, what people call it, how it is hidden in lists.

    `values` gives the names of coded values: value -> locale -> name.
    """

    path: ClaimPath
    display: Mapping[str, str]
    mask: Literal["none", "id_no", "name", "address", "number"] = "none"
    unconfirmed: bool = False
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Role:
    """A part that holders of a type play, and how many of them a certificate may name."""

    role: str
    min: int
    max: int
    display: Mapping[str, str]


@dataclass(frozen=True)
class CertificateType:
    """One certificate type, version by version (the `vct` names the version).

    `max_age_days` is set for living types only: an answer older than that is stale. `consent` is "each" when
    every holder discloses only their own claims, "any" when one holder (or guardian) may disclose the whole.
    """

    code: str
    version: int
    vct: str
    gb_code: str
    gb_code_unconfirmed: bool
    owner: str
    issuers: frozenset[str]
    nature: Literal["standing", "living"]
    max_age_days: int | None
    display: Mapping[str, str]
    roles: tuple[Role, ...]
    consent: Literal["each", "any"]
    schema: Mapping[str, Any]
    claims: tuple[ClaimInfo, ...]
    document: Mapping[str, Any]

    @property
    def living(self) -> bool:
        """Whether the facts behind it keep moving, so that each certificate says its `as_of` day."""
        return self.nature == "living"

    @property
    def max_age(self) -> int | None:
        """Days after `as_of` during which a living certificate may be relied on; None for standing types."""
        return self.max_age_days

    def label(self, locale: str = "zh-CN") -> str:
        """Return the name of the type in `locale` (Chinese where that language is missing)."""
        return in_locale(self.display, locale)

    def claim(self, path: Iterable[str | int | None]) -> ClaimInfo | None:
        """Return what is known of the claim at `path`; an array index means every element."""
        return self._by_path.get(_general(path))

    def claim_label(self, path: Iterable[str | int | None], locale: str = "zh-CN") -> str:
        """Return what people call the claim at `path`; holders' members have names of their own."""
        general = _general(path)
        if general in _HOLDER_LABELS:
            return in_locale(_HOLDER_LABELS[general], locale)
        info = self._by_path.get(general)
        return (
            in_locale(info.display, locale) if info else ".".join(str(p) for p in general if p is not None)
        )

    def value_label(self, path: Iterable[str | int | None], value: object, locale: str = "zh-CN") -> str:
        """Return a coded value in words ("bachelor" -> 学士); other values as they are, yes/no in words."""
        if isinstance(value, bool):
            return {True: "是", False: "否"}[value] if locale.startswith("zh") else ("yes" if value else "no")
        info = self._by_path.get(_general(path))
        names = info.values.get(str(value)) if info else None
        return in_locale(names, locale) if names else str(value)

    def mask(self, path: Iterable[str | int | None]) -> str:
        """Return the masking rule of a claim: none, id_no, name, address or number."""
        general = _general(path)
        if general in _HOLDER_MASKS:
            return _HOLDER_MASKS[general]
        info = self._by_path.get(general)
        return info.mask if info else "none"

    def paths(self) -> frozenset[ClaimPath]:
        """Return every claim path that the type knows, holders' members included."""
        return frozenset(self._by_path) | frozenset(_HOLDER_LABELS)

    def check_claims(self, claims: Mapping[str, Any]) -> None:
        """Check type-specific claims (everything outside `ENVELOPE`) against the type's JSON Schema.

        Raises `Unprocessable("type.claims_invalid")` naming the claim and the broken rule, never the value.
        """
        said = dict(claims)
        if self._quick.is_valid(said):  # 50 times faster than the one that tells clearly what is wrong
            return
        error = next(iter(self._validator.iter_errors(said)), None)
        if error is None:
            return
        where = ".".join(str(p) for p in error.absolute_path) or "(top)"
        raise Unprocessable(
            "type.claims_invalid",
            f"{self.label()}的内容不符合证照类型的规定：{where}（{error.validator}）",
            f"the claims of this {self.code} certificate break its type: {where} ({error.validator})",
            next_zh="请按证照类型文件更正该项后重新签发。",
            next_en="Correct this claim as the type file says and sign again.",
            claim=where,
            rule=str(error.validator),
            type=self.code,
        )

    def check_roles(self, roles: Iterable[str]) -> None:
        """Check how many holders play each role; raises `Unprocessable("type.roles_invalid")`."""
        counted: dict[str, int] = {}
        for role in roles:
            counted[role] = counted.get(role, 0) + 1
        known = {r.role: r for r in self.roles}
        wrong = [r for r in counted if r not in known]
        wrong += [r.role for r in self.roles if not r.min <= counted.get(r.role, 0) <= r.max]
        if wrong:
            raise Unprocessable(
                "type.roles_invalid",
                f"{self.label()}的持证主体不符合规定：{'、'.join(sorted(wrong))}",
                f"the holders of this {self.code} certificate break its type: {', '.join(sorted(wrong))}",
                next_zh="请核对持证主体的角色与人数。",
                next_en="Check the holders' roles and how many there are of each.",
                type=self.code,
            )

    @cached_property
    def _by_path(self) -> Mapping[ClaimPath, ClaimInfo]:
        return MappingProxyType({c.path: c for c in self.claims})

    @cached_property
    def _quick(self) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(dict(self.schema), validate_formats=True)

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.schema, format_checker=FormatChecker(formats=["date"]))


_HOLDER_LABELS: Mapping[ClaimPath, Mapping[str, str]] = MappingProxyType(
    {
        ("holders", None, "name"): {"zh-CN": "姓名或名称", "en": "Name"},
        ("holders", None, "id_type"): {"zh-CN": "证件类型", "en": "Kind of identity number"},
        ("holders", None, "id_no"): {"zh-CN": "证件号码", "en": "Identity number"},
        ("holders", None, "role"): {"zh-CN": "在证照中的身份", "en": "Part in the certificate"},
    }
)
_HOLDER_MASKS: Mapping[ClaimPath, str] = MappingProxyType(
    {("holders", None, "name"): "name", ("holders", None, "id_no"): "id_no"}
)


def load_types(folder: Path | None = None) -> dict[str, CertificateType]:
    """Read every type file of `folder` (default: those shipped with the hub), by code.

    Raises `Malformed("type.file_invalid")` naming the file when one cannot be a type.
    """
    root: Traversable = folder if folder is not None else files("hub.registry").joinpath("types")
    return load_folder(root, _parse, _invalid)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed("type.file_invalid", f"证照类型文件无效：{name}", f"invalid certificate type file {name}: {fault}")


def of_documents(documents: Iterable[Mapping[str, Any]]) -> dict[str, CertificateType]:
    """The types of these files' JSON (`CertificateType.document`), by code: how a worker process gets its types."""
    return {kind.code: kind for kind in map(_parse, documents)}


def _parse(raw: Mapping[str, Any]) -> CertificateType:
    """Turn one file's JSON into a type, refusing what would only fail later."""
    Draft202012Validator.check_schema(raw["schema"])
    claims = tuple(_claim(c) for c in raw["claims"])
    top = {c.path[0] for c in claims}
    if top != set(raw["schema"]["properties"]) or top & ENVELOPE:
        raise ValueError("labels and schema name different claims")
    if (raw["nature"] == "living") != ("max_age_days" in raw) or raw["nature"] not in ("living", "standing"):
        raise ValueError("max_age_days belongs to living types, and only to them")
    if (
        raw["vct"] != f"urn:yimen:certificate:{raw['code']}:{raw['version']}"
        or raw["owner"] not in raw["issuers"]
    ):
        raise ValueError("vct or issuers do not fit the code and the owner")
    if raw["schema"].get("additionalProperties") is not False or len(raw["gb_code"]["value"]) != 21:
        raise ValueError("the schema must be closed and the GB code 21 characters long")
    if raw["holders"]["consent"] not in ("each", "any"):
        raise ValueError("consent is each or any")
    return CertificateType(
        code=raw["code"],
        version=raw["version"],
        vct=raw["vct"],
        gb_code=raw["gb_code"]["value"],
        gb_code_unconfirmed=raw["gb_code"]["unconfirmed"],
        owner=raw["owner"],
        issuers=frozenset(raw["issuers"]),
        nature=raw["nature"],
        max_age_days=raw.get("max_age_days"),
        display=display(raw["display"]),
        roles=tuple(
            Role(r["role"], r["min"], r["max"], display(r["display"])) for r in raw["holders"]["roles"]
        ),
        consent=raw["holders"]["consent"],
        schema=raw["schema"],
        claims=claims,
        document=raw,
    )


def _claim(raw: dict[str, Any]) -> ClaimInfo:
    if raw["mask"] not in _MASKS:
        raise ValueError(f"unknown mask {raw['mask']}")
    return ClaimInfo(
        path=tuple(raw["path"]),
        display=display(raw["display"]),
        mask=raw["mask"],
        unconfirmed=raw["unconfirmed"],
        values={code: display(names) for code, names in raw.get("values", {}).items()},
    )


def _general(path: Iterable[str | int | None]) -> ClaimPath:
    """The path with array indices widened to "every element"."""
    return tuple(None if isinstance(p, int) else p for p in path)
