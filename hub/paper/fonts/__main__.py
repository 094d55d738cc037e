"""`python -m hub.paper.fonts`: cut the two shipped fonts afresh from the full Noto Serif CJK of this machine.

Needed only when `rare_names.txt` or the upstream font changes; takes about ten seconds.
"""

import sys
from pathlib import Path

from hub.paper import fonts

RARE_NAMES = fonts.HERE / "rare_names.txt"
EXTRA = "〇·•‧—–…‘’“”„‹›«»‰′″€£¥©®°±×÷№℃→←↑↓√□■○●"


def gb2312() -> set[str]:
    """Every character of GB 2312, printable ASCII, Latin-1, and punctuation that certificates use."""
    found = (
        {chr(code) for code in range(0x20, 0x7F)} | {chr(code) for code in range(0xA0, 0x100)} | set(EXTRA)
    )
    for row in range(0xA1, 0xF8):
        for cell in range(0xA1, 0xFF):
            found |= set(bytes([row, cell]).decode("gb2312", errors="ignore"))
    return found


def rare_names(path: Path = RARE_NAMES) -> set[str]:
    """The characters listed in `rare_names.txt`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {c for line in lines if not line.startswith("#") for c in line.strip()}


def build(source: Path, folder: Path) -> list[Path]:
    """Write the two shipped fonts into `folder`; the same source gives the same bytes. Returns their paths."""
    common = gb2312()
    made = []
    for shipped, characters in zip(fonts.SHIPPED, (common, rare_names() - common), strict=True):
        path = folder / shipped.name
        path.write_bytes(fonts.cut(source, characters, keep_names=True))
        made.append(path)
    return made


def main() -> int:
    """Build in place; exit code 1 with the command to run when the full font is not installed."""
    source = fonts.system_font()
    if source is None:
        print(
            f"未找到 {fonts.SYSTEM_FILE}，请先运行 / not found, first run: {fonts.INSTALL_LINE}",
            file=sys.stderr,
        )
        return 1
    for path in build(source, fonts.HERE):
        print(f"{path.name}\t{path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
