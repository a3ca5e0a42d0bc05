"""The site of a verb that runs by hand: the root it stands in, the environment, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.site import Site


def open_site() -> Site:
    """Return the site of the root that `MLOPS_ROOT` or the working directory names.

    Raises:
        UsageError: if there is none, or a setting is wrong.
    """
    from datetime import UTC, datetime

    from mlops.layout import Layout, find_root
    from mlops.log import configure
    from mlops.settings import load_settings
    from mlops.site import Site

    layout = Layout(find_root())
    settings = load_settings(layout)
    configure(settings.log_level)
    return Site(layout=layout, settings=settings, now=datetime.now(UTC), work=layout.work / "cli")
