"""Fonts for Chinese faces: which can print a text, and a cut of them that holds that text alone.

Shipped beside this file (Noto Serif SC, OFL-1.1, see OFL.txt; made by `python -m hub.paper.fonts`):

- `NotoSerifSC-GB2312.otf`: GB 2312, `〇`, `·`, punctuation, Latin-1 and pinyin (Noto CJK has no more);
- `NotoSerifSC-Names.otf`: the characters of 通用规范汉字表 that GB 2312 lacks, and some more met in names.

Anything else is cut from the full Noto font of the system, if there is one. A missing glyph would be drawn as an
empty box without any error, so `cuts` refuses by naming what it cannot print.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.errors import Unprocessable

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

HERE = Path(__file__).parent
SHIPPED = (HERE / "NotoSerifSC-GB2312.otf", HERE / "NotoSerifSC-Names.otf")
SYSTEM_FILE = "NotoSerifCJK-Regular.ttc"
SYSTEM_FOLDERS = (
    Path("/usr/share/fonts/opentype/noto"),
    Path("/usr/share/fonts/noto-cjk"),
    Path("/usr/share/fonts/google-noto-serif-cjk-fonts"),
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
)
INSTALL_LINE = "apt-get install fonts-noto-cjk"
POSTSCRIPT_NAME = "NotoSerifCJKsc-Regular"
"""The one font name that may appear on a face; any other means that something fell back in silence."""

_TABLES_NOT_NEEDED = ["BASE", "DSIG", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]


@dataclass(frozen=True)
class Cut:
    """An OpenType font that holds `characters` and nothing else worth mentioning."""

    data: bytes
    characters: frozenset[str]


def system_font(folders: Sequence[Path] = SYSTEM_FOLDERS) -> Path | None:
    """The full Noto Serif CJK of this machine, or None (`INSTALL_LINE` brings it on Debian and Ubuntu)."""
    return next((path for folder in folders if (path := folder / SYSTEM_FILE).is_file()), None)


def missing(text: str, *, system: Path | None) -> list[str]:
    """Characters of `text` that none of the shipped fonts and `system` can draw, in order, each once."""
    left = set(text)
    for path in _sources(system):
        left -= _repertoire(path)
    return [c for c in dict.fromkeys(text) if c in left]


def cuts(text: str, *, system: Path | None) -> tuple[Cut, ...]:
    """Fonts that together hold every character of `text`, each character in exactly one of them.

    Costs about 0.05 s of CPU, and 0.3 s more when the system font is needed.
    Raises Unprocessable `paper.no_glyph` with `facts["characters"]`: printing would show an empty box.
    """
    if absent := missing(text, system=system):
        raise _refusal(absent)
    left, made = set(text), []
    for path in _sources(system):
        if part := left & _repertoire(path):
            made.append(Cut(cut(path, part), frozenset(part)))
            left -= part
    return tuple(made)


def digest() -> str:
    """SHA-256 (hex) over the fonts that faces are drawn with: part of the cache key of a face."""
    sums = hashlib.sha256()
    for path in _sources(system_font()):
        stat = path.stat()
        sums.update(path.read_bytes() if path in SHIPPED else f"{path.name}:{stat.st_size}".encode())
    return sums.hexdigest()


def cut(source: Path, characters: Iterable[str], *, keep_names: bool = False) -> bytes:
    """`source` (.otf, or the SC face of a .ttc) reduced to `characters`, as .otf bytes; same input, same bytes."""
    from fontTools import subset

    number = _sc_face(source) if source.suffix == ".ttc" else -1
    with _open(source, number, recalcTimestamp=False, recalcBBoxes=False) as font:
        options = subset.Options()
        options.desubroutinize = True  # MuPDF cannot subset what is left otherwise
        options.layout_features = []
        options.notdef_outline = True
        options.hinting = False
        options.drop_tables += _TABLES_NOT_NEEDED
        if keep_names:
            options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]  # copyright and licence travel with the file
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=sorted(ord(c) for c in characters))
        subsetter.subset(font)
        _number_in_order(font)
        out = io.BytesIO()
        font.save(out)
    return out.getvalue()


def _open(path: Path, number: int, **options: Any) -> "TTFont":
    from fontTools.ttLib import TTFont  # a fifth of a second to import, and few processes ever cut a font

    return TTFont(path, fontNumber=number, lazy=True, **options)


def _number_in_order(font: "TTFont") -> None:
    """Make CID = glyph index. MuPDF writes glyph indices where a PDF reader expects the CIDs of a CID-keyed CFF:
    without this the text extracts as meant while the page shows other characters."""
    order = font.getGlyphOrder()
    renamed = {old: f"cid{index:05d}" if index else ".notdef" for index, old in enumerate(order)}
    for table in font["cmap"].tables:
        table.cmap = {code: renamed[name] for code, name in table.cmap.items()}
    metrics = font["hmtx"]
    metrics.metrics = {renamed[name]: metric for name, metric in metrics.metrics.items()}
    top = font["CFF "].cff.topDictIndex[0]
    strings = top.CharStrings
    strings.charStrings = {renamed[name]: index for name, index in strings.charStrings.items()}
    top.charset = list(renamed.values())
    top.CIDCount = len(order)
    font.setGlyphOrder(top.charset)


def _sources(system: Path | None) -> tuple[Path, ...]:
    return SHIPPED if system is None else (*SHIPPED, system)


@lru_cache(maxsize=8)
def _repertoire(path: Path) -> frozenset[str]:
    number = _sc_face(path) if path.suffix == ".ttc" else -1
    with _open(path, number) as font:
        return frozenset(chr(code) for code in font.getBestCmap())


@lru_cache(maxsize=8)
def _sc_face(path: Path) -> int:
    """Index of the Simplified Chinese face of a collection: the others draw regional shapes."""
    for number in range(16):
        with _open(path, number) as font:
            if font["name"].getDebugName(6) == POSTSCRIPT_NAME:
                return number
    raise Unprocessable(
        "paper.font_unsuitable",
        f"字体文件中没有简体中文字形：{path.name}",
        f"the font file has no Simplified Chinese face: {path.name}",
    )


def _refusal(absent: list[str]) -> Unprocessable:
    shown = "、".join(f"{c}（U+{ord(c):04X}）" for c in absent[:20])
    listed = ", ".join(f"{c} (U+{ord(c):04X})" for c in absent[:20])
    return Unprocessable(
        "paper.no_glyph",
        f"现有字体无法打印这些字符：{shown}。证面未生成。",
        f"no font here can print these characters: {listed}. The face was not made.",
        next_zh=f"请安装完整字体后重试：{INSTALL_LINE}；如仍缺字，请联系发证部门核对姓名用字的编码。",
        next_en=f"Install the full font and try again: {INSTALL_LINE}. If characters are still missing, "
        "ask the issuing department to check how the name is encoded.",
        characters=absent,
    )
