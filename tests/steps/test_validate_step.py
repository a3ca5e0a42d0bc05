from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mlops.adapters.files import digest_path, read_json, write_json
from mlops.errors import EXIT_CHECK_FAILED, CheckFailed, DataError
from mlops.params.checks import ChecksSection
from mlops.params.split import SplitSection
from mlops.steps.validate import ValidateParams, read_table, validate
from tests.examples import START, base_rows, production_rows, write_snapshot

if TYPE_CHECKING:
    from mlops.site import Site

PARAMS = ValidateParams(
    checks=ChecksSection(
        min_rows=50, min_class_share=0.1, max_duplicate_share=0.1, max_conflict_share=0.02,
        max_unlabelled_share=0.1, max_constant_share=0.1,
    ),
    split=SplitSection(validation=0.2, test=0.3, salt="1"),
)  # fmt: skip


def _fail(site: Site, rows: list[dict[str, Any]], **facts: Any) -> str:
    write_snapshot(site.layout.snapshot, rows, **facts)
    with pytest.raises(CheckFailed) as caught:
        validate(PARAMS, site)
    assert caught.value.exit_code == EXIT_CHECK_FAILED
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sound_snapshot_passes_and_leaves_readable_files(site: Site) -> None:
    write_snapshot(site.layout.snapshot, [*base_rows(60), *production_rows(20)])
    report = validate(PARAMS, site)
    assert report.facts == {"rows": 80, "met": 23, "warnings": 0}
    assert report.markdown.count("| met |") == 23
    content = read_json(site.layout.checks / "checks.json")
    assert content["success"] is True
    assert content["snapshot"] == digest_path(site.layout.snapshot)
    index = (site.layout.checks / "index.html").read_text()
    assert "0 of 23 expectations failed" in index
    assert 'href="great_expectations.html"' in index
    assert (site.layout.checks / "great_expectations.html").stat().st_size > 10_000


def test_a_failure_names_the_expectation_the_rows_and_the_page(site: Site) -> None:
    rows = base_rows(60)
    rows[7]["label"] = 17
    said = _fail(site, rows)
    assert "labels are known: 1 of 60 rows fail (1.67%): #17" in said
    assert f"in rows {rows[7]['example_id']}" in said
    page = site.work / "checks" / "index.html"
    assert str(page) in said
    assert rows[7]["example_id"] in page.read_text()


def test_damaged_bytes_fail_by_name(site: Site) -> None:
    rows = base_rows(60)
    rows[3]["image"] = bytes([1]) * 36
    assert "bytes match their example id: 1 of 60" in _fail(site, rows)


def test_one_class_fails_by_name(site: Site) -> None:
    assert "every class has rows: missing: none, steep" in _fail(
        site, [{**one, "label": 0} for one in base_rows(60)]
    )


def test_an_observation_from_the_future_fails(site: Site) -> None:
    late = production_rows(1, observed_at=site.now + timedelta(hours=1))
    assert "nothing was observed in the future: 1 of 61" in _fail(site, [*base_rows(60), *late])


def test_conflicts_that_ingest_found_fail(site: Site) -> None:
    rows = base_rows(60)
    names = [one["example_id"] for one in rows[:2]]
    said = _fail(site, rows, conflicting=names)
    assert "equal features have equal labels: 2 of 60" in said


def test_many_failures_name_two_and_count_the_rest(site: Site) -> None:
    rows = [{**one, "label": 0, "image": bytes(36)} for one in base_rows(40)]
    assert "; and " in _fail(site, rows)


def test_a_warning_is_reported_but_does_not_stop(site: Site) -> None:
    rows = base_rows(60)
    rows[0]["observed_at"] = START - timedelta(days=365 * 40)
    write_snapshot(site.layout.snapshot, rows)
    report = validate(PARAMS, site)
    assert report.facts["warnings"] == 1
    assert "warning: times are later than the year 2000: 1 of 1" in report.summary


def test_the_table_of_the_last_run_is_read_back_as_it_was_reported(site: Site) -> None:
    write_snapshot(site.layout.snapshot, base_rows(60))
    report = validate(PARAMS, site)
    assert read_table(site.layout.checks) == report.markdown
    write_json(site.layout.checks / "checks.json", {"expectations": 3})
    with pytest.raises(DataError, match=r"checks.json: expectations is no list; run: mlops val"):
        read_table(site.layout.checks)


def test_an_empty_snapshot_is_a_clear_error(site: Site) -> None:
    write_snapshot(site.layout.snapshot, [])
    with pytest.raises(CheckFailed, match="holds no examples; run: mlops ingest"):
        validate(PARAMS, site)


@pytest.mark.parametrize("name", ["schema.json", "ingest.json"])
def test_a_missing_file_is_named(site: Site, name: str) -> None:
    write_snapshot(site.layout.snapshot, base_rows(60))
    (site.layout.snapshot / name).unlink()
    with pytest.raises(DataError, match=f"{name}: no such file"):
        validate(PARAMS, site)
