"""`python -m stepflow_sdk`: serves components; the command a runtime's config names.

Owns the command line. Everything else is imported from here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from stepflow_sdk.server import StepflowServer

__all__ = ["main"]

_DESCRIPTION = """\
Serves Stepflow components over stdin and stdout, for a Stepflow runtime to start, or over HTTP.

  python -m stepflow_sdk                                 the built-in component /udf
  python -m stepflow_sdk my_server:server                the components of your module
  python -m stepflow_sdk my_server:server --http         the same over HTTP, on port 8080
"""

_EPILOG = """\
my_server.py:

  from stepflow_sdk import StepflowServer

  server = StepflowServer()

  @server.component
  def add(a: int, b: int) -> int:
      "Adds two numbers."
      return a + b

stepflow-config.yml:

  plugins:
    mine:
      type: stepflow
      transport: stdio
      command: python
      args: ["-m", "stepflow_sdk", "my_server:server"]

or, where the server runs on its own with --http:

  plugins:
    mine:
      type: stepflow
      transport: http
      url: "http://localhost:8080"

Then a step of a flow uses  component: /mine/add

Exit codes: 0 stdin ended, 1 the link broke (stderr says how), 2 the server could not be loaded, or not serve there.
"""


class LoadError(Exception):
    """The server named on the command line cannot be had; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # Imports of a user's module may print; from here on that goes to stderr.
    if not options.http:
        _refuse_http_options(parser, options)
        from stepflow_sdk.transport import stdio  # noqa: PLC0415 - --help needs none of it

        stdio.claim()
    try:
        server = load(options.server)
    except LoadError as error:
        # os._exit, as in the server's own end: a module may have started threads before it failed.
        print(f"stepflow_sdk: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a command line speaks here
        os._exit(2)
    if options.http:
        from stepflow_sdk.transport.http import command  # noqa: PLC0415 - as above

        command.serve(server, options)
    server.run([])


def _refuse_http_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuses options that would have no effect: whoever names a port does not mean stdin and stdout."""
    for name, value in vars(options).items():
        if name != "server" and value != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} is for HTTP: add --http")


def load(target: str | None) -> StepflowServer:
    """Returns the server that `module:attribute` names; without a name, one with the built-in components.

    Raises:
        LoadError: There is no such module or attribute, it failed to import, or it is no server.
    """
    from stepflow_sdk.server import StepflowServer  # noqa: PLC0415 - as in main

    if target is None:
        return StepflowServer()
    module_name, colon, attribute = target.partition(":")
    if not module_name or (colon and not attribute):
        raise LoadError(
            f"{target!r} does not name a server: write module:attribute, as in my_server:server"
        )
    module = _module(module_name)
    found: object = module
    for part in (attribute or "server").split("."):
        if not hasattr(found, part):
            raise LoadError(_no_attribute(module, module_name, attribute or "server"))
        found = getattr(found, part)
    if callable(found) and not isinstance(found, StepflowServer):
        found = found()
    if not isinstance(found, StepflowServer):
        raise LoadError(f"{target} is a {type(found).__qualname__}, no StepflowServer")
    return found


def _module(name: str) -> object:
    # `python -m` puts the current folder first already; the stepflow-sdk script does not.
    if os.getcwd() not in sys.path and "" not in sys.path:  # noqa: PTH109 - as a string, as in sys.path
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            hint = (
                f" (give the module's name, not its file: {name[:-3]})"
                if name.endswith(".py")
                else ""
            )
            raise LoadError(
                f"there is no module {name!r} in {os.getcwd()} or among the installed packages{hint}"  # noqa: PTH109
            ) from error
        traceback.print_exc()
        raise LoadError(
            f"{name} failed to import: it needs the module {missing!r}, which is not installed"
        ) from error
    except BaseException as error:
        traceback.print_exc()
        raise LoadError(f"{name} failed to import: {type(error).__name__}: {error}") from error


def _no_attribute(module: object, module_name: str, attribute: str) -> str:
    from stepflow_sdk.server import StepflowServer  # noqa: PLC0415 - as in main

    servers = [key for key, value in vars(module).items() if isinstance(value, StepflowServer)]
    there = (
        f"; it has the server {', '.join(servers)}"
        if servers
        else "; it has no StepflowServer at all"
    )
    return f"the module {module_name} has no {attribute!r}{there}"


def _parser() -> argparse.ArgumentParser:
    from stepflow_sdk import __version__  # noqa: PLC0415 - as in main
    from stepflow_sdk.transport.http import arguments  # noqa: PLC0415 - as in main

    parser = argparse.ArgumentParser(
        prog="python -m stepflow_sdk",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "server",
        nargs="?",
        metavar="MODULE:ATTRIBUTE",
        help="your server, found from the current folder; the attribute is `server` where left out",
    )
    arguments.add_arguments(parser)
    parser.add_argument("--version", action="version", version=f"stepflow-sdk {__version__}")
    return parser


if __name__ == "__main__":
    main()
