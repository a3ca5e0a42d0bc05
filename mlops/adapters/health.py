"""Is this machine fit for the loop: one finding per thing that is known to break it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout
from packaging.requirements import Requirement

from mlops.adapters.mail import addresses, smtp
from mlops.adapters.parts import read_parts
from mlops.adapters.ports import is_free, listens_on, read_ports
from mlops.errors import MlopsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.layout import Layout
    from mlops.settings import Settings

State = Literal["ok", "warn", "fail"]
_ROOM_BYTES = {"fail": 1 << 30, "warn": 5 << 30}
_GPU_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: ok, warn (works, with a loss) or fail (does not work).
        text: what was seen.
        remedy: what to do; empty if ok.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


def examine(layout: Layout, settings: Settings) -> tuple[Finding, ...]:
    """Look at everything, in seconds and without importing anything heavy."""
    return (
        _python(),
        *_versions(),
        *_ports(layout, settings),
        _disk(layout),
        *_locks(layout),
        _mail(settings),
        _payloads(settings),
        _exposure(layout, settings),
        *_dvc(layout),
        _gpu(),
    )


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "ok", version)
    return Finding("python", "fail", version, "use Python 3.11, 3.12 or 3.13; then: make setup")


def _versions() -> Iterator[Finding]:
    """Compare what is installed with what this package asks for; silent breakage lives here."""
    wanted = [Requirement(text) for text in metadata.requires("mlops") or ()]
    fit = 0
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", "fail", f"{requirement.name} is missing", "make setup")
            continue
        if requirement.specifier.contains(found, prereleases=True):
            fit += 1
        else:
            text = f"{requirement.name} {found}, wanted {requirement.specifier}"
            yield Finding("versions", "fail", text, "make setup")
    yield Finding("versions", "ok", f"{fit} packages as required")


def _ports(layout: Layout, settings: Settings) -> Iterator[Finding]:
    running = read_parts(layout) is not None
    for name, port in asdict(read_ports(layout, settings)).items():
        free = is_free(port, listens_on(name, settings))
        if free or running:
            text = f"{port} {'free' if free else 'in use by mlops up'}"
            yield Finding(f"port {name}", "ok", text)
        else:
            yield Finding(
                f"port {name}",
                "warn",
                f"{port} is taken by another program",
                f"mlops up will take another port, or set MLOPS_{name.upper()}_PORT",
            )


def _disk(layout: Layout) -> Finding:
    free = shutil.disk_usage(layout.root).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < _ROOM_BYTES["fail"]:
        return Finding("disk", "fail", text, "free some; dvc gc -w removes versions not in use")
    if free < _ROOM_BYTES["warn"]:
        return Finding("disk", "warn", text, "dvc gc -w removes versions of data not in use")
    return Finding("disk", "ok", text)


def _locks(layout: Layout) -> Iterator[Finding]:
    """Say which steps run now; a lock's file alone means nothing, for the system frees it."""
    held = [path.stem for path in sorted(layout.locks.glob("*.lock")) if _held(path)]
    for name in held:
        holder = layout.locks / f"{name}.holder"
        who = holder.read_text(encoding="utf-8").strip() if holder.exists() else "a process"
        yield Finding("locks", "ok" if name == "up" else "warn", f"{name}: held by {who}",
                      "" if name == "up" else "wait for it, or end that process")  # fmt: skip
    if not held:
        yield Finding("locks", "ok", "none held")


def _held(path: object) -> bool:
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _mail(settings: Settings) -> Finding:
    try:
        addresses.check(settings.mail_from, settings.mail_to)
    except UsageError as error:
        return Finding("mail", "fail", str(error), "correct it: no mail is written until then")
    url = settings.mail_url.get_secret_value()
    if not url:
        text = "no MLOPS_MAIL_URL: mails become files in .mlops/mailbox"
        return Finding("mail", "warn", text, "set MLOPS_MAIL_URL=smtp://user:password@host:587")
    try:
        server = smtp.parse(url)
        smtp.greet(server)
    except MlopsError as error:
        return Finding("mail", "fail", str(error), "check MLOPS_MAIL_URL and the mail server")
    return Finding("mail", "ok", f"{server.host}:{server.port} answers ({server.tls})")


def _payloads(settings: Settings) -> Finding:
    if settings.payloads == "keep":
        return Finding("payloads", "ok", "the prediction log keeps features")
    text = "MLOPS_PAYLOADS=hash: no retraining on production, and drift alarms as unknown"
    return Finding("payloads", "warn", text, "set MLOPS_PAYLOADS=keep")


def _exposure(layout: Layout, settings: Settings) -> Finding:
    if settings.host in ("127.0.0.1", "localhost", "::1"):
        return Finding("exposure", "ok", f"{settings.host}: this machine only")
    file = Path(settings.tokens_file or layout.tokens)
    if settings.token.get_secret_value() or (file.is_file() and file.stat().st_size):
        if settings.tls_cert:
            return Finding("exposure", "ok", f"{settings.host}: by token, over TLS")
        text = f"{settings.host}: only the scoring server listens there; tokens travel in clear"
        remedy = "set MLOPS_TLS_CERT and MLOPS_TLS_KEY, or put a proxy with TLS before it"
        return Finding("exposure", "warn", text, remedy)
    text = f"MLOPS_HOST={settings.host} without a token: mlops serve will not start"
    remedy = "set MLOPS_TOKEN, or run: mlops token add NAME; or MLOPS_HOST=127.0.0.1"
    return Finding("exposure", "fail", text, remedy)


def _dvc(layout: Layout) -> Iterator[Finding]:
    config = layout.root / ".dvc" / "config"
    if not config.is_file():
        yield Finding("dvc", "fail", "no .dvc/config in the root", "dvc init")
        return
    text = config.read_text(encoding="utf-8")
    if not re.search(r"^\s*analytics\s*=\s*false", text, re.MULTILINE):
        yield Finding("dvc", "warn", "analytics is on", "dvc config core.analytics false")
    # Off by default: a damaged object from a remote would be taken for data.
    remotes = len(re.findall(r"remote \"", text))
    verified = len(re.findall(r"^\s*verify\s*=\s*true", text, re.MULTILINE))
    if verified < remotes:
        remedy = "dvc remote modify NAME verify true"
        yield Finding("dvc", "warn", f"{remotes - verified} remotes are not verified", remedy)
    yield Finding("dvc", "ok", f"cache beside the root; {remotes} remotes")


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("gpu", "ok", "none; training runs on the CPU")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_GPU_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("gpu", "warn", f"nvidia-smi: {error}", "check the driver; the CPU is used")
    return Finding("gpu", "ok", "; ".join(done.stdout.strip().splitlines()))
