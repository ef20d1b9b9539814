"""The components of the example: one looks at a text, the other makes it shorter."""

import msgspec
from stepflow_sdk import StepflowError, StepflowServer

server = StepflowServer()


class Draft(msgspec.Struct):
    """A text on its way to its limit, and how many sentences it has lost."""

    text: str
    limit: int
    cut: int


class Review(msgspec.Struct):
    """What the reviewer says."""

    fits: bool


@server.component
def review(text: str, limit: int) -> Review:
    """Looks whether a text fits."""
    return Review(fits=len(text) <= limit)


@server.component
def cut(draft: Draft) -> Draft:
    """Takes the last sentence off."""
    head, stop, _last = draft.text.rstrip(".").rpartition(".")
    if not stop:
        raise StepflowError(413, f"one sentence alone is longer than {draft.limit} characters")
    return Draft(text=head + stop, limit=draft.limit, cut=draft.cut + 1)


if __name__ == "__main__":
    server.run()
