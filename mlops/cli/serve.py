"""`mlops serve`: the scoring server in the foreground."""

from __future__ import annotations


def serve(*, host: str | None = None, port: int | None = None, workers: int | None = None) -> int:
    """Serve the champion over HTTP, following its alias, until Ctrl-C.

    Args:
        host: Address to listen on (MLOPS_HOST); other than loopback needs MLOPS_TOKEN.
        port: Port to listen on (MLOPS_SERVE_PORT); 0 for any free one.
        workers: Number of worker processes (MLOPS_SERVE_WORKERS).
    """
    from mlops.layout import Layout, find_root
    from mlops.serving.supervisor import Supervisor
    from mlops.settings import load_settings

    layout = Layout(find_root())
    settings = load_settings(layout)
    supervisor = Supervisor(
        layout,
        settings,
        host=settings.host if host is None else host,
        port=settings.serve_port if port is None else port,
        workers=settings.serve_workers if workers is None else workers,
    )
    return supervisor.run()
