"""The options that a command line has for HTTP.

Owns their names and help; imports next to nothing, as a server over stdio has them too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_sdk.transport.http.options import TOKEN_VARIABLE

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a server over HTTP."""
    group = parser.add_argument_group("HTTP")
    group.add_argument(
        "--http", action="store_true", help="serve over HTTP instead of stdin and stdout"
    )
    group.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    group.add_argument(
        "--port",
        type=int,
        default=8080,
        help="the port; 0 takes a free one and stderr says which (default: %(default)s)",
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the token that runtimes have to present; else the environment's {TOKEN_VARIABLE}",
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name of this server that requests through loopback may have, as behind a proxy; may be repeated",
    )
    group.add_argument(
        "--root-path", default="", metavar="PATH", help="the prefix by which a proxy serves it"
    )
    group.add_argument(
        "--advertise-url",
        metavar="URL",
        help="where sessions reach this process, past a load balancer",
    )
    group.add_argument(
        "--instance-id", metavar="NAME", help="names this process, for a load balancer to route by"
    )
    group.add_argument(
        "--allow-udf",
        action="store_true",
        help="serve /udf, which runs any code, to other machines without a token",
    )
