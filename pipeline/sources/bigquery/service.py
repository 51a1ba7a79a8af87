"""Clients of BigQuery; its errors become one line that states what to do."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import google.auth
import grpc
from google.api_core import exceptions, retry
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from requests.exceptions import RequestException

from artifacts.storage import google_cloud
from configs.errors import UserError
from configs.settings import BigQuerySettings

_PLAIN = "http://"
_MESSAGE_BYTES = -1  # no limit: the service sends record batches of up to 128 MB
_TRANSIENT_REASONS = (
    "rateLimitExceeded", "quotaExceeded", "backendError", "internalError", "jobRateLimitExceeded", "jobInternalError"
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """BigQuery as the settings describe it. It is pickled to the workers; clients are created where they are used."""

    settings: BigQuerySettings

    def __getstate__(self) -> dict:
        return {"settings": self.settings}  # without the clients

    @property
    def retry(self) -> retry.Retry:
        """Retry after 1, 2, 4, ... seconds, for as long as the settings say."""
        return retry.Retry(predicate=is_transient, initial=0.5, timeout=self.settings.retry_seconds)

    @cached_property
    def jobs(self) -> bigquery.Client:
        """Return the REST client, whose project is billed; raise UserError if credentials or a project are missing."""
        with explained("BigQuery"):
            endpoint = self.settings.endpoint
            options = ClientOptions(api_endpoint=endpoint) if endpoint else None
            credentials, found = _credentials(endpoint)
            project = self.settings.project or found
            if not project:
                raise UserError("no project to run BigQuery's jobs in: set bigquery.project")
            return bigquery.Client(project, credentials, client_options=options, location=self.settings.location)

    @cached_property
    def storage(self) -> BigQueryReadClient:
        """Return the client of the Storage Read API."""
        with explained("BigQuery's Storage Read API"):
            endpoint = self.settings.storage_endpoint
            if endpoint and endpoint.startswith(_PLAIN):
                channel = grpc.insecure_channel(
                    endpoint.removeprefix(_PLAIN), [("grpc.max_receive_message_length", _MESSAGE_BYTES)]
                )
                return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
            return BigQueryReadClient(client_options=ClientOptions(api_endpoint=endpoint) if endpoint else None)

    def close(self) -> None:
        """Close the clients."""
        for name in ("jobs", "storage"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                (client.transport if name == "storage" else client).close()


def _credentials(endpoint: str | None) -> Any:
    """Return credentials and their project; a server without TLS is private and gets none."""
    if endpoint and endpoint.startswith(_PLAIN):
        return AnonymousCredentials(), None
    return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])


def is_transient(error: Exception) -> bool:
    """Return whether a retry may help: the service or the network failed, and not the request."""
    if isinstance(error, (exceptions.ServerError, exceptions.TooManyRequests, RequestException)):
        return True
    return isinstance(error, exceptions.GoogleAPICallError) and reason_of(error) in _TRANSIENT_REASONS


def reason_of(error: exceptions.GoogleAPICallError) -> str:
    """Return BigQuery's reason for the error, e.g. quotaExceeded."""
    return next((part.get("reason", "") for part in error.errors if isinstance(part, dict)), "")


def explained(what: str) -> contextlib.AbstractContextManager[None]:
    """Turn errors of BigQuery's clients, and of the network below them, into a UserError of one line with advice."""
    return google_cloud.explained(what, _advice, more=(RequestException,))


def _advice(error: Exception) -> str:
    if isinstance(error, exceptions.RetryError):
        cause = error.cause or error
        if isinstance(cause, exceptions.GoogleAPICallError) and _is_quota(cause):
            return advice(cause)
        return f"still failing after bigquery.retry_seconds ({line(cause)}); run it again later"
    if isinstance(error, exceptions.GoogleAPICallError):
        return advice(error)
    if isinstance(error, RequestException):
        return f"the service cannot be reached ({line(error)})"
    return google_cloud.no_credentials(line(error)) if isinstance(error, GoogleAuthError) else line(error)


def _is_quota(error: exceptions.GoogleAPICallError) -> bool:
    return reason_of(error) == "quotaExceeded" or isinstance(error, exceptions.TooManyRequests)


def advice(error: exceptions.GoogleAPICallError) -> str:
    """Return the message of the service, and what to do about it."""
    message = line(error)
    if _is_quota(error):
        return f"a quota is used up ({message}); run it again later, or have the quota raised"
    if "bytes billed" in message:
        return f"{message}; narrow the window, or raise bigquery.maximum_bytes_billed"
    if "different locations" in message or "not found in location" in message:
        return f"{message}; put the bucket and the datasets in one place, and set bigquery.location to it"
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthenticated)):
        return f"no permission ({message}); {google_cloud.PERMISSIONS}"
    if isinstance(error, exceptions.NotFound):
        return f"not found ({message}); check the names, bigquery.project and bigquery.location"
    return message


def line(error: Exception) -> str:
    """Return the message in one line, without the method and URL that the clients put before it."""
    text = str(getattr(error, "message", "") or error).partition("\n\nLocation: ")[0]
    return " ".join(text.split()).rpartition("prettyPrint=false: ")[2].partition("; reason: ")[0]
