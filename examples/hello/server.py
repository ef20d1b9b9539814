"""The components of the hello example: typed functions, two of which use blobs."""

import msgspec
from stepflow_sdk import Context, StepflowServer, SyncContext

server = StepflowServer()


class Guests(msgspec.Struct):
    """Who is greeted, and how."""

    names: list[str]
    greeting: str = "Hello"


class Letter(msgspec.Struct):
    """Where a letter is stored."""

    blob_id: str
    lines: int


@server.component
def greet(guests: Guests) -> list[str]:
    """Greets every guest."""
    return [f"{guests.greeting}, {name}!" for name in guests.names]


@server.component
async def write_letter(lines: list[str], context: Context) -> Letter:
    """Stores a letter as a blob, so that the flow passes on its id and not its text."""
    blob_id = await context.put_blob("\n".join(lines))
    return Letter(blob_id=blob_id, lines=len(lines))


@server.component
def count_words(letter: Letter, context: SyncContext) -> int:
    """Fetches a stored letter and counts its words."""
    text: str = context.get_blob(letter.blob_id)
    print(f"counting the words of {letter.lines} lines")  # Shown by `stepflow -v`.
    return len(text.split())


if __name__ == "__main__":
    server.run()
