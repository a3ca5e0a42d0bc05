"""The synchronous client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, Unpack

import httpx

from mlops.remote import answers, bodies
from mlops.remote.answers import Feedback, Health, Logged, Prediction
from mlops.remote.conversation import PING, Conversation, accepted, health
from mlops.remote.exchange import Reply, client_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops.remote.bodies import Ask, Image, Images, Options
    from mlops.remote.conversation import Named
    from mlops.remote.exchange import Exchange


class Client(Conversation):
    """The synchronous client; safe to share between threads. See `Conversation`."""

    def __init__(self, url: str | None = None, **named: Unpack[Named]) -> None:
        super().__init__(url, **named)
        self._http = httpx.Client(**client_options(self.address))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, image: Image, **options: Unpack[Options]) -> Prediction:
        """Return the answer to one image: a file's bytes or path, or a uint8 array (H, W, C).

        Raises:
            CallFailed: if the server said no, or nothing.
            DataError: if the file cannot be read.
        """
        return self.predict_images([image], **options)[0]

    def predict_images(self, images: Images, **options: Unpack[Options]) -> tuple[Prediction, ...]:
        """Return the answers to many images: a uint8 array (N, H, W, C), or files as above."""
        return self._ask_all(bodies.images(images, bodies.query(**options)))

    def predict_rows(
        self, rows: Sequence[Mapping[str, Any]], **options: Unpack[Options]
    ) -> tuple[Prediction, ...]:
        """Return the answers to rows of a table, each a mapping from column to value."""
        return self._ask_all(bodies.rows(rows, bodies.query(**options)))

    def predict_texts(
        self, texts: Sequence[str], **options: Unpack[Options]
    ) -> tuple[Prediction, ...]:
        """Return the answers to texts."""
        return self._ask_all(bodies.texts(texts, bodies.query(**options)))

    def feedback(
        self,
        prediction_id: str,
        label: str | float | None = None,
        source: str = "user",
        *,
        score: float | None = None,
    ) -> None:
        """Send a prediction's true label, or a score from 0 to 1; twice is as good as once."""
        self.feedback_many([Feedback(prediction_id, label, source, score)])

    def feedback_many(self, given: Sequence[Feedback]) -> int:
        """Send many labels and scores, all or none of each 256; return how many were taken."""
        return sum(accepted(self._call(ask)) for ask in bodies.feedback(given))

    def prediction(self, prediction_id: str) -> Logged:
        """Return a prediction as the server's log holds it, with its newest label and score."""
        return answers.logged(answers.decode(self._call(bodies.logged(prediction_id)).body))

    def version(self) -> str:
        """Return the model version in service; waits, within the deadline, until there is one."""
        return self._call(PING).headers.get("x-model-version", "")

    def health(self) -> Health:
        """Say whether the server would answer; asks one time only.

        Raises:
            NoAnswer: if nobody listens.
        """
        exchange = self.begin(PING)
        try:
            return health(self._once(PING, exchange), self.url)
        except httpx.HTTPError as error:
            raise exchange.gone(error) from None

    def _ask_all(self, asks: Iterable[Ask]) -> tuple[Prediction, ...]:
        found = [answers.predictions(answers.decode(self._call(ask).body)) for ask in asks]
        return tuple(one for part in found for one in part)

    def _call(self, ask: Ask) -> Reply:
        exchange = self.begin(ask)
        while True:
            try:
                reply = self._once(ask, exchange)
            except httpx.HTTPError as error:
                wait = exchange.after_error(error)
            else:
                again = exchange.after_reply(reply)
                if again is None:
                    return reply
                wait = again
            time.sleep(wait)

    def _once(self, ask: Ask, exchange: Exchange) -> Reply:
        """Send once. httpx's timeouts hold for one read, so the whole answer is watched here."""
        with self._http.stream(
            ask.method, ask.path, content=ask.content or None, params=ask.query or None,
            headers=ask.headers, timeout=exchange.left_s(),
        ) as response:  # fmt: skip
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if exchange.left_s() <= 0.0:
                    raise httpx.ReadTimeout("the answer came too slowly")
        return Reply(response.status_code, response.headers, b"".join(parts))
