"""Setting text: measure, break into lines, draw at a fixed size. Nothing here ever shrinks a letter.

Breaking follows Chinese practice: between any two ideographs, not before closing punctuation, not after an opening
bracket; Latin words stay whole where the measure allows.
"""

import re
from collections.abc import Sequence
from typing import Any

from hub.paper.fonts import Cut
from hub.paper.mupdf import mupdf

Colour = tuple[float, float, float]

_NOT_FIRST = frozenset("，。、；：？！）》〉」』】〕”’…—·%℃,.;:?!)]}")
_NOT_LAST = frozenset("（《〈「『【〔“‘([{")
_ATOMS = re.compile(r"[!-~À-ſ]+|.", re.DOTALL)


class Sheet:
    """One page being set in the given cuts; remembers, in order, every string it was told to draw."""

    def __init__(self, page: Any, cuts: Sequence[Cut]) -> None:
        self.shape = page.new_shape()
        self.drawn: list[str] = []
        self._home: dict[str, tuple[str, Any]] = {}
        for index, cut in enumerate(cuts):
            name = f"zh{index}"
            page.insert_font(fontname=name, fontbuffer=cut.data)
            font = mupdf.Font(fontbuffer=cut.data)
            self._home.update(dict.fromkeys(cut.characters, (name, font)))

    def width(self, text: str, size: float) -> float:
        """Width of `text` in points at `size`."""
        return size * sum(float(self._home[c][1].glyph_advance(ord(c))) for c in text)

    def lines(self, text: str, size: float, measure: float) -> list[str]:
        """`text` broken into lines of at most `measure` points; a word longer than a line is broken inside."""
        out, line = [], ""
        for atom in _atoms(text):
            if line and self.width(line + atom.rstrip(" "), size) > measure:
                out.append(line.rstrip(" "))
                line = ""
            line += atom if line else atom.lstrip(" ")
            while self.width(line.rstrip(" "), size) > measure:
                fits = self._fitting(line, size, measure)
                out.append(line[:fits])
                line = line[fits:].lstrip(" ")
        return [*out, line.rstrip(" ")] if line or not out else out

    def _fitting(self, line: str, size: float, measure: float) -> int:
        end = 1
        while end < len(line) and self.width(line[: end + 1], size) <= measure:
            end += 1
        return end

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: float,
        colour: Colour,
        *,
        align: float = 0,
        weight: float = 0,
    ) -> None:
        """Draw one line with its baseline at `at`; `align` 0 left, 0.5 centred, 1 right.

        `weight` thickens the strokes by that part of the size (the shipped font has one weight).
        """
        x = at[0] - align * self.width(text, size)
        for name, run in self._runs(text):
            self.shape.insert_text(
                (x, at[1]), run, fontname=name, fontsize=size, color=colour, fill=colour,
                render_mode=2 if weight else 0, border_width=weight,
            )  # fmt: skip
            x += self.width(run, size)
        self.drawn.append(text)

    def _runs(self, text: str) -> list[tuple[str, str]]:
        runs: list[tuple[str, str]] = []
        for c in text:
            name = self._home[c][0]
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + c)
            else:
                runs.append((name, c))
        return runs


def _atoms(text: str) -> list[str]:
    """Pieces between which a line may break."""
    atoms: list[str] = []
    for piece in _ATOMS.findall(text):
        stick = atoms and (piece[0] in _NOT_FIRST or piece == " " or atoms[-1][-1] in _NOT_LAST)
        if stick:
            atoms[-1] += piece
        else:
            atoms.append(piece)
    return atoms
