"""`mlops demo`: the whole loop, told as it happens; every line is an event of the real system."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

from mlops.cli.demo import workspace
from mlops.cli.demo.client import Users
from mlops.cli.demo.facts import Facts
from mlops.cli.demo.narrator import Narrator
from mlops.cli.demo.orchestrator import Orchestrator, Run
from mlops.cli.demo.world import SEVERITY, SHIFT, World
from mlops.errors import StepError
from mlops.layout import Layout, find_root
from mlops.params.everything import Everything
from mlops.params.load import load

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_CLEAN_WINDOWS = 8
_SHIFTED_WINDOWS = 4
_WAITING_WINDOWS = 14
_AFTER_WINDOWS = 8
_STEADY_PER_S = 8.0
_LABELLED_AFTER_S = 2.0  # well below labels.delay_minutes
_FLOW_S = 240.0


def demo(*, bad_retrain: bool = True, keep_running: bool = False) -> int:
    """Run the whole story in .mlops/demo/: train, serve, shift, alarm, mail, retrain, recover.

    Args:
        bad_retrain: End with a deliberately worse candidate, which the gate refuses.
        keep_running: Leave every server up at the end, until Ctrl-C.
    """
    root = find_root()
    story = Story(root_layout=Layout(root))
    story.run(bad_retrain=bad_retrain, keep_running=keep_running)
    return 0


class Story:
    """The chapters, in order; each acts on the running system and says what came of it."""

    def __init__(self, root_layout: Layout) -> None:
        """Build the demo's folder beside the user's own state."""
        self._tell = Narrator()
        self._home = root_layout
        self._params = load(root_layout.params, Everything)  # before an older demo is swept away
        self._tell.say(f"a copy of this project in {root_layout.root / '.mlops' / 'demo'}")
        self._layout = workspace.build(root_layout.root)
        self._marks: list[tuple[int, str]] = []

    def run(self, *, bad_retrain: bool, keep_running: bool) -> None:
        """Tell the story from the first training to the refused candidate."""
        with workspace.process_group(self._layout) as process:
            self._connect(process)
            self._first_model()
            self._clean_traffic()
            self._shift()
            self._read_mail("detected")
            self._labels_and_retrain()
            self._recovery()
            if bad_retrain:
                self._bad_candidate()
            self._users.pause()
            self._end()
            if keep_running:
                self._tell.say("everything keeps running; Ctrl-C ends it")
                process.wait()

    # -- chapters ---------------------------------------------------------------------------
    def _connect(self, process: subprocess.Popen[bytes]) -> None:
        self._tell.chapter("starting Prefect, MLflow and the scoring server on this machine")

        def ports() -> bool:
            workspace.alive(process, self._layout)
            return self._layout.ports.is_file()

        workspace.wait_until(ports, timeout_s=60, what="the choice of ports")
        chosen = json.loads(self._layout.ports.read_text())
        name = self._params.project.name
        self._prefect_url = f"http://127.0.0.1:{chosen['prefect']}"
        self._mlflow_url = f"http://127.0.0.1:{chosen['mlflow']}"
        self._serve_url = f"http://127.0.0.1:{chosen['serve']}"
        self._orchestrator = Orchestrator(f"{self._prefect_url}/api", name)
        self._world = World(self._params.data, self._layout.root, seed=1)
        self._users = Users(self._serve_url, self._world)

        def deployed() -> bool:
            workspace.alive(process, self._layout)
            return self._orchestrator.has("train") and self._orchestrator.has("monitor")

        workspace.wait_until(deployed, timeout_s=120, what="Prefect's server", every_s=0.5)
        self._facts = Facts(self._layout, name)
        self._tell.say(f"Prefect {self._prefect_url}   MLflow {self._mlflow_url}")

    def _first_model(self) -> None:
        self._tell.chapter("the first model: data checks, tuning, training, gate")
        self._follow(self._orchestrator.start("train", reason="first model"))
        self._decision()
        workspace.wait_until(self._users.ready, timeout_s=60, what="the first model in service")
        self._tell.say(f"version {self._facts.serving()} is in service at {self._serve_url}")

    def _clean_traffic(self) -> None:
        self._tell.chapter("traffic like the training data")
        rows = self._params.monitoring.window_rows * _CLEAN_WINDOWS
        accuracy = self._users.send(rows)
        self._tell.say(f"{rows} requests, {accuracy:.1%} right")
        self._monitor()
        judged = self._facts.windows()
        alarms = sum(window.alarm for window in judged)
        self._tell.say(f"{len(judged)} windows judged, {alarms} in alarm")

    def _shift(self) -> None:
        self._tell.chapter(f"the camera degrades: {', '.join(SHIFT)} at severity {SEVERITY} of 5")
        self._world.shifted = True
        self._mark("shift")
        before = len(self._facts.windows())
        for k in range(1, _SHIFTED_WINDOWS + 1):
            accuracy = self._users.send(self._params.monitoring.window_rows)
            self._tell.say(f"shifted window {k}: {accuracy:.1%} right")
        self._monitor()
        shifted = self._facts.windows()[before:]
        rule, alarms = self._params.monitoring, [n for n, w in enumerate(shifted, 1) if w.alarm]
        opened = alarms[rule.raise_k - 1] if len(alarms) >= rule.raise_k else None
        self._tell.say(f"windows in alarm: {len(alarms)} of {len(shifted)}")
        incident = self._facts.incident("open")
        if incident is None or opened is None:
            self._tell.say("no incident was opened")
            return
        start = self._marks[-1][0]
        self._marks.append((start + opened * rule.window_rows, "alarm"))
        self._tell.say(
            f"ALARM after {opened} shifted windows: incident {incident.id}, {incident.cause}"
        )

    def _read_mail(self, stage: str) -> None:
        def arrived() -> list[Path]:
            return [page for page in self._facts.mails() if stage in page.name]

        workspace.wait_until(arrived, timeout_s=60, what=f"the mail about {stage}")
        self._tell.mail(arrived()[-1])

    def _labels_and_retrain(self) -> None:
        self._tell.chapter("labels arrive late; the loop decides to retrain by itself")
        self._users.send(self._params.monitoring.window_rows * _WAITING_WINDOWS)
        self._tell.say(f"{self._users.feed_back()} labels sent to /feedback")
        self._users.keep_sending(_STEADY_PER_S, labelled_after_s=_LABELLED_AFTER_S)
        known = self._runs_of_train()
        self._monitor()
        self._mark("retrain")
        found: list[Run] = []

        def requested() -> bool:
            run = self._orchestrator.newest("train", known)
            found.extend([run] if run else [])
            return bool(found)

        workspace.wait_until(requested, timeout_s=120, what="the retrain that monitor requested")
        self._tell.say(f"Prefect's automation started the run: {found[0].name}")
        old = self._facts.serving()
        self._follow(found[0])
        self._decision()
        if not self._facts.promoted():
            raise StepError("the new version was not promoted; the checks above say why")
        workspace.wait_until(
            lambda: self._facts.serving() != old, timeout_s=60, what="the new version in service"
        )
        workspace.wait_until(
            lambda: self._users.record.version[-1] != old, timeout_s=60, what="its first answer"
        )
        self._mark("promotion")
        self._tell.say(
            f"version {self._facts.serving()} swapped in with traffic flowing; "
            f"failed requests: {self._users.record.failed}"
        )
        self._read_mail("promoted")

    def _recovery(self) -> None:
        self._tell.chapter("the same degraded camera, the new model")
        self._users.pause()
        for _ in range(_AFTER_WINDOWS):
            accuracy = self._users.send(self._params.monitoring.window_rows)
            self._tell.say(f"{self._params.monitoring.window_rows} requests, {accuracy:.1%} right")
        self._monitor()
        if self._facts.incident("open") is None:
            self._tell.say("the incident is closed")
            self._read_mail("resolved")
        else:
            self._tell.say("the incident is still open: mlops status says why")

    def _bad_candidate(self) -> None:
        self._tell.chapter("a deliberately worse candidate: one epoch")
        # The promotion has spent the rows that it was judged on: this one needs its own.
        self._tell.say(f"{self._users.feed_back()} labels of the new traffic sent to /feedback")
        self._layout.params.write_text(workspace.weakened(self._layout.params.read_text()))
        before = self._facts.serving()
        self._follow(self._orchestrator.start("train", reason="a worse candidate"))
        self._decision()
        if self._facts.serving() != before or self._facts.promoted():
            raise StepError(f"the worse candidate replaced version {before}; see above")
        self._tell.say(f"version {before} stays in service")

    def _end(self) -> None:
        self._draw()
        record = self._users.record
        self._tell.chapter("done")
        self._tell.say(f"{len(record.right) + record.failed} requests, failed: {record.failed}")
        self._tell.say(f"picture    {self._home.root / 'reports' / 'recovery.png'}")
        self._tell.say(f"mails      {self._layout.mailbox}")
        here = f". {sys.prefix}/bin/activate && " if sys.prefix != sys.base_prefix else ""
        self._tell.say(f"look again {here}cd {self._layout.root} && mlops up")
        self._tell.say("clean up   make clean")
        self._tell.say("your data  mlops init NAME --source SOURCE  (README: bring your own)")

    def _follow(self, run: Run) -> None:
        self._orchestrator.follow(run, self._tell.task, _FLOW_S)

    def _monitor(self) -> None:
        run = self._orchestrator.start("monitor")
        self._orchestrator.follow(run, lambda _task, _state: None, _FLOW_S)

    def _runs_of_train(self) -> set[str]:
        known: set[str] = set()
        while (run := self._orchestrator.newest("train", known)) is not None:
            known.add(run.id)
        return known

    def _decision(self) -> None:
        self._tell.decision(self._facts.decision())

    def _draw(self) -> None:
        from mlops.cli.demo.picture import draw, relive

        record = self._users.record
        first = self._layout.serving / self._params.project.name / record.version[0]
        path = self._layout.root / "reports" / "recovery.png"
        draw(relive(record, first, tuple(self._marks)), path)
        target = self._home.root / "reports" / "recovery.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)

    def _mark(self, name: str) -> None:
        self._marks.append((len(self._users.record.right), name))
