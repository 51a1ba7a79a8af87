"""A client of the server for Python programs; the standard library is all it needs.

>>> from serving.client import Client, view
>>> wals = Client("https://recommend.example.com")
>>> wals.send_events("1234.5678", [view("a-17")])  # doctest: +SKIP
>>> wals.recommendations("1234.5678", k=3)["recommendations"]  # doctest: +SKIP
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any


class ServerError(Exception):
    """An answer other than 200: its HTTP status, and the server's reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class Client:
    """Sends events and asks for lists. Several threads may share one."""

    def __init__(self, url: str, key: str | None = None, timeout_seconds: float = 10.0, tries: int = 3):
        """Take the server's address, a key of serving.intake_keys if it has some, and how often to try."""
        self._url, self._timeout, self._tries = url.rstrip("/"), timeout_seconds, tries
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def send_events(
        self,
        client_id: str | None,
        events: Sequence[Mapping[str, Any]],
        user_id: str | None = None,
        timestamp_micros: int | None = None,
    ) -> dict[str, Any]:
        """Send events of GA4's Measurement Protocol and return the account; raise ServerError.

        Without a time they have that of the call. Events that are tried again count once.
        """
        visitor = {"client_id": client_id, "user_id": user_id}
        body: dict[str, Any] = {name: value for name, value in visitor.items() if value is not None}
        body |= {"timestamp_micros": timestamp_micros or time.time_ns() // 1000, "events": list(events)}
        return self._ask("POST", "/events", json.dumps(body).encode())

    def recommendations(self, visitor_id: str, k: int = 10, **rules: Any) -> dict[str, Any]:
        """Return items for a visitor; raise ServerError.

        rules: parameters of the server by their names, such as category=["Shoes"], maxPerCategory=2.
        """
        return self._get("/recommendations", visitorId=visitor_id, k=k, **rules)

    def history(self, visitor_id: str, k: int = 10) -> dict[str, Any]:
        """Return a visitor's own items in the training, highest rating first; raise ServerError."""
        return self._get("/history", visitorId=visitor_id, k=k)

    def similar_items(self, content_id: str, k: int = 10, **rules: Any) -> dict[str, Any]:
        """Return items that are similar to an item; rules are as in `recommendations`; raise ServerError."""
        return self._get("/similar_items", contentId=content_id, k=k, **rules)

    def audience(self, content_id: str, k: int = 10) -> dict[str, Any]:
        """Return visitors for an item; raise ServerError."""
        return self._get("/audience", contentId=content_id, k=k)

    def explanation(self, visitor_id: str, content_id: str, k: int = 10) -> dict[str, Any]:
        """Return the visitor's items that contribute most to a score; raise ServerError."""
        return self._get("/explanation", visitorId=visitor_id, contentId=content_id, k=k)

    def search(self, query: str, k: int = 10) -> dict[str, Any]:
        """Return items by their id, title or category; raise ServerError."""
        return self._get("/search", query=query, k=k)

    def views(self, visitor_id: str, k: int = 10) -> dict[str, Any]:
        """Return a visitor's views since the training, newest first; raise ServerError."""
        return self._get("/views", visitorId=visitor_id, k=k)

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        sent = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items()}
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(sent, doseq=True)}", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = self._headers | ({"content-type": "application/json"} if body else {})
        request = urllib.request.Request(f"{self._url}{path}", body, headers, method=method)  # noqa: S310 - the caller's
        for tried in range(1, self._tries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or tried == self._tries:
                    raise ServerError(error.code, _reason(error)) from None
                time.sleep(float(error.headers.get("retry-after") or 1))
            except OSError as error:
                if tried == self._tries:
                    raise ServerError(0, f"the server cannot be reached ({error})") from error
                time.sleep(tried / 4)
        raise ServerError(0, "tries must be at least 1")


def view(item_id: str, name: str = "view_item") -> dict[str, Any]:
    """Return an event of one item, such as view_item, add_to_cart or purchase."""
    return {"name": name, "params": {"items": [{"item_id": item_id}]}}


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return json.load(error)["error"]
    except (ValueError, KeyError):
        return error.reason
