"""`mlops serve`: the scoring server in the foreground."""

from __future__ import annotations


def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    model: str | None = None,
) -> int:
    """Serve the champion over HTTP, following its alias, until Ctrl-C.

    Args:
        host: Address to listen on (MLOPS_HOST); other than loopback needs MLOPS_TOKEN.
        port: Port to listen on (MLOPS_SERVE_PORT, else that of the last mlops up); 0: any free.
        workers: Number of worker processes (MLOPS_SERVE_WORKERS).
        model: Serve this model from elsewhere instead, slower and not gated (MLOPS_SERVE_MODEL):
            models:/NAME/VERSION, models:/NAME@ALIAS, or a folder that MLflow saved.
    """
    from mlops.adapters.ports import read_ports
    from mlops.layout import Layout, find_root
    from mlops.serving.supervisor import Supervisor
    from mlops.settings import load_settings

    layout = Layout(find_root())
    settings = load_settings(layout)
    # Where `mlops up` served last, and where clients look, unless the environment names another.
    ports, named = read_ports(layout, settings), settings.model_fields_set
    kept = settings.serve_port if "serve_port" in named else ports.serve
    if "metrics_port" not in named:
        settings = settings.model_copy(update={"metrics_port": ports.metrics})
    supervisor = Supervisor(
        layout,
        settings,
        host=settings.host if host is None else host,
        port=kept if port is None else port,
        workers=settings.serve_workers if workers is None else workers,
        model=settings.serve_model if model is None else model,
    )
    return supervisor.run()
