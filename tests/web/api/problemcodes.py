"""Every error code of the hub, found in its source, as the table of docs/problems.md.

Run `python tests/web/api/problemcodes.py` from the checkout to write the table again.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "problems.md"
BEGIN, END = "<!-- codes: written by tests/web/api/problemcodes.py -->", "<!-- codes: end -->"

KINDS = {
    "Malformed": 400,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "Gone": 410,
    "TooLarge": 413,
    "Unprocessable": 422,
    "TooMany": 429,
    "Unavailable": 503,
    "Internal": 500,
}


@dataclass(frozen=True, order=True)
class Code:
    """One code (or, ending in `*`, a family of codes that one function makes) with its kind and first words."""

    code: str
    kind: str
    zh: str
    en: str


def found() -> list[Code]:
    """All codes in `hub/`, one for each pair of code and kind."""
    codes: dict[tuple[str, str], Code] = {}
    for path in sorted((ROOT / "hub").rglob("*.py")):
        for one in _in_file(ast.parse(path.read_text(encoding="utf-8"))):
            codes.setdefault((one.code, one.kind), one)
    return sorted(codes.values())


def _in_file(tree: ast.Module) -> Iterator[Code]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in KINDS
            and node.args
        ):
            code = _text(node.args[0])
            if code.strip("*."):
                said = [_text(arg) for arg in node.args[1:3]]
                yield Code(code, node.func.id, *[*said, "", ""][:2])


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
    return ""


def table() -> str:
    """The Markdown table; where the words are put together while running, the cell says …"""
    rows = ["| code | kind | status | 说明 | meaning |", "|---|---|---|---|---|"]
    for one in found():
        zh, en = (
            re.sub(r"\s+", " ", text).replace("|", "\\|").replace("*", "…") or "…"
            for text in (one.zh, one.en)
        )
        rows.append(f"| `{one.code}` | {one.kind} | {KINDS[one.kind]} | {zh} | {en} |")
    return "\n".join(rows) + "\n"


def written() -> set[tuple[str, str]]:
    """(code, kind) of every row on the page."""
    section = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return set(re.findall(r"^\| `([^`]+)` \| (\w+) \|", section, re.MULTILINE))


def write() -> None:
    """Write the table into the page."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    write()
