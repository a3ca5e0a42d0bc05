"""Read `decision.json` back into the decision that every surface renders."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import read_json
from mlops.core.decision import Check, Decision, Evidence, Metric, Verdict, Version
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site


def newest_decision(site: Site) -> Decision | None:
    """Return the decision taken last, or None where nothing was decided yet.

    Raises:
        DataError: if its file is no decision.
    """
    found = [read_decision(path) for path in site.layout.decisions.glob("*/decision.json")]
    return max(found, key=lambda decision: decision.at_s, default=None)


def read_decision(path: Path) -> Decision:
    """Read one `decision.json`; keys that a decision does not have are passed over.

    Raises:
        DataError: if the file is no decision.
    """
    content: Any = read_json(path)
    try:
        told = content["verdict"]
        verdict = _pick(
            Verdict, told, reasons=tuple(told["reasons"]),
            checks=tuple(_pick(Check, check) for check in told["checks"]),
            metrics=tuple(_pick(Metric, metric) for metric in told["metrics"]),
            evidence=_pick(Evidence, told["evidence"]),
        )  # fmt: skip
        champion = _pick(Version, content["champion"]) if content["champion"] else None
        candidate = _pick(Version, content["candidate"])
        return _pick(Decision, content, verdict=verdict, champion=champion, candidate=candidate)
    except (KeyError, TypeError) as error:
        msg = f"{path}: not a decision ({error}); it is rewritten by: mlops reconcile"
        raise DataError(msg) from None


def _pick(kind: Any, content: dict[str, Any], **made: Any) -> Any:
    """Build a dataclass from the keys that it has, some of them made already."""
    if not is_dataclass(kind):
        msg = f"{kind} is no dataclass"
        raise TypeError(msg)
    names = {field.name for field in fields(kind)} & set(content)
    return kind(**{**{name: content[name] for name in names}, **made})
