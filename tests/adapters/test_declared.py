from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import files
from mlops.adapters.declared import check_names
from mlops.cli.main import main
from mlops.errors import ParamsError
from mlops.params.everything import Everything
from mlops.params.load import load

if TYPE_CHECKING:
    from mlops.site import Site


def declare(site: Site, section: str, key: str, names: str, channels: int = 1) -> Everything:
    """Write names into a section of `params.yaml` beside a snapshot of small images."""
    schema = {"kind": "image", "classes": ["a", "b"], "height": 4, "width": 4, "channels": channels}
    files.write_json(site.layout.snapshot / "schema.json", schema)
    lines, inside = [], False
    for line in site.layout.params.read_text().splitlines():
        inside = line.startswith(f"{section}:") or (inside and line.startswith(" "))
        mine = inside and line.startswith(f"  {key}:")
        lines.append(f"  {key}: {names}" if mine else line)
    site.layout.params.write_text("\n".join(lines))
    return load(site.layout.params, Everything)


@pytest.mark.parametrize(
    ("section", "key", "names", "said"),
    [
        ("gate", "slices", "[brightnes]", 'slices names "brightnes".*did you mean "brightness"'),
        ("gate", "slices", "[class]", 'slices names "class".*choose from: brightness, contrast'),
        ("gate", "slices", "[saturation]", 'slices names "saturation", of which there is none'),
        ("gate", "protected", "[class, age]", 'gate.protected names "age".*choose from: class, b'),
        ("gate", "required_slices", "[class c]", 'names "class c".*did you mean "class'),
        ("gate", "required_slices", "[noise low]", 'names "noise low".*class b, brightness low'),
        ("evaluate", "protected", "[orign]", 'evaluate.protected names "orign".*mean "origin"'),
    ],
)
def test_a_name_of_which_there_is_none_is_refused_with_those_that_there_are(
    site: Site, section: str, key: str, names: str, said: str
) -> None:
    with pytest.raises(ParamsError, match=said):
        check_names(site.layout, declare(site, section, key, names))


@pytest.mark.parametrize(
    ("section", "key", "names", "channels"),
    [
        ("gate", "slices", "[saturation, slant]", 3),
        ("gate", "protected", "[class, noise]", 1),
        ("gate", "required_slices", "[class b, contrast middle]", 1),
        ("evaluate", "protected", "[class, origin, coverage]", 1),
    ],
)
def test_names_that_there_are_pass(
    site: Site, section: str, key: str, names: str, channels: int
) -> None:
    assert check_names(site.layout, declare(site, section, key, names, channels)) == []


def test_a_table_has_slices_of_its_own_and_the_template_names_those_of_images(site: Site) -> None:
    declare(site, "gate", "slices", "[brightness, age]")
    columns = [{"name": "age", "kind": "number", "categories": []}]
    table = {"kind": "table", "classes": ["a", "b"], "columns": columns}
    files.write_json(site.layout.snapshot / "schema.json", table)
    [line] = check_names(site.layout, load(site.layout.params, Everything))
    assert 'gate.slices names "brightness", which examples of this kind lack' in line


def test_without_data_it_is_said_what_only_data_tell(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = declare(site, "gate", "required_slices", "[class a]")
    (site.layout.snapshot / "schema.json").unlink()
    [line] = check_names(site.layout, params)
    assert 'gate.required_slices names "class a"' in line
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    with pytest.raises(SystemExit) as ended:
        main(["config", "check"])
    assert ended.value.code in (0, None)
    assert "only data tell" in capsys.readouterr().out
