from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.adapters import files
from mlops.errors import Busy, DataError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), files.replacing(path) as temporary:
        assert temporary.write_text("half") / 0
    assert files.read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    files.write_json(path, {"b": 1, "a": [2.5]})
    assert path.read_text() == '{\n  "a": [\n    2.5\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path)["b"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"), (b"", "not JSON"), (b"{", "not JSON"), (b"\xff", "not JSON"),
        (b"[1]", "holds list, not an object"), (b"null", "holds NoneType, not an object"),
    ],
)  # fmt: skip
def test_what_is_no_json_object_names_the_file(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"x.json: {said}"):
        files.read_json(path)


def test_a_folder_is_swapped_in_whole(tmp_path: Path) -> None:
    target, fresh = tmp_path / "data", tmp_path / ".data.new"
    (target / "old").mkdir(parents=True)
    (fresh / "sub").mkdir(parents=True)
    (fresh / "sub" / "new").write_text("x")
    files.swap_folder(fresh, target)
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "data", "data/sub", "data/sub/new",
    ]  # fmt: skip


def test_a_link_is_removed_but_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "never was")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_manifest_sees_every_byte_and_every_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    (tmp_path / ".gitkeep").touch()
    before = files.digest_path(tmp_path)
    assert files.manifest(tmp_path, frozenset({".gitkeep"})) == {
        "a/x": hashlib.sha256(b"1").hexdigest()
    }
    (tmp_path / "a" / "x").write_bytes(b"2")
    changed = files.digest_path(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert len({before, changed, files.digest_path(tmp_path)}) == 3
    assert files.digest_path(tmp_path / "a" / "y") == hashlib.sha256(b"2").hexdigest()
    assert files.digest_path(tmp_path / "nothing") == "absent"


@given(st.dictionaries(st.text("ab/", min_size=1), st.text("0123456789abcdef", min_size=1)))
def test_a_digest_does_not_depend_on_the_order(entries: dict[str, str]) -> None:
    backwards = dict(reversed(entries.items()))
    assert files.digest(entries) == files.digest(backwards)


def test_one_at_a_time_and_who_waits_too_long_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "made" / "x.lock"
    with (
        files.guarding(path),
        pytest.raises(
            Busy, match=rf"x\.lock: process {os.getpid()} on .* has held it for over 0.05 s"
        ),
        files.guarding(path, wait_s=0.05),
    ):
        pass
    with files.guarding(path):
        assert path.exists()  # it was let go, and can be taken again
