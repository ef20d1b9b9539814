from __future__ import annotations

import pytest

from runtime import ALL, Runtime

CAPABILITIES = ALL


def test_initialize_answers_version_name_limit_and_capabilities(serve):
    child = serve(initialize=False)
    result = child.initialize()
    assert result == {
        "server_protocol_version": 1,
        "server": {"name": "stepflow-sdk", "version": "0.1.0"},
        "max_message_bytes": 256 * 1024 * 1024,
        "capabilities": CAPABILITIES,
    }


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_refused_naming_both(serve, version):
    child = serve(initialize=False)
    error = child.request("initialize", {"runtime_protocol_version": version})["error"]
    assert error["code"] == -32002
    assert f"version {version}" in error["message"]
    assert "speaks 1" in error["message"]
    assert error["data"] == {
        "runtime_protocol_version": version,
        "server_protocol_version": {"min": 1, "max": 1},
    }


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({}, "/runtime_protocol_version"),
        (None, "/runtime_protocol_version"),
        ({"runtime_protocol_version": "1"}, "/runtime_protocol_version"),
        ({"runtime_protocol_version": 1, "max_message_bytes": "x"}, "/max_message_bytes"),
        ([1], ""),
    ],
)
def test_bad_params_name_their_path(serve, params, pointer):
    child = serve(initialize=False)
    error = child.request("initialize", params)["error"]
    assert error["code"] == -32602
    assert error["data"]["pointer"] == pointer


METHODS = ["components/list", "components/info", "components/execute"]


@pytest.mark.parametrize("method", METHODS)
def test_components_are_served_only_after_initialized(serve, method):
    child = serve("server.component(lambda: 1, name='one')", initialize=False)
    params = {"component": "/one", "input": None}
    assert child.request(method, params)["error"]["code"] == -32002
    child.request("initialize", {"runtime_protocol_version": 1})
    error = child.request(method, params)["error"]
    assert error["code"] == -32002
    assert "initialized" in error["message"]
    child.send(method="initialized")
    assert "result" in child.request(method, params)


def test_null_and_unknown_fields_count_as_absent(serve):
    child = serve("server.component(lambda: 1, name='one')", initialize=False)
    child.request(
        "initialize",
        {
            "runtime_protocol_version": 1,
            "protocol_prefix": None,
            "max_message_bytes": None,
            "capabilities": None,
            "runtime": {"name": "x", "version": "y", "motto": []},
            "mood": "good",
        },
    )
    child.send(method="initialized", params=None)
    answer = child.request(
        "components/execute",
        {
            "component": "/one",
            "input": None,
            "attempt": None,
            "step_id": None,
            "run_id": None,
            "flow_id": None,
            "observability": None,
            "idempotency_key": None,
            "deadline_ms": None,
            "capabilities": None,
            "extra": 1,
        },
    )
    assert answer["result"] == {"output": 1}


def test_notifications_are_never_answered(serve):
    child = serve()
    child.send(method="initialized")
    child.send(method="initialized", params=[1])
    child.send(method="$/unknown", params={"a": 1})
    child.send(method="components/list")
    child.send(method="$/cancelRequest", params={"id": "nobody"})
    child.send(method="$/cancelRequest", params={"wrong": True})
    assert child.request("ping", {})["result"] == {}
    assert child.frames.empty()


def test_ping_is_answered_before_the_handshake(serve):
    child = serve(initialize=False)
    assert child.request("ping")["result"] == {}


def test_an_unknown_method_costs_that_message_only(serve):
    child = serve()
    error = child.request("components/destroy", {})["error"]
    assert error["code"] == -32601
    assert "components/destroy" in error["message"]
    assert child.request("ping", {})["result"] == {}


def test_a_server_without_a_module_offers_udf(tmp_path):
    with Runtime(tmp_path, "-m", "stepflow_sdk") as child:
        child.initialize()
        (udf,) = child.request("components/list", {})["result"]["components"]
        assert udf["component"] == "/udf"
        assert udf["input_schema"]["required"] == ["blob_id"]
        assert "Not a sandbox" in udf["description"]
        assert child.end() == 0


def test_a_second_initialize_starts_over(serve):
    child = serve("server.component(lambda: 1, name='one')")
    child.request("initialize", {"runtime_protocol_version": 1})
    assert child.error("/one")["code"] == -32002
    child.send(method="initialized")
    assert child.output("/one") == 1
