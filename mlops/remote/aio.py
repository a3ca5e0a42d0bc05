"""The asynchronous client."""

from __future__ import annotations

import asyncio
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

_AT_ONCE = 8  # requests of one call that are in the air together


class AsyncClient(Conversation):
    """The asynchronous client: the calls of `Client`, awaited. See `Conversation`."""

    def __init__(self, url: str | None = None, **named: Unpack[Named]) -> None:
        super().__init__(url, **named)
        self._http = httpx.AsyncClient(**client_options(self.address))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(self, image: Image, **options: Unpack[Options]) -> Prediction:
        """Return the answer to one image: a file's bytes or path, or a uint8 array (H, W, C).

        Raises:
            CallFailed: if the server said no, or nothing.
            DataError: if the file cannot be read.
        """
        return (await self.predict_images([image], **options))[0]

    async def predict_images(
        self, images: Images, **options: Unpack[Options]
    ) -> tuple[Prediction, ...]:
        """Return the answers to many images: a uint8 array (N, H, W, C), or files as above."""
        return await self._ask_all(bodies.images(images, bodies.query(**options)))

    async def predict_rows(
        self, rows: Sequence[Mapping[str, Any]], **options: Unpack[Options]
    ) -> tuple[Prediction, ...]:
        """Return the answers to rows of a table, each a mapping from column to value."""
        return await self._ask_all(bodies.rows(rows, bodies.query(**options)))

    async def predict_texts(
        self, texts: Sequence[str], **options: Unpack[Options]
    ) -> tuple[Prediction, ...]:
        """Return the answers to texts."""
        return await self._ask_all(bodies.texts(texts, bodies.query(**options)))

    async def feedback(
        self,
        prediction_id: str,
        label: str | float | None = None,
        source: str = "user",
        *,
        score: float | None = None,
    ) -> None:
        """Send a prediction's true label, or a score from 0 to 1; twice is as good as once."""
        await self.feedback_many([Feedback(prediction_id, label, source, score)])

    async def feedback_many(self, given: Sequence[Feedback]) -> int:
        """Send many labels and scores, all or none of each 256; return how many were taken."""
        return sum([accepted(await self._call(ask)) for ask in bodies.feedback(given)])

    async def prediction(self, prediction_id: str) -> Logged:
        """Return a prediction as the server's log holds it, with its newest label and score."""
        reply = await self._call(bodies.logged(prediction_id))
        return answers.logged(answers.decode(reply.body))

    async def version(self) -> str:
        """Return the model version in service; waits, within the deadline, until there is one."""
        return (await self._call(PING)).headers.get("x-model-version", "")

    async def health(self) -> Health:
        """Say whether the server would answer; asks one time only.

        Raises:
            NoAnswer: if nobody listens.
        """
        exchange = self.begin(PING)
        try:
            return health(await self._once(PING, exchange), self.url)
        except httpx.HTTPError as error:
            raise exchange.gone(error) from None

    async def _ask_all(self, asks: Iterable[Ask]) -> tuple[Prediction, ...]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(ask: Ask) -> tuple[Prediction, ...]:
            async with gate:
                return answers.predictions(answers.decode((await self._call(ask)).body))

        tasks = [asyncio.ensure_future(one(ask)) for ask in list(asks)]
        try:
            found = await asyncio.gather(*tasks)
        finally:  # the first failure is told; nothing of the rest stays in the air
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return tuple(row for part in found for row in part)

    async def _call(self, ask: Ask) -> Reply:
        exchange = self.begin(ask)
        while True:
            try:
                reply = await self._once(ask, exchange)
            except httpx.HTTPError as error:
                wait = exchange.after_error(error)
            else:
                again = exchange.after_reply(reply)
                if again is None:
                    return reply
                wait = again
            await asyncio.sleep(wait)

    async def _once(self, ask: Ask, exchange: Exchange) -> Reply:
        """Send once. httpx's timeouts hold for one read; the deadline is over the whole answer."""
        try:
            async with asyncio.timeout(exchange.left_s()):
                found = await self._http.request(
                    ask.method, ask.path, content=ask.content or None, params=ask.query or None,
                    headers=ask.headers, timeout=None,
                )  # fmt: skip
        except TimeoutError:
            raise httpx.ReadTimeout("no answer within the deadline") from None
        return Reply(found.status_code, found.headers, found.content)
