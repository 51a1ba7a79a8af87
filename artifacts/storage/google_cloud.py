"""Google Cloud's errors in one line with advice, and the location of a bucket. Import it late: it takes a second."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from configs.errors import UserError

PERMISSIONS = "docs/permissions.md lists the roles"
_PLAIN = "http://"
_ASKED = re.compile(r"^[A-Z]+ https?://\S+: ")
# Multi-region and dual-region buckets: the regions that are as near as their own, as names or prefixes of names.
_NEAR = {
    "US": ("us-",),
    "EU": ("europe-",),
    "ASIA": ("asia-",),
    "NAM4": ("us-central1", "us-east1"),
    "EUR4": ("europe-north1", "europe-west4"),
    "EUR5": ("europe-west1", "europe-west2"),
    "EUR7": ("europe-west2", "europe-west3"),
    "EUR8": ("europe-west3", "europe-west6"),
    "ASIA1": ("asia-northeast1", "asia-northeast2"),
}


def advice(error: Exception) -> str:
    """Return one line: what went wrong, and what to do about it."""
    if isinstance(error, exceptions.RetryError) and error.cause:
        error = error.cause
    said = _line(error)
    if isinstance(error, GoogleAuthError):
        return no_credentials(said)
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthenticated)):
        return f"no permission ({said}); {PERMISSIONS}"
    if isinstance(error, exceptions.TooManyRequests):
        return f"a quota is used up ({said}); have it raised, or run it later on fewer machines"
    if isinstance(error, exceptions.NotFound):
        return f"not found ({said}); check the names, cloud.project above all"
    if isinstance(error, (exceptions.ServerError, exceptions.RetryError)):
        return f"the service is failing ({said}); run it again later"
    return said


def no_credentials(said: str) -> str:
    """Return the advice for an error about missing credentials."""
    return (
        f"no usable Google credentials ({said}); run `gcloud auth application-default login`, "
        "or set GOOGLE_APPLICATION_CREDENTIALS to a service account's key"
    )


@contextlib.contextmanager
def explained(
    what: str, say: Callable[[Exception], str] = advice, more: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn errors of Google's clients, and `more`, into a UserError of one line: `what`, and what `say` returns."""
    caught: tuple[type[Exception], ...] = (GoogleAuthError, exceptions.GoogleAPIError, *more)
    try:
        yield
    except caught as error:
        raise UserError(f"{what}: {say(error)}") from error


def check_bucket(url: str, region: str, setting: str) -> None:
    """Raise UserError unless the bucket that a setting names exists and is near the region that works with it."""
    from google.cloud import storage  # others who explain errors need no client of it

    name = url.removeprefix("gs://").partition("/")[0]
    with explained(f"{setting} {url}"), contextlib.closing(storage.Client()) as client:
        try:
            bucket = client.get_bucket(name)
        except exceptions.NotFound:
            raise UserError(f"{setting} {url}: bucket {name} does not exist; create it in {region}") from None
        places = [place.lower() for place in bucket.data_locations or ()] or _NEAR.get(
            bucket.location.upper(), (bucket.location.lower(),)
        )
    if not region.startswith(tuple(places)):
        raise UserError(f"{setting} {url}: its bucket is in {bucket.location}, not in {region}; name one that is")


def vertex_client(kind: Any, endpoint: str | None, region: str) -> Any:
    """Return a client of Vertex AI, of a class such as `aiplatform_v1.ModelServiceClient`.

    endpoint: the address of the service, http:// for a private server without TLS; None for the region's own.
    """
    if endpoint and endpoint.startswith(_PLAIN):
        import grpc

        channel = grpc.insecure_channel(endpoint.removeprefix(_PLAIN))
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))
    return kind(client_options={"api_endpoint": endpoint or f"{region}-aiplatform.googleapis.com"})


def _line(error: Exception) -> str:
    """Return the message in one line, without the method and URL that the clients put before it."""
    return _ASKED.sub("", " ".join(str(getattr(error, "message", "") or error).split()))
