from __future__ import annotations

import argparse
import doctest
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stepflow_sdk
from http_process import Process
from http_runtime import call
from stepflow_sdk import context, errors, server
from stepflow_sdk.transport.http.arguments import add_arguments

README = (Path(__file__).parent.parent / "README.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs/python-sdk.md").read_text()


def test_the_first_example_runs_as_it_is_written(tmp_path):
    source, call = (
        re.search(rf"```{it}\n(.*?)```", README, re.DOTALL).group(1) for it in ("python", "sh")
    )
    (tmp_path / "my_server.py").write_text(source)
    run = subprocess.run(
        ["bash", "-c", call.replace("python -m", f"{sys.executable} -m")],
        cwd=tmp_path,
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert json.loads(run.stdout.splitlines()[1]) == {
        "jsonrpc": "2.0",
        "id": 2,
        "result": {"output": 3},
    }


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_every_example_is_valid(example):
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize(
    "module", [stepflow_sdk, server, errors, context], ids=lambda it: it.__name__
)
def test_the_examples_of_docstrings_run(module):
    assert (
        doctest.testmod(module, optionflags=doctest.ELLIPSIS, extraglobs=vars(stepflow_sdk)).failed
        == 0
    )


def test_everything_public_has_a_docstring():
    for name in stepflow_sdk.__all__:
        it = getattr(stepflow_sdk, name)
        assert isinstance(it, str) or it.__doc__, name


def test_the_http_example_serves(tmp_path):
    source = next(
        it for it in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "uvicorn" in it
    )
    with Process(tmp_path, "-c", source.replace("port=8080", "port=0")) as server:
        assert server.post(call("/add", {"a": 1, "b": 2}))[1]["result"]["output"] == 3


def test_the_page_has_every_option_of_http():
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    options = {it.option_strings[0] for it in parser._actions} - {"--http"}
    parameters = {*inspect.signature(server.StepflowServer.create_http_app).parameters} - {"self"}
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith(("| `--", "| | `"))]
    assert {it for row in rows for it in re.findall(r"--[a-z-]+", row[1])} == options
    named = {it for row in rows for it in re.findall(r"`([a-z_]+)`", row[2])}
    assert named == parameters
