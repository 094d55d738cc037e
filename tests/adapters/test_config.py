"""A configuration says what it means, or says where it does not."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import config
from adapters.mapping import columns_of, rules_of
from adapters.model import FileSource, SqlSource
from adapters.yamltree import ConfigFault

AGENT = 'agent: {department: dg-degree, hub: "https://hub.example"}\n'
HOLDER = '{role: owner, name: {from: xm}, id_type: {const: "111"}, id_no: {from: sfzh}}'


def dataset(
    extra: str = "", claims: str = "{school: {from: xxmc}}", source: str = 'source: {url: "sqlite:///l.db"}'
):
    return (
        f"{AGENT}{source}\ndatasets:\n  - id: degree\n    type: degree\n    query: select 1\n"
        f"    key: id\n    holders: [{HOLDER}]\n    claims: {claims}\n{extra}"
    )


def load(tmp_path: Path, text: str, **environment: str) -> config.Config:
    path = tmp_path / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, environment=environment)


def refused(tmp_path: Path, text: str, **environment: str) -> ConfigFault:
    with pytest.raises(ConfigFault) as caught:
        load(tmp_path, text, **environment)
    return caught.value


def test_the_whole_shape(config_file):
    found = config.load(config_file())
    degree = found.dataset("degree")
    assert degree is not None
    assert degree.key == ("id",)
    assert degree.claims["degree_level"].codes == {"2": "doctor", "3": "master", "4": "bachelor"}
    assert degree.claims["number"].column == "zsbh"
    assert degree.claims["conferred_on"].null_values == ("00000000",)
    assert degree.holders[0].id_no.kind == "resident_id"
    assert degree.reconcile.max_revoke_percent == Decimal("0.5")
    assert isinstance(degree.source, SqlSource)
    assert set(columns_of(degree)) == {"id", "xm", "sfzh", "xwlx", "xxmc", "bydate", "zsbh"}


def test_paths_count_from_the_file(tmp_path):
    found = load(tmp_path, dataset())
    assert found.agent.state == tmp_path / "state.db"
    assert isinstance(found.datasets[0].source, SqlSource)
    assert found.datasets[0].source.url == f"sqlite:///{tmp_path}/l.db"
    assert "l.db" not in repr(found.datasets[0].source)  # a URL may hold a password


def test_files_and_their_encodings(tmp_path):
    text = dataset(source='source: {file: a.csv, format: csv, encoding: gb18030, delimiter: "\\t", end: EOF}')
    found = load(tmp_path, text.replace("    query: select 1\n", ""))
    source = found.datasets[0].source
    assert isinstance(source, FileSource)
    assert (source.path, source.delimiter, source.end) == (tmp_path / "a.csv", "\t", "EOF")


@pytest.mark.parametrize("encoding", ["gbk", "GBK", "cp936", "gb2312"])
def test_gbk_is_refused_with_the_remedy(tmp_path, encoding):
    text = dataset(source=f"source: {{file: a.csv, format: csv, encoding: {encoding}}}")
    fault = refused(tmp_path, text)
    assert fault.code == "config.lossy_encoding"
    assert "gb18030" in fault.next_en


def test_codes_keep_their_zeros(tmp_path):
    found = load(tmp_path, dataset(claims="{level: {from: a, codes: {02: x, 2: y, 0x10: z}}}"))
    assert found.datasets[0].claims["level"].codes == {"02": "x", "2": "y", "0x10": "z"}


def test_variables(tmp_path):
    text = dataset().replace("https://hub.example", "${HUB:-https://other.example}")
    assert load(tmp_path, text).agent.hub == "https://other.example"
    assert load(tmp_path, text, HUB="https://third.example").agent.hub == "https://third.example"
    fault = refused(tmp_path, text.replace(":-https://other.example", ""))
    assert fault.code == "config.no_variable"
    assert (fault.line, fault.column) == (1, 37)
    assert "HUB" in str(fault)


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (("type: degree", "typ: degree"), "config.unknown_key", 5),
        (("school: {from: xxmc}", "school: {form: xxmc}"), "config.unknown_key", 9),
        (("school: {from: xxmc}", "school: {from: a, const: b}"), "config.from_or_const", 9),
        (("school: {from: xxmc}", "school: {}"), "config.from_or_const", 9),
        (("school: {from: xxmc}", "school: {from: a, type: dat}"), "config.bad_choice", 9),
        (
            ("school: {from: xxmc}", "school: {from: a, type: date, formats: ['%y%m%d']}"),
            "config.bad_format",
            9,
        ),
        (("school: {from: xxmc}", "School: {from: a}"), "config.bad_claim", 9),
        (("school: {from: xxmc}", "a: {from: x}, a: {from: y}"), "config.duplicate_key", 9),
        (("school: {from: xxmc}", "a: {from: x, scale: 99}"), "config.not_integer", 9),
        (("    key: id\n", ""), "config.missing_key", 4),
        (("    query: select 1\n", ""), "config.query", 4),
        (("dg-degree", "DG Degree"), "config.bad_department", 1),
        (("https://hub.example", "http://hub.example"), "config.bad_hub", 1),
        (("https://hub.example", "https://hub.example/?a=1"), "config.bad_hub", 1),
        (('source: {url: "sqlite:///l.db"}\n', ""), "config.no_source", 3),
    ],
)
def test_refusals_name_the_place(tmp_path, change, code, line):
    assert change[0] in dataset()
    fault = refused(tmp_path, dataset().replace(*change))
    assert fault.code == code
    assert fault.line == line
    assert f":{line}:" in str(fault)
    assert fault.zh
    assert fault.en


def test_the_nearest_word_is_offered(tmp_path):
    fault = refused(tmp_path, dataset().replace("{from: xxmc}", "{form: xxmc}"))
    assert '"from"' in fault.next_en


def test_broken_yaml_says_where(tmp_path):
    fault = refused(tmp_path, "agent: {a: b\nsource: }")
    assert fault.code == "config.yaml"
    assert fault.line == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "agent: &a [*a]\n", "x" * (1 << 21)])
def test_odd_files_are_refused(tmp_path, text):
    assert refused(tmp_path, text).code.startswith("config.")


def test_a_missing_file_is_a_refusal(tmp_path):
    with pytest.raises(ConfigFault):
        config.load(tmp_path / "nowhere.yaml")


@given(st.text(max_size=200))
def test_any_text_loads_or_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("c") / "agent.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigFault):
        config.load(path)


def test_rules_change_with_the_mapping_only(tmp_path):
    first = load(tmp_path, dataset()).datasets[0]
    again = load(tmp_path, dataset("    reconcile: {min_rows_percent: 10}\n")).datasets[0]
    other = load(tmp_path, dataset(claims="{school: {from: xxmc, trim: false}}")).datasets[0]
    assert rules_of(first) == rules_of(again)
    assert rules_of(first) != rules_of(other)
