"""YAML as a tree that knows where every value stands: refusals name line, column and a remedy."""

import difflib
import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from adapters.model import Scalar
from hub.errors import Malformed

MAX_BYTES = 1 << 20
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class ConfigFault(Malformed):
    """A configuration file cannot be used as it stands. `line` and `column` count from 1."""

    def __init__(
        self,
        code: str,
        zh: str,
        en: str,
        *,
        file: str,
        line: int,
        column: int,
        next_zh: str = "",
        next_en: str = "",
    ) -> None:
        super().__init__(code, zh, en, next_zh=next_zh, next_en=next_en, file=file, line=line, column=column)
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        remedy = f"\n  → {self.next_zh} {self.next_en}" if self.next_zh or self.next_en else ""
        return f"{where}: {self.zh} {self.en}{remedy}"


class Value:
    """One node of the tree. Readers give the plain value or raise `ConfigFault` at this node's place."""

    def __init__(self, node: yaml.Node, file: str, path: str, environment: Mapping[str, str]) -> None:
        self.node = node
        self.file = file
        self.path = path
        self._environment = environment

    def fault(self, code: str, zh: str, en: str, next_zh: str = "", next_en: str = "") -> ConfigFault:
        """The refusal of this value; the caller raises it."""
        mark = self.node.start_mark
        path = f"{self.path}: " if self.path else ""
        return ConfigFault(
            f"config.{code}",
            f"{path}{zh}",
            en,
            next_zh=next_zh,
            next_en=next_en,
            file=self.file,
            line=mark.line + 1,
            column=mark.column + 1,
        )

    def members(self, *known: str, required: tuple[str, ...] = ()) -> dict[str, "Value"]:
        """A mapping with these keys only; an unknown key is answered with the nearest known one."""
        found = self.entries()
        for key, value in found.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise value.fault(
                    "unknown_key",
                    f"不认识的配置项 “{key}”。",
                    f'Unknown setting "{key}".',
                    f"是不是 “{near[0]}”？" if near else f"这里可用：{'、'.join(known)}。",
                    f'Did you mean "{near[0]}"?' if near else f"Known here: {', '.join(known)}.",
                )
        for key in required:
            if key not in found:
                raise self.fault(
                    "missing_key",
                    f"缺少配置项 “{key}”。",
                    f'The setting "{key}" is missing.',
                    f"请在此处加上 {key}:。",
                    f"Add {key}: here.",
                )
        return found

    def entries(self) -> dict[str, "Value"]:
        """A mapping with any keys, in the order written. Keys keep their spelling: 02 stays "02"."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.fault("not_mapping", "这里应为一组 键: 值。", "A mapping (key: value) is needed here.")
        found: dict[str, Value] = {}
        for key_node, node in self.node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fault("bad_key", "键必须是一个词。", "A key must be a plain word.")
            key = str(key_node.value)
            value = Value(node, self.file, f"{self.path}.{key}" if self.path else key, self._environment)
            if key in found:
                raise value.fault("duplicate_key", f"“{key}” 写了两次。", f'"{key}" stands here twice.')
            found[key] = value
        return found

    def items(self) -> list["Value"]:
        """A list, at least one entry long."""
        if not isinstance(self.node, yaml.SequenceNode) or not self.node.value:
            raise self.fault(
                "not_list", "这里应为非空列表。", "A list with at least one entry is needed here."
            )
        return [
            Value(node, self.file, f"{self.path}[{position}]", self._environment)
            for position, node in enumerate(self.node.value)
        ]

    def texts(self) -> tuple[str, ...]:
        """A list of texts, or one text for a list of one."""
        if isinstance(self.node, yaml.ScalarNode):
            return (self.text(),)
        return tuple(item.text() for item in self.items())

    def text(self, *, empty: bool = True) -> str:
        """The scalar as written; ${NAME} and ${NAME:-default} come from the environment, $${ is ${."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.fault("not_text", "这里应为一个值。", "A single value is needed here.")
        found = _VARIABLE.sub(self._expand, str(self.node.value))
        if not empty and not found.strip():
            raise self.fault("empty", "这里不能为空。", "This must not be empty.")
        return found

    def _expand(self, match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            return "${"
        value = self._environment.get(name, default)
        if value is None:
            raise self.fault(
                "no_variable",
                f"环境变量 {name} 没有设置。",
                f"The environment variable {name} is not set.",
                f"请先 export {name}=…，或写成 ${{{name}:-缺省值}}。",
                f"Set it, or write ${{{name}:-default}}.",
            )
        return value

    def scalar(self) -> Scalar:
        """A text, integer, true/false or null, by YAML's rules."""
        text = self.text()
        tag = self.node.tag.rpartition(":")[2]
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"true", "yes", "on"}
        if tag == "int" and re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,14})", text):
            return int(text)
        return text

    def flag(self) -> bool:
        """true or false."""
        found = self.scalar()
        if not isinstance(found, bool):
            raise self.fault("not_flag", "这里应为 true 或 false。", "true or false is needed here.")
        return found

    def integer(self, low: int, high: int) -> int:
        """A whole number within low..high."""
        text = self.text()
        if not re.fullmatch(r"-?[0-9]{1,15}", text) or not low <= int(text) <= high:
            raise self.fault(
                "not_integer",
                f"这里应为 {low} 到 {high} 之间的整数。",
                f"A whole number {low}..{high} is needed.",
            )
        return int(text)

    def decimal(self, low: int, high: int) -> Decimal:
        """A decimal number within low..high; never a float."""
        try:
            found = Decimal(self.text())
            inside = found.is_finite() and low <= found <= high
        except InvalidOperation:
            inside = False
        if not inside:
            raise self.fault(
                "not_number", f"这里应为 {low} 到 {high} 之间的数。", f"A number {low}..{high} is needed."
            )
        return found

    def choice(self, *options: str) -> str:
        """One of these words."""
        found = self.text()
        if found not in options:
            near = difflib.get_close_matches(found, options, n=1)
            hint = near[0] if near else " | ".join(options)
            raise self.fault(
                "bad_choice",
                f"“{found}” 不在可选值之中。",
                f'"{found}" is not one of the choices.',
                f"应为 {hint}。",
                f"Use {hint}.",
            )
        return found


def read(path: Path, environment: Mapping[str, str] | None = None) -> Value:
    """The tree of one UTF-8 YAML file of at most 1 MiB. Raises `ConfigFault`."""
    name = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise _whole(name, "too_large", "配置文件超过 1 MiB。", "The file is larger than 1 MiB.")
        root = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except OSError as fault:
        reason = fault.strerror or "unreadable"
        raise _whole(
            name, "unreadable", f"配置文件读不了（{reason}）。", f"Cannot be read: {reason}."
        ) from fault
    except UnicodeDecodeError as fault:
        raise _whole(name, "not_utf8", "配置文件不是 UTF-8。", "The file is not UTF-8.") from fault
    except (yaml.YAMLError, RecursionError) as fault:
        mark = getattr(fault, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = getattr(fault, "problem", None) or "not YAML"
        raise ConfigFault(
            "config.yaml",
            "不是合法的 YAML。",
            f"Not YAML: {problem}.",
            file=name,
            line=line,
            column=column,
            next_zh="请检查缩进、引号和冒号后的空格。",
            next_en="Check indentation, quotes and the space after colons.",
        ) from fault
    if root is None:
        raise _whole(name, "empty", "配置文件是空的。", "The file is empty.")
    return Value(root, name, "", os.environ if environment is None else environment)


def _whole(name: str, code: str, zh: str, en: str) -> ConfigFault:
    return ConfigFault(f"config.{code}", zh, en, file=name, line=1, column=1)
