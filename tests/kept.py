"""A site's whole state, made once and copied: what many tests begin with costs each a copy."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.site import Site

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps absolute paths."""


def copy_state(kept: Site, fresh: Site) -> Site:
    """Copy everything below one root to another, and tell MLflow's database where it lies now."""
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    old, new = str(kept.layout.root), str(fresh.layout.root)
    shutil.copytree(old, new, dirs_exist_ok=True)
    with closing(sqlite3.connect(fresh.layout.mlflow_db)) as database:
        for table, column in _PLACES:
            words = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 - our names
            database.execute(words, (f"{old}/", f"{new}/"))
        database.commit()
        database.execute("VACUUM")  # what was replaced is gone from the file, too
    _artifact_repos_cache.clear()  # by the run's id alone, which is the same in every copy
    assert old.encode() not in fresh.layout.mlflow_db.read_bytes(), "a path that is not in _PLACES"
    return fresh
