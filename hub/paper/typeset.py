"""Setting text: measure, break into lines, draw at a fixed size. Nothing here ever shrinks a letter.

Breaking follows Chinese practice: between any two ideographs, not before closing punctuation, not after an opening
bracket; Latin words stay whole where the measure allows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hub.paper.fonts import Cut
from hub.paper.mupdf import mupdf

Colour = tuple[float, float, float]

_NOT_FIRST = frozenset("，。、；：？！）》〉」』】〕”’…—·%℃,.;:?!)]}")
_NOT_LAST = frozenset("（《〈「『【〔“‘([{")
_ATOMS = re.compile(r"[!-~À-ſ]+|.", re.DOTALL)


@dataclass(frozen=True)
class _Text:
    at: tuple[float, float]
    text: str
    size: float
    colour: Colour
    bold: bool


class Sheet:
    """One page being set in the given cuts: curves go to `shape`, strings to `text`, and ink to paper at `print`."""

    def __init__(self, page: Any, cuts: Sequence[Cut]) -> None:
        self.shape = page.new_shape()
        self._page = page
        self._texts: list[_Text] = []
        self._font: dict[str, Any] = {}
        for cut in cuts:
            self._font |= dict.fromkeys(cut.characters, mupdf.Font(fontbuffer=cut.data))
        self._advance = {c: float(font.glyph_advance(ord(c))) for c, font in self._font.items()}

    @property
    def drawn(self) -> list[str]:
        """Every string drawn so far, in order."""
        return [text.text for text in self._texts]

    def width(self, text: str, size: float) -> float:
        """Width of `text` in points at `size`."""
        return size * sum(self._advance[c] for c in text)

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
        bold: bool = False,
    ) -> None:
        """Draw one line with its baseline at `at`; `align` 0 left, 0.5 centred, 1 right.

        `bold` thickens the strokes by a twentieth of the size (the shipped font has one weight).
        """
        x = at[0] - align * self.width(text, size)
        self._texts.append(_Text((x, at[1]), text, size, colour, bold))

    def print(self) -> None:
        """Put the drawing on the page, and the text over it. Once."""
        self.shape.commit()
        for (colour, bold), group in groupby(self._texts, key=lambda t: (t.colour, t.bold)):
            writer = mupdf.TextWriter(self._page.rect, color=colour)
            texts = list(group)
            for text in texts:
                x = text.at[0]
                for font, run in self._runs(text.text):
                    writer.append((x, text.at[1]), run, font=font, fontsize=text.size)
                    x += self.width(run, text.size)
            writer.write_text(self._page, render_mode=2 if bold else 0)

    def _runs(self, text: str) -> list[tuple[Any, str]]:
        return [(font, "".join(run)) for font, run in groupby(text, key=self._font.__getitem__)]


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
