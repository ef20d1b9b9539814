"""The components of this project: each function is one, and is called by flows as /python/<its name>."""

from typing import TypedDict

from stepflow_sdk import StepflowServer

server = StepflowServer()


class Person(TypedDict):
    name: str


class Greeting(TypedDict):
    text: str


@server.component
def greet(person: Person) -> Greeting:
    """Greets a person"""
    return {"text": f"Hello {person['name']}"}
