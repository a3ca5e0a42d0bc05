"""`mlops doctor`: is this machine fit for the loop; each finding with its remedy."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict


def doctor(*, json: bool = False) -> int:
    """Check versions, ports, disk, locks, mail, GPU and settings; end with 1 if one fails.

    Args:
        json: Print the findings as JSON.
    """
    from mlops.adapters.health import examine
    from mlops.layout import Layout, find_root
    from mlops.settings import load_settings

    layout = Layout(find_root())
    findings = examine(layout, load_settings(layout))
    if json:
        print(json_lib.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.state:<4}  {finding.name:<16} {finding.text}")
            if finding.remedy:
                print(f"      {'':<16} → {finding.remedy}")
    return int(any(finding.state == "fail" for finding in findings))
