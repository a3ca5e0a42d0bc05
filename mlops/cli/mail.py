"""Verb `mail`: preview a mail; deliver what waits in the outbox."""

from __future__ import annotations

import json as json_lib
import time

import cyclopts

from mlops.cli.here import open_site
from mlops.core.alert import Stage  # noqa: TC001 - cyclopts reads the annotation
from mlops.errors import EXIT_ERROR, EXIT_OK

app = cyclopts.App(name="mail", help="Preview a mail; deliver what waits in the outbox.")


@app.command
def preview(stage: Stage = "detected", *, loss: bool = False, json: bool = False) -> int:
    """Write a made-up mail to `.mlops/work/mail-preview/` and print where.

    Args:
        stage: Where in its life the made-up incident is.
        loss: Of a loss that labels show, the inputs being as before, instead of drift.
        json: Print the paths as JSON.
    """
    from mlops.adapters.files import remove
    from mlops.adapters.mail.mailbox import deposit
    from mlops.adapters.mail.notify import addressed
    from mlops.adapters.mail.sample import sample

    site = open_site()
    folder = site.layout.work / "mail-preview" / stage.replace(" ", "-")
    remove(folder)
    mail = deposit(folder, addressed(site, sample(stage, site.now.timestamp(), loss=loss)))
    paths = {"html": str(mail.with_suffix(".html")), "eml": str(mail)}
    print(json_lib.dumps(paths) if json else f"open {paths['html']}\nmail {paths['eml']}")
    return EXIT_OK


@app.command
def deliver(*, now: bool = False, json: bool = False) -> int:
    """Send the mails that are due; exit 1 if some still wait.

    Args:
        now: Do not let failed mails wait out their back-off.
        json: Print the figures as JSON.
    """
    from mlops.adapters.mail import outbox
    from mlops.adapters.mail.smtp import parse
    from mlops.adapters.sql.engine import database
    from mlops.params.name import project_name

    site = open_site()
    project = project_name(site.layout.params)
    url = site.settings.mail_url.get_secret_value()
    if url:
        parse(url)  # here a person waits: a malformed address is an error, not a log line
    ahead_s = outbox.LONGEST_WAIT_S if now else 0.0
    with database(site) as engine:
        sent = outbox.deliver(site, engine, time.time() + ahead_s)
        left = outbox.waiting(engine, project)
    if json:
        waiting = [{"key": key, "attempts": tries, "error": why} for key, tries, why in left]
        print(json_lib.dumps({"sent": sent, "waiting": waiting}))
    else:
        print(f"mail: {sent} sent, {len(left)} waiting")
        for key, tries, why in left:
            print(f"  {key}: {tries} attempts; {why or 'not tried yet'}")
    return EXIT_ERROR if left else EXIT_OK
