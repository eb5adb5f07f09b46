"""One connection to a server: requests out, JSON in, and the server's errors as the same classes it raised."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from stile.client.credentials import DEFAULT_URL, Credentials
from stile.kernel import errors
from stile.kernel.errors import Forbidden, StileError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx

_MLFLOW_CODES: dict[str, type[StileError]] = {
    "INVALID_PARAMETER_VALUE": errors.Invalid,
    "BAD_REQUEST": errors.Invalid,
    "RESOURCE_ALREADY_EXISTS": errors.Exists,
    "RESOURCE_DOES_NOT_EXIST": errors.Missing,
    "NOT_FOUND": errors.Missing,
    "ENDPOINT_NOT_FOUND": errors.Missing,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Forbidden,
    "RESOURCE_CONFLICT": errors.Conflict,
    "TEMPORARILY_UNAVAILABLE": Unavailable,
}
_STATUS: dict[int, type[StileError]] = {
    400: errors.Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: errors.Missing,
    409: errors.Conflict,
    413: errors.TooLarge,
    429: errors.TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """Talks to one server as one person.

    Connections are kept alive; ``close`` them or use the client as a context manager. Safe to
    use from several threads, and in forked children, which open connections of their own.

    Args:
        credentials: where, and as whom.
        timeout_s: longest wait for one answer; uploads and long polls may take longer by argument.
        serves, start: what is expected at the address and the command that starts one, for the error message.
    """

    def __init__(
        self,
        credentials: Credentials,
        timeout_s: float = 30.0,
        *,
        serves: str = "Stile server",
        start: str = "stile up",
    ) -> None:
        self.url = credentials.url
        self._nobody = f"No {serves} answers at {credentials.url}. Start one with: {start}"
        if credentials.url == DEFAULT_URL:  # which nobody has to have named
            self._nobody += ", or name another with STILE_URL"
        self._credentials = credentials
        self._token = credentials.token
        self._timeout_s = timeout_s
        self._http: httpx.Client | None = None
        self._inherited: httpx.Client | None = None
        _SESSIONS.add(self)

    def apart(self, timeout_s: float | None = None) -> Session:
        """Another session with the same server as the same person, with connections of its own."""
        return Session(self._credentials, self._timeout_s if timeout_s is None else timeout_s)

    def after_fork(self) -> None:
        """In a forked child: the connections are its parent's, who would read its answers."""
        self._inherited, self._http = self._http or self._inherited, None  # held, so that nothing closes them

    def get(self, path: str, *, timeout_s: float | None = None, **query: Any) -> Any:
        """The JSON answer to GET; query values of None or "" are left out."""
        return self.call("GET", path, query=query, timeout_s=timeout_s)

    def post(self, path: str, body: Any = None, *, timeout_s: float | None = None) -> Any:
        """The JSON answer to POST of a JSON body (``{}`` when None)."""
        return self.call("POST", path, body={} if body is None else body, timeout_s=timeout_s)

    def patch(self, path: str, body: Any) -> Any:
        """The JSON answer to PATCH."""
        return self.call("PATCH", path, body=body)

    def put(self, path: str, body: Any) -> Any:
        """The JSON answer to PUT of a JSON body."""
        return self.call("PUT", path, body=body)

    def upload(self, path: str, content: bytes | Iterable[bytes]) -> Any:
        """PUT raw bytes, streamed when given as pieces; the JSON answer (None when it has no body)."""
        response = self._send("PUT", path, content=content, timeout_s=600.0)
        return _decoded(response.content)

    def download(self, path: str) -> bytes:
        """The raw bytes of GET."""
        return self._send("GET", path, timeout_s=600.0).content

    def download_pieces(self, path: str) -> Iterator[bytes]:
        """The raw bytes of GET, piece by piece."""
        import httpx

        try:
            with self._client().stream("GET", path, timeout=600.0) as response:
                if response.status_code >= 400:
                    raise error_from(response.status_code, response.read())
                yield from response.iter_bytes(1 << 20)
        except httpx.HTTPError as error:
            raise Unavailable(f"The connection to {self.url} broke ({error or type(error).__name__}).") from error

    def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:  # fmt: skip
        """Any method with a JSON body and a JSON answer.

        Raises:
            StileError: the class named by the server's error code, with its message and details.
            Unavailable: no server answers at the address, or it did not answer in time.
        """
        params = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        content = None if body is None else msgspec.json.encode(body)
        response = self._send(method, path, content=content, params=params, timeout_s=timeout_s)
        return _decoded(response.content)

    def close(self) -> None:
        """Close kept-alive connections; the session may be used again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _send(
        self, method: str, path: str, *, content: bytes | Iterable[bytes] | None = None,
        params: dict[str, Any] | None = None, timeout_s: float | None = None,
    ) -> httpx.Response:  # fmt: skip
        import httpx

        kind = "application/json" if isinstance(content, bytes) and "/blobs" not in path else "application/octet-stream"
        try:
            response = self._client().request(
                method, path, content=content, params=params or None,
                headers={"content-type": kind} if content is not None else None,
                timeout=self._timeout_s if timeout_s is None else timeout_s,
            )  # fmt: skip
        except httpx.ConnectError:
            raise Unavailable(self._nobody) from None  # nobody there: the message says it all
        except httpx.TimeoutException as error:
            raise Unavailable(f"The server at {self.url} did not answer in time. Try again.") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"The connection to {self.url} broke ({error or type(error).__name__}).") from error
        if response.status_code >= 400:
            raise error_from(response.status_code, response.content)
        return response

    def _client(self) -> httpx.Client:
        if self._http is None:
            import httpx

            headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
            # trust_env off: a proxy meant for the internet must not see a local server's traffic
            # verify: certificates are read for https only, which takes as long as all the rest
            self._http = httpx.Client(
                base_url=self.url, headers=headers, trust_env=not _is_local(self.url),
                verify=self.url.startswith("https://"),
            )  # fmt: skip
        return self._http


def _after_fork() -> None:
    for session in list(_SESSIONS):
        session.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def segment(text: object) -> str:
    """``text`` as one segment of a URL path.

    Raises:
        Invalid: it is ``.`` or ``..``, which would lead to another address.
    """
    if str(text) in (".", ".."):
        raise errors.Invalid(f"{str(text)!r} cannot be a name or a part of a path. Use a plain one.")
    return quote(str(text), safe="")


def error_from(status: int, content: bytes) -> StileError:
    """The server's error as the class it stands for, from our envelope or MLflow's."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = {}
    if not isinstance(body, dict):
        body = {}
    envelope = body.get("error")
    if isinstance(envelope, dict):
        kind = classes_by_code().get(str(envelope.get("code")), _STATUS.get(status, StileError))
        return made(kind, str(envelope.get("message", "")), envelope.get("details"))
    kind = _MLFLOW_CODES.get(str(body.get("error_code")), _STATUS.get(status, StileError))
    message = str(body.get("message") or "")
    return made(kind, message or f"The server answered {status} without saying why. Is this a Stile server?", None)


def classes_by_code() -> dict[str, type[StileError]]:
    """Every class of the error tree by its stable code."""
    found: dict[str, type[StileError]] = {}
    waiting = [StileError]
    while waiting:
        kind = waiting.pop()
        found[kind.code] = kind
        waiting += kind.__subclasses__()
    return found


def made(kind: type[StileError], message: str, details: Any) -> StileError:
    """An error of ``kind`` with the server's own words (some classes word themselves when raised at home)."""
    error = kind.__new__(kind)
    StileError.__init__(error, message)
    error.details = details if isinstance(details, dict) else {}
    return error


def _decoded(content: bytes) -> Any:
    if not content:
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StileError("The answer is not JSON. Is this a Stile server?") from error


def _is_local(url: str) -> bool:
    host = url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]
    return host.startswith(("127.", "localhost", "[::1]"))
