"""Ray: one function over many items, on a cluster that is given or made for the call.

Ray is an extra (`pip install mlops[ray]`); nothing else imports it. Its usage statistics are off,
and a cluster of our own listens on loopback without a dashboard. A cluster runs whatever code its
clients send: it belongs into a network of its own.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mlops.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONNECT_S = 5.0
_RETRIES = 3  # of an item whose worker died; an error of ours is never tried again


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give the module `ray`, connected to the cluster at `address`, or to a fresh one of here.

    Raises:
        UsageError: if Ray is not installed.
        Unavailable: if the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        msg = "score.engine = ray: Ray is not installed; pip install 'mlops[ray]', or engine: local"
        raise UsageError(msg) from None
    if address:
        _reach(address)
    own = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = str(error).splitlines()[0][:200]
        msg = (
            f"MLOPS_RAY_ADDRESS={address or '(own)'}: no Ray cluster ({what}); start one: ray start"
        )
        raise Unavailable(msg) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes.

    Raises:
        Unavailable: naming the address.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, ValueError, OverflowError):
        msg = f"MLOPS_RAY_ADDRESS={address}: nobody listens there; start it: ray start --head"
        raise Unavailable(msg) from None


def over(
    address: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Result, str]]:
    """Yield what a function makes of each item, in the order of their ends, and the node's id.

    Args:
        address: of the cluster, HOST:PORT; empty for one of our own.
        function: a module's own, so that every machine has it; it may be called twice for an item
            whose worker died.
        items: small; what they are about lies where every machine can read it.

    Raises:
        UsageError: if Ray is not installed.
        Unavailable: if the cluster does not answer, or a worker dies again and again.
        MlopsError: whatever the function raises.
    """
    with connected(address) as ray:
        task = ray.remote(max_retries=_RETRIES, num_cpus=1)(_here)
        waiting = [task.remote(function, item) for item in items]
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            try:
                yield ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                what = str(error).splitlines()[0][:200]
                raise Unavailable(f"Ray: {what}; run the same command again") from None


def _here(function: Callable[[Item], Result], item: Item) -> tuple[Result, str]:
    """Run in a worker: the result, and which node it was made on."""
    import ray

    os.environ["OMP_NUM_THREADS"] = "1"
    return function(item), str(ray.get_runtime_context().get_node_id())
