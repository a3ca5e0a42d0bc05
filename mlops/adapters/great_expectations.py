"""Great Expectations: run the suite of data checks, read its results, render its page."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops.adapters.expectations import expectations

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from mlops.core.schema import Schema
    from mlops.params.checks import ChecksSection

Severity = Literal["critical", "warning"]
SHOWN_ROWS = 10
"""Failing rows that a result names."""


@dataclass(frozen=True)
class CheckResult:
    """What one expectation found.

    Attributes:
        name: of the check, in words of the project.
        expectation: type of the expectation, in words of Great Expectations.
        column: of the frame; empty for the whole table.
        severity: `critical` stops the loop, `warning` is reported.
        success: whether it was met; an expectation that could not be computed was not.
        observed: what was found, as text.
        expected: what was asked for, as text.
        rows: `example_id` of the first failing rows.
    """

    name: str
    expectation: str
    column: str
    severity: Severity
    success: bool
    observed: str
    expected: str
    rows: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Checked:
    """Every result, in the order of the suite, and the Data Docs page.

    Attributes:
        results: one per expectation.
        page: HTML that loads nothing from outside.
    """

    results: tuple[CheckResult, ...]
    page: str


def run_checks(frame: pd.DataFrame, schema: Schema, checks: ChecksSection) -> Checked:
    """Hold a snapshot to its expectations.

    Args:
        frame: one row per example, with the columns of `core.inspection.Inspection` and
            `example_id`, `group`, `observed_s`, `future`, `untimed`, `label_source`, `origin`.
        schema: what features and labels should be.
        checks: the limits.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asked = expectations(schema, checks)
    suite = gx.ExpectationSuite(name="snapshot", expectations=asked)
    form = {
        "result_format": "SUMMARY",
        "unexpected_index_column_names": ["example_id"],
        "partial_unexpected_count": SHOWN_ROWS,
    }
    with _quiet():
        batch = context.data_sources.pandas_default.read_dataframe(frame)
        outcome = batch.validate(suite, result_format=form)
        page = _page(outcome)
    found = [_result(entry) for entry in outcome.to_json_dict()["results"]]
    order = [expectation.meta["name"] for expectation in asked]
    return Checked(tuple(sorted(found, key=lambda result: order.index(result.name))), page)


def _result(entry: dict[str, Any]) -> CheckResult:
    config, found = entry["expectation_config"], entry["result"]
    asked = {k: v for k, v in config["kwargs"].items() if k not in ("batch_id", "column")}
    indices = found.get("partial_unexpected_index_list") or ()
    return CheckResult(
        name=config["meta"]["name"],
        expectation=config["type"],
        column=config["kwargs"].get("column", ""),
        severity=config["severity"],
        success=bool(entry["success"]),
        observed=_observed(entry),
        expected=", ".join(f"{key} {json.dumps(value)}" for key, value in sorted(asked.items())),
        rows=tuple(dict.fromkeys(str(index["example_id"]) for index in indices)),
    )


def _observed(entry: dict[str, Any]) -> str:
    found = entry["result"]
    if not found:
        return "could not be computed"
    if found.get("partial_missing_list"):
        # Sorted: it comes from a set, whose order differs from process to process.
        return "missing: " + ", ".join(sorted(str(v) for v in found["partial_missing_list"]))
    if "unexpected_count" not in found:
        value = found.get("observed_value")
        return "as expected" if value is None else str(value)
    count, total = found["unexpected_count"], found.get("element_count")
    if total is None:
        return f"{count} unexpected values" if count else "as expected"
    total -= found.get("missing_count") or 0
    if count == 0:
        return f"none of {total} rows fails"
    values = sorted({str(value) for value in found["partial_unexpected_list"]})
    shown = f" such as {', '.join(values[:3])}" if len(values) > 1 else "".join(values)
    return f"{count} of {total} rows fail ({count / max(1, total):.2%}): {shown}"


_OUTSIDE = re.compile(
    r'<link\b[^>]*href="(?:https?:|\.\.)[^>]*>|<script\b[^>]*src="https?:[^>]*>\s*</script>'
)
_CHANCE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]{8}T[0-9]{6}\.[0-9]+Z")
"""Random ids and load times: without them equal data gives an equal page, as DVC expects."""
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
nav, header, footer, .modal, .navbar, .page-actions, button, input, img { display: none; }
.fa-check-circle::before { content: "met"; color: #1b6e20; }
.fa-times::before { content: "FAILED"; color: #b00020; }
.fa-exclamation-triangle::before { content: "not computed"; color: #b00020; }
</style></head>"""


def _page(outcome: Any) -> str:
    """Render the Data Docs page, without what it would load from content networks."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    for entry in outcome.results:
        # Its renderer drops cells that hold numpy numbers (numpy 2.4): plain ones instead.
        entry.result = entry.to_json_dict()["result"]
    html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(outcome))
    offline = re.sub(r"<script>.*?</script>", "", _OUTSIDE.sub("", html), flags=re.DOTALL)
    offline = re.sub(r"https://great-expectations-web-assets[^'\")]*", "", offline)
    return _CHANCE.sub("", offline).replace("</head>", _STYLE, 1)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the renderer's tracebacks about single cells off the terminal: results are unharmed."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
