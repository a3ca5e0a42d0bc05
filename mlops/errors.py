"""The whole error tree of the package, drawn once.

    MlopsError                      exit 1   anything that this project can explain
    ├── UsageError                  exit 2   the command line or the environment is wrong
    │   └── ParamsError             exit 2   params.yaml is wrong: file, line, key, value, remedy
    ├── DataError                   exit 1   bytes that cannot be read as what they claim to be
    │   └── CheckFailed             exit 12  a data check failed by name, or nothing can be learnt
    │                                        from the data set: no rows, one class; the loop stops
    ├── Unknown                     exit 1   no incident, window or token of that name is known
    ├── StepError                   exit 1   a step could not finish
    │   ├── ChangedWhileRunning     exit 1   a dependency changed under a running step
    │   └── Busy                    exit 1   somebody else holds the lock; says who
    ├── RegistryError               exit 1   the registry answered, but not with what is needed
    │   ├── NotAdmitted             exit 1   it does not let us in, and said nothing else
    │   └── UnverifiedModel         exit 1   its bytes do not match its manifest or the ledger
    ├── LedgerError                 exit 1   the decision record is broken, was raced, or says that
    │                                        what is asked for cannot be
    ├── MonitorError                exit 1   a monitor could not compute: unknown is not healthy
    ├── CallFailed                  exit 1   a scoring server said no, or nothing; its own words
    │   ├── Rejected                exit 1   4xx: what was asked is wrong; asking again is no help
    │   │   └── Unauthorised        exit 1   401 or 403: the token is missing, wrong or not enough
    │   ├── Overloaded              exit 1   429 or 503, and the deadline is too near to wait
    │   ├── ServerFault             exit 1   5xx, or an answer that is not in the protocol
    │   └── NoAnswer                exit 1   nobody listens, or the answer took too long
    └── Unavailable                 exit 1   a server that is needed does not answer
        └── Unanswered              exit 1   it has all that was sent, and not said that it keeps it

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
    """A data check failed by name, or no model can learn from the data set; the loop stops."""

    exit_code = EXIT_CHECK_FAILED


class Unknown(MlopsError):
    """No incident, window or token of that name is known."""


class StepError(MlopsError):
    """A step could not finish."""


class ChangedWhileRunning(StepError):
    """A dependency or a parameter of a step changed while it ran."""


class Busy(StepError):
    """Somebody else holds a lock; the message says who."""


class RegistryError(MlopsError):
    """The model registry answered, but not with what is needed."""


class NotAdmitted(RegistryError):
    """The registry does not let us in: it has said nothing of what was asked for."""


class UnverifiedModel(RegistryError):
    """A model's bytes do not match its manifest, or the manifest the ledger."""


class LedgerError(MlopsError):
    """The decision record is broken, somebody else decided first, or it forbids what is asked."""


class MonitorError(MlopsError):
    """A monitor could not compute its verdict: unknown is not healthy."""


class CallFailed(MlopsError):
    """A call of a scoring server came to nothing.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        code: the server's stable word for programs; empty if it gave none.
        message: what is wrong, in the server's words.
        field: the key of the request that is wrong; empty if it is none.
        remedy: what to do instead; empty if the server named nothing.
        request_id: what the server's log knows the request by; empty if it gave none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        field: str = "",
        remedy: str = "",
        request_id: str = "",
    ) -> None:
        where = f"{field}: " if field else ""
        super().__init__(f"{where}{message}" + (f"; {remedy}" if remedy else ""))
        self.status, self.code, self.message = status, code, message
        self.field, self.remedy, self.request_id = field, remedy, request_id


class Rejected(CallFailed):
    """The server will not answer this request, however often it is asked (4xx)."""


class Unauthorised(Rejected):
    """The token is missing, wrong, or does not allow this (401, 403)."""


class Overloaded(CallFailed):
    """The server asked to come back later than the deadline allows (429, 503)."""


class ServerFault(CallFailed):
    """The server failed (5xx), or its answer is not in the protocol."""


class NoAnswer(CallFailed):
    """Nobody listens at the address, or the answer did not come within the deadline."""


class Unavailable(MlopsError):
    """A server that is needed does not answer."""


class Unanswered(Unavailable):
    """A server has all that was sent, and did not say that it keeps it; it may do so or not."""
