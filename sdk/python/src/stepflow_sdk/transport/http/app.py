"""The FastAPI application that serves a component server.

Owns what FastAPI has to know of us: one route and a lifespan. The route is plain ASGI and served first, so that a
message costs no more than it has to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, NoMatchFound

from stepflow_sdk.transport.http.host import Host
from stepflow_sdk.transport.http.routes import Routes

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from starlette.types import ASGIApp, Receive, Scope, Send

    from stepflow_sdk.server import StepflowServer
    from stepflow_sdk.transport.http.options import HttpOptions

__all__ = ["create_app"]


def create_app(server: StepflowServer, options: HttpOptions) -> FastAPI:
    """Returns an application of this server; routes of one's own may be added to it."""
    host = Host(server, options)
    routes = Routes(host)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        host.start()
        try:
            yield
        finally:
            host.stop()

    # What FastAPI could document are not the protocol's routes, and the pages would be open to everyone.
    app = _App(
        routes,
        title=server.implementation.name,
        version=server.implementation.version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.stepflow = host
    app.router.default = _not_found(routes, app.router.default)
    return app


class _App(FastAPI):
    """Serves the protocol's paths ahead of all that FastAPI does for other routes, which takes as long as a call."""

    def __init__(self, routes: Routes, **settings: Any) -> None:
        super().__init__(**settings)
        self._routes = routes
        self._route = _ProtocolRoute(routes)
        self.router.routes.append(self._route)

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        if self.user_middleware or self.router.routes[0] is not self._route:
            # Somebody wants to see every request first.
            return stack
        routes = self._routes

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            path = routes.path_of(scope) if scope["type"] == "http" else None
            if path is None:
                await stack(scope, receive, send)
            else:
                await routes.serve(path, scope, receive, send)

        return serve


class _ProtocolRoute(BaseRoute):
    """All of the protocol's paths, found by one look into a table."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = self._routes.path_of(scope) if scope["type"] == "http" else None
        return (Match.NONE, {}) if path is None else (Match.FULL, {"stepflow.path": path})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routes.serve(scope["stepflow.path"], scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        raise NoMatchFound(name, path_params)


def _not_found(routes: Routes, otherwise: ASGIApp) -> ASGIApp:
    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await routes.not_found(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return not_found
