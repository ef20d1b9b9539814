"""Who may talk to the server, and in which form: what is decided by a request's head alone.

Owns the checks of Host, Origin, token, instance, Content-Type and Accept. Never sees a body, and knows nothing of
sessions.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stepflow_sdk.errors import ErrorCode

if TYPE_CHECKING:
    from starlette.types import Scope

    from stepflow_sdk.transport.http.options import HttpOptions

__all__ = ["Gate", "Head", "Refused"]

INSTANCE_HEADER = b"stepflow-instance-id"
_SESSION, _INSTANCE = b"sessionId", b"instance"
_FORWARDED = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"}
)
"""The headers by which a proxy tells that it passes on what others sent."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """A request is not served; it becomes a status and a JSON-RPC error.

    Args:
        status: The status of HTTP.
        code: The code of the error.
        message: What is wrong and what to do.
        headers: Headers that belong to the status.
        data: The error's data.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        data: Any = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.data = data


class Head:
    """The parts of a request's head that count."""

    __slots__ = ("headers", "host", "instance", "is_loopback", "is_remote", "session_id")

    def __init__(self, scope: Scope) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self.headers = dict(pairs)
        if len(self.headers) < len(pairs):
            self.headers = _joined(pairs)
        self.host = self.headers.get(b"host", b"").decode("latin-1").lower()
        """The header Host, in lower case."""
        query = _query(scope["query_string"]) if scope["query_string"] else {}
        self.session_id = query.get(_SESSION)
        self.instance = self.headers.get(INSTANCE_HEADER) or query.get(_INSTANCE)
        server: tuple[str, int | None] | None = scope.get("server")
        # Without a port it is a Unix socket, which neither the network nor a browser reaches.
        address = server[0] if server is not None and server[1] is not None else None
        self.is_loopback = address is not None and _is_loopback_name(address)
        """Whether the connection came in by an address that only this machine can reach, its browsers among it."""
        self.is_remote = address is not None and not self.is_loopback
        """Whether it came in by one that others can reach."""
        if self.session_id is not None:
            # From here on it appears in no log: those of ASGI servers show the query as it is now.
            scope["query_string"] = b"sessionId=(hidden)"

    def is_exposed(self) -> bool:
        """Tells whether the sender may be another machine: by the connection, or by what a proxy here says of it.

        A proxy that keeps both the name it was asked by and all about its caller to itself is not noticed.
        """
        if self.is_remote or not _FORWARDED.isdisjoint(self.headers):
            return True
        name = _host_name(self.host)
        return bool(name) and not _is_loopback_name(name)

    def streams(self) -> bool:
        """Tells whether the sender can read its answer from a stream; a wildcard does not promise that."""
        accept = self.headers.get(b"accept")
        return accept is not None and _accepts(accept, "text/event-stream", exactly=True)


class Gate:
    """Lets requests in or says why not."""

    def __init__(self, options: HttpOptions) -> None:
        self._token = _digest(options.token.encode()) if options.token else None
        self._instance = options.instance_id.encode()
        self._any_host = "*" in options.allow_hosts
        advertised = urlsplit(options.advertise_url).hostname if options.advertise_url else None
        self._hosts = options.allow_hosts.union([advertised] if advertised else [])
        self._suffixes = tuple(it[1:] for it in options.allow_hosts if it.startswith("*."))

    @property
    def is_open(self) -> bool:
        """Whether everyone is let in."""
        return self._token is None

    def check_source(self, head: Head) -> None:
        """Refuses pages of other sites, and names that other sites may have pointed at this machine."""
        host = head.host
        if head.is_loopback and not self._is_own_name(_host_name(host)):
            raise Refused(
                403,
                ErrorCode.PERMISSION_DENIED,
                f"this server is not known as {host or '(no Host header)'} on this machine: a proxy's name for it is "
                f"allowed by --allow-host or create_http_app(allow_hosts=…)",
            )
        origin = head.headers.get(b"origin")
        if origin is not None and not self._is_own_origin(origin.decode("latin-1").lower(), host):
            raise Refused(
                403,
                ErrorCode.PERMISSION_DENIED,
                "requests of web pages from elsewhere are not served (Origin)",
            )

    def check_token(self, head: Head) -> None:
        """Refuses requests without the token."""
        if self._token is None:
            return
        given = head.headers.get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(_digest(token.strip()), self._token):
            return
        problem = "another token" if given else "no token"
        raise Refused(
            401,
            ErrorCode.PERMISSION_DENIED,
            f"the request has {problem}: send the server's own as Authorization: Bearer …",
            headers=((b"www-authenticate", b"Bearer"),),
        )

    def check_instance(self, head: Head) -> None:
        """Refuses what was meant for another process."""
        if head.instance is not None and not hmac.compare_digest(head.instance, self._instance):
            raise Refused(
                421,
                ErrorCode.SESSION_EXPIRED,
                f"this is the instance {self._instance.decode()}, and the request is for another one: that one has "
                f"ended or was restarted; or a load balancer is in front and does not route by Stepflow-Instance-Id or "
                f"the endpoint's instance",
            )

    def check_form(self, head: Head) -> None:
        """Refuses POSTs that are no JSON, or whose answer could not be."""
        kind = head.headers.get(b"content-type", b"")
        if not _is_json(kind) or head.headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refused(
                415,
                ErrorCode.INVALID_REQUEST,
                "send one JSON-RPC message in UTF-8 as Content-Type: application/json",
            )
        accept = head.headers.get(b"accept")
        if accept is not None and not _accepts(accept, "application/json"):
            raise Refused(
                406,
                ErrorCode.INVALID_REQUEST,
                "answers may be JSON: send Accept: application/json, text/event-stream",
            )

    def check_stream(self, head: Head) -> None:
        """Refuses to open a stream for those who do not accept one."""
        accept = head.headers.get(b"accept")
        if accept is not None and not _accepts(accept, "text/event-stream"):
            raise Refused(
                406,
                ErrorCode.INVALID_REQUEST,
                "these are server-sent events: send Accept: text/event-stream",
            )

    def _is_own_name(self, name: str) -> bool:
        return (
            _is_loopback_name(name)
            or name in self._hosts
            or self._any_host
            or name.endswith(self._suffixes)
        )

    def _is_own_origin(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
            at = urlsplit(f"{parts.scheme}://{host}")
            same = parts.hostname == at.hostname and port == (
                at.port or _DEFAULT_PORTS.get(parts.scheme)
            )
        except ValueError:
            return False
        name = parts.hostname or ""
        # A page whose own name was pointed here later is as foreign as any other.
        return same and (self._is_own_name(name) or _address(name) is not None)


def _digest(text: bytes) -> bytes:
    # Comparing digests takes the same time whatever the lengths of the texts.
    return hashlib.sha256(text).digest()


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _query(text: bytes) -> dict[bytes, bytes]:
    pairs = (it.partition(b"=") for it in text.split(b"&"))
    return {name: value for name, _, value in pairs}


@functools.lru_cache(maxsize=1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=1024)
def _is_loopback_name(name: str) -> bool:
    if name == "localhost":
        return True
    address = _address(name)
    return address is not None and address.is_loopback


@functools.lru_cache(maxsize=1024)
def _host_name(host: str) -> str:
    """Returns a Host header's name, without its port and the root's dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


@functools.lru_cache(maxsize=1024)
def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.decode("latin-1").lower().partition(";")
    charsets = [
        value.strip(' "')
        for name, _, value in (it.partition("=") for it in parameters.split(";"))
        if name.strip() == "charset"
    ]
    return kind.strip() == "application/json" and all(it in {"utf-8", "utf8"} for it in charsets)


@functools.lru_cache(maxsize=1024)
def _accepts(accept: bytes, kind: str, *, exactly: bool = False) -> bool:
    """Tells whether an Accept header takes a type; `exactly` where it has to be named."""
    wildcards = [] if exactly else ["*/*", kind.partition("/")[0] + "/*"]
    quality: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (it.strip() for it in part.split(";"))
        quality[name] = max(quality.get(name, 0.0), _quality(parameters))
    if kind in quality:
        return quality[kind] > 0
    return any(quality.get(it, 0.0) > 0 for it in wildcards)


def _quality(parameters: list[str]) -> float:
    for it in parameters:
        name, _, value = it.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
