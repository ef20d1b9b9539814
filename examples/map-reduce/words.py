"""The components of the example: one counts words, the other puts counts together."""

import re
from collections import Counter
from typing import Any

from stepflow_sdk import StepflowServer

server = StepflowServer()


@server.component
def count(text: str) -> dict[str, int]:
    """Counts the words of a text."""
    return Counter(re.findall(r"\w+", text.lower()))


@server.component
def merge(results: list[dict[str, Any]]) -> dict[str, int]:
    """Adds up the counts of all runs that succeeded."""
    total: Counter[str] = Counter()
    for run in results:
        if run["outcome"] == "success":
            total.update(run["result"])
    return dict(sorted(total.items()))


if __name__ == "__main__":
    server.run()
