"""Sources give every row once, in key order, and say when they did not see the end."""

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from adapters.model import FileSource, SqlSource
from adapters.source import SourceFault, Unreadable
from adapters.sources.files import CsvRows, DbfRows
from adapters.sources.sql import SqlRows


def legacy(path: Path, rows, columns="id integer, xm, bydate") -> str:
    connection = sqlite3.connect(path)
    connection.execute(f"create table xwzs ({columns})")
    connection.executemany(f"insert into xwzs values ({', '.join('?' * len(columns.split(',')))})", rows)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


def read(source):
    try:
        return list(source.rows()), source.complete
    finally:
        source.close()


# --- SQL ---


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_every_row_once_in_key_order(tmp_path, page_size):
    url = legacy(tmp_path / "l.db", [(id_, f"名{id_}", None) for id_ in (5, 1, 4, 2, 3)])
    rows, complete = read(SqlRows(SqlSource(url, page_size=page_size), "select * from xwzs", ("id",)))
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["xm"] == "名1"
    assert complete


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), unique=True, max_size=12),
    st.integers(1, 4),
)
def test_keys_of_several_columns(tmp_path_factory, keys, page_size):
    path = tmp_path_factory.mktemp("s") / "l.db"
    url = legacy(path, [(first, second, None) for first, second in keys])
    rows, complete = read(SqlRows(SqlSource(url, page_size=page_size), "select * from xwzs", ("id", "xm")))
    assert [(row["id"], row["xm"]) for row in rows] == sorted(keys)
    assert complete


def test_rows_without_a_key_are_given_too(tmp_path):
    url = legacy(tmp_path / "l.db", [(1, "a", None), (None, "b", None)])
    rows, complete = read(SqlRows(SqlSource(url), "select * from xwzs", ("id",)))
    assert Counter(row["xm"] for row in rows) == Counter("ab")
    assert complete


def test_a_repeated_key_across_a_page_is_an_incomplete_read(tmp_path):
    url = legacy(tmp_path / "l.db", [(1, "a", None), (2, "b", None), (2, "c", None), (3, "d", None)])
    _, complete = read(SqlRows(SqlSource(url, page_size=2), "select * from xwzs", ("id",)))
    assert not complete
    rows, complete = read(SqlRows(SqlSource(url, page_size=10), "select * from xwzs", ("id",)))
    assert len(rows) == 4
    assert complete


def test_the_database_file_is_opened_read_only(tmp_path):
    url = legacy(tmp_path / "l.db", [(1, "a", None)])
    source = SqlRows(SqlSource(url), "select * from xwzs", ("id",))
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        source._connection.exec_driver_sql("delete from xwzs")
    source.close()
    with pytest.raises(SourceFault):
        SqlRows(SqlSource(f"sqlite:///{tmp_path}/nowhere.db"), "select 1 as id", ("id",))
    assert not (tmp_path / "nowhere.db").exists()


def test_colons_and_percent_signs_of_the_query_are_the_departments_own(tmp_path):
    url = legacy(tmp_path / "l.db", [(1, "08:30:a", None), (2, "x", None)])
    query = "select id, xm, ':b' as c, '%s' as p from xwzs where xm like '%:%'"
    rows, complete = read(SqlRows(SqlSource(url), query, ("id",)))
    assert rows == [{"id": 1, "xm": "08:30:a", "c": ":b", "p": "%s"}]
    assert complete


def test_sqlite_bytes_that_are_no_utf8(tmp_path):
    url = legacy(tmp_path / "l.db", [(1, "张三".encode("gb18030"), None)])
    connection = sqlite3.connect(tmp_path / "l.db")
    connection.execute("insert into xwzs values (2, cast(? as text), 'ok')", ("通".encode("gb18030"),))
    connection.commit()
    rows, _ = read(SqlRows(SqlSource(url), "select * from xwzs", ("id",), frozenset({"xm"})))
    assert [row["xm"] for row in rows] == ["张三".encode("gb18030"), "通".encode("gb18030")]
    assert rows[1]["bydate"] == "ok"
    rows, _ = read(SqlRows(SqlSource(url), "select * from xwzs", ("id",)))
    assert rows[0]["xm"] == "张三".encode("gb18030")


def test_a_broken_query_tells_no_values(tmp_path):
    url = legacy(tmp_path / "l.db", [])
    with pytest.raises(SourceFault) as caught:
        SqlRows(SqlSource(url), "select '秘密' from nowhere", ("id",))
    assert "秘密" not in str(caught.value)
    with pytest.raises(SourceFault, match=r"source\.driver"):
        SqlRows(SqlSource("oracle://scott:tiger@h/x"), "select 1", ("id",))


# --- PostgreSQL ---


@pytest.fixture
def pg_url(postgres) -> str:
    return postgres.url("postgres", "postgresql+psycopg")


def test_postgresql_one_bad_row_does_not_spoil_the_others(pg_url):
    query = """select n as id, case when n = 7 then 'infinity'::date else date '2016-01-01' + n end as bydate,
               12345678901234567890.1234::numeric as je from generate_series(1, 40) n"""
    source = SqlSource(pg_url, page_size=16, allow_writable=True)
    rows, complete = read(SqlRows(source, query, ("id",)))
    bad = [row for row in rows if isinstance(row, Unreadable)]
    assert bad == [Unreadable((7,), "fetch_failed")]
    assert len(rows) == 40
    assert complete
    assert str(rows[0]["je"]) == "12345678901234567890.1234"


def test_postgresql_snapshot_and_read_only(pg_url):
    engine = sa.create_engine(pg_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table if exists shot")
        connection.exec_driver_sql("create table shot as select n as id from generate_series(1, 30) n")
    source = SqlRows(SqlSource(pg_url, page_size=10, allow_writable=True), "select id from shot", ("id",))
    found = source.rows()
    next(found)
    with engine.begin() as connection:
        connection.exec_driver_sql("delete from shot where id > 5")
    assert len(list(found)) == 29
    assert source.complete
    with pytest.raises(sa.exc.DBAPIError, match="read-only"):
        source._connection.exec_driver_sql("delete from shot")
    source.close()
    engine.dispose()


def test_postgresql_accounts_that_may_write_are_refused(pg_url):
    with pytest.raises(SourceFault, match=r"source\.writable"):
        SqlRows(SqlSource(pg_url), "select 1 as id", ("id",))
    with pytest.raises(SourceFault, match="repeated_column"):
        SqlRows(SqlSource(pg_url, allow_writable=True), "select 1 as id, 2 as id", ("id",))
    engine = sa.create_engine(pg_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("drop role if exists reader")
        connection.exec_driver_sql("create role reader login password 'r'")
    url = sa.make_url(pg_url).set(username="reader", password="r").render_as_string(hide_password=False)
    rows, complete = read(SqlRows(SqlSource(url), "select 1 as id", ("id",)))
    assert rows == [{"id": 1}]
    assert complete
    engine.dispose()


# --- MariaDB ---


@pytest.fixture
def maria_url(mariadb) -> str:
    return f"mysql+pymysql://{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/mysql?charset=utf8mb4"


def test_mariadb_gbk_bytes_in_a_latin1_column(maria_url):
    engine = sa.create_engine(maria_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("create database if not exists legacy")
        connection.exec_driver_sql("drop table if exists legacy.xwzs")
        connection.exec_driver_sql(
            "create table legacy.xwzs (id int, xm varchar(40) charset latin1, je decimal(12,2))"
        )
        for place, name in enumerate(["张三丰", "䶮", "㑇"]):
            raw = name.encode("gb18030").hex()
            connection.exec_driver_sql(f"insert into legacy.xwzs values ({place}, x'{raw}', 12.50)")
    with pytest.raises(SourceFault, match=r"source\.writable"):
        SqlRows(SqlSource(maria_url), "select 1 as id", ("id",))
    source = SqlRows(
        SqlSource(maria_url, page_size=2, allow_writable=True), "select * from legacy.xwzs", ("id",)
    )
    rows, complete = read(source)
    assert complete
    from adapters import charset

    assert [charset.recover(row["xm"], "gb18030") for row in rows] == ["张三丰", "䶮", "㑇"]
    assert str(rows[0]["je"]) == "12.50"
    engine.dispose()


# --- CSV ---


def csv_file(tmp_path, text: str | bytes, encoding="gb18030", **more) -> FileSource:
    path = tmp_path / "records.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return FileSource(path, "csv", encoding=encoding, **more)


def test_csv_in_gb18030(tmp_path):
    source = csv_file(tmp_path, 'XH,XM,XX\r\n2,"李,娜",䶮\r\n1,张三,"第一\n小学"\r\n')
    rows, complete = read(CsvRows(source, ("XH",), tmp_path / "scratch"))
    assert rows == [{"XH": "1", "XM": "张三", "XX": "第一\n小学"}, {"XH": "2", "XM": "李,娜", "XX": "䶮"}]
    assert complete
    assert list((tmp_path / "scratch").iterdir()) == []  # nothing stays behind


def test_a_bad_byte_spoils_its_own_cell_only(tmp_path):
    source = csv_file(tmp_path, b"XH,XM\n1,\xd5\xc5\x80\n2," + "李".encode("gb18030") + b"\n")
    rows, complete = read(CsvRows(source, ("XH",), tmp_path))
    assert rows[0]["XM"] == "张\udc80"
    assert rows[1]["XM"] == "李"
    assert complete


@pytest.mark.parametrize(
    ("text", "end"),
    [("XH,XM\n1,a\n2,b", None),
     ("XH,XM\n1,a\n", "EOF"), ("XH,XM\n1,a\nEOF,2\n", "EOF"), ("XH,XM\n1,a\nEOF,1\n2,b\n", "EOF"),
     ("XH,XM\n1,a\n2\n", None)],
)  # fmt: skip
def test_a_csv_without_its_end_is_incomplete(tmp_path, text, end):
    _, complete = read(CsvRows(csv_file(tmp_path, text, end=end), ("XH",), tmp_path))
    assert not complete


def test_a_csv_with_its_end_is_complete(tmp_path):
    rows, complete = read(CsvRows(csv_file(tmp_path, "XH,XM\n1,a\nEOF,1\n", end="EOF"), ("XH",), tmp_path))
    assert complete
    assert len(rows) == 1


def test_a_csv_that_changes_while_it_is_read_is_incomplete(tmp_path):
    source = csv_file(tmp_path, "XH,XM\n1,a\n2,b\n")
    found = CsvRows(source, ("XH",), tmp_path)
    rows = found.rows()
    next(rows)
    source.path.write_text("XH,XM\n1,a\n")
    list(rows)
    assert not found.complete
    found.close()


def test_misshapen_lines_are_rows_too(tmp_path):
    rows, complete = read(CsvRows(csv_file(tmp_path, "XH,XM\n1\n2,b\n"), ("XH",), tmp_path))
    assert rows == [Unreadable(None, "row_shape"), {"XH": "2", "XM": "b"}]
    assert not complete


@pytest.mark.parametrize("text", ["", "a,a\n", ",b\n"])
def test_header_lines_must_name_columns(tmp_path, text):
    with pytest.raises(SourceFault):
        CsvRows(csv_file(tmp_path, text), ("a",), tmp_path)


def test_broken_quotes_end_the_read(tmp_path):
    with pytest.raises(SourceFault):
        read(CsvRows(csv_file(tmp_path, 'a,b\n1,"x"y\n'), ("a",), tmp_path))


# --- DBF ---

FIELDS = [("XH", "C", 8, 0), ("姓名", "C", 20, 0), ("SE", "N", 12, 2), ("RQ", "D", 8, 0), ("YX", "L", 1, 0)]


def dbf_file(tmp_path, raw: bytes) -> FileSource:
    path = tmp_path / "records.dbf"
    path.write_bytes(raw)
    return FileSource(path, "dbf", encoding="gb18030")


def records():
    return [
        [b"2", "䶮".encode("gb18030"), b"     1234.50", b"20160705", b"T"],
        [b"1", "李娜".encode("gb18030"), b"************", b"        ", b"?"],
        [b"3", b"gone", b"1", b"20160705", b"F"],
    ]


@pytest.mark.parametrize("code_page", [0, 0x4D])
def test_dbf_is_read_exactly_whatever_its_code_page_says(tmp_path, dbf, code_page):
    raw = dbf(FIELDS, records(), deleted=[2], code_page=code_page)
    rows, complete = read(DbfRows(dbf_file(tmp_path, raw), ("XH",), tmp_path))
    assert complete
    assert [row["姓名"] for row in rows] == ["李娜", "䶮"]
    assert str(rows[1]["SE"]) == "1234.50"
    assert rows[0]["SE"] == "************"
    assert (rows[0]["RQ"], rows[1]["RQ"]) == (None, "20160705")
    assert (rows[0]["YX"], rows[1]["YX"]) == (None, True)


def test_a_truncated_dbf_is_incomplete(tmp_path, dbf):
    raw = dbf(FIELDS, records())
    for cut in (1, 20, 60):
        _, complete = read(DbfRows(dbf_file(tmp_path, raw[:-cut]), ("XH",), tmp_path))
        assert complete == (cut == 1)  # only the end mark is missing
    _, complete = read(DbfRows(dbf_file(tmp_path, dbf(FIELDS, records(), claimed=9)), ("XH",), tmp_path))
    assert not complete


@given(st.binary(max_size=300))
def test_any_bytes_are_a_dbf_or_are_refused(tmp_path_factory, raw):
    folder = tmp_path_factory.mktemp("d")
    with contextlib.suppress(SourceFault):
        read(DbfRows(dbf_file(folder, raw), ("XH",), folder))


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_never_raises_anything_else(tmp_path_factory, dbf, place, byte):
    folder = tmp_path_factory.mktemp("d")
    raw = bytearray(dbf(FIELDS, records()))
    raw[place] = byte
    with contextlib.suppress(SourceFault):
        read(DbfRows(dbf_file(folder, bytes(raw)), ("XH",), folder))
