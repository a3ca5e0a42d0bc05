"""`mlops backtest`: what the loop would have done with history, before anyone turns it on."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from mlops.core.backtest_report import Backtest

Changes = Annotated[tuple[str, ...], Parameter(name=["-S", "--set"], negative="")]


def backtest(
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    over: Literal["auto", "source", "log"] = "auto",
    changes: Changes = (),
    against: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    json: bool = False,
) -> int:
    """Walk through history by the project's own rules: incidents, retrains, promotions, accuracy.

    Nothing is changed: no model is registered and no incident opened. Writes
    reports/backtest/: backtest.png and windows.csv.

    Args:
        from_: The walk begins here, as 2020-03-01; the first model learns from all before.
        to: The walk ends here.
        over: source: the rows of data.source; log: the predictions that were served and labelled;
            auto: the log once it has 1000 labels.
        changes: section.key=value in place of what params.yaml says; may be repeated.
        against: A second policy, as other values: key=value,key=value; may be repeated.
        json: Print everything as JSON.
    """
    from mlops.adapters.backtest import (
        BacktestParams,
        Stretch,
        parse_time,
        read_past,
        walk,
        write_windows,
    )
    from mlops.adapters.backtest_picture import draw
    from mlops.cli.backtest_words import beside, head, lines, pieces
    from mlops.cli.here import open_site
    from mlops.params.load import load

    site = open_site()
    stretch = Stretch(over, parse_time(from_, "--from"), parse_time(to, "--to"))
    others = [pieces(text) for text in against]
    policies = [load(site.layout.params, BacktestParams, changes)]
    policies += [load(site.layout.params, BacktestParams, (*changes, *o)) for o in others]
    past, walked = read_past(site, policies[0], stretch)
    found = [walk(site, params, past, stretch) for params in policies]
    folder = site.layout.backtest
    write_windows(folder / "windows.csv", found[0])
    title = f"{policies[0].project.name}: {found[0].measure} with the loop and without it"
    draw(found[0], title, folder / "backtest.png")
    if json:
        print(json_lib.dumps(_content(found, [list(o) for o in others], walked), indent=2))
        return 0
    print(*head(policies[0].project.name, found[0], walked, policies[0].backtest.model), sep="\n")
    print(*lines(found[0]), sep="\n")
    if others:
        print(*beside(found, others), sep="\n")
    print(f"table and picture: {folder.relative_to(site.layout.root)}/")
    return 0


def _content(found: list[Backtest], others: list[list[str]], over: str) -> dict[str, object]:
    first = found[0]
    return {
        "over": over, "summary": asdict(first.summary()), **asdict(first),
        "against": [
            {"changes": changes, "summary": asdict(other.summary())}
            for changes, other in zip(others, found[1:], strict=True)
        ],
    }  # fmt: skip
