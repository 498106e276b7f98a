"""Azure SDK exceptions into ours: text capped, cause kept, nothing secret shown."""

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

_SHOWN = 300
_MAY_PASS = frozenset({408, 409, 425, 429})


@contextmanager
def translated(where: str) -> Generator[None]:
    """Run SDK calls; `where` names the call in the error.

    Raises AzureNotFound for 404, AzureUnavailable for no answer, 408, 409, 429 and 5xx, AzureRefused for the rest.
    """
    try:
        yield
    except ResourceNotFoundError as error:
        raise AzureNotFound(f"{where}: {shown(error)}") from error
    except ClientAuthenticationError as error:
        raise AzureRefused(
            f"{where}: Azure did not accept the credential: {shown(error)}",
            advice="Sign in (az login) or check the managed identity's role, then run: anew status",
        ) from error
    except HttpResponseError as error:
        status = error.status_code or 0
        if status >= 500 or status in _MAY_PASS:
            raise AzureUnavailable(f"{where}: HTTP {status}: {shown(error)}") from error
        raise AzureRefused(f"{where}: HTTP {status}: {shown(error)}") from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise AzureUnavailable(f"{where}: no answer: {shown(error)}") from error
    except AzureError as error:
        # azure.ai.ml raises its validation errors below AzureError before it sends anything.
        raise AzureRefused(f"{where}: {shown(error)}") from error


def shown(error: Exception) -> str:
    """The first line of an SDK error, capped. SDK messages carry no request headers or bodies of ours."""
    text = (getattr(error, "message", None) or str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:_SHOWN]
