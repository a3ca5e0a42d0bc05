"""`mlops up`: every server and follower of this root, in one process group."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.adapters.processes import Group
    from mlops.layout import Layout
    from mlops.settings import Settings


def up(*, timeout: float = 300.0) -> int:
    """Start Prefect, MLflow, the scoring server and the followers; restart what dies.

    Ctrl-C stops them all; so does the end of this process, whatever its cause.

    Args:
        timeout: Give up if not every part is up after so many seconds.
    """
    from mlops.layout import Layout, find_root
    from mlops.log import configure
    from mlops.settings import load_settings

    layout = Layout(find_root())
    settings = load_settings(layout)
    configure(settings.log_level)
    asyncio.run(_run(layout, settings, timeout))
    return 0


async def _run(layout: Layout, settings: Settings, timeout_s: float) -> None:
    from mlops.adapters.orphans import claim
    from mlops.adapters.ports import choose_ports, keep_ports
    from mlops.adapters.processes import Group
    from mlops.cli.plan import plan

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    with claim(layout, _say) as name:
        ports, moved = choose_ports(layout, settings)
        parts = plan(layout, settings, ports)  # reads params.yaml: a mistake there leaves no trace
        keep_ports(layout, ports)
        for line in moved:
            _say(line)
        group = Group(name, parts, layout, _say)
        late = asyncio.create_task(_wait(group, stop, timeout_s))
        await group.run(stop)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        if not late.cancelled() and (error := late.exception()):
            raise error
        _say("everything has stopped")


async def _wait(group: Group, stop: asyncio.Event, timeout_s: float) -> None:
    """Say when every part is up; stop the group if that takes too long."""
    from mlops.errors import Unavailable

    try:
        await asyncio.wait_for(group.all_up.wait(), timeout_s)
    except TimeoutError:
        stop.set()
        msg = f"not up after {timeout_s:g} s: {', '.join(group.missing())}; see .mlops/logs/"
        raise Unavailable(msg) from None
    _say("everything is up; Ctrl-C stops it; elsewhere: mlops status")


def _say(line: str) -> None:
    print(line, flush=True)
