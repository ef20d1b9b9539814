"""The transport page's Python listing: its indentation restored, its two types defined.

The page runs it over HTTP; here it is served over stdio.
"""

from dataclasses import dataclass

from stepflow_sdk import StepflowServer


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


if __name__ == "__main__":
    server.run()
