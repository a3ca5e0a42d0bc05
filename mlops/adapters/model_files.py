"""What `tune` and `train` hand on: `models/tuned/` and `models/candidate/` as files."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import read_json, replacing, write_json, write_text
from mlops.core.schema import parse_schema
from mlops.core.statistics import parse_statistics
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from mlops.core.learning import Hyperparameters
    from mlops.core.preprocessing import Preprocessed
    from mlops.core.schema import Schema

WEIGHTS, CARD, SEEN = "weights.safetensors", "model.json", "seen.npy"
HISTORY, BEST, TRIALS = "history.csv", "best.json", "trials.csv"


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file atomically; floats in full, missing values empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(v) for v in row] for row in rows)
    write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else value


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header.

    Raises:
        DataError: if it is missing.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run: mlops train")
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def write_best(folder: Path, best: Hyperparameters, *, validation_loss: float, trials: int) -> None:
    """Write `best.json`: the hyper-parameters of the best trial and its loss in nats."""
    found = {**asdict(best), "validation_loss": validation_loss, "trials": trials}
    write_json(folder / BEST, found)


def read_best(folder: Path) -> Hyperparameters:
    """Read `best.json`.

    Raises:
        DataError: if it is missing or a value is no number.
    """
    from mlops.core.learning import Hyperparameters

    path = folder / BEST
    content = read_json(path)
    try:
        names = Hyperparameters.__dataclass_fields__
        return Hyperparameters(**{name: float(str(content[name])) for name in names})
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: {error} is missing or no number; run: mlops tune") from None


def read_history(folder: Path) -> list[dict[str, str]]:
    """Read `history.csv`: an epoch a row.

    Raises:
        DataError: if it is missing, or a row lacks its epoch or a loss.
    """
    path = folder / HISTORY
    rows = read_table(path)
    if not rows:
        raise DataError(f"{path}: holds no epoch; run: mlops train")
    for line, row in enumerate(rows, 2):
        for name in ("epoch", "train_loss", "validation_loss"):
            try:
                float(row[name])
            except (KeyError, TypeError, ValueError):
                msg = f"{path}:{line}: {name} = {row.get(name)!r} is no number; run: mlops train"
                raise DataError(msg) from None
    return rows


def read_split(prepared: Path) -> tuple[Schema, dict[str, Any]]:
    """Return the schema, and the whole content, of `split.json`.

    Raises:
        DataError: if the file is missing or lacks a key.
    """
    path = prepared / "split.json"
    content: dict[str, Any] = read_json(path)
    try:
        schema = parse_schema(content["schema"], f"{path}: schema")
        _ = content["mean"], content["std"], content["trained_until_s"], content["split"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: {error} is missing; run: mlops prepare") from None
    return schema, content


def write_weights(path: Path, model: Preprocessed) -> None:
    """Write a model's tensors as safetensors, atomically: no code is run on reading them."""
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors))


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write `model.json`: what the model is and what it was made from."""
    write_json(path, dict(card))


def read_schema(folder: Path) -> Schema:
    """Return what the examples of a folder's model are, by its `model.json`.

    Raises:
        DataError: if that is missing or damaged.
    """
    path = folder / CARD
    return parse_schema(read_json(path).get("schema"), str(path))


def is_int8(folder: Path) -> bool:
    """Say whether the model file of a folder was rounded to eight bits, by its `model.json`.

    Raises:
        DataError: if that is missing.
    """
    rounded = read_json(folder / CARD).get("int8")
    return isinstance(rounded, dict) and rounded.get("kept") is True


def read_trained(folder: Path) -> Preprocessed:
    """Rebuild the trained network from `model.json` and `weights.safetensors`.

    Raises:
        DataError: if a file is missing or damaged, or the weights do not fit the network.
        ParamsError: if the network's class is no longer there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from mlops.core import networks
    from mlops.core.preprocessing import with_preprocessing

    card: dict[str, Any] = read_json(folder / CARD)
    path = folder / WEIGHTS
    try:
        chosen = card["hyperparameters"]
        schema = parse_schema(card["schema"], f"{folder / CARD}: schema")
        network = networks.build(
            card["network"], schema, width_factor=chosen["width_factor"], dropout=chosen["dropout"]
        )
        statistics = parse_statistics(card, str(folder / CARD))
        model = with_preprocessing(network, statistics, schema)
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / CARD}: {error} is missing; run: mlops train") from None
    try:
        model.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        what = str(error).splitlines()[0][:200]
        raise DataError(f"{path}: unreadable ({what}); run: mlops train") from None
    return model
