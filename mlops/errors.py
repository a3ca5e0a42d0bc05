"""The whole error tree of the package, drawn once.

    MlopsError                      exit 1   anything that this project can explain
    ├── UsageError                  exit 2   the command line or the environment is wrong
    │   └── ParamsError             exit 2   params.yaml is wrong: file, line, key, value, remedy
    ├── DataError                   exit 1   bytes that cannot be read as what they claim to be
    │   └── CheckFailed             exit 12  a data check failed by name; the loop stops
    ├── StepError                   exit 1   a step could not finish
    │   ├── ChangedWhileRunning     exit 1   a dependency changed under a running step
    │   └── Busy                    exit 1   somebody else holds the lock; says who
    ├── RegistryError               exit 1   the registry answered, but not with what is needed
    │   └── UnverifiedModel         exit 1   its bytes do not match its manifest or the ledger
    ├── LedgerError                 exit 1   the decision record is broken or was raced
    ├── MonitorError                exit 1   a monitor could not compute: unknown is not healthy
    └── Unavailable                 exit 1   a server that is needed does not answer

Results that are not errors have exit codes of their own: 10 drift found, 11 gate refused.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_DRIFT = 10
EXIT_REFUSED = 11
EXIT_CHECK_FAILED = 12


class MlopsError(Exception):
    """Say what is wrong in one line: file, key, value, remedy."""

    exit_code = EXIT_ERROR


class UsageError(MlopsError):
    """The command line or the environment is wrong."""

    exit_code = EXIT_USAGE


class ParamsError(UsageError):
    """`params.yaml` is wrong; names file, line, key, value and remedy."""


class DataError(MlopsError):
    """Bytes cannot be read as what they claim to be."""


class CheckFailed(DataError):
    """A data check failed by name; the loop stops with exit code 12."""

    exit_code = EXIT_CHECK_FAILED


class StepError(MlopsError):
    """A step could not finish."""


class ChangedWhileRunning(StepError):
    """A dependency or a parameter of a step changed while it ran."""


class Busy(StepError):
    """Somebody else holds a lock; the message says who."""


class RegistryError(MlopsError):
    """The model registry answered, but not with what is needed."""


class UnverifiedModel(RegistryError):
    """A model's bytes do not match its manifest, or the manifest the ledger."""


class LedgerError(MlopsError):
    """The decision record is broken, or somebody else decided first."""


class MonitorError(MlopsError):
    """A monitor could not compute its verdict: unknown is not healthy."""


class Unavailable(MlopsError):
    """A server that is needed does not answer."""
