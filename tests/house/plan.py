"""The plan of the house as data, read from where it is written: pyproject.toml, the tree, docs/architecture.md.

Run as a program it writes the list of files into docs/architecture.md, from the first line of every docstring:
    .venv/bin/python tests/house/plan.py
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUSES = ("hub", "adapters", "keys")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- files: written by tests/house/plan.py -->", "<!-- end of files -->"


def modules() -> list[Path]:
    """Every Python file of the three packages."""
    return sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))


def shown(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """The full names of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{shown(path)}: a relative import hides where it goes"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floors() -> dict[str, int]:
    """Room -> floor, 0 being the top, from the import-linter contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["id"] == "floors")
    return {room: n for n, layer in enumerate(contract["layers"]) for room in re.findall(r"\w+", layer)}


def listing() -> str:
    """A table per folder: file and what it says it is."""
    lines: list[str] = []
    folder = None
    for path in modules():
        if path.parent != folder:
            folder = path.parent
            lines += ["", f"**{shown(folder)}/**", "", "| file | what it is |", "|---|---|"]
        first = (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n\n")[0]
        words = " ".join(first.split()).replace("|", "\\|")
        if path.name != "__init__.py" or words:
            lines.append(f"| `{path.name}` | {words} |")
    return "\n".join(lines).strip()


def listed() -> set[str]:
    """The files that docs/architecture.md names between its two marks."""
    part = ARCHITECTURE.read_text().partition(BEGIN)[2].partition(END)[0]
    folder, found = "", set()
    for line in part.splitlines():
        if heading := re.fullmatch(r"\*\*(.+)/\*\*", line):
            folder = heading[1]
        elif row := re.match(r"\| `([^`]+\.py)` \|", line):
            found.add(f"{folder}/{row[1]}")
    return found


if __name__ == "__main__":
    text = ARCHITECTURE.read_text()
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    ARCHITECTURE.write_text(f"{head}{BEGIN}\n\n{listing()}\n\n{END}{tail}")
