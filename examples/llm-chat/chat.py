"""A component that asks a language model, over the chat completions that many endpoints speak. It needs no package but the SDK."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

import msgspec
from stepflow_sdk import StepflowError, StepflowServer, SyncContext

server = StepflowServer()


class Answer(msgspec.Struct):
    """What the model said, and what that cost."""

    text: str
    tokens: int


@server.component
def complete(
    messages: list[dict[str, str]], model: str, context: SyncContext, temperature: float = 1.0
) -> Answer:
    """Has a model answer messages. Where it is and what lets us in stands in the environment, which the config fills."""
    body = {"model": model, "messages": messages, "temperature": temperature}
    request = urllib.request.Request(
        os.environ["LLM_URL"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {os.environ['LLM_API_KEY']}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=context.time_left) as response:
            said: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        # The code and the words are the endpoint's own, so that the flow's outcome says what happened.
        raise StepflowError(error.code, json.load(error)["error"]["message"]) from error
    return Answer(
        text=said["choices"][0]["message"]["content"], tokens=said["usage"]["total_tokens"]
    )


if __name__ == "__main__":
    server.run()
