"""A component server: the components it has, and the protocol's methods over them.

Owns the table of components and the handshake. Which transport carries it is decided by who runs it.
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from stepflow_sdk import protocol
from stepflow_sdk.component import Component, path_of
from stepflow_sdk.errors import ComponentDefinitionError, ErrorCode, StepflowError
from stepflow_sdk.invocation import Invocation
from stepflow_sdk.message import Id
from stepflow_sdk.peer import Peer, Session
from stepflow_sdk.protocol import (
    CAPABILITIES,
    DEFAULT_MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    CancelParams,
    ComponentInfo,
    ExecuteParams,
    Implementation,
    InfoParams,
    InitializeParams,
    InitializeResult,
)
from stepflow_sdk.router import Router
from stepflow_sdk.transport.crew import DEFAULT_MAX_THREADS

if TYPE_CHECKING:
    from fastapi import FastAPI

    from stepflow_sdk.transport.http.options import HttpLimits

__all__ = ["StepflowServer"]

F = TypeVar("F", bound=Callable[..., Any])


class StepflowServer:
    """Offers Python functions to Stepflow flows.

    >>> server = StepflowServer()
    >>> @server.component
    ... def add(a: int, b: int) -> int:
    ...     "Adds two numbers."
    ...     return a + b
    >>> list(server.components)
    ['/udf', '/add']

    Args:
        name: What the server calls itself in the handshake.
        version: Its version there.
        max_message_bytes: The largest message it accepts; larger data belongs in blobs.
        max_threads: How many plain (not async) components run at once. Those that wait for a call back do not count.
        udf: Whether the built-in `/udf` component, which runs code from blobs, is offered.
    """

    def __init__(
        self,
        *,
        name: str = "stepflow-sdk",
        version: str | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_threads: int = DEFAULT_MAX_THREADS,
        udf: bool = True,
    ) -> None:
        from stepflow_sdk import __version__  # noqa: PLC0415 - the package imports this module

        self.implementation = Implementation(name, version or __version__)
        self.max_message_bytes = max_message_bytes
        self.max_threads = max_threads
        self._components: dict[str, Component] = {}
        if udf:
            from stepflow_sdk.udf import Udf  # noqa: PLC0415 - only where it is wanted

            self.component(Udf(), name="udf")

    @property
    def components(self) -> Mapping[str, ComponentInfo]:
        """The components by path, as listings show them."""
        return {path: component.info() for path, component in self._components.items()}

    @overload
    def component(
        self, function: F, /, *, name: str | None = ..., description: str | None = ...
    ) -> F: ...

    @overload
    def component(
        self, /, *, name: str | None = ..., description: str | None = ...
    ) -> Callable[[F], F]: ...

    def component(
        self, function: Any = None, /, *, name: str | None = None, description: str | None = None
    ) -> Any:
        """Makes a function a component; returns it unchanged, so it can still be called and tested.

        Works bare (`@server.component`), with arguments (`@server.component(name="math/add")`), and as a call
        (`server.component(partial(add, 1), name="increment")`).

        One parameter takes the whole input; several take the fields of an input object by name. A parameter annotated
        `Context` (async) or `SyncContext` gets the context.

        Args:
            function: A function, async function, partial or callable object with annotations.
            name: Its path; the function's own name by default.
            description: What listings say of it; the docstring by default.

        Raises:
            ComponentDefinitionError: It cannot be a component as it is written, or the name is taken.
        """
        if function is None:
            return functools.partial(self.component, name=name, description=description)
        added = Component(function, name=name, description=description)
        if added.path in self._components:
            raise ComponentDefinitionError(
                f"there is a component {added.path} already: give this one another name"
            )
        self._components[added.path] = added
        return function

    def run(self, arguments: Sequence[str] | None = None) -> NoReturn:
        """Serves over stdin and stdout until stdin ends, then ends the process. For a script's last line:

        >>> if __name__ == "__main__":  # doctest: +SKIP
        ...     server.run()

        With `--http` among the process's arguments it serves over HTTP instead, with the options of
        `python -m stepflow_sdk --http` (`--host`, `--port`, …). Other arguments are the script's own business.

        Args:
            arguments: Looked at instead of the process's.
        """  # noqa: D415
        given = sys.argv[1:] if arguments is None else [*arguments]
        if "--http" in given:
            import argparse  # noqa: PLC0415 - not needed for stdio

            from stepflow_sdk.transport.http import arguments as http  # noqa: PLC0415 - as above
            from stepflow_sdk.transport.http import command  # noqa: PLC0415 - as above

            parser = argparse.ArgumentParser(allow_abbrev=False)
            http.add_arguments(parser)
            command.serve(self, parser.parse_known_args(given)[0])
        from stepflow_sdk.transport import stdio  # noqa: PLC0415 - takes hold of signals and descriptors

        stdio.serve(
            self.router(handshake_required=True),
            max_message_bytes=self.max_message_bytes,
            max_threads=self.max_threads,
        )

    def create_http_app(
        self,
        token: str | None = None,
        *,
        allow_hosts: Sequence[str] = (),
        root_path: str = "",
        advertise_url: str | None = None,
        instance_id: str | None = None,
        allow_udf: bool = False,
        limits: HttpLimits | None = None,
    ) -> FastAPI:
        """Returns a FastAPI application that serves the components over HTTP; needs the extra `http`.

        >>> app = server.create_http_app()  # doctest: +SKIP
        >>> uvicorn.run(app, host="127.0.0.1", port=8080)  # doctest: +SKIP

        Serve it from one process: sessions live in its memory. Several servers behind a load balancer each have an
        `instance_id` or an `advertise_url`.

        Args:
            token: What runtimes have to present as their bearer token; by default the environment's `STEPFLOW_TOKEN`,
                and without one everybody is let in.
            allow_hosts: Names by which requests may come in through loopback, as behind a proxy on this machine;
                `*.name` stands for all below a name.
            root_path: The prefix a proxy puts before the paths, where the ASGI server does not know it.
            advertise_url: Where sessions reach this very process, past a load balancer.
            instance_id: Names this process in endpoints and in the header `Stepflow-Instance-Id`.
            allow_udf: Whether `/udf`, which runs any code, is served to other machines without a token.
            limits: How much is kept, and for how long.

        Raises:
            ImportError: The extra is not installed; the message says how to.
            ValueError: An argument cannot be meant, such as an empty token.
        """
        from stepflow_sdk.transport.http.options import HttpOptions  # noqa: PLC0415 - only where wanted

        try:
            from stepflow_sdk.transport.http.app import create_app  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ImportError(
                f"serving over HTTP needs the module {error.name!r}: install the SDK with its extra `http`, as in "
                f"python -m pip install './sdk/python[http]' or uv run --extra http …",
                name=error.name,
            ) from error
        options = HttpOptions.checked(
            token=token,
            allow_hosts=allow_hosts,
            root_path=root_path,
            advertise_url=advertise_url,
            instance_id=instance_id,
            allow_udf=allow_udf,
            limits=limits,
        )
        return create_app(self, options)

    def router(self, *, handshake_required: bool) -> Router:
        """Returns the protocol's methods over this server's components, for a transport to serve."""
        methods = _Methods(self, handshake_required=handshake_required)
        router = Router()
        router.method(protocol.INITIALIZE, InitializeParams, methods.initialize)
        router.notification(protocol.INITIALIZED, dict[str, Any], methods.initialized)
        router.method(protocol.PING, dict[str, Any], methods.ping)
        router.notification(protocol.CANCEL, CancelParams, methods.cancel)
        router.method(protocol.COMPONENTS_LIST, dict[str, Any], methods.list)
        router.method(protocol.COMPONENTS_INFO, InfoParams, methods.info)
        router.method(protocol.COMPONENTS_EXECUTE, ExecuteParams, methods.execute)
        return router

    def find(self, path: str, prefix: str | None) -> Component:
        """Returns the component a runtime calls by a path: with or without a slash, or under its prefix.

        Raises:
            StepflowError: There is none (-32001); the data holds the nearest names.
        """
        found = self._components.get(path)
        if found is not None:
            return found
        wanted = path_of(path)
        found = self._components.get(wanted)
        if found is None and prefix and wanted.startswith(below := path_of(prefix) + "/"):
            found = self._components.get(path_of(wanted[len(below) :]))
        if found is None:
            raise self._not_found(wanted)
        return found

    def _not_found(self, path: str) -> StepflowError:
        nearest = difflib.get_close_matches(path, self._components, n=3, cutoff=0.5)
        if nearest:
            hint = f"; did you mean {' or '.join(nearest)}?"
        else:
            hint = f"; this server has {', '.join(sorted(self._components)) or 'none'}"
        return StepflowError(
            ErrorCode.COMPONENT_NOT_FOUND,
            f"there is no component {path}{hint}",
            {"component": path, "nearest": nearest},
        )


class _Methods:
    """The protocol's methods: each a function from params to a result."""

    def __init__(self, server: StepflowServer, *, handshake_required: bool) -> None:
        self._server = server
        self._handshake_required = handshake_required

    def initialize(self, peer: Peer, _id: Id, params: InitializeParams) -> InitializeResult:
        version = params.runtime_protocol_version
        if version != PROTOCOL_VERSION:
            raise StepflowError(
                ErrorCode.NOT_INITIALIZED,
                f"the runtime speaks protocol version {version}, this server ({self._server.implementation.name} "
                f"{self._server.implementation.version}) speaks {PROTOCOL_VERSION}: update the older of the two",
                {
                    "runtime_protocol_version": version,
                    "server_protocol_version": {"min": PROTOCOL_VERSION, "max": PROTOCOL_VERSION},
                },
            )
        peer.ready = False
        peer.session = Session(
            params.capabilities or {},
            params.max_message_bytes or DEFAULT_MAX_MESSAGE_BYTES,
            params.protocol_prefix,
        )
        return InitializeResult(
            PROTOCOL_VERSION,
            self._server.implementation,
            self._server.max_message_bytes,
            CAPABILITIES,
        )

    def initialized(self, peer: Peer, _id: None, _params: dict[str, Any]) -> None:
        peer.ready = peer.session is not None

    def ping(self, _peer: Peer, _id: Id, _params: dict[str, Any]) -> dict[str, Any]:
        return {}

    def cancel(self, peer: Peer, _id: None, params: CancelParams) -> None:
        peer.cancel(params.id, params.reason)

    def list(self, peer: Peer, _id: Id, _params: dict[str, Any]) -> dict[str, Any]:
        self._require_handshake(peer)
        return {"components": [*self._server.components.values()]}

    def info(self, peer: Peer, _id: Id, params: InfoParams) -> dict[str, Any]:
        self._require_handshake(peer)
        return {"info": self._find(peer, params.component).info()}

    def execute(self, peer: Peer, id: Id, params: ExecuteParams) -> Invocation:
        if not peer.ready:
            self._require_handshake(peer)
        return Invocation(peer, self._find(peer, params.component), id, params)

    def _find(self, peer: Peer, path: str) -> Component:
        return self._server.find(path, peer.session.prefix if peer.session else None)

    def _require_handshake(self, peer: Peer) -> None:
        if self._handshake_required and not peer.ready:
            missing = "initialize" if peer.session is None else "the initialized notification"
            raise StepflowError(
                ErrorCode.NOT_INITIALIZED,
                f"components are served after the handshake: {missing} has not arrived",
            )
