"""Every setting and every metric is told to operators, and nothing told is gone."""

import re

from plan import ROOT


def test_every_setting_is_documented_and_no_other():
    from hub.config import Settings

    told = set(re.findall(r"`(YIMEN_[A-Z0-9_]+)`", (ROOT / "docs" / "operations.md").read_text()))
    known = {f"YIMEN_{name.upper()}" for name in Settings.model_fields}
    # Read by ./run and by the tests, not by the hub.
    known |= {"YIMEN_PYTHON", "YIMEN_TEST_WORKERS", "YIMEN_TEST_S3", "YIMEN_CHROMIUM"} & told
    assert known - told == set(), "docs/operations.md does not tell of these"
    assert told - known == set(), "docs/operations.md tells of settings that do not exist"


def test_the_table_of_settings_is_the_one_that_the_code_writes():
    from hub.config import settings_table

    page = (ROOT / "docs" / "operations.md").read_text()
    told = page.partition("<!-- settings: written by hub.config.settings_table -->")[2]
    assert told.partition("<!-- settings: end -->")[0].strip() == settings_table().strip()


def test_the_table_of_metrics_is_the_one_that_the_code_writes():
    from hub.web.gauges import metrics_table

    page = (ROOT / "docs" / "operations.md").read_text()
    told = page.partition("<!-- metrics: written by hub.web.gauges.metrics_table -->")[2]
    assert told.partition("<!-- metrics: end -->")[0].strip() == metrics_table().strip()
