"""Whatever happens in whatever order, killed anywhere: the ledger, the aliases and people agree.

A machine makes and judges versions, records decisions late, approves, declines, rolls back,
reconciles, and does in MLflow what people do there, on the real ledger and the real registry.
Any of our own steps may be killed before or after any of its writes.
"""

from __future__ import annotations

import functools
import itertools
import shutil
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from mlops.adapters import approval, mlflow, moves, reconcile, record, registry
from mlops.adapters.ledger import MOVES, Ledger
from mlops.adapters.sql.engine import database
from mlops.core.decision import Decision
from mlops.errors import LedgerError, RegistryError, UsageError
from mlops.layout import Layout
from mlops.params.project import ProjectSection
from mlops.settings import Settings
from mlops.site import Site
from mlops.steps.approve import ApproveParams, approve
from mlops.steps.reject import RejectParams, reject
from mlops.steps.rollback import RollbackParams, rollback
from tests.conftest import NOW, REPOSITORY
from tests.entrants import with_options
from tests.promotions import add_version, decision, entries, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops.core.decision import Outcome

_numbers = itertools.count()


class Killed(BaseException):
    """Ends a step as SIGKILL would: nothing catches it."""


_kills = st.sampled_from([None, *itertools.product((1, 2, 3, 4), ("before", "after"))])
"""Which of a step's writes it dies at, if at any."""
_outcomes = st.sampled_from(["promote", "promote", "promote", "reject", "inconclusive"])
Hand = tuple[Decision, str, bool]
"""A decision, its key, and whether a person is asked."""


class Machine(RuleBasedStateMachine):
    """One project's life."""

    versions = Bundle("versions")
    hands = Bundle("hands")
    """Decisions that were made and are not recorded yet: two promoters race through these."""
    home: ClassVar[Site]

    @initialize(target=versions)
    def start(self) -> MultipleResults[str]:
        self.project = f"m{next(_numbers)}"
        self.name = ProjectSection(name=self.project)
        self.recorded: set[str] = set()
        self.turn, self.minutes = 0, 0
        made = [add_version(self.home, self.project) for _ in range(3)]
        first, key = decision(self.site, made[0], None, project=self.project)
        self._record((first, key, False), None)
        return multiple(*made)

    # -- the loop ---------------------------------------------------------------------------
    @rule(target=versions)
    def train(self) -> str:
        return add_version(self.home, self.project)

    @rule(target=versions, how=st.sampled_from(["never registered", "changed in the store"]))
    def spoil(self, how: str) -> str:
        version = add_version(self.home, self.project, vouched=how != "never registered")
        (stored(self.home, version, self.project) / "model.onnx").write_bytes(b"poison")
        return version

    @rule(version=versions, heals=st.booleans())
    def rot(self, version: str, heals: bool) -> None:
        """Bytes change in the store of what was sound, at any time; somebody may restore them."""
        if registry.source_of(self.home, self.project, version) is None:
            return
        path = stored(self.home, version, self.project) / "model.onnx"
        held = path.read_bytes()
        path.write_bytes(b"rotten")
        self.agree()
        if heals:
            path.write_bytes(held)

    @rule(target=hands, version=versions, outcome=_outcomes, asked=st.booleans())
    def judge(
        self, version: str, outcome: Outcome, asked: bool
    ) -> Hand:  # fmt: skip
        self.turn += 1
        if not self._sound(version):
            outcome = "reject"  # what the gate says where the files are not the ledger's
        made, key = decision(
            self.site, version, self._serving(), outcome=outcome, project=self.project,
            turn=self.turn,
        )  # fmt: skip
        return made, key, asked

    @rule(hand=consumes(hands), kill=_kills, twice=st.booleans())
    def record(self, hand: Hand, kill: Any, twice: bool) -> None:
        self._record(hand, kill)
        if twice:
            self._record(hand, None)

    @rule(first=versions, second=versions, asked=st.booleans(), kill=_kills)
    def race(
        self, first: str, second: str, asked: bool, kill: Any
    ) -> None:  # fmt: skip
        """Both have judged against the same champion before either records."""
        hands: list[Any] = [self.judge(version, "promote", asked) for version in (first, second)]
        self._record(hands[0], kill)
        self._record(hands[1], None)

    @rule(version=versions, kill=_kills)
    def say_yes(self, version: str, kill: Any) -> None:
        site = with_options(self.site, f"version={version}")
        self._do(lambda: approve(ApproveParams(project=self.name), site), kill)

    @rule(version=versions, kill=_kills)
    def say_no(self, version: str, kill: Any) -> None:
        site = with_options(self.site, f"version={version}")
        self._do(lambda: reject(RejectParams(project=self.name), site), kill)

    @rule(version=st.none() | versions, kill=_kills)
    def go_back(self, version: str | None, kill: Any) -> None:
        site = with_options(self.site, *([f"to={version}"] if version else []))
        self._do(lambda: rollback(RollbackParams(project=self.name), site), kill)

    @rule(kill=_kills)
    def reconcile_killed(self, kill: Any) -> None:
        self._do(lambda: reconcile.reconcile(self.site, self.project), kill)

    # -- people, in MLflow ------------------------------------------------------------------
    @rule(
        version=st.none() | versions,
        alias=st.sampled_from(["champion", "champion", "challenger", "shadow"]),
        start=st.booleans(),
    )
    def move_by_hand(self, version: str | None, alias: str, start: bool) -> None:
        if version is None:
            mlflow.client(self.site).delete_registered_model_alias(self.project, alias)
        else:
            with suppress(RegistryError):  # deleted before
                registry.set_alias(self.site, self.project, alias, version)
        self._start(start)

    @rule(
        version=versions,
        value=st.sampled_from(["yes", "no", "yes Ada", "perhaps"]),
        start=st.booleans(),
    )
    def tag_by_hand(self, version: str, value: str, start: bool) -> None:
        api = mlflow.client(self.site)
        with suppress(RegistryError), mlflow.errors():
            api.set_model_version_tag(self.project, version, approval.TAG, value)
        self._start(start)

    @rule(version=versions, start=st.booleans())
    def delete_by_hand(self, version: str, start: bool) -> None:
        api = mlflow.client(self.site)
        with suppress(RegistryError), mlflow.errors():
            api.delete_model_version(self.project, version)
        self._start(start)

    # -- what must hold ---------------------------------------------------------------------
    def teardown(self) -> None:
        """Whatever happened last, the next start repairs it."""
        if hasattr(self, "project"):
            self.agree()

    @rule()
    def agree(self) -> None:
        """After the next start everything agrees."""
        reconcile.reconcile(self.site, self.project)
        with database(self.site) as engine:
            ledger = Ledger(engine, self.project)
            move, held = ledger.last_move(), approval.waiting(ledger)
            ours = {a.version for a in approval.asked(ledger.entries())}
            assert registry.champion(self.site, self.project) == ledger.in_service()
            assert move is None or not moves.is_pending(ledger, move)
        challenger = registry.alias(self.site, self.project, "challenger")
        if held is None or not registry.source_of(self.site, self.project, held.version):
            assert challenger not in ours
        elif self._sound(held.version):
            assert challenger == held.version
        else:  # its bytes changed while it waited: the alias stays where it was, or is not set
            assert challenger not in ours - {held.version}
        said = reconcile.reconcile(self.site, self.project)
        assert "agree" in said or "cannot be followed" in said

    @invariant()
    def the_record_is_whole(self) -> None:
        if not hasattr(self, "project"):
            return
        rows = entries(self.home, self.project)  # its chain of hashes is verified
        served = [row for row in rows if row.kind in MOVES]
        before = None
        for move in served:  # each began where the one before had ended: nobody overwrote anybody
            assert move.from_version == before
            before = move.to_version
        assert self.recorded <= {row.key for row in rows if row.kind == "decided"}
        answers = [row.key for row in rows if row.kind in ("approved", "declined")]
        assert len(answers) == len(set(answers))
        for row in rows:
            if row.kind == "applied":  # follows one move of ours, once
                [followed] = [m for m in served if m.hash == row.key]
                assert (row.from_version, row.to_version) == (
                    followed.from_version, followed.to_version,
                )  # fmt: skip

    # -- how ----------------------------------------------------------------------------------
    @property
    def site(self) -> Site:
        """A later time at every call."""
        self.minutes += 1
        return replace(self.home, now=NOW + timedelta(minutes=self.minutes))

    def _record(self, hand: Hand, kill: tuple[int, str] | None) -> None:
        made, key, asked = hand

        def act() -> None:
            approval: Literal["auto", "required"] = "required" if asked else "auto"
            judged = record.Judged(made, key, approval, None, lambda kept: kept)
            with database(self.site) as engine:
                record.record(self.site, Ledger(engine, self.project), judged)
            self.recorded.add(key)

        self._do(act, kill)

    def _start(self, start: bool) -> None:
        if start:
            self.agree()

    def _serving(self) -> str | None:
        with database(self.home) as engine:
            return Ledger(engine, self.project).in_service()

    def _sound(self, version: str) -> bool:
        try:
            registry.fetch(self.home, self.project, version, fresh=True)
        except RegistryError:
            return False
        return True

    def _do(self, act: Callable[[], object], kill: tuple[int, str] | None) -> None:
        """Run a step of ours; it may be killed, or refuse for a reason that it names."""
        with self._watched(kill), suppress(Killed, LedgerError, RegistryError, UsageError):
            act()
        if kill is not None and kill[0] % 2:
            self.agree()

    @contextmanager
    def _watched(self, kill: tuple[int, str] | None) -> Iterator[None]:
        """Count what a step writes, die where told, and let no alias of ours go astray."""
        count = 0
        places: list[tuple[Any, str]] = [
            (Ledger, "append"), (moves, "set_alias"), (moves, "drop_alias"),
            (record, "set_tag"),
        ]  # fmt: skip

        def watch(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def wrapped(*given: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if kill == (count, "before"):
                    raise Killed
                if original is registry.set_alias:
                    assert self._sound(given[3]), f"{given[2]} → {given[3]}"
                result = original(*given, **named)
                if kill == (count, "after"):
                    raise Killed
                return result

            return wrapped

        with pytest.MonkeyPatch.context() as patch:
            for holder, name in places:
                patch.setattr(holder, name, watch(getattr(holder, name)))
            yield


@pytest.fixture
def home(tmp_path: Path, mlflow_template: Path) -> Site:
    layout = Layout(tmp_path / "home")
    work = layout.work / "test"
    work.mkdir(parents=True)
    shutil.copy(mlflow_template, layout.mlflow_db)
    shutil.copy(REPOSITORY / "params.yaml", layout.root)  # mails read it
    return Site(layout=layout, settings=Settings(), now=NOW, work=work)


def live(home: Site, examples: int, steps: int) -> None:
    Machine.home = home
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # a step costs a tenth of a second: shrinking takes minutes
        ),
    )  # fmt: skip


def test_ledger_and_aliases_agree_whatever_happens(home: Site) -> None:
    live(home, examples=5, steps=25)


@pytest.mark.bench
def test_ledger_and_aliases_agree_whatever_happens_in_full_count(home: Site) -> None:
    live(home, examples=60, steps=40)
