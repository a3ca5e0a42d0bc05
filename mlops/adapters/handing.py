"""Mails fail no flow: what is in their way is said, and they stay due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from mlops.adapters.hand_over import hand_over
from mlops.adapters.observe import NO_IMAGES
from mlops.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.site import Site


def try_hand_over(
    site: Site, engine: sa.Engine, project: str, reference: NDArray[np.uint8] = NO_IMAGES
) -> tuple[int, tuple[str, ...]]:
    """Hand over as `hand_over` does; return how many mails were new, and what is in their way.

    A setting that holds no address must not keep what was decided from being acted upon. The mails
    stay due in their incidents, and the next run tries again.
    """
    try:
        return hand_over(site, engine, project, reference), ()
    except UsageError as error:
        structlog.get_logger().error("mails wait", why=str(error))
        return 0, (f"mails wait: {error}",)
