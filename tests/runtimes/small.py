"""A runtime as small as can be: the steps of a flow, one after another, on one component server. `small.py FLOW CONFIG [FAULT]`; with a fault it does one
thing wrong. Python's standard library alone.
"""

import hashlib
import json
import subprocess
import sys
import uuid

FAULT = sys.argv[3] if len(sys.argv) > 3 else ""
BLOBS: dict[str, object] = {}


class Gone(Exception):
    """The server ended during a call."""


class Failed(Exception):
    """The server answered with an error."""


def call_back(method, params):
    if method == "blobs/put":
        blob_id = "sha256:" + hashlib.sha256(json.dumps(params["data"]).encode()).hexdigest()
        BLOBS[blob_id] = params["data"]
        return {"result": {"blob_id": blob_id}}
    if method == "blobs/get":
        return {"result": {"data": BLOBS[params["blob_id"]], "blob_type": "data"}}
    if FAULT == "answers-unknown-methods":
        return {"result": {}}
    return {"error": {"code": -32601, "message": f"there is no method {method}"}}


class Server:
    def __init__(self, plugin):
        command = [plugin["command"], *plugin["args"]]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        answer = self.ask(
            "initialize", {"runtime_protocol_version": 1, "protocol_prefix": "scripted"}
        )
        version = answer["server_protocol_version"]
        if version != 1 and FAULT != "speaks-any-version":
            raise Failed(
                {
                    "code": -32002,
                    "message": f"the server speaks version {version}, this runtime version 1",
                }
            )
        if FAULT != "forgets-initialized":
            self.send(method="initialized", params={})

    def send(self, **message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        id = str(uuid.uuid4())
        self.send(id=id, method=method, params=params)
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                if FAULT == "dies-of-noise":
                    raise
                continue
            if "method" in message and "id" in message:
                self.send(id=message["id"], **call_back(message["method"], message["params"]))
            elif "method" not in message and (message["id"] == id or FAULT == "takes-any-answer"):
                if "error" in message:
                    raise Failed(message["error"])
                return message["result"]
        raise Gone

    def end(self):
        if FAULT == "kills-servers":
            self.process.kill()
        self.process.stdin.close()
        self.process.wait()


def run(flow, plugin):
    server, run_id, outputs = Server(plugin), str(uuid.uuid4()), {}
    for step in flow["steps"]:
        value = step["input"]["value"]
        if isinstance(value, dict):
            value = outputs[value["$step"]]
        params = {
            "component": step["component"].removeprefix("/scripted"),
            "input": {"value": value},
            "attempt": 1,
            "step_id": step["id"],
            "run_id": run_id,
            "flow_id": "sha256:" + "0" * 64,
            "observability": {"run_id": run_id, "step_id": step["id"]},
            "idempotency_key": f"{run_id}/{step['id']}",
        }
        if FAULT == "has-no-observability":
            del params["observability"]
        try:
            answer = server.ask("components/execute", params)
        except Gone:
            server.end()
            server = Server(plugin)
            attempt = 1 if FAULT == "counts-no-attempts" else 2
            answer = server.ask("components/execute", {**params, "attempt": attempt})
        outputs[step["id"]] = answer["output"] or (
            {} if FAULT == "has-no-null" else answer["output"]
        )
    server.end()
    return outputs[flow["output"]["$step"]]


def main():
    with open(sys.argv[1]) as flow, open(sys.argv[2]) as config:
        flow, config = json.load(flow), json.load(config)
    try:
        outcome = {"outcome": "success", "result": run(flow, config["plugins"]["scripted"])}
    except Failed as failed:
        error = failed.args[0]
        if FAULT == "hides-errors":
            error = {"code": -32000, "message": "a component failed"}
        outcome = {"outcome": "failed", "error": error}
    print(json.dumps(outcome))


main()
