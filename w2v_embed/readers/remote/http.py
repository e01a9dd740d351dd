"""http:// and https://, by what Python has: one request for the whole file, another where the connection breaks.

A request for a part says `If-Range` with what the server has told of the file (ETag, else Last-Modified), so that what comes is
of the same file. A server that knows no ranges sends all of it again, and what was read already is dropped, if it still is that
file.
"""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.parse
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from .streams import DroppedError, Resumed, skip
from .urls import shown_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 60.0  # seconds without a byte
_YOUNG = 60.0  # seconds
_NO_CONNECTION = (urllib.error.URLError, OSError)


class HttpStream(Resumed):
    """A file on a web server.

    Args:
        url: where it is.
        first: ask for so many bytes at first, and for the rest when they have been read.

    Attributes:
        identity: what the server says of the file: "ETag", "Last-Modified", "Content-Length".

    Raises:
        FileNotFoundError, PermissionError, OSError: the server has no such file, wants to know who asks, cannot be reached.
    """

    def __init__(self, url: str, first: int = 0) -> None:
        super().__init__(shown_url(url))
        self._url, self._authorization = _without_user(url)
        self._end: int | None = None  # of the first part
        self._response: Any = self._begun(first)
        headers = self._response.headers
        self.identity: dict[str, str] = {
            name: headers[name] for name in ("ETag", "Last-Modified", "Content-Length") if headers[name]
        }
        if self._end is not None:
            self.identity["Content-Length"] = headers["Content-Range"].rpartition("/")[2].strip()
        length = self.identity.get("Content-Length", "")
        self.size: int | None = int(length) if length.isascii() and length.isdigit() else None
        self._ranges = self._end is not None or headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        self._old = _seconds_between(headers.get("Last-Modified"), headers.get("Date")) >= _YOUNG

    def seekable(self) -> bool:
        return self._ranges and self.size is not None

    def _begun(self, first):
        """The answer to a request for the first part, if that is what comes; else to one for the file."""
        if not first:
            return self._asked({})
        try:
            response = self._asked({"Range": f"bytes=0-{first - 1}"})
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:  # also where the file is empty
            return self._asked({})
        if response.status != 206:
            return response
        found = re.fullmatch(r"bytes 0-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
        if found and int(found[1]) + 1 == min(first, int(found[2])):
            self._end = int(found[1]) + 1
            return response
        response.close()
        return self._asked({})

    @property
    def begun(self) -> bool:
        """Whether only the first part was asked for."""
        return self._end not in (None, self.size)

    def fill(self, view: memoryview) -> int:
        n = self._response.readinto(view) or 0
        if not n and self._next == self._end and self.begun:
            self.reconnect(self._next)
            n = self._response.readinto(view) or 0
        return n

    def reconnect(self, byte: int) -> None:
        self._end = None
        self._response.close()
        try:
            response = self._asked({"Range": f"bytes={byte}-", **self._if_range()})
        except FileNotFoundError as error:
            raise DroppedError(f"{self.name}: the connection broke at byte {byte:,}, and now {error}") from None
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            other = found and self.size is not None and found[2] not in ("*", str(self.size))
            if not found or int(found[1]) != byte or other:
                response.close()
                raise self._changed(byte)
        else:
            told = {name: response.headers[name] for name in self.identity}
            if told != self.identity or not self._if_range():
                response.close()
                raise self._changed(byte)
            skip(response, byte)
        self._response = response

    def known(self) -> dict[str, str] | None:
        """A weak ETag tells of no byte, and a time only of writes that are a while ago (RFC 9110, 8.8.1 and 8.8.2.2)."""
        tag = self.identity.get("ETag", "W/")
        return None if tag.startswith("W/") and not self._old else self.identity

    def stretch(self, byte: int, size: int) -> bytes:
        try:
            response = self._asked({"Range": f"bytes={byte}-{byte + size - 1}", **self._if_range()})
        except (FileNotFoundError, PermissionError) as error:
            raise DroppedError(str(error)) from None
        with response:
            told = {name: response.headers[name] for name in ("ETag", "Last-Modified")}
            same = [told[name] == self.identity.get(name) for name in told if told[name]]
            if response.status != 206:
                raise DroppedError(f"{self.name}: the server sends no part of it, or the file has changed")
            if response.headers.get("Content-Range", "").strip() != f"bytes {byte}-{byte + size - 1}/{self.size}":
                raise DroppedError(f"{self.name}: the server sends another part than the one that it was asked for")
            if not same or not all(same) or response.headers.get("Content-Encoding", "identity") != "identity":
                raise DroppedError(f"{self.name}: the file has changed, or the server does not say which it sends")
            data: bytes = response.read(size + 1)
        if len(data) > size:
            raise DroppedError(f"{self.name}: the server sends more than it was asked for")
        return data

    def _changed(self, byte):
        return DroppedError(
            f"{self.name}: the connection broke at byte {byte:,}, and the server does not go on there, or the file has changed "
            "meanwhile. Try again, or download the file first"
        )

    def _if_range(self):
        tag = self.identity.get("ETag", "")
        said = tag if tag and not tag.startswith("W/") else self.identity.get("Last-Modified")
        return {"If-Range": said} if said else {}

    def _asked(self, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(
            self._url, headers={"Accept-Encoding": "identity", "User-Agent": "w2v_embed", **headers}
        )
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)  # for no other server
        try:
            return urllib.request.urlopen(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            told = f"{self.name}: the server says {error.code} {error.reason}"
            if error.code in (404, 410):
                raise FileNotFoundError(f"{told}. Look at the URL") from None
            if error.code in (401, 403):
                raise PermissionError(
                    f"{told}. Give a user and a password in the URL, or download the file first"
                ) from None
            raise OSError(f"{told}. Try again later, or download the file first") from None
        except _NO_CONNECTION as error:
            reason = getattr(error, "reason", error)
            why = reason if isinstance(reason, str) else getattr(reason, "strerror", None) or type(reason).__name__
            raise OSError(f"{self.name} cannot be reached ({why}). Look at the URL and the network") from None

    def close(self) -> None:
        if not self.closed:
            self._response.close()
        super().close()


def _seconds_between(earlier, later):
    """Of two dates in headers; 0 where one is none."""
    try:
        return (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds()
    except (TypeError, ValueError):
        return 0


def _without_user(url):
    """A URL without user and password, and these as a header, or None."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    bare = urllib.parse.urlunsplit(
        (parts.scheme, host, path, urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=?~-._"), "")
    )
    if not at:
        return bare, None
    token = base64.b64encode(urllib.parse.unquote(user).encode()).decode("ascii")
    return bare, f"Basic {token}"
