"""Write flows in Python: typed expressions, steps, and the same flow as data, JSON or YAML.

>>> from stepflow_sdk.flow import FlowBuilder, template
>>> flow = FlowBuilder(name="greeting")
>>> hello = flow.step("hello", "/lab/greet", {"name": flow.input["name"]})
>>> flow.output({"text": template("{} And welcome!", hello["text"])})
>>> flow.to_dict()["output"]
{'text': {'$template': '{{ $step.hello.text }} And welcome!'}}
"""

from stepflow_sdk.flow.builder import FlowBuilder, Step
from stepflow_sdk.flow.expression import (
    Expression,
    Reference,
    coalesce,
    if_,
    literal,
    template,
)
from stepflow_sdk.flow.on_error import Backoff, fail, retry, skip, use_default

__all__ = [
    "Backoff",
    "Expression",
    "FlowBuilder",
    "Reference",
    "Step",
    "coalesce",
    "fail",
    "if_",
    "literal",
    "retry",
    "skip",
    "template",
    "use_default",
]
