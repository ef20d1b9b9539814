"""The component of the load-balancer example: it calls back, so the answer has to find the replica that asked."""

import os

from stepflow_sdk import Context, StepflowServer

server = StepflowServer()


@server.component
async def shout(text: str, context: Context) -> dict[str, object]:
    """Stores a text in capitals, and says which process did it."""
    return {"blob_id": await context.put_blob(text.upper()), "process": os.getpid()}


if __name__ == "__main__":
    server.run()
