"""The components of the pipeline: they read orders and sum them up."""

import csv
import io
import math

import msgspec
from stepflow_sdk import StepflowError, StepflowServer

server = StepflowServer()

COLUMNS = ["customer", "product", "amount"]


class Order(msgspec.Struct):
    """One line of the file."""

    customer: str
    product: str
    amount: float


class Orders(msgspec.Struct):
    """What the file holds; `bad` has the numbers of lines that could not be read."""

    good: list[Order]
    bad: list[int]
    is_clean: bool


@server.component
def parse(text: str) -> Orders:
    """Reads CSV. One bad line costs one line; a file of another kind fails the step."""
    rows = csv.DictReader(io.StringIO(text))
    if rows.fieldnames != COLUMNS:
        raise StepflowError(422, f"the first line must be {','.join(COLUMNS)}")
    good: list[Order] = []
    bad: list[int] = []
    for row in rows:
        try:
            good.append(msgspec.convert(row, Order, strict=False))
        except msgspec.ValidationError:
            bad.append(rows.line_num)
    return Orders(good=good, bad=bad, is_clean=not bad)


@server.component
def sum_by(orders: list[Order], column: str) -> dict[str, float]:
    """Adds the amounts up, for each value of a column."""
    amounts: dict[str, list[float]] = {}
    for order in orders:
        amounts.setdefault(getattr(order, column), []).append(order.amount)
    return {name: math.fsum(those) for name, those in sorted(amounts.items())}


if __name__ == "__main__":
    server.run()
