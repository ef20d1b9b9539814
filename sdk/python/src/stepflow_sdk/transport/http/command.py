"""Serving over HTTP from a command line.

Owns the sockets and the ASGI server. What is served is the app's.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stepflow_sdk.output import to_stderr
from stepflow_sdk.transport.http.options import TOKEN_VARIABLE, token_from

if TYPE_CHECKING:
    import argparse

    from fastapi import FastAPI

    from stepflow_sdk.server import StepflowServer

__all__ = ["serve"]

_KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than runtimes and proxies keep theirs, so that they close first."""

_BACKLOG = 2048

_LAST_SECONDS = 5
"""How long open connections may keep the process from ending once the app is done."""


def serve(server: StepflowServer, options: argparse.Namespace) -> NoReturn:
    """Serves over HTTP until a signal, then ends the process."""
    try:
        token = _token_of(options.token_file)
        app = server.create_http_app(
            token,
            allow_hosts=options.allow_host,
            root_path=options.root_path,
            advertise_url=options.advertise_url,
            instance_id=options.instance_id,
            allow_udf=options.allow_udf,
        )
        sockets = _listen(options.host, options.port)
    except (OSError, ValueError, ImportError) as error:
        to_stderr(f"stepflow_sdk: {error}")
        _exit(2)
    is_open = app.state.stepflow.options.token is None
    if is_open and not all(_is_loopback(it) for it in sockets):
        # 0.0.0.0 is often taken for the name of this machine alone.
        everywhere = any(_address(it).is_unspecified for it in sockets)
        reached = "any address of this machine" if everywhere else "this address"
        to_stderr(
            f"stepflow_sdk: WARNING: listening on {options.host} without a token: everyone who reaches {reached} "
            f"can run these components. Give --token-file or {TOKEN_VARIABLE}"
            + ("." if options.allow_udf else "; until then /udf is refused.")
        )
    _exit(_run(server, app, sockets))


def _run(server: StepflowServer, app: FastAPI, sockets: list[socket.socket]) -> int:
    import uvicorn  # noqa: PLC0415 - --help needs none of it

    urls = " and ".join(_url(it) for it in sockets)

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            n = len(server.components)
            to_stderr(f"stepflow_sdk: serving {n} component{'s' * (n != 1)} over HTTP at {urls}")

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    try:
        # It raises the signal again that ended it, so the process ends as one does that was told to.
        Announced(config).run(sockets)
    except KeyboardInterrupt:
        return 130
    return 0


def _token_of(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return token_from(file, file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the token file {file}: {error}") from error


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listens on every address that the host's name stands for: localhost is two."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
    except socket.gaierror as error:
        raise OSError(f"cannot listen on {host}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    for family, address in dict.fromkeys((it[0], str(it[4][0])) for it in found):
        try:
            it = _bound(family, address, port)
        except OSError as error:
            raise OSError(
                f"cannot listen on {address}, port {port}: {error.strerror}; --port 0 takes a free one"
            ) from error
        port = it.getsockname()[1]
        sockets.append(it)
    return sockets


def _bound(family: int, address: str, port: int) -> socket.socket:
    # Only where the protocol is named does asyncio set TCP_NODELAY on its connections; without it, every answer of two
    # writes, which is every answer, would wait for the other end's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
        # Now, and not only when the server runs: with SO_REUSEADDR it is this call that finds the port taken.
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _url(listening: socket.socket) -> str:
    """Where the server is reached. An address that means all of them is one to listen on, not to be called at."""
    address, port = listening.getsockname()[:2]
    everywhere = " (and by every other address of this machine)"
    if ipaddress.ip_address(address).is_unspecified:
        address = "::1" if ":" in address else "127.0.0.1"
    else:
        everywhere = ""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{everywhere}"


def _is_loopback(listening: socket.socket) -> bool:
    address = _address(listening)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _address(listening: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])


def _exit(code: int) -> NoReturn:
    """Ends the process at once: threads of components and their exit handlers cannot keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
