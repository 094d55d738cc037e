"""One city's children, in every kind of store a department may have: the same families come out of each of them."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import openpyxl
import pytest
import sqlalchemy as sa

from adapters import config
from adapters.demo import dbf
from adapters.demo.families import build
from adapters.mapping import Mapped, key_of, map_row
from adapters.source import SourceFault, Unreadable
from adapters.sources import open_source

TODAY = date(2026, 11, 23)
COLUMNS = ("BH", "XM", "SFZH", "MQXM", "MQSFZH", "FQXM", "FQSFZH", "CSRQ", "FY")
DATASET = """\
agent: {{department: dg-health, hub: "http://hub.test"}}
source: {source}
datasets:
  - id: birth
    type: birth
    {query}
    key: [BH]
    holders:
      - {{role: child, name: {{from: XM{recover}}}, id_type: {{const: "111"}}, id_no: {{from: SFZH}}}}
      - {{role: mother, name: {{from: MQXM{recover}}}, id_type: {{const: "111"}}, id_no: {{from: MQSFZH}}}}
      - {{role: father, when: FQSFZH, name: {{from: FQXM{recover}}}, id_type: {{const: "111"}},
          id_no: {{from: FQSFZH}}}}
    claims:
      born: {{from: CSRQ, type: date, null_values: ["00000000", "0000-00-00"]}}
      fee: {{from: {fee}, type: decimal, scale: 2}}
"""


@pytest.fixture(scope="module")
def clean() -> list[dict[str, object]]:
    """The rows as they should be: families of the demonstration, some with characters that old tables cannot hold."""
    found = []
    for family in build(TODAY):
        for child in family.children:
            father = family.father.person if family.father else None
            number = len(found) + 1
            name = child.person.name + ("䶮" if number % 10 == 0 else "")
            found.append(
                {"BH": f"B{number:05d}", "XM": name, "SFZH": child.person.id_no, "MQXM": family.mother.person.name,
                 "MQSFZH": family.mother.person.id_no, "FQXM": father.name if father else None,
                 "FQSFZH": father.id_no if father else None,
                 "CSRQ": "00000000" if number % 7 == 0 else f"{child.person.born:%Y%m%d}", "FY": f"{number * 12}.50"}
            )  # fmt: skip
    return found


def said(
    folder: Path, source: str, *, query: str = "", recover: str = "", fee: str = "FY"
) -> tuple[dict[str, str], set[str]]:
    """What a source says: key -> digest of the certificate, and the codes of what it could not say."""
    (folder / "agent.yaml").write_text(
        DATASET.format(source=source, query=f"query: {query}" if query else "", recover=recover, fee=fee),
        encoding="utf-8",
    )
    [dataset] = config.load(folder / "agent.yaml").datasets
    opened, found, codes = open_source(dataset, folder), {}, set()
    try:
        for row in opened.rows():
            mapped = map_row(row, dataset, today=TODAY) if not isinstance(row, Unreadable) else ()
            if isinstance(mapped, Mapped):
                [key] = key_of(row, dataset) or [""]
                found[key] = mapped.digest("urn:test")
            else:
                codes |= {finding.code for finding in mapped} or {"unreadable"}
        assert opened.complete
    finally:
        opened.close()
    return found, codes


@pytest.fixture(scope="module")
def wanted(clean, tmp_path_factory) -> dict[str, str]:
    """What the clean source says."""
    folder = tmp_path_factory.mktemp("clean")
    with sqlite3.connect(folder / "clean.db") as db:
        db.execute(f"create table cs ({','.join(COLUMNS)})")
        marks = ",".join("?" * len(COLUMNS))
        db.executemany(f"insert into cs values ({marks})", [tuple(row.values()) for row in clean])
    db.close()
    found, codes = said(folder, '{url: "sqlite:///clean.db"}', query="select * from cs")
    assert (len(found), codes) == (len(clean), set())
    assert len(found) > 40
    return found


def text_rows(clean) -> Iterator[list[str]]:
    for row in clean:
        yield ["" if cell is None else str(cell) for cell in row.values()]


def test_csv_in_gb18030(clean, wanted, tmp_path):
    lines = [",".join(COLUMNS), *map(",".join, text_rows(clean))]
    (tmp_path / "cs.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode("gb18030"))
    assert said(tmp_path, "{file: cs.csv, format: csv}") == (wanted, set())


def test_dbf_without_a_code_page(clean, wanted, tmp_path):
    columns = [dbf.Column(name, "N" if name == "FY" else "C", 24, 2 if name == "FY" else 0) for name in COLUMNS]
    dbf.write(tmp_path / "cs.dbf", columns, [tuple(row.values()) for row in clean], written=TODAY, code_page=0)
    assert said(tmp_path, "{file: cs.dbf, format: dbf}") == (wanted, set())


def test_excel_with_titles_real_dates_and_numbers(clean, wanted, tmp_path):
    book = openpyxl.Workbook()
    book.create_sheet("出生登记")
    sheet = book["出生登记"]
    sheet.append(["出生登记表"])
    sheet.append(["填报单位：演示", None, "2026"])
    sheet.append(list(COLUMNS))
    for row in clean:
        cells = list(row.values())
        born = str(cells[7])
        cells[7] = None if born == "00000000" else date(int(born[:4]), int(born[4:6]), int(born[6:]))
        cells[8] = float(str(cells[8]))
        sheet.append(cells)
    sheet.append([])
    book.save(tmp_path / "cs.xlsx")
    found, codes = said(tmp_path, "{file: cs.xlsx, format: excel, sheet: 出生登记, header_row: 3}")
    assert (found, codes) == (wanted, set())
    with pytest.raises(SourceFault, match=r"source\.sheet"):
        said(tmp_path, "{file: cs.xlsx, format: excel, sheet: 出生}")
    whole = (tmp_path / "cs.xlsx").read_bytes()
    (tmp_path / "cs.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceFault, match=r"source\.file"):
        said(tmp_path, "{file: cs.xlsx, format: excel}")


def test_excel_that_spoilt_identity_numbers(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(list(COLUMNS))
    book.active.append(["B1", "张三", 441900199403150018, "李四", "11010519491231002X", None, None, None, 1])
    book.save(tmp_path / "cs.xlsx")
    assert said(tmp_path, "{file: cs.xlsx, format: excel}") == ({}, {"type"})


def test_fixed_width_in_bytes(clean, wanted, tmp_path):
    widths = {"BH": 8, "XM": 32, "SFZH": 18, "MQXM": 32, "MQSFZH": 18, "FQXM": 32, "FQSFZH": 18, "CSRQ": 8}
    body = b""
    for cells in text_rows(clean):
        for name, cell in zip(COLUMNS, cells, strict=True):
            body += cell.encode("gb18030").ljust(widths.get(name, 0))
            body += b"##" if name == "SFZH" else b""
        body += b"\r\n"
    fields = ", ".join(f"{{name: {name}, width: {width}}}" for name, width in widths.items())
    fields = fields.replace("{name: MQXM", "{width: 2}, {name: MQXM") + ", {name: FY}"
    source = f"{{file: cs.txt, format: fixed, fields: [{fields}]}}"
    (tmp_path / "cs.txt").write_bytes(body)
    assert said(tmp_path, source) == (wanted, set())
    ended = source.replace("format: fixed", 'format: fixed, end: "*EOF"')
    (tmp_path / "cs.txt").write_bytes(body + f"*EOF {len(clean)}\r\n\x1a".encode())
    assert said(tmp_path, ended) == (wanted, set())
    for spoilt in (body[:-1], body[:-40], body + b"short\r\n"):
        (tmp_path / "cs.txt").write_bytes(spoilt)
        with pytest.raises(AssertionError):  # not complete
            said(tmp_path, source)
    (tmp_path / "cs.txt").write_bytes(body + b"*EOF 3\r\n")
    with pytest.raises(AssertionError):
        said(tmp_path, ended)


# --- services ---


@contextmanager
def service(answer) -> Iterator[str]:
    """A service of another system: `answer(method, url, body)` gives (status, bytes)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            status, body = answer(self, self.rfile.read(length))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/rows"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_rest_pages_by_number_with_a_total(clean, wanted, tmp_path):
    trouble = SimpleNamespace(fail=2, total=len(clean))

    def answer(request, _):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        if request.headers["x-token"] != "s3cret":
            return 403, b"{}"
        page, size = int(asked["pageNo"]), int(asked["pageSize"])
        if page == 2 and trouble.fail:
            trouble.fail -= 1
            return 503, b""
        rows = [
            {**{name: cell for name, cell in row.items() if name != "FY"}, "FY": {"je": 0}}
            for row in clean[(page - 1) * size : page * size]
        ]
        text = json.dumps({"code": 0, "data": {"total": trouble.total, "list": rows}}, ensure_ascii=False)
        for row in clean[(page - 1) * size : page * size]:  # an exact number, as a JSON service writes it
            text = text.replace('{"je": 0}', f'{{"je": {row["FY"]}}}', 1)
        return 200, text.encode()

    with service(answer) as url:
        source = (
            f'{{rest: "{url}", rows: data.list, total: data.total, page: pageNo, size: pageSize, page_size: 7,'
            ' headers: {X-Token: "s3cret"}}'
        )
        assert said(tmp_path, source, fee="FY.je") == (wanted, set())
        trouble.total += 1  # the service says that there is one more than it gave
        with pytest.raises(AssertionError):
            said(tmp_path, source, fee="FY.je")
        with pytest.raises(SourceFault, match=r"source\.http"):
            said(tmp_path, source.replace("s3cret", "wrong"), fee="FY.je")
        with pytest.raises(SourceFault, match=r"source\.answer"):
            said(tmp_path, source.replace("data.list", "data.rows"), fee="FY.je")


def test_rest_pages_by_a_mark_in_the_answer(clean, wanted, tmp_path):
    def answer(request, body):
        asked = json.loads(body)
        start = int(asked["from"] or 0)
        following = str(start + 11) if start + 11 < len(clean) else None
        said = {"rows": clean[start : start + 11], "next": following}
        return 200, json.dumps(said, ensure_ascii=False).encode()

    with service(answer) as url:
        body = '{"from": "{page}", "n": {size}}'
        assert said(tmp_path, f"{{rest: \"{url}\", rows: rows, next: next, body: '{body}'}}") == (wanted, set())


@pytest.mark.parametrize("inside", [False, True])
def test_soap_pages_plain_and_wrapped_in_text(clean, wanted, tmp_path, inside):
    def answer(request, body):
        assert request.headers["soapaction"] == '"urn:cs:query"'
        page = int(body.split(b"<pageNo>")[1].split(b"<")[0])
        rows = "".join(
            "<row>" + "".join(
                f"<{name}/>" if cell is None else f"<{name}>{escape(str(cell))}</{name}>" for name, cell in row.items()
            ) + "</row>"
            for row in clean[(page - 1) * 20 : page * 20]
        )  # fmt: skip
        data = f"<data><zs>{len(clean)}</zs>{rows}</data>"
        data = escape(data) if inside else data
        envelope = (
            '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
            f'<s:Body><queryResponse xmlns="urn:cs"><return>{data}</return></queryResponse></s:Body></s:Envelope>'
        )
        return 200, envelope.encode()

    with service(answer) as url:
        body = "<Envelope><Body><query><pageNo>{page}</pageNo><n>{size}</n></query></Body></Envelope>"
        source = (
            f'{{soap: "{url}", action: "urn:cs:query", rows: row, total: zs, page_size: 20, body: "{body}"'
            + (", inside: return}" if inside else "}")
        )
        assert said(tmp_path, source) == (wanted, set())


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a", b"<Envelope><Body><Fault/></Body></Envelope>", b"<a/>"]
)
def test_soap_answers_that_are_none(tmp_path, body):
    with (
        service(lambda *_: (200, body)) as url,
        pytest.raises(SourceFault, match=r"source\.(answer|missing_column)"),
    ):
        said(tmp_path, f'{{soap: "{url}", rows: row, body: "<a>{{page}}</a>"}}')


# --- database servers ---


def test_mariadb_in_gbk_and_in_latin1_with_gbk_bytes(clean, wanted, tmp_path, mariadb):
    url = f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"
    engine = sa.create_engine(url)
    columns = ", ".join(f"{name} varchar(60)" for name in COLUMNS if name != "FY") + ", FY decimal(10, 2)"
    marks = ", ".join(["%s"] * len(COLUMNS))
    fits = {row["BH"]: _fits("gbk", row) for row in clean}
    with engine.begin() as db:
        for statement in (
            "set sql_mode = ''", "create database if not exists cs", "drop table if exists cs.g, cs.l",
            f"create table cs.g ({columns}) default charset gbk",
            f"create table cs.l ({columns}) default charset latin1",
        ):  # fmt: skip
            db.exec_driver_sql(statement)
        for row in clean:
            db.exec_driver_sql(f"insert into cs.g values ({marks})", tuple(row.values()))
            raw = [cell.encode("gb18030") if isinstance(cell, str) else cell for cell in row.values()]
            db.exec_driver_sql(
                "insert into cs.l values (" + ", ".join(["convert(%s using binary)"] * len(COLUMNS)) + ")", tuple(raw)
            )
    source = f'{{url: "{url}", page_size: 13, allow_writable: true}}'
    recovered = said(tmp_path, source, query="select * from cs.l", recover=", bytes_as: gb18030")
    assert recovered == (wanted, set())
    # A GBK table lost what GBK does not have when the row was written: those rows wait, the others are the same.
    found, codes = said(tmp_path, source, query="select * from cs.g")
    assert found == {key: digest for key, digest in wanted.items() if fits[key]}
    assert codes == {"lossy_text"}
    assert 0 < sum(not fit for fit in fits.values()) < 20
    engine.dispose()


def _fits(charset: str, row) -> bool:
    try:
        for cell in row.values():
            str(cell).encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def test_postgresql(clean, wanted, tmp_path, postgres):
    url = postgres.url("postgres", "postgresql+psycopg")
    engine = sa.create_engine(url)
    columns = ", ".join(f"{name} char(40)" for name in COLUMNS if name != "FY") + ", FY numeric(10, 2)"
    with engine.begin() as db:
        db.exec_driver_sql("drop table if exists cs_pg")
        db.exec_driver_sql(f"create table cs_pg ({columns})")
        for row in clean:
            db.exec_driver_sql(f"insert into cs_pg values ({', '.join(['%s'] * len(COLUMNS))})", tuple(row.values()))
    named = ", ".join(f'{name} as "{name}"' for name in COLUMNS)
    source = f'{{url: "{url}", page_size: 13, allow_writable: true}}'
    assert said(tmp_path, source, query=f"'select {named} from cs_pg'") == (wanted, set())
    engine.dispose()
