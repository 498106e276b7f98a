"""Every error anew raises on purpose.

Two questions are asked of a failure: may it pass by itself (`TemporaryError`, with how long to wait), or will
it fail the same way again (`PermanentError`)? Each message names what failed, where, and what to do next.
"""

from datetime import timedelta


class AnewError(Exception):
    """Root of the tree. `advice` ends what is shown to a person: the next command or step."""

    advice: str = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        if advice:
            self.advice = advice


class TemporaryError(AnewError):
    """It may work later: nothing is lost, and the next tick tries again after `delay`."""

    def __init__(self, message: str, *, delay: timedelta = timedelta(seconds=30), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.delay = delay


class PermanentError(AnewError):
    """It fails the same way until a person changes something."""


class AzureUnavailable(TemporaryError):
    """Azure did not answer, throttled the call, or failed with a 5xx: the effect may or may not have happened."""


class AzureThrottled(AzureUnavailable):
    """Azure wants fewer requests for now (429), or we keep below what would make it say so."""


class AzureRefused(PermanentError):
    """Azure understood the request and refused it (4xx)."""


class AzureNotFound(AzureRefused):
    """The thing asked for does not exist in Azure."""


class TrafficMoved(PermanentError):
    """An endpoint has other traffic than anew last saw: an external change, which anew leaves as it is."""


class PrefectUnavailable(TemporaryError):
    """The Prefect server did not take a hint or a flow run; the ledger still holds the work."""


class NotificationFailed(TemporaryError):
    """A notification could not be sent. The change that it is about is recorded."""


class LedgerUnavailable(TemporaryError):
    """The ledger's database could not be read or written just now."""


class LedgerMissing(PermanentError):
    """The ledger has no schema, or an older one."""

    advice = "Run: anew ledger upgrade"


class StaleWrite(TemporaryError):
    """Another writer changed this row first; read it again and decide anew."""


class IllegalTransition(PermanentError):
    """The lifecycle table has no such move from this state."""


class MalformedBody(PermanentError):
    """A request's body is not JSON, or not an object or array: none of it can be an event."""


class BatchTooLarge(PermanentError):
    """A request has more events than the webhook takes."""

    advice = "Split the batch: at most 5,000 events a request"


class BodyTooLarge(PermanentError):
    """A request's body is longer than the webhook takes."""

    advice = "Raise webhook.max_body"


class WebhookBusy(TemporaryError):
    """Overloaded: more requests arrive than can be stored. Retry later."""


class InvalidToken(PermanentError):
    """A bearer token proves nothing: it is malformed, badly signed, out of date, or meant for another audience."""


class TokenNotPermitted(InvalidToken):
    """A bearer token is genuine, and its caller is not one of those who may send events."""


class SigningKeysUnavailable(TemporaryError):
    """The keys that sign tokens cannot be fetched, so a token cannot be verified."""


class InvalidLink(PermanentError):
    """A link that would answer a retraining was not made by us, or was altered."""


class ExpiredLink(InvalidLink):
    """A link that would answer a retraining is genuine, and its time is over."""


class InvalidPolicy(PermanentError):
    """A policy document cannot be understood; `problems` lists file:line, path, offender and allowed values."""

    advice = "Fix the lines named, then run: anew policy check"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidTable(PermanentError, ValueError):
    """Rows, or a stored profile of rows, cannot be read or cannot be used for what was asked."""

    advice = "Look at the file named, then try again"


class InvalidStream(PermanentError):
    """A file cannot be replayed: it is unreadable, a column is missing, or it has too few batches."""

    advice = "A stream is a Parquet or CSV file with features, a label column, and a batch column or rows per batch"


class InvalidEvaluation(PermanentError, ValueError):
    """What an evaluation job reported by its tag `anew_evaluation` cannot be true."""

    advice = "Look at the evaluation job's log and at the tag it set, then evaluate again"


class InvalidSettings(PermanentError):
    """The settings file or an ANEW_ variable is missing or wrong."""

    advice = "See docs/reference/settings.md, then run: anew status"


class InvalidRequest(PermanentError):
    """What a command was asked for does not go together, or names what does not exist."""


class UnknownModel(PermanentError):
    """No policy names this model."""

    advice = "Add a policy for it, then run: anew policy check"


class NothingKnown(PermanentError):
    """The ledger has nothing under this id."""

    advice = "Run: anew status"


class DemoFailed(PermanentError):
    """The demo did not reach its end; the message says which step, and where the logs are."""
