"""Libraries say nothing on their own account."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlops.log import _TALKATIVE, quieten

if TYPE_CHECKING:
    import pytest


def test_a_library_that_sets_its_own_level_is_heard_from_a_warning_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quieten()
    [name] = _TALKATIVE
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)  # as it does when it is imported
    logger.info("Created temporary directory")
    logger.warning("the disk is full")
    assert [record.getMessage() for record in caplog.records] == ["the disk is full"]
    quieten()
    assert len(logger.filters) == 1
