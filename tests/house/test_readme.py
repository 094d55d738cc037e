"""Commands in the README and docs exist; links lead somewhere."""

import re
import shlex

import click
import pytest
import typer.main
from plan import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SCRIPT = (ROOT / "run").read_text()


def commands(text: str) -> list[list[str]]:
    """Every `./run ...` and `yimen ...` line in fenced blocks and in inline code."""
    fenced = [line.strip().removeprefix("$ ") for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
              for line in block.splitlines()]  # fmt: skip
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    found = [re.split(r"\s{2,}#|\s#\s|&&|\|\||[|;>]", line)[0].strip() for line in fenced + inline]
    return [shlex.split(line) for line in found if re.match(r"(\./run|yimen)(\s|$)", line)]


def test_there_is_something_to_check():
    assert any(words[:2] == ["./run", "demo"] for words in commands((ROOT / "README.md").read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_on_a_page_exist(page):
    from hub.cli import app

    root = typer.main.get_command(app)
    own = set(re.findall(r"^(\w+(?: \| \w+)*)\)$", SCRIPT, re.MULTILINE))
    own = {word for words in own for word in words.split(" | ")}
    unknown = []
    for words in commands(page.read_text()):
        names = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
        if not names or (words[0] == "./run" and names[0] in own):
            continue
        command: click.Command | None = root
        for name in names:
            if not isinstance(command, click.Group):
                break  # the rest are arguments
            command = command.get_command(click.Context(command), name)
        if command is None:
            unknown.append(" ".join(words))
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_on_a_page_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []
