"""Real SIGKILLs and real races, in forked processes, on the real ledger and registry.

The parent imports everything and does nothing itself, so that it has no thread and no connection
that a fork could share: every step runs in a child, as fresh as a start, without its imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import mlflow, registry
from mlops.adapters.ledger import Ledger
from mlops.adapters.moves import is_pending
from mlops.adapters.reconcile import reconcile
from mlops.adapters.record import Judged, record
from mlops.adapters.sql.engine import database
from mlops.errors import LedgerError
from mlops.params.load import load
from mlops.steps import promote as promoting
from mlops.steps.promote import PromoteParams
from mlops.steps.register import RegisterParams, register
from tests import entrants, judged
from tests.promotions import PROJECT, decide, decision

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from mlops.site import Site

_ALIASES = ("champion", "challenger", "previous", "shadow")


@dataclass(frozen=True)
class Child:
    """A forked process that runs a function.

    Attributes:
        pid: its number.
        said: end of the pipe that it writes a line to when it begins what may be killed.
        go: end of the pipe by which it is let go on.
    """

    pid: int
    said: int
    go: int

    def wait(self) -> int:
        """Return its exit status: negative for the signal that ended it."""
        _, status = os.waitpid(self.pid, 0)
        for end in (self.said, self.go):
            os.close(end)
        return os.waitstatus_to_exitcode(status)


def fork(act: Callable[[Callable[[], None]], object]) -> Child:
    """Run `act` in a child; it calls its argument to say that it begins and to wait for leave."""
    said, say = os.pipe()
    waits, go = os.pipe()
    pid = os.fork()
    if pid:
        os.close(say)
        os.close(waits)
        return Child(pid, said, go)
    try:
        os.close(said)
        os.close(go)

        def begin() -> None:
            os.write(say, b"!")
            os.read(waits, 1)

        act(begin)
    except BaseException:  # noqa: BLE001 - a child must never return into the parent's code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def done(act: Callable[[], object]) -> None:
    """Run `act` in a child to its end; it must succeed."""
    status = fork(lambda _: act()).wait()
    assert status == 0, f"a child ended with {status}: see its traceback above"


def set_up(site: Site) -> None:
    """Make a project whose version 1 is in service."""
    judged.begin(site)
    decide(site, judged.enter(site, entrants.corner_weights()), None, approval="auto")


def _nothing() -> None:
    """Do what happens between two steps where nobody kills."""


def train(site: Site, turn: int) -> None:
    """Make the candidate of a turn."""
    weights = entrants.block_weights() * np.float32(1.0 + 0.001 * turn)
    entrants.train(site, entrants.world(site), weights)


def promote(site: Site, turn: int, champion: str, between: Callable[[], None] = _nothing) -> None:
    """Log, register, decide and move the alias: whatever is done already is not done twice.

    Args:
        site: the project.
        turn: of the candidate.
        champion: that it is compared with.
        between: called once the version is registered.
    """
    made = register(load(site.layout.params, RegisterParams), site)
    between()
    decided, key = decision(site, str(made.facts["version"]), champion, turn=turn)
    with database(site) as engine:
        record(site, Ledger(engine, PROJECT), Judged(decided, key, "auto", None, lambda kept: kept))


def check(site: Site, turn: int, champion: str) -> str:
    """Assert that nothing points astray, start again, and assert that nothing is lost or doubled.

    Returns:
        How far the killed process had come.
    """
    for alias in _ALIASES:
        version = registry.alias(site, PROJECT, alias)
        if version is not None:
            registry.fetch(site, PROJECT, version, fresh=True)
    came = _came(site)
    reconcile(site, PROJECT)
    promote(site, turn, champion)
    digest = registry.candidate_digest(site)
    found = mlflow.client(site).search_model_versions(f"tag.`mlops.candidate` = '{digest}'")
    assert len(found) == 1, f"{len(found)} versions of one candidate"
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        ledger.verify_chain()
        rows, move = ledger.entries(), ledger.last_move()
        assert move is not None
        assert not is_pending(ledger, move)
    version = str(found[0].version)
    kinds = [r.kind for r in rows if r.to_version == version and r.from_version != version]
    assert sorted(kinds) == ["applied", "decided", "registered"], kinds
    assert registry.champion(site, PROJECT) == move.to_version == version
    return came


def _came(site: Site) -> str:
    """Say what of the candidate stands in MLflow and in the ledger."""
    digest, api = registry.candidate_digest(site), mlflow.client(site)
    tagged = f"tags.`mlops.candidate` = '{digest}'"
    held = registry.registered_as(site, PROJECT, digest)
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        move = ledger.last_move()
        if held is not None and move is not None and move.to_version == held[0]:
            moved = registry.champion(site, PROJECT) == held[0]
            return ("alias" if moved else "decided") if is_pending(ledger, move) else "applied"
    if held is not None:
        return "registered"
    experiment = mlflow.experiment(site, PROJECT)
    if api.search_model_versions(f"tag.`mlops.candidate` = '{digest}'"):
        return "version"
    if api.search_logged_models([experiment], filter_string=tagged):
        return "model"
    return "run" if api.search_runs([experiment], tagged) else "nothing"


def champion_of(site: Site, place: str) -> str:
    """Return the version in service, asked in a child, so that the parent opens nothing."""
    path = site.work / place

    def ask() -> None:
        path.write_text(json.dumps(registry.champion(site, PROJECT)))

    done(ask)
    return str(json.loads(path.read_text()))


def kill_once(
    site: Site, turn: int, rng: random.Random, longest_s: float, *, late: bool
) -> tuple[str, float]:
    """Kill one promotion at a random time, start again, check; say how far it had come.

    Args:
        site: as `set_up` left it.
        turn: a number of its own.
        rng: draws the time.
        longest_s: how long a promotion takes; one that ends sooner is killed by nobody.
        late: whether the time runs from the registered version on: ledger and alias are quick.

    Returns:
        How far it had come, `ended` if it was sooner, and the seconds that it ran.
    """
    champion = champion_of(site, "champion.json")
    done(lambda: train(site, turn))

    def victim(begin: Callable[[], None]) -> None:
        if late:
            promote(site, turn, champion, begin)
        else:
            begin()
            promote(site, turn, champion)

    child = fork(victim)
    os.read(child.said, 1)
    start_s = time.perf_counter()
    os.write(child.go, b"!")
    end_s = start_s + rng.uniform(0.0, longest_s)
    while time.perf_counter() < end_s and os.waitid(
        os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
    ) is None:  # fmt: skip
        time.sleep(0.001)
    ran_s = time.perf_counter() - start_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    status = child.wait()
    assert status in (0, -signal.SIGKILL), f"the promotion failed with {status}"
    path = site.work / "came.json"
    done(lambda: path.write_text(json.dumps(check(site, turn, champion))))
    return (json.loads(path.read_text()) if status else "ended"), ran_s


def race(site: Site) -> None:
    """Let two promoters in two processes judge against one champion; one must win."""

    def enter() -> None:
        set_up(site)
        # How quickly the candidate answers on a busy machine is not what is raced for.
        text = site.layout.params.read_text()
        site.layout.params.write_text(text.replace("latency_ms: 50.0", "latency_ms: 60000.0"))
        for turn in (1, 2):
            train(site, turn)
            made = register(load(site.layout.params, RegisterParams), site)
            (site.work / f"digest{turn}").write_text(registry.candidate_digest(site))
            assert made.facts["version"] == str(turn + 1)

    done(enter)
    racers = [fork(_racer(site, turn)) for turn in (1, 2)]
    for racer in racers:
        os.read(racer.said, 1)
    for racer in racers:
        os.write(racer.go, b"!")
    statuses = [racer.wait() for racer in racers]
    assert statuses == [0, 0], statuses
    done(lambda: _one_won(site))


def _racer(site: Site, turn: int) -> Callable[[Callable[[], None]], None]:
    def act(begin: Callable[[], None]) -> None:
        module: Any = promoting
        digest, judge = (site.work / f"digest{turn}").read_text(), module.judge

        def wait(exam: Any, rules: Any) -> Any:
            begin()  # both have scored against version 1 before either may decide
            return judge(exam, rules)

        module.candidate_digest = lambda _: digest
        module.judge = wait
        mine = replace(site, work=site.work / str(turn))
        mine.work.mkdir()
        try:
            report = promoting.promote(load(site.layout.params, PromoteParams), mine)
            said = f"{report.facts['outcome']}: {report.summary}"
        except LedgerError as error:
            said = f"raced: {error}"
        (site.work / f"said{turn}").write_text(said)

    return act


def _one_won(site: Site) -> None:
    said = {turn: (site.work / f"said{turn}").read_text() for turn in (1, 2)}
    won = [turn for turn, words in said.items() if words.startswith("promote: ")]
    raced = [turn for turn, words in said.items() if words.startswith("raced: ")]
    assert (len(won), len(raced)) == (1, 1), said
    reconcile(site, PROJECT)
    champion = registry.champion(site, PROJECT)
    assert champion == str(won[0] + 1)
    registry.fetch(site, PROJECT, champion, fresh=True)
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        ledger.verify_chain()
        assert ledger.in_service() == champion
        assert [e.kind for e in ledger.entries()].count("decided") == 2
