from __future__ import annotations

import subprocess
import sys

import pytest

from runtime import PATIENCE


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "stepflow_sdk", *arguments],
        cwd=folder,
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_help_teaches(tmp_path):
    it = run(tmp_path, "--help")
    assert it.returncode == 0
    for word in [
        "my_server:server",
        "@server.component",
        "stepflow-config.yml",
        'args: ["-m", "stepflow_sdk"',
    ]:
        assert word in it.stdout


def test_version(tmp_path):
    assert run(tmp_path, "--version").stdout == "stepflow-sdk 0.1.0\n"


SOURCES = {
    "mine": "from stepflow_sdk import StepflowServer\napp = StepflowServer()\n",
    "broken": "raise RuntimeError('no database')\n",
    "syntax": "def f(:\n",
    "leaves": "import sys; sys.exit(3)\n",
    "needs": "import a_package_that_is_not_there\n",
    "needs_more": "import json.a_module_that_is_not_there\n",
    "bad_component": "from stepflow_sdk import StepflowServer\nserver = StepflowServer()\n@server.component\ndef f(*a): pass\n",
    "empty": "",
    "number": "server = 5\n",
    "threads": "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise RuntimeError\n",
}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere:server", ["no module 'nowhere'"]),
        ("nowhere.deep:server", ["no module 'nowhere.deep'"]),
        ("mine.py", ["give the module's name, not its file: mine"]),
        ("mine:server", ["no 'server'", "it has the server app"]),
        ("mine", ["no 'server'", "it has the server app"]),
        ("empty:server", ["no StepflowServer at all"]),
        ("number:server", ["is a int, no StepflowServer"]),
        ("broken:server", ["Traceback", "RuntimeError: no database", "broken failed to import"]),
        ("syntax:server", ["SyntaxError", "failed to import"]),
        ("leaves:server", ["failed to import: SystemExit"]),
        ("needs:server", ["Traceback", "a_package_that_is_not_there", "not installed"]),
        ("needs_more:server", ["Traceback", "failed to import"]),
        ("bad_component:server", ["takes *a", "functools.wraps"]),
        ("threads:server", ["RuntimeError"]),
        (":server", ["write module:attribute"]),
        ("mine:", ["write module:attribute"]),
    ],
)
def test_a_server_that_cannot_be_had_says_why(tmp_path, target, words):
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    it = run(tmp_path, *([target] if target else []))
    assert it.returncode == 2
    assert it.stdout == ""
    for word in words:
        assert word in it.stderr


@pytest.mark.parametrize(
    "target", ["mine:app", "mine:make", "mine:Holder.app", "package.inner:app"]
)
def test_a_server_is_found_by_module_and_attribute(tmp_path, target):
    source = SOURCES["mine"] + "def make(): return app\nclass Holder: app = app\n"
    (tmp_path / "mine.py").write_text(source)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text(source)
    it = run(tmp_path, target)
    assert (it.returncode, it.stdout, it.stderr) == (0, "", "")


def test_an_unknown_option_is_a_usage_error(tmp_path):
    assert run(tmp_path, "--wat").returncode == 2


def test_an_option_of_http_alone_is_a_usage_error(tmp_path):
    it = run(tmp_path, "--port", "9000")
    assert it.returncode == 2
    assert "--port is for HTTP: add --http" in it.stderr
