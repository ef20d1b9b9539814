"""Two sources of prices that can be told to fail, so that the example shows the same each time."""

from stepflow_sdk import StepflowError, StepflowServer, SyncContext

server = StepflowServer()


def ask(source: str, price: float, outage: int, attempt: int) -> dict[str, object]:
    """Fails as long as the outage goes on: one attempt of a step after the other."""
    if attempt <= outage:
        raise StepflowError(503, f"{source} is closed", {"attempt": attempt})
    return {"source": source, "price": price, "attempt": attempt}


@server.component
def main(product: str, outage: int, context: SyncContext) -> dict[str, object]:
    """The source that is asked first."""
    return ask("main", len(product) + 4, outage, context.attempt)


@server.component
def spare(product: str, outage: int, context: SyncContext) -> dict[str, object]:
    """A dearer one."""
    return ask("spare", len(product) + 5, outage, context.attempt)


if __name__ == "__main__":
    server.run()
