"""Ask Prefect's server, over its REST API, to run a deployment, and watch the run."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from mlops.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 20
_NOT_BEGUN = {"SCHEDULED", "PENDING"}
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Run:
    """A flow run as Prefect tells it."""

    id: str
    name: str
    state: str


class Orchestrator:
    """A small client of Prefect's REST API."""

    def __init__(self, api_url: str, project: str) -> None:
        """Speak to the API at `api_url` about the deployments of `project`."""
        self._http = httpx.Client(base_url=api_url, timeout=30.0, trust_env=False)
        self._project = project
        self._client = uuid.uuid4().hex

    def start(self, flow: str, **parameters: str | bool | None) -> Run:
        """Run a deployment now, as a click in Prefect's UI does."""
        found = self._get(f"/deployments/name/{flow}/{self._project}-{flow}")
        body = {
            "parameters": parameters,
            "state": {"type": "SCHEDULED"},
            "idempotency_key": uuid.uuid4().hex,  # a request sent again is still one run
        }
        return _run(self._post(f"/deployments/{found['id']}/create_flow_run", body))

    def has(self, flow: str) -> bool:
        """Say whether the deployment of a flow exists yet."""
        try:
            self._get(f"/deployments/name/{flow}/{self._project}-{flow}")
        except httpx.HTTPError:
            return False
        return True

    def newest(self, flow: str, not_in: set[str]) -> Run | None:
        """Return the newest run of a flow that has begun and is none of `not_in`.

        One that has not begun yet has no name of ours, which says what it is for.
        """
        runs = self._post(
            "/flow_runs/filter",
            {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 20},
        )
        begun = (r for r in runs if r["state_type"] not in _NOT_BEGUN and r["id"] not in not_in)
        return next(map(_run, begun), None)

    def follow(self, run: Run, say: Callable[[str, str], None], timeout_s: float) -> Run:
        """Wait for the end of a run, reporting every task as it ends.

        Raises:
            StepError: if the run fails or does not end in time.
        """
        told: set[str] = set()
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            state = _run(self._get(f"/flow_runs/{run.id}"))
            for task in self._tasks(run.id):
                if task["state_type"] in _FINAL and task["id"] not in told:
                    told.add(task["id"])
                    say(task["name"].rsplit("-", 1)[0], task["state_name"])
            if state.state in _FINAL:
                if state.state != "COMPLETED":
                    msg = f"flow run {state.name} ended {state.state}; see its log in Prefect's UI"
                    raise StepError(msg)
                return state
            time.sleep(0.5)
        msg = f"flow run {run.name} did not end within {timeout_s:.0f} s"
        raise StepError(msg)

    def _tasks(self, run_id: str) -> list[dict[str, str]]:
        chosen = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "END_TIME_DESC", "limit": 50}
        found: list[dict[str, str]] = self._post("/task_runs/filter", chosen)
        return found[::-1]

    def _get(self, path: str) -> dict[str, str]:
        found: dict[str, str] = self._ask("GET", path).json()
        return found

    def _post(self, path: str, body: object) -> Any:
        # Prefect's protection against cross-site requests: every POST shows a token of its own.
        token = self._get(f"/csrf-token?client={self._client}")["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": self._client}
        return self._ask("POST", path, json=body, headers=headers).json()

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send one request; while Prefect's SQLite is busy (503), send it again."""
        for _ in range(_TRIES):
            answer = self._http.request(method, path, **content)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer


def _run(answer: dict[str, str]) -> Run:
    return Run(answer["id"], answer["name"], answer["state_type"])
