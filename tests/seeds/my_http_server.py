"""The transport page's Python listing: its indentation restored, its two types defined."""
# ruff: noqa: I001 - the imports stand as on the page

# Start server in HTTP mode
from dataclasses import dataclass

from stepflow_sdk import StepflowServer
import uvicorn


@dataclass
class MyInput:
    text: str = ""


@dataclass
class MyOutput:
    result: str


server = StepflowServer()


@server.component
def my_component(input: MyInput) -> MyOutput:
    return MyOutput(result="processed")


# Create FastAPI app
app = server.create_http_app()
# Run with uvicorn
if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080)
