"""The client against the real server, and against one that is busy, slow, gone or strange."""

from __future__ import annotations

import asyncio
import io
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import mlops.client
from mlops.adapters.onnx_session import Session
from mlops.client import AsyncClient, Client, Feedback, Retry
from mlops.errors import (
    CallFailed,
    DataError,
    NoAnswer,
    Overloaded,
    Rejected,
    ServerFault,
    Unauthorised,
    UsageError,
)
from tests.remote.scripted import GOOD, Say, refusal, scripted
from tests.serving.conftest import Running, running
from tests.serving.tiny import CLASSES, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Step = tuple[Any, ...]
QUICK = Retry(deadline_s=5.0, first_s=0.01, longest_s=0.05)
TOKEN = "secret-canary"


def ask(kind: str, url: str, *steps: Step, **named: Any) -> Any:
    """Make calls one after another with either client; return the last answer."""
    named = {"retry": QUICK, **named}

    async def in_loop() -> Any:
        async with AsyncClient(url, **named) as client:
            for name, *rest in steps:
                found = await getattr(client, name)(*rest)
        return found

    if kind == "async":
        return asyncio.run(in_loop())
    with Client(url, **named) as client:
        for name, *rest in steps:
            found = getattr(client, name)(*rest)
    return found


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("client"), token=TOKEN) as found:
        yield found


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(stream, "PNG")
    return stream.getvalue()


def test_an_image_is_the_same_however_it_is_given(
    kind: str, server: Running, tmp_path: Path
) -> None:
    pixels = images(1, 7)[0]
    [expected] = Session(server.home / "1" / "model.onnx").probabilities(pixels[None])
    path = tmp_path / "one.png"
    path.write_bytes(png(pixels))
    for given in (pixels, path, str(path), path.read_bytes()):
        found = ask(kind, server.url, ("predict", given), token=TOKEN)
        assert list(found.probabilities.values()) == expected.tolist()
        assert (found.name, found.label) == (CLASSES[expected.argmax()], expected.argmax())
        assert found.probability == expected.max()
        assert found.model_version == "1"
        assert found.top(2)[0] == (found.name, found.probability)


def test_many_images_are_cut_into_requests_and_keep_their_order(kind: str, server: Running) -> None:
    pixels = images(600, 8)
    expected = Session(server.home / "1" / "model.onnx").probabilities(pixels)
    found = ask(kind, server.url, ("predict_images", pixels), token=TOKEN)
    assert len({one.prediction_id for one in found}) == 600
    scores = np.array([list(one.probabilities.values()) for one in found])
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_label_is_taken_and_stands_in_the_log(kind: str, server: Running) -> None:
    made = ask(kind, server.url, ("predict", images(1, 9)[0]), token=TOKEN)
    queued = ask(kind, server.url, ("prediction", made.prediction_id), token=TOKEN)
    assert queued.state in ("queued", "logged")
    labels = [Feedback(made.prediction_id, "two"), Feedback(made.prediction_id, 2, score=0.5)]
    taken = ask(
        kind, server.url, ("feedback", made.prediction_id, "two"), ("feedback_many", labels),
        token=TOKEN,
    )  # fmt: skip
    assert taken == 2
    server.write_log()
    found = ask(kind, server.url, ("prediction", made.prediction_id), token=TOKEN)
    assert (found.state, found.label, found.name) == ("logged", "two", made.name)
    assert found.score == 0.5
    with (
        Client(server.url, token=TOKEN, retry=QUICK) as client,
        pytest.raises(Rejected, match="from 0 to 1"),
    ):
        client.feedback(made.prediction_id, score=3.0)
    assert found.model_version == "1"


def test_what_is_in_service(kind: str, server: Running, tmp_path: Path) -> None:
    assert ask(kind, server.url, ("version",), token=TOKEN) == "1"
    found = ask(kind, server.url, ("health",), token=TOKEN)
    assert (found.ready, found.model_version, found.why) == (True, "1", "")
    with running(tmp_path, version=None) as empty:
        found = ask(kind, empty.url, ("health",))
        assert not found.ready
        assert "train and promote one" in found.why
        with pytest.raises(Overloaded, match="no model is in service"):
            ask(kind, empty.url, ("version",), retry=Retry(0.3, 0.01))


REFUSED: list[tuple[Step, str]] = [
    (("predict", np.zeros((5, 5, 1), np.uint8)), "invalid_input"),
    (("prediction", "0" * 38), "unknown_prediction"),
    (("feedback", "0" * 38, "one"), "unknown_prediction"),
]


@pytest.mark.parametrize(("step", "code"), REFUSED)
def test_a_refusal_says_what_the_server_says(
    kind: str, step: Step, code: str, server: Running
) -> None:
    with pytest.raises(Rejected) as caught:
        ask(kind, server.url, step, token=TOKEN)
    assert caught.value.code == code
    assert caught.value.status in (404, 422)
    assert caught.value.message in str(caught.value)


def test_a_wrong_token_is_refused_at_once_and_shown_nowhere(kind: str, server: Running) -> None:
    with pytest.raises(Unauthorised, match="Authorization: Bearer TOKEN") as caught:
        ask(kind, server.url, ("predict", images(1)[0]), token="wrong-canary")
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(Client(server.url, token=TOKEN)) + repr(
        vars(Client(server.url, token=TOKEN))["address"]
    )


def test_a_busy_server_is_asked_again_when_it_says(kind: str) -> None:
    script = [refusal(503, "busy", Retry_After="1"), refusal(429, "slower"), Say()]
    with scripted(*script) as server:
        found = ask(kind, server.url, ("predict", images(1)[0]))
        first, second, third = server.heard
    assert found.name == "one"
    assert found.extra == {"more": [1, 2]}
    assert second.at_s - first.at_s >= 1.0
    assert third.at_s - second.at_s < 1.0
    assert first.body == second.body == third.body == images(1).tobytes()


def test_a_wait_beyond_the_deadline_is_not_begun(kind: str) -> None:
    with scripted(refusal(429, "slower", Retry_After="60")) as server:
        began = time.monotonic()
        with pytest.raises(Overloaded, match="not now; come back") as caught:
            ask(kind, server.url, ("predict", images(1)[0]))
    assert time.monotonic() - began < 2.0
    assert (caught.value.status, caught.value.code) == (429, "slower")
    assert len(server.heard) == 1


def test_the_deadline_is_over_all_attempts(kind: str) -> None:
    with scripted(refusal(503, "busy")) as server:
        began = time.monotonic()
        with pytest.raises(Overloaded):
            ask(kind, server.url, ("predict", images(1)[0]), retry=Retry(0.4, 0.01, 0.05))
    assert time.monotonic() - began < 1.5
    assert len(server.heard) > 3


def test_an_answer_that_drips_ends_at_the_deadline(kind: str) -> None:
    with scripted(Say(drip_s=0.1)) as server:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="does not answer"):
            ask(kind, server.url, ("predict", images(1)[0]), retry=Retry(0.5))
    assert time.monotonic() - began < 2.0


def test_a_lost_reply_is_asked_for_again_only_where_that_changes_nothing(kind: str) -> None:
    label = ("feedback", "a1", "one")
    with scripted(Say(hang_up=True), Say(502, ""), Say(body='{"accepted": 1}')) as server:
        ask(kind, server.url, label)
        assert len(server.heard) == 3
    with scripted(Say(hang_up=True), Say()) as server:
        with pytest.raises(NoAnswer):
            ask(kind, server.url, ("predict", images(1)[0]))
        assert len(server.heard) == 1


def test_nobody_listens(kind: str) -> None:
    with scripted(Say()) as server:
        url = server.url
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="start it with: mlops serve"):
        ask(kind, url, ("predict", images(1)[0]), retry=Retry(0.5, 0.01, 0.05))
    assert time.monotonic() - began < 2.0
    with pytest.raises(NoAnswer):
        ask(kind, url, ("health",))


STRANGE = [
    "", "[]", "<html>", "{}", '{"model_version": "1"}', '{"predictions": 3}',
    '{"model_version": "1", "predictions": [{"prediction_id": "a", "label": "x"}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", STRANGE)
def test_a_foreign_answer_is_no_prediction(kind: str, body: str) -> None:
    with (
        scripted(Say(body=body)) as server,
        pytest.raises(ServerFault, match="not in the protocol"),
    ):
        ask(kind, server.url, ("predict", images(1)[0]))


@pytest.mark.parametrize("body", ["\x1b[31mred", "<html>" * 999, '{"error": "text"}', "[1]"])
def test_a_foreign_error_is_one_short_line(kind: str, body: str) -> None:
    with scripted(Say(500, body)) as server, pytest.raises(ServerFault) as caught:
        ask(kind, server.url, ("predict", images(1)[0]))
    said = str(caught.value)
    assert said.startswith(
        f"{server.url} answers HTTP 500, not as mlops serve does; another server"
    )
    assert said.endswith("start it with: mlops serve")
    assert len(said) < 300
    assert len(server.heard) == 1


def test_a_token_does_not_follow_a_redirect(kind: str) -> None:
    with scripted(Say()) as other, scripted(Say(302, "", {"location": other.url})) as server:
        with pytest.raises(CallFailed, match="302"):
            ask(kind, server.url, ("predict", images(1)[0]), token=TOKEN)
        assert server.heard[0].authorization == f"Bearer {TOKEN}"
        assert other.heard == []


def test_a_number_is_read_with_its_quantiles(kind: str) -> None:
    body = (
        '{"model_version": "1", "prediction_id": "a", "value": 2.5, "quantiles": {"0.05": 1, '
        '"0.5": 2.5, "0.95": 4}}'
    )
    with scripted(Say(body=body)) as server:
        [found] = ask(kind, server.url, ("predict_rows", [{"a": 1}]))
    assert (found.value, found.quantiles["0.95"], found.name, found.top(1)) == (2.5, 4.0, None, [])


def test_rows_texts_and_options_as_they_travel(kind: str) -> None:
    body = GOOD.replace('"prediction_id"', '"also": [], "prediction_id"')
    with scripted(Say(body=body)) as server:
        rows = [{"a": np.float64("nan"), "b": "x", "c": np.int64(3)}]
        ask(kind, server.url, ("predict_rows", rows), ("predict_texts", ["é"]))
        assert [one.body for one in server.heard] == [
            b'{"rows": [{"a": null, "b": "x", "c": 3}]}', '{"texts": ["é"]}'.encode()
        ]  # fmt: skip
        with Client(server.url) as client:
            client.predict(images(1)[0], entity="ä&b", explain=True, top_k=2)
        assert server.heard[-1].path == "/predict?entity=%C3%A4%26b&explain=1&top_k=2"


WRONG: list[tuple[Step, type[Exception]]] = [
    (("predict", images(1)[0].astype(float)), UsageError),
    (("predict", b"GIF89a"), DataError),
    (("predict", "nowhere.png"), DataError),
    (("predict_rows", []), UsageError),
    (("predict_rows", [{"a": object()}]), UsageError),
    (("predict_rows", [{"a": float("inf")}]), UsageError),
    (("predict_texts", "text"), UsageError),
    (("prediction", "../feedback"), UsageError),
    (("feedback_many", []), UsageError),
]


@pytest.mark.parametrize(("step", "error"), WRONG)
def test_what_cannot_be_sent_is_said_before(kind: str, step: Step, error: type[Exception]) -> None:
    with scripted(Say()) as server, pytest.raises(error):
        ask(kind, server.url, step)
    assert server.heard == []


def test_whom_to_ask(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no server is named"):
        Client()
    monkeypatch.chdir(root)
    assert Client().url == "http://127.0.0.1:8000"
    (root / ".mlops").mkdir()
    (root / ".mlops" / "ports.json").write_text('{"serve": 8123}')
    (root / ".env").write_text("MLOPS_TOKEN=own")
    assert (Client().url, Client().address.token) == ("http://127.0.0.1:8123", "own")
    # The project's token is for the project's server.
    assert Client("http://other:1/").address.token == ""
    monkeypatch.setenv("MLOPS_SERVE_URL", "https://far.example/")
    monkeypatch.setenv("MLOPS_TOKEN", "mine")
    assert (Client().url, Client().address.token) == ("https://far.example", "mine")
    for url in ("ftp://a", "http://", "8000", "http://a/?x=1", "http://u:p@a", "http://a:x"):
        with pytest.raises(UsageError, match="is no address"):
            Client(url)


@pytest.mark.parametrize("name", ["deadline_s", "first_s", "longest_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_patience_is_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Retry(**{name: value})


def test_jitter_comes_from_the_given_source() -> None:
    waits = []
    for seed in (1, 1, 2):
        with scripted(refusal(503, "busy"), Say()) as server:
            retry = Retry(5.0, 0.4, 0.4)
            ask("sync", server.url, ("version",), retry=retry, rng=random.Random(seed))  # noqa: S311 - its draws are compared
            waits.append(server.heard[1].at_s - server.heard[0].at_s)
    assert abs(waits[0] - waits[1]) < 0.15 < abs(waits[0] - waits[2])


def test_the_public_names_and_a_light_import() -> None:
    assert sorted(mlops.client.__all__) == [
        "AsyncClient", "Client", "Feedback", "Health", "Logged", "Prediction", "Retry",
    ]  # fmt: skip
    code = (
        "import sys, mlops.client; heavy = {'torch', 'mlflow', 'numpy', 'pandas', 'pydantic', "
        "'sqlalchemy', 'pyarrow', 'onnxruntime'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
