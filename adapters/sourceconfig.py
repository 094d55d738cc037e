"""The `source:` part of a configuration: which of the kinds it is, and what that kind needs."""

from pathlib import Path
from urllib.parse import urlsplit

from adapters.model import AnySource, FileSource, HttpSource, SqlSource
from adapters.yamltree import Value

ENCODINGS = ("gb18030", "utf-8", "utf-8-sig", "utf-16", "big5", "ascii")
_LOSSY_ENCODINGS = {"gbk", "cp936", "gb2312", "gb_2312", "936", "euc-cn", "euccn"}


def source_of(value: Value, folder: Path) -> AnySource:
    """A database (`url`), a file (`file`), or a service (`rest`, `soap`). Paths count from `folder`."""
    kinds = value.entries()
    if "url" in kinds:
        return _database(value, folder)
    if "rest" in kinds:
        return _rest(value)
    if "soap" in kinds:
        return _soap(value)
    return _file(value, folder)


def encoding_of(value: Value) -> str:
    """A character encoding that loses nothing."""
    found = value.text().lower()
    if found in _LOSSY_ENCODINGS:
        raise value.fault(
            "lossy_encoding",
            f"“{found}” 缺字（如 䶮、㑇），不能使用。",
            f'"{found}" lacks characters that occur in names.',
            "请写 gb18030，它包含前者的全部内容。",
            "Write gb18030: it reads everything that one reads.",
        )
    return value.choice(*ENCODINGS)


def _database(value: Value, folder: Path) -> SqlSource:
    found = value.members(
        "url", "page_size", "statement_timeout", "max_rows_per_second", "allow_writable", "workers"
    )
    usual = SqlSource("")
    return SqlSource(
        _database_url(found["url"].text(empty=False), folder),
        page_size=_whole(found, "page_size", 1, 100_000, usual.page_size),
        statement_timeout=_whole(found, "statement_timeout", 1, 86_400, usual.statement_timeout),
        max_rows_per_second=_whole(found, "max_rows_per_second", 0, 10**7, usual.max_rows_per_second),
        allow_writable=found["allow_writable"].flag() if "allow_writable" in found else False,
        workers=_whole(found, "workers", 1, 64, usual.workers),
    )


def _database_url(url: str, folder: Path) -> str:
    """SQLite paths count from the configuration's folder, like every other path in it."""
    scheme, found, rest = url.partition(":///")
    if found and scheme.split("+")[0] == "sqlite" and rest and not rest.startswith("/"):
        return f"{scheme}:///{(folder / rest).as_posix()}"
    return url


def _file(value: Value, folder: Path) -> FileSource:
    found = value.members(
        "file", "format", "encoding", "delimiter", "columns", "end", "sheet", "header_row", "fields",
        required=("file", "format"),
    )  # fmt: skip
    kind = found["format"].choice("csv", "dbf", "excel", "fixed")
    delimiter = found["delimiter"].text().replace("\\t", "\t") if "delimiter" in found else ","
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise found["delimiter"].fault(
            "bad_delimiter", "分隔符应为一个字符。", "The delimiter is one character."
        )
    if (kind == "fixed") != ("fields" in found):
        raise value.fault(
            "fields",
            "定长文件要写 fields，其他文件不写。",
            "Fixed-width files need fields:, others have none.",
            "例如 fields: [{name: XH, width: 10}, {width: 2}, {name: XM}]。",
            "For example fields: [{name: XH, width: 10}, {width: 2}, {name: XM}].",
        )
    return FileSource(
        folder / found["file"].text(empty=False),
        kind,  # type: ignore[arg-type]  # choice() returned one of the four
        encoding=encoding_of(found["encoding"]) if "encoding" in found else "gb18030",
        delimiter=delimiter,
        columns=found["columns"].texts() if "columns" in found else None,
        end=_text(found, "end"),
        sheet=_text(found, "sheet"),
        header_row=_whole(found, "header_row", 1, 1000, 1),
        fields=_fields(found["fields"]) if "fields" in found else (),
    )


def _fields(value: Value) -> tuple[tuple[str, int | None], ...]:
    cut: list[tuple[str, int | None]] = []
    items = value.items()
    for place, item in enumerate(items, 1):
        found = item.members("name", "width")
        if "width" not in found and place < len(items):
            raise item.fault(
                "no_width", "只有最后一个字段可以不写宽度。", "Only the last field may have no width."
            )
        name = found["name"].text(empty=False) if "name" in found else ""
        if name and name in (known for known, _ in cut):
            raise item.fault(
                "duplicate_key", f"字段 “{name}” 写了两次。", f'The field "{name}" stands here twice.'
            )
        cut.append((name, found["width"].integer(1, 65_535) if "width" in found else None))
    return tuple(cut)


def _rest(value: Value) -> HttpSource:
    found = value.members(
        "rest", "rows", "total", "next", "page", "size", "page_size", "first", "headers", "body", "timeout"
    )
    usual = HttpSource("", "json")
    return HttpSource(
        _service_url(found["rest"]),
        "json",
        rows=found["rows"].text() if "rows" in found else "",
        total=_text(found, "total"),
        following=_text(found, "next"),
        page=_text(found, "page") or usual.page,
        size=_text(found, "size"),
        page_size=_whole(found, "page_size", 1, 100_000, usual.page_size),
        first=_whole(found, "first", 0, 1, usual.first),
        headers=_headers(found),
        body=_text(found, "body"),
        timeout=_whole(found, "timeout", 1, 3600, usual.timeout),
    )


def _soap(value: Value) -> HttpSource:
    found = value.members(
        "soap", "rows", "total", "next", "page_size", "first", "headers", "body", "action", "inside", "timeout",
        required=("rows", "body"),
    )  # fmt: skip
    usual = HttpSource("", "soap")
    return HttpSource(
        _service_url(found["soap"]),
        "soap",
        rows=found["rows"].text(empty=False),
        total=_text(found, "total"),
        following=_text(found, "next"),
        page_size=_whole(found, "page_size", 1, 100_000, usual.page_size),
        first=_whole(found, "first", 0, 1, usual.first),
        headers=_headers(found),
        body=found["body"].text(empty=False),
        action=found["action"].text() if "action" in found else "",
        inside=_text(found, "inside"),
        timeout=_whole(found, "timeout", 1, 3600, usual.timeout),
    )


def _service_url(value: Value) -> str:
    url = value.text(empty=False)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise value.fault(
            "bad_service",
            "接口地址应为不含密码的网址。",
            "The service is an http(s) address without a password in it.",
            "凭据写在 headers 里，值取自 ${环境变量}。",
            "Put credentials into headers:, from ${VARIABLES}.",
        )
    return url


def _headers(found: dict[str, Value]) -> dict[str, str]:
    if "headers" not in found:
        return {}
    return {name.lower(): item.text() for name, item in found["headers"].entries().items()}


def _text(found: dict[str, Value], name: str) -> str | None:
    return found[name].text(empty=False) if name in found else None


def _whole(found: dict[str, Value], name: str, low: int, high: int, usual: int) -> int:
    return found[name].integer(low, high) if name in found else usual
