"""Translates exceptions of the Azure SDKs into errors of `anew.errors`: with their cause, capped, without secrets."""

from collections.abc import Generator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

CREDENTIAL_ADVICE = "Sign in (az login) or check the managed identity's role, then run: anew status"

_SHOWN = 300
_MAY_PASS = frozenset({408, 409, 425, 429})


@contextmanager
def translated(where: str) -> Generator[None]:
    """Wraps SDK calls; `where` names the call in the error.

    Raises AzureNotFound for 404, AzureUnavailable for no answer, 408, 409, 425, 429 and 5xx, else AzureRefused.
    """
    try:
        yield
    except ResourceNotFoundError as error:
        raise AzureNotFound(f"{where}: {shown(error)}") from error
    except ClientAuthenticationError as error:
        raise AzureRefused(
            f"{where}: Azure did not accept the credential: {shown(error)}", advice=CREDENTIAL_ADVICE
        ) from error
    except HttpResponseError as error:
        raise by_status(where, error.status_code or 0, shown(error)) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise AzureUnavailable(f"{where}: no answer: {shown(error)}") from error
    except AzureError as error:
        # azure.ai.ml validates before it sends anything, and its validation errors are subclasses of AzureError.
        raise AzureRefused(f"{where}: {shown(error)}") from error


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later, after a response with this HTTP status."""
    return status >= 500 or status in _MAY_PASS


def by_status(where: str, status: int, text: str) -> AzureUnavailable | AzureRefused:
    """The error for a response with this HTTP status and text."""
    message = f"{where}: HTTP {status}: {text}"
    if may_pass(status):
        return AzureUnavailable(message)
    if status == 404:
        return AzureNotFound(message)
    return AzureRefused(message, advice=CREDENTIAL_ADVICE if status in {401, 403} else "")


def shown(error: Exception) -> str:
    """The first line of an SDK error, capped. SDK messages contain no headers or bodies of our requests."""
    return first_line(getattr(error, "message", None) or str(error)) or type(error).__name__


def first_line(text: str) -> str:
    """The first line of a text from outside, capped."""
    return next(iter(text.strip().splitlines()), "")[:_SHOWN]
