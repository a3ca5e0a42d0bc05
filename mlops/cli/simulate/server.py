"""The server's own parts without its sockets: the verified model, the ids, the prediction log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core import features
from mlops.core.quality import hits
from mlops.serving.cut import Answered, Cutter
from mlops.serving.ids import Minter, load_key
from mlops.serving.model import Pointer, load
from mlops.serving.redaction import made
from mlops.serving.setup import serving_config

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.cli.simulate.traffic import Batch
    from mlops.core.prediction import Prediction
    from mlops.core.schema import Schema
    from mlops.site import Site

_LATENCY_S = 0.001  # no request is timed here


class Server:
    """Answers batches with one version, and cuts them into rows of the log as the server does."""

    def __init__(self, site: Site, project: str) -> None:
        """Read what the settings say of payloads, redaction and sampling."""
        config = serving_config(site.layout, site.settings, host="127.0.0.1", workers=1)
        key = load_key(site.layout.state)
        self._cutter = Cutter(config.keep_payloads, made(config, key), config.sample)
        self._minter = Minter(key, project)

    def load(self, version: str, folder: str, digest: str) -> None:
        """Take a version into service: verified, replayed, warmed.

        Raises:
            UnverifiedModel: if any of it fails.
        """
        self._model = load(Pointer(version, folder, digest, 0.0))

    @property
    def version(self) -> str:
        """The version in service."""
        return self._model.version

    @property
    def schema(self) -> Schema:
        """What that version takes."""
        return self._model.schema

    def answer(
        self, batch: Batch, start_s: float, period_s: float
    ) -> tuple[list[Prediction], dict[str, float], NDArray[np.bool_]]:
        """Answer rows that arrive evenly over a period.

        Args:
            batch: N rows.
            start_s: when the first arrives, seconds since 1970.
            period_s: until the next batch begins.

        Returns:
            The log's rows, which may be fewer than N; the truth of each by its id; and bool (N,):
            whether the answer was right.
        """
        model = self._model
        answers = model.predict(features.arrays(batch.values, model.schema))
        right = hits(batch.labels, answers, regression=not model.schema.classes)
        ids = self._minter.mint(len(batch.labels))
        answered = Answered(
            ids, start_s, model.version, batch.entities, batch.values, model.schema, answers,
            _LATENCY_S,
        )  # fmt: skip
        at_s = {name: start_s + period_s * n / len(ids) for n, name in enumerate(ids)}
        block = self._cutter.cut([answered])
        rows = [replace(row, at_s=at_s[row.id]) for row in block.rows()] if block else []
        return rows, dict(zip(ids, batch.labels.tolist(), strict=True)), right
