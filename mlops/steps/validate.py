"""Step `validate`: the snapshot against its data checks; a critical failure stops the loop."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import structlog

from mlops.adapters import snapshot
from mlops.adapters.files import digest_path, read_json, write_json, write_text
from mlops.core.canonical import from_plain
from mlops.core.inspection import SnapshotColumns, inspect
from mlops.errors import CheckFailed, DataError
from mlops.params.base import View
from mlops.params.checks import ChecksSection
from mlops.params.split import SplitSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from mlops.adapters.great_expectations import Checked, CheckResult
    from mlops.core.schema import Schema

_log = structlog.get_logger()
_NAMED_ROWS = 3
_CLOCK_SKEW_S = 300.0


class ValidateParams(View):
    """What `validate` may see."""

    checks: ChecksSection
    split: SplitSection


def validate(params: ValidateParams, site: Site) -> Report:
    """Check the snapshot; write `checks.json`, `index.html` and Great Expectations' page.

    The same files go to the site's work folder, where a person finds them after a failure.

    Raises:
        CheckFailed: naming each critical expectation that failed, its rows, and the pages; or
            because there are no rows.
        DataError: if the snapshot cannot be read.
    """
    from mlops.adapters.great_expectations import run_checks

    schema = snapshot.read_schema(site.layout.snapshot)
    table = snapshot.read_shards(site.layout.snapshot, schema)
    if table.num_rows == 0:
        msg = f"{site.layout.snapshot}: holds no examples; run: mlops ingest"
        raise CheckFailed(msg)
    _log.info("validate: checking", rows=table.num_rows)
    frame = _frame(params, site, table, schema)
    checked = run_checks(frame, schema, params.checks)
    failed = [result for result in checked.results if not result.success]
    critical = [result for result in failed if result.severity == "critical"]
    content = {
        "success": not critical,
        "rows": table.num_rows,
        "snapshot": digest_path(site.layout.snapshot),
        "expectations": [result.as_json() for result in checked.results],
    }
    kept = site.work / "checks"
    for folder in (site.out(site.layout.checks), kept):
        _write(folder, content, checked)
    if critical:
        raise CheckFailed(_complaint(critical, kept / "index.html"))
    # Apart from the rest: `prepare` depends on it, and not on how strict the checks were.
    write_json(site.out(site.layout.checked), {"snapshot": content["snapshot"]})
    passed = len(checked.results) - len(failed)
    warnings = "".join(f"; warning: {_sentence(result)}" for result in failed)
    return Report(
        summary=f"{passed} of {len(checked.results)} expectations met by "
        f"{table.num_rows} rows{warnings}",
        facts={"rows": table.num_rows, "met": passed, "warnings": len(failed)},
        markdown=_markdown(checked.results),
    )


def read_table(folder: Path) -> str:
    """Return the Markdown table of the checks that `validate` wrote last, as its report has it.

    Args:
        folder: of `checks.json`.

    Raises:
        DataError: if the file is missing, or not one of ours.
    """
    from mlops.adapters.great_expectations import CheckResult

    path = folder / "checks.json"
    held = read_json(path).get("expectations")
    if not isinstance(held, list):
        raise DataError(f"{path}: expectations is no list; run: mlops validate")
    return _markdown(tuple(from_plain(CheckResult, one) for one in held))


def _frame(params: ValidateParams, site: Site, table: pa.Table, schema: Schema) -> pd.DataFrame:
    """Return one row of figures and flags per example."""
    import pandas as pd

    names = ("example_id", "entity", "group", "label", "label_source", "origin")
    columns = {name: table.column(name).to_pylist() for name in names}
    times = [np.nan if at is None else at.timestamp() for at in table["observed_at"].to_pylist()]
    rows = SnapshotColumns(
        observed_s=np.array(times, dtype=np.float64), **columns,
        values=snapshot.written(table, schema),
    )  # fmt: skip
    conflicting = read_json(site.layout.snapshot / "ingest.json").get("conflicting", [])
    if not isinstance(conflicting, list):
        msg = f"{site.layout.snapshot / 'ingest.json'}: conflicting is no list; run: mlops ingest"
        raise DataError(msg)
    split = params.split
    found = inspect(
        rows, schema, frozenset(map(str, conflicting)),
        salt=split.salt, validation=split.validation, test=split.test,
    )  # fmt: skip
    return pd.DataFrame({
        "example_id": rows.example_id,
        "group": rows.group,
        "observed_s": rows.observed_s,
        "untimed": [
            origin == "production" and bool(np.isnan(at))
            for origin, at in zip(rows.origin, rows.observed_s, strict=True)
        ],
        "future": rows.observed_s > site.now.timestamp() + _CLOCK_SKEW_S,
        "label_source": rows.label_source,
        "origin": rows.origin,
        **found.table(),
    })  # fmt: skip


def _write(folder: Path, content: dict[str, object], checked: Checked) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "checks.json", content)
    write_text(folder / "great_expectations.html", checked.page)
    write_text(folder / "index.html", _index(checked.results))


def _sentence(result: CheckResult) -> str:
    named = ", ".join(result.rows[:_NAMED_ROWS])
    where = f" in rows {named}{' …' if len(result.rows) > _NAMED_ROWS else ''}" if named else ""
    return f"{result.name}: {result.observed}{where} (expected {result.expected})"


def _complaint(critical: list[CheckResult], page: Path) -> str:
    rest = f"; and {len(critical) - 2} more" if len(critical) > 2 else ""
    sentences = "; ".join(_sentence(result) for result in critical[:2])
    return f"data/snapshot: not so: {sentences}{rest}; see params.yaml: checks, and open {page}"


def _cells(result: CheckResult) -> tuple[str, ...]:
    verdict = "met" if result.success else f"FAILED ({result.severity})"
    return (verdict, result.name, result.column, result.observed, " ".join(result.rows))


_HEADS = ("Verdict", "Expectation", "Column", "Observed", "Rows")


def _markdown(results: tuple[CheckResult, ...]) -> str:
    lines = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for result in results:
        cells = (cell.replace("|", "\\|") for cell in _cells(result))
        lines += ["| " + " | ".join(cells) + " |"]
    return "\n".join(lines)


def _index(results: tuple[CheckResult, ...]) -> str:
    """Return a page that is whole without a network: the entry to Great Expectations' own."""
    failed = sum(not result.success for result in results)
    body = "".join(
        f"<tr class={'met' if result.success else 'failed'}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(result))
        + "</tr>\n"
        for result in sorted(results, key=lambda result: result.success)
    )
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Data checks</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid #ddd; padding: .4rem; text-align: left; vertical-align: top; }}
.failed td:first-child {{ color: #b00020; font-weight: 600; }}
</style></head><body>
<h1>Data checks: {failed} of {len(results)} expectations failed</h1>
<p><a href="great_expectations.html">Data Docs of Great Expectations</a> ·
<a href="checks.json">checks.json</a></p>
<table><tr>{heads}</tr>
{body}</table></body></html>
"""
