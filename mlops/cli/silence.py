"""`mlops silence`: hold back the mails of one incident for a while."""

from __future__ import annotations

import re

_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def silence(incident: str, duration: str = "24h") -> int:
    """Hold back the mails of an incident; the newest goes out when the silence ends.

    The incident is watched and resolved as before.

    Args:
        incident: The incident's id, as its mail and `mlops status` show it.
        duration: How long: 30m, 24h or 7d.
    """
    import getpass

    from mlops.adapters import incidents
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    until_s = site.now.timestamp() + _seconds(duration)
    with database(site) as engine, engine.begin() as connection:
        found = incidents.get(connection, project, incident)
        incidents.silence(connection, project, found.id, until_s=until_s, by=getpass.getuser())
    print(f"silence: no mail about {found.id} ({found.cause}) for {duration}")
    return 0


def _seconds(duration: str) -> float:
    """Read `24h`.

    Raises:
        UsageError: if it is no such duration.
    """
    from mlops.errors import UsageError

    match = re.fullmatch(r"(\d{1,4})([mhd])", duration)
    if match is None:
        msg = f"duration = {duration!r} is no duration; write 30m, 24h or 7d"
        raise UsageError(msg)
    return int(match[1]) * _SECONDS[match[2]]
