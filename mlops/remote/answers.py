"""What a scoring server answers, typed; whatever it says beyond that is kept in `extra`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.errors import ServerFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROW = ("prediction_id", "class", "label", "probability", "probabilities", "value", "quantiles")


@dataclass(frozen=True)
class Prediction:
    """The answer to one example.

    Attributes:
        prediction_id: under which it was logged; what feedback and `mlops trace` take.
        model_version: that answered.
        name: the likeliest class; None where the model names none (regression).
        label: its index; None likewise.
        probability: of that class.
        probabilities: class → probability; empty likewise.
        value: the number that a regression predicts; None where there are classes.
        quantiles: level → number, of a regression.
        extra: what else the server said of this row.
    """

    prediction_id: str
    model_version: str
    name: str | None
    label: int | None
    probability: float | None
    probabilities: Mapping[str, float]
    value: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` likeliest classes with their probabilities, the likeliest first."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:count]


@dataclass(frozen=True)
class Feedback:
    """What is given back to one prediction: a label, a score, or both.

    Attributes:
        prediction_id: what it labels.
        label: the class's name, or its index; of a regression the number; None for none.
        source: how the row was chosen for labelling: `user`, `random` or `active`.
        score: how good the answer was found, 0 to 1; None for none. It is no label.
    """

    prediction_id: str
    label: str | float | None = None
    source: str = "user"
    score: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as the server reads it."""
        label = {} if self.label is None else {"label": self.label, "label_source": self.source}
        score = {} if self.score is None else {"score": self.score}
        return {"prediction_id": self.prediction_id, **label, **score}


@dataclass(frozen=True)
class Logged:
    """A prediction as the server's log holds it.

    Attributes:
        prediction_id: of the prediction.
        state: `logged`, or `queued` while it is on its way to the database; then only the id is
            known.
        model_version: that answered.
        at: when, ISO 8601, UTC.
        name: the class that was answered.
        label: the newest label's name; None if there is none.
        score: the newest score, 0 to 1; None if there is none.
        extra: what else the server said.
    """

    prediction_id: str
    state: str
    model_version: str | None = None
    at: str | None = None
    name: str | None = None
    label: str | None = None
    score: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Health:
    """Whether a server would answer now.

    Attributes:
        ready: whether a model is in service and the server is not about to stop.
        model_version: that is in service; empty if none is.
        model_digest: of its manifest; empty where the server does not tell.
        why: the server's words where it is not ready; empty where it is.
    """

    ready: bool
    model_version: str = ""
    model_digest: str = ""
    why: str = ""


def predictions(content: Mapping[str, Any]) -> tuple[Prediction, ...]:
    """Read a reply of `/predict`.

    Raises:
        ServerFault: if it is none.
    """
    rows: Sequence[Mapping[str, Any]] = content.get("predictions", [content])
    try:
        return tuple(_prediction(row, str(content["model_version"])) for row in rows)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _foreign(f"{type(error).__name__} {error}") from None


def logged(content: Mapping[str, Any]) -> Logged:
    """Read a reply of `/predictions/ID`.

    Raises:
        ServerFault: if it is none.
    """
    rest = dict(content)
    try:
        given = {name: rest.pop(name, None) for name in ("model_version", "at", "label", "score")}
        return Logged(
            str(rest.pop("prediction_id")), str(rest.pop("state")), name=rest.pop("class", None),
            **given, extra=rest,
        )  # fmt: skip
    except KeyError as error:
        raise _foreign(f"no {error}") from None


def decode(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ServerFault: if the body is none.
    """
    try:
        content = json.loads(body)
    except ValueError:
        raise _foreign("not JSON") from None
    if not isinstance(content, dict):
        raise _foreign(f"a {type(content).__name__}")
    return content


def _prediction(row: Mapping[str, Any], version: str) -> Prediction:
    probability, label, value = row.get("probability"), row.get("label"), row.get("value")
    return Prediction(
        prediction_id=str(row["prediction_id"]),
        model_version=str(row.get("model_version", version)),
        name=row.get("class"),
        label=None if label is None else int(label),
        probability=None if probability is None else float(probability),
        probabilities=_numbers(row, "probabilities"),
        value=None if value is None else float(value),
        quantiles=_numbers(row, "quantiles"),
        extra={n: v for n, v in row.items() if n not in (*_ROW, "model_version", "predictions")},
    )


def _numbers(row: Mapping[str, Any], name: str) -> dict[str, float]:
    return {str(key): float(value) for key, value in row.get(name, {}).items()}


def _foreign(what: str) -> ServerFault:
    return ServerFault(
        f"the answer is not in the protocol ({what})", code="protocol",
        remedy="check that the address is one of mlops serve",
    )  # fmt: skip
