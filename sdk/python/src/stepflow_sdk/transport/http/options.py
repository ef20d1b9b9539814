"""What a server over HTTP may be told.

Owns the defaults and their reasons. Refuses what cannot be meant before anything is served.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from msgspec import Struct

__all__ = ["TOKEN_VARIABLE", "HttpLimits", "HttpOptions", "token_from", "token_from_environment"]

TOKEN_VARIABLE = "STEPFLOW_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable that holds the token where none is given."""


class HttpLimits(Struct, frozen=True, kw_only=True):
    """How much a server over HTTP keeps, and for how long; seconds, events and bytes."""

    max_sessions: int = 1024
    """How many sessions there may be; the next one is told to come back later."""
    max_calls: int = 4096
    """How many calls may run or wait for their turn; the next one is told to come back later."""
    session_grace: float = 30.0
    """How long a session whose stream is gone waits for its runtime to come back, before its calls are cancelled."""
    idle_timeout: float = 3600.0
    """How long a session may have nothing to do before it ends."""
    keep_alive: float = 15.0
    """After how much silence a stream carries a comment, so that no proxy takes it for dead."""
    replay_events: int = 1024
    """How many events that were sent are kept for a runtime that lost its stream."""
    replay_bytes: int = 16 * 1024 * 1024
    """How many bytes of them."""
    unwritten_bytes: int = 512 * 1024 * 1024
    """How many bytes may wait to be written to a session's stream; more are the end of the session."""
    body_idle: float = 30.0
    """How long the body of a POST may stand still before the server gives it up."""
    drain_grace: float = 10.0
    """How long calls may go on after the process was told to end."""
    retry_after: int = 1
    """What a busy server says when to come back."""


class HttpOptions(Struct, frozen=True, kw_only=True):
    """Who may talk to a server over HTTP, and how it names itself."""

    token: str | None = None
    """What runtimes have to present as their bearer token."""
    allow_hosts: frozenset[str] = frozenset()
    """Names other than loopback ones by which it may be reached through loopback, as behind a proxy."""
    root_path: str = ""
    """The path a proxy puts before ours, where the ASGI server does not say."""
    advertise_url: str | None = None
    """Where a session reaches this very process, past any load balancer."""
    instance_id: str = ""
    """What this process is called in the header that routes answers back to it."""
    names_instance: bool = False
    """Whether the endpoint carries the instance id as well."""
    allow_udf: bool = False
    """Whether `/udf` is served to the network without a token."""
    limits: HttpLimits = HttpLimits()

    @classmethod
    def checked(
        cls,
        *,
        token: str | None,
        allow_hosts: Sequence[str],
        root_path: str,
        advertise_url: str | None,
        instance_id: str | None,
        allow_udf: bool,
        limits: HttpLimits | None,
    ) -> HttpOptions:
        """Returns the options as they will be used.

        Raises:
            ValueError: One of them cannot be meant; the message says why.
        """
        import secrets  # noqa: PLC0415 - loads a library of ciphers, and a server over stdio imports this module

        if isinstance(allow_hosts, str):
            allow_hosts = [allow_hosts]
        return cls(
            token=_token(token) if token is not None else token_from_environment(),
            allow_hosts=frozenset(it.strip().rstrip(".").lower() for it in allow_hosts),
            root_path=_root_path(root_path),
            advertise_url=_advertise_url(advertise_url),
            # Without a name of its own a process has one that nothing else has: an answer that a load balancer brings
            # to the wrong process is noticed all the same.
            instance_id=_instance_id(instance_id) if instance_id else secrets.token_hex(8),
            names_instance=instance_id is not None,
            allow_udf=allow_udf,
            limits=limits or HttpLimits(),
        )

    @property
    def endpoint_suffix(self) -> str:
        """What follows the session id in an endpoint."""
        return f"&instance={quote(self.instance_id, safe='')}" if self.names_instance else ""


def token_from_environment() -> str | None:
    """Returns the token of the environment, None where the variable is not set.

    Raises:
        ValueError: It is set and empty, which would open the server to everyone by mistake.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    return None if token is None else token_from(TOKEN_VARIABLE, token)


def token_from(source: object, text: str) -> str:
    """Returns the token that a variable or a file holds.

    Raises:
        ValueError: It is none; the message names the source.
    """
    try:
        return _token(text)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _token(token: str) -> str:
    token = token.strip()
    if not token:
        raise ValueError("the token is empty: give one, or none at all")
    if not all(0x21 <= ord(it) <= 0x7E for it in token):
        raise ValueError("the token has characters that a header cannot carry: use visible ASCII")
    return token


def _root_path(path: str) -> str:
    path = path.strip("/")
    return f"/{path}" if path else ""


def _advertise_url(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"{url!r} is no address a session can be reached at: write it like http://10.0.0.7:8080"
        )
    return url.rstrip("/")


def _instance_id(name: str) -> str:
    if not name or not all(it.isascii() and (it.isalnum() or it in "-._~") for it in name):
        raise ValueError(
            f"{name!r} cannot name an instance: use letters, digits and -._~, as it stands in addresses and headers"
        )
    return name
