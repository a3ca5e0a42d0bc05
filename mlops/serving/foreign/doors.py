"""What a model from elsewhere answers: MLflow's protocol, `/predict`, and Open Inference (V2).

No gate has judged such a model, no ledger vouches for it, and nothing here is logged: the loop
would take its rows for the champion's. Every answer says so.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops.serving import columnar
from mlops.serving.foreign.read import body_kind, invoking, predicting
from mlops.serving.open_inference import (
    asked_outputs,
    head_length,
    need_kind,
    read_head,
    tensor_reply,
)
from mlops.serving.open_tensors import read_inputs, write_output
from mlops.serving.reply import TEXT, Refused, Reply, as_json, invalid
from mlops.serving.request import query, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlops.serving.app import App
    from mlops.serving.foreign.read import Sent
    from mlops.serving.foreign.runner import Runner
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

PLATFORM = "mlflow_pyfunc"


class Doors:
    """The handlers of one worker; `runner` has the model."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    async def invocations(self, app: App, scope: Scope, receive: Receive) -> Reply:
        """Answer as `mlflow models serve` does, plus the version under a key that it ignores.

        Raises:
            Refused: whatever is wrong with the request.
        """
        self.runner.served()
        kind = body_kind(scope)
        body = await read_body(scope, receive, app.config.limits, app.patience)
        sent = await self._read(partial(invoking, body, kind, app.config.limits.rows), kind)
        answer = await self._answer(sent)
        content = {"predictions": answer, "model_version": self.runner.version}
        return as_json(content, self._headers())

    async def predict(self, app: App, scope: Scope, receive: Receive) -> Reply:
        """Answer one row or many.

        Raises:
            Refused: whatever is wrong with the request.
        """
        model = self.runner.served()
        kind = body_kind(scope)
        query(scope, ())
        body = await read_body(scope, receive, app.config.limits, app.patience)
        sent = await self._read(
            partial(predicting, body, kind, model.names, app.config.limits.rows), kind
        )
        answer = await self._answer(sent)
        content: dict[str, Any] = {"model_version": self.runner.version, "gated": False}
        content |= {"prediction": _first(answer)} if sent.single else {"predictions": answer}
        return as_json(content, self._headers())

    async def infer(self, app: App, scope: Scope, receive: Receive) -> Reply:
        """Answer tensors with tensors.

        Raises:
            Refused: whatever is wrong with the request.
        """
        self._need(app, scope)
        model, limits = self.runner.served(), app.config.limits
        if not model.inputs:
            raise invalid("tensors cannot say what this model takes", remedy="use /invocations")
        need_kind(scope)
        body = await read_body(scope, receive, limits, app.patience)
        head, tail = read_head(body, head_length(scope, len(body)))
        given = read_inputs(head.get("inputs"), tail, limits.body_bytes)
        if max(tensor.shape[0] for tensor in given) > limits.rows:
            raise Refused(413, "too_many_rows", f"at most {limits.rows} rows", field="inputs",
                          remedy="split the request")  # fmt: skip
        tensors = [(tensor.name, tensor.shape, tensor.data) for tensor in given]

        def job() -> list[Any]:
            return model.tensors(model.predict(model.read_tensors(tensors)))

        values = dict(await self.runner.run(job))
        asked = asked_outputs(head, list(values))
        written = [write_output(name, values[name], binary=binary) for name, binary in asked]
        content: dict[str, Any] = {
            "model_name": app.config.project, "model_version": self.runner.version,
            **({"id": head["id"]} if head.get("id") else {}),
            "outputs": [one for one, _ in written],
        }  # fmt: skip
        return tensor_reply(content, written, self._headers())

    async def metadata(self, app: App, scope: Scope, _receive: Receive) -> Reply:
        """Return the tensors that the model takes and gives, as far as its signature says.

        Raises:
            Refused: 404 for another model or version.
        """
        self._need(app, scope)
        model = self.runner.served()
        return as_json({
            "name": app.config.project, "versions": [self.runner.version], "platform": PLATFORM,
            "inputs": model.inputs, "outputs": model.outputs,
        })  # fmt: skip

    async def ready(self, app: App, scope: Scope, _receive: Receive) -> Reply:
        """Say that the model is loaded and no end is near.

        Raises:
            Refused: 503 otherwise, 404 for another model or version.
        """
        if "/models/" in scope["path"]:
            self._need(app, scope)
        app.refuse_draining()
        self.runner.served()
        return as_json({"ready": True})

    async def health(self, app: App, _scope: Scope, _receive: Receive) -> Reply:
        """Say 200 when the model is loaded and no end is near; MLflow's body is one newline."""
        app.refuse_draining()
        self.runner.served()
        return Reply(200, b"\n", self._headers(), TEXT)

    async def not_kept(self, _app: App, _scope: Scope, _receive: Receive) -> Reply:
        """Refuse feedback and look-ups.

        Raises:
            Refused: 404, always.
        """
        raise Refused(404, "not_logged", "predictions of a model that no gate has judged are not "
                      "logged", remedy="train and promote a model of this project")  # fmt: skip

    @staticmethod
    async def _read(reader: Callable[[], Sent], kind: str) -> Sent:
        return await asyncio.to_thread(reader) if kind in columnar.KINDS else reader()

    async def _answer(self, sent: Sent) -> Any:
        model = self.runner.served()
        return await self.runner.run(
            lambda: model.plain(model.predict(sent.data(model), sent.params))
        )

    def _headers(self) -> tuple[tuple[bytes, bytes], ...]:
        version = self.runner.version.encode()
        return ((b"x-model-version", version), (b"x-model-gated", b"false"))

    def _need(self, app: App, scope: Scope) -> None:
        """Refuse another model's name, or another version."""
        self.runner.served()
        parts = scope["path"].split("/")[3:]  # /v2/models/NAME[/versions/V][/…]
        if parts[0] != app.config.project:
            raise Refused(404, "unknown_model", "no model of this name is served",
                          remedy="see /v2")  # fmt: skip
        if len(parts) > 2 and parts[1] == "versions" and parts[2] != self.runner.version:
            raise Refused(404, "unknown_version", "this version is not in service",
                          remedy=f"in service: {self.runner.version}")  # fmt: skip


def _first(answer: Any) -> Any:
    """Return the one row's answer."""
    if isinstance(answer, dict):
        return {name: _first(values) for name, values in answer.items()}
    return answer[0] if isinstance(answer, list) and answer else answer
