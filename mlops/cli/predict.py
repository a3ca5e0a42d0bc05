"""`mlops predict`: what the model in service says of some files."""

from __future__ import annotations

import json as json_lib
from pathlib import Path  # noqa: TC003 - the command line is read by this annotation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.cli.asked import Given
    from mlops.client import Client, Prediction
    from mlops.errors import CallFailed

_PATIENCE_S = 10.0


def predict(
    *files: Path, url: str = "", top_k: int = 1, entity: str = "", json: bool = False
) -> int:
    """Ask the running server about images, arrays, rows or texts.

    Args:
        files: PNG, JPEG, WebP; .npy with uint8 images; .csv or .parquet with rows; .txt, .md.
        url: Of the server (MLOPS_SERVE_URL); this project's own if left out.
        top_k: Classes to show of each answer, the likeliest first.
        entity: What the images belong to.
        json: Print one JSON object per example.
    """
    from mlops.cli.asked import read
    from mlops.client import Client, Retry
    from mlops.errors import UsageError

    if not files:
        raise UsageError("no files: mlops predict FILE…, such as: mlops predict digit.png")
    if top_k < 1:
        raise UsageError(f"--top-k {top_k}: must be at least 1")
    given = list(read(files))
    with Client(url or None, retry=Retry(_PATIENCE_S)) as client:
        _greet(client)
        for one in given:
            for name, answer in _named(client, one, entity):
                print(_json(name, answer, top_k) if json else _line(name, answer, top_k))
    return 0


def _greet(client: Client) -> None:
    """Say at once, and with its address, that a server is not there or is another.

    Raises:
        CallFailed: if it is.
    """
    from mlops.errors import CallFailed

    try:
        client.health()
    except CallFailed as error:
        raise CallFailed(_by(client, error)) from None


def _named(client: Client, given: Given, entity: str) -> Iterator[tuple[str, Prediction]]:
    """Yield the answers; an error names the file, and the server where it is not the file's fault.

    Raises:
        UsageError: if the file holds what cannot be sent.
        DataError: if the server refuses what it holds.
        CallFailed: if the server does not answer.
    """
    from mlops.errors import CallFailed, DataError, Rejected, Unauthorised, UsageError

    try:
        yield from _answers(client, given, entity)
    except UsageError as error:
        raise UsageError(f"{given.path}: {error}") from None
    except CallFailed as error:
        if isinstance(error, Rejected) and not isinstance(error, Unauthorised):
            raise DataError(f"{given.path}: {error}") from None
        raise CallFailed(f"{given.path}: {_by(client, error)}") from None


def _by(client: Client, error: CallFailed) -> str:
    return str(error) if client.url in str(error) else f"{client.url}: {error}"


def _answers(client: Client, given: Given, entity: str) -> Iterator[tuple[str, Prediction]]:
    """Yield the name of each example of a file, and what was answered."""
    ask: dict[str, Any] = {"rows": client.predict_rows, "text": client.predict_texts}
    options = {"entity": entity} if entity else {}
    if given.kind in ask:
        found = ask[given.kind](given.content)
    elif given.kind == "array" and given.content.ndim == 4:
        found = client.predict_images(given.content, **options)  # type: ignore[arg-type]
    else:
        found = (client.predict(given.content, **options),)  # type: ignore[arg-type]
    for number, answer in enumerate(found):
        yield (f"{given.path}:{number}" if len(found) > 1 else str(given.path)), answer


def _line(name: str, answer: Prediction, top_k: int) -> str:
    shown = "  ".join(f"{word} {probability:.1%}" for word, probability in answer.top(top_k))
    if answer.value is not None:
        levels = ", ".join(f"{level}: {value:g}" for level, value in answer.quantiles.items())
        shown = f"{answer.value:g}  ({levels})"
    return f"{name}  {shown}  version {answer.model_version}  {answer.prediction_id}"


def _json(name: str, answer: Prediction, top_k: int) -> str:
    content = {
        "file": name, "class": answer.name, "label": answer.label,
        "probability": answer.probability, "top": dict(answer.top(top_k)),
        "model_version": answer.model_version, "prediction_id": answer.prediction_id,
        **answer.extra,
    }  # fmt: skip
    if answer.value is not None:
        content |= {"value": answer.value, "quantiles": dict(answer.quantiles)}
    return json_lib.dumps(content, ensure_ascii=False)
