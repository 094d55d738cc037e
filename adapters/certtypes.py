"""Certificate types as the hub publishes them: fetched, cached, and used to refuse a row before it is signed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from adapters.findings import Finding
from adapters.mapping import Mapped
from hub.errors import Malformed
from hub.formats.masking import mask_by

MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Role:
    """How many holders of a role a certificate has."""

    role: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class CertificateType:
    """What a department may sign under one `vct`. `max_age_days` is given for living types only.

    `names` are what people call a claim, `values` what they call its coded values, Chinese first.
    """

    code: str
    version: int
    vct: str
    living: bool
    max_age_days: int | None
    roles: tuple[Role, ...]
    issuers: tuple[str, ...]
    properties: frozenset[str]
    masks: Mapping[tuple[str | None, ...], str]
    validator: Draft202012Validator
    names: Mapping[tuple[str | None, ...], str] = field(default_factory=dict)
    values: Mapping[tuple[str | None, ...], Mapping[str, str]] = field(default_factory=dict)
    quick: jsonschema_rs.Draft202012Validator | None = field(default=None, repr=False, compare=False)

    def check(self, mapped: Mapped) -> tuple[Finding, ...]:
        """Why this row cannot be a certificate of this type; empty when it can. No value is repeated."""
        found: list[Finding] = []
        for role in self.roles:
            count = sum(holder.get("role") == role.role for holder in mapped.holders)
            if not role.least <= count <= role.most:
                found.append(Finding("holders", f"holders.{role.role}", detail=f"{count}"))
        known = {role.role for role in self.roles}
        found += [
            Finding("holders", "holders", detail="role")
            for holder in mapped.holders
            if holder.get("role") not in known
        ]
        if self.living and mapped.as_of is None:
            found.append(Finding("missing_value", "as_of"))
        if self.quick is not None and self.quick.is_valid(dict(mapped.claims)):
            return tuple(dict.fromkeys(found))
        try:
            for fault in self.validator.iter_errors(dict(mapped.claims)):
                where = ".".join(str(step) for step in fault.absolute_path)
                if fault.validator == "required" and isinstance(fault.validator_value, list):
                    where = _missing(fault.validator_value, fault.instance) or where
                found.append(Finding("schema", where or "claims", detail=str(fault.validator)))
                if len(found) >= MAX_FINDINGS:
                    break
        except Unresolvable:
            found.append(Finding("schema", "claims", detail="$ref"))
        return tuple(dict.fromkeys(found))

    def in_words(self, path: tuple[str | None, ...], value: str) -> str:
        """A coded value as people call it; anything else as `mask` shows it."""
        return self.values.get(path, {}).get(value) or self.mask(path, value)

    def mask(self, path: tuple[str | None, ...], value: str) -> str:
        """`value` as a preview may show it; what the type does not describe is hidden."""
        return mask_by(self.masks.get(path, "unknown"), value)


def _quick(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator | None:
    """Says yes in a tenth of the time; why not is told by the other. None where a $ref might be fetched."""
    if not _alone(schema):
        return None
    try:
        return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
    except ValueError:  # a pattern that it cannot read: the other can
        return None


def _alone(schema: Any) -> bool:
    """Whether a schema refers to nothing."""
    if isinstance(schema, Mapping):
        return "$ref" not in schema and "$dynamicRef" not in schema and all(map(_alone, schema.values()))
    return all(map(_alone, schema)) if isinstance(schema, list) else True


def _missing(required: list[Any], instance: Any) -> str:
    return next(
        (str(name) for name in required if isinstance(instance, Mapping) and name not in instance), ""
    )


def from_document(document: Mapping[str, Any]) -> CertificateType:
    """Read a published type document. Raises Malformed `type.document`."""
    try:
        schema = document["schema"]
        if not isinstance(schema, dict) or len(json.dumps(schema)) > 256 * 1024:
            raise ValueError("schema")
        Draft202012Validator.check_schema(schema)
        nature = document["nature"]
        if nature not in ("standing", "living"):
            raise ValueError("nature")
        # An empty registry: a $ref in the document must never make the agent fetch something.
        validator = Draft202012Validator(
            schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return CertificateType(
            code=_text(document["code"]),
            version=int(document["version"]),
            vct=_text(document["vct"]),
            living=nature == "living",
            max_age_days=int(document["max_age_days"]) if nature == "living" else None,
            roles=tuple(
                Role(_text(role["role"]), int(role["min"]), int(role["max"]))
                for role in document["holders"]["roles"]
            ),
            issuers=tuple(map(_text, document.get("issuers", ()))),
            properties=frozenset(map(_text, schema.get("properties", {}))),
            masks={_path(claim): _text(claim.get("mask", "none")) for claim in document.get("claims", ())},
            names={_path(claim): _named(claim.get("display", ())) for claim in document.get("claims", ())},
            values={
                _path(claim): {str(code): _named(said) for code, said in claim["values"].items()}
                for claim in document.get("claims", ())
                if claim.get("values")
            },
            validator=validator,
            quick=_quick(schema),
        )
    except (KeyError, TypeError, ValueError, SchemaError) as fault:
        raise Malformed(
            "type.document",
            "枢纽给出的证照类型文件不能用。",
            "The certificate type document of the hub cannot be used.",
            next_zh="请联系枢纽管理员。",
            next_en="Tell the hub's administrator.",
        ) from fault


def _path(claim: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(None if step is None else str(step) for step in claim["path"])


def _named(display: Any) -> str:
    """All names, one after the other: the documents write Chinese first."""
    return " ".join(dict.fromkeys(str(one["name"]) for one in display))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("text")
    return value
