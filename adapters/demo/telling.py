"""What the demo says while it goes: Chinese first, English second, with measured times; and what is a surprise."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table


class Surprise(Exception):
    """Something came out otherwise than the story says. The demo ends with an error and names it."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def surprise(zh: str, en: str) -> NoReturn:
    """Stop the demo: this should not have happened."""
    raise Surprise(zh, en)


def expect(holds: bool, zh: str, en: str) -> None:
    """Go on only if it holds."""
    if not holds:
        surprise(zh, en)


class Teller:
    """Tells the story on a terminal; `quiet` keeps to one line a step, on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.console = Console(stderr=quiet, highlight=False, soft_wrap=True)
        self.began = time.monotonic()
        self._chapter = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def chapter(self, zh: str, en: str) -> None:
        """A heading."""
        self._chapter += 1
        if self.quiet:
            self.console.print(f"[{self.elapsed:6.1f} s] {self._chapter}. {escape(zh)} · {escape(en)}")
            return
        self.console.print()
        self.console.rule(f"[bold]{self._chapter}. {escape(zh)}[/bold]  {escape(en)}", align="left")

    def good(self, zh: str, en: str) -> None:
        """Something that worked as it should."""
        self._mark("[green]✓[/green]", zh, en)

    def refused(self, zh: str, en: str, reason: str) -> None:
        """Something that failed as it should, with the reason that was given."""
        self._mark("[yellow]✗[/yellow]", f"{zh} → {reason}", en)

    def note(self, zh: str, en: str) -> None:
        """Something one should know, shown always."""
        self.console.print(f"  · {escape(zh)}\n    [dim]{escape(en)}[/dim]")

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int]
    ) -> None:
        """A table; `right` are the columns of numbers."""
        if self.quiet:
            return
        made = Table(title=title, title_justify="left", title_style="bold")
        for place, column in enumerate(columns):
            made.add_column(column, justify="right" if place in right else "left", overflow="fold")
        for row in rows:
            made.add_row(*map(escape, row))
        self.console.print(made)

    @contextmanager
    def bar(self, zh: str, en: str, total: int) -> Iterator["Bar"]:
        """A bar with a count while many things are done; a plain line when quiet or not on a terminal."""
        if self.quiet or not self.console.is_terminal:
            yield Bar(None, None if self.quiet else self.console)
            return
        progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.console, transient=True,
        )  # fmt: skip
        with progress:
            progress.add_task(f"  {zh} {en}", total=total)
            yield Bar(progress, progress.console)

    def _mark(self, mark: str, zh: str, en: str) -> None:
        if self.quiet:
            return
        self.console.print(f"  {mark} {escape(zh)}\n    [dim]{escape(en)}[/dim]")


class Bar:
    """Counts what is done, and says it where somebody reads."""

    def __init__(self, progress: Progress | None, console: Console | None) -> None:
        self._progress = progress
        self._console = console

    def done(self, text: str = "") -> None:
        """One more thing is done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])
        if text and self._console is not None:
            self._console.print(f"  [green]✓[/green] {escape(text)}")
