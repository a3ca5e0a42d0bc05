"""`mlops canary`: give a challenger a share of the traffic, or end it."""

from __future__ import annotations

import json as json_lib


def canary(share: str | None = None, *, version: str | None = None, json: bool = False) -> int:
    """Give the challenger a share of the keys; it is rolled back by itself if it is worse.

    Args:
        share: 5%, or off; left out, say how it stands.
        version: Which version is to be the challenger; left out, the one that is.
        json: Print which version is asked to get which share, as JSON.
    """
    from mlops.adapters import canary as wishes
    from mlops.cli.here import open_site
    from mlops.core.share import read_share, write_share
    from mlops.errors import UsageError
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    if share is None:
        wish = wishes.wish(site, project)
        if json:
            print(_json(wish.version, wish.share, wish.text) if wish else _json(None, 0.0, ""))
        else:
            print("canary: none asked for; ask: mlops canary 5% --version N"
                  if wish is None or not wish.text else
                  f"canary: version {wish.version}: {wish.text}")  # fmt: skip
        return 0
    wanted = 0.0 if share == wishes.OFF else read_share(share)
    if wanted is None:
        msg = f"share = {share!r} is no share of the traffic; write 5%, 0.5% or off"
        raise UsageError(msg)
    chosen = wishes.ask(site, project, wanted, version)
    if json:
        print(_json(chosen, wanted, write_share(wanted) if wanted else wishes.OFF))
    elif wanted:
        print(f"canary: version {chosen} gets {write_share(wanted)} of the keys; "
              "see: mlops status; end it: mlops canary off")  # fmt: skip
    else:
        print(f"canary: version {chosen} gets nothing any more")
    return 0


def _json(version: str | None, share: float, tag: str) -> str:
    return json_lib.dumps({"version": version, "share": share, "tag": tag})
