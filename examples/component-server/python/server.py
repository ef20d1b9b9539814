"""A component server without any package: JSON-RPC 2.0 over stdin and stdout, one message a line."""

import asyncio, json, os, sys, threading, uuid

wire, sys.stdout = sys.stdout, sys.stderr  # a stray `print` must not get among the messages

# What the runtime says of itself; requests in progress, by their ids: its own, and those of this server.
loop, runtime, calls, asked = asyncio.new_event_loop(), {}, {}, {}


# Messages out, whole, one after the other.
class Failure(Exception):
    def __init__(self, code, message, data=None, **_): self.error = {"code": code, "message": message, "data": data}

def send(**message):
    line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False)
    if len(line) >= (runtime.get("max_message_bytes") or 1e99): raise Failure(-32004, "the message is too long")
    print(line, file=wire, flush=True)


# Calls back. While a component waits for its answer, the others go on.
async def ask(call, method, **params):
    asked[id := str(uuid.uuid4())] = answers = asyncio.Queue()
    send(id=id, method=method, params={**params, **call})
    answer = await answers.get()
    if answer.get("error"): raise Failure(**answer["error"])
    return answer["result"]


# Components: an input goes in, an output comes out.
async def greet(input, call): return {"text": f"Hello, {input['name']}!"}
async def echo(input, call): return input
async def fail(input, call): raise Failure(**{"code": -32004, **input})
async def sleep(input, call): return await asyncio.sleep(input["ms"] / 1000, input)

async def blob(input, call):
    blob_id = (await ask(call, "blobs/put", data=input["data"]))["blob_id"]
    return {"blob_id": blob_id, "data": (await ask(call, "blobs/get", blob_id=blob_id))["data"]}

components = {"/greet": greet} | {f"/conformance/{it.__name__}": it for it in (echo, fail, sleep, blob)}

def find(path):  # by `/greet`, and by `greet` and `/<name of the plugin>/greet` as well
    for name in (path, "/" + path, path.removeprefix(f"/{runtime['protocol_prefix']}")):
        if name in components: return name
    raise Failure(-32001, f"there is no {path} here, but {', '.join(components)}")


# Methods: params go in, a result comes out.
async def answer(id, method, params):
    if not isinstance(method, str): raise Failure(-32600, "a request needs a `method`")
    match method, params:
        case "initialize", {"runtime_protocol_version": 1}:
            runtime.update({"protocol_prefix": "", **params})
            return {"server_protocol_version": 1, "server": {"name": "example"}, "capabilities": {"cancel": {}}}
        case "initialize", {"runtime_protocol_version": it}: raise Failure(-32002, f"version {it} is not ours, 1")
        case _ if method != "initialize" and not runtime.get("ready"): raise Failure(-32002, "shake hands first")
        case "components/list", _: return {"components": [{"component": name} for name in components]}
        case "components/info", {"component": str(path)}: return {"info": {"component": find(path)}}
        case "components/execute", {"component": str(path), "input": input}:
            call = {"execution": id, "observability": params.get("observability")}
            return {"output": await components[find(path)](input, call)}
        case "initialize" | "components/info" | "components/execute", _: raise Failure(-32602, "it takes other params")
        case _: raise Failure(-32601, f"there is no method {method} here")


# Each request is answered exactly once, whatever becomes of it.
def end(id):
    try: send(id=id, result=calls.pop(id).result())
    except asyncio.CancelledError: send(id=id, error={"code": -32012, "message": "cancelled"})
    except Exception as it: send(id=id, error=getattr(it, "error", {"code": -32004, "message": repr(it)}))


# Messages in. The reader waits for no component, and for no message on its way out.
def receive(line):
    try: message = json.loads(line)
    except (ValueError, RecursionError): return  # noise: there is no id to answer to
    match message:
        case {"method": "initialized"}: runtime["ready"] = True
        case {"method": "$/cancelRequest", "params": {"id": id}} if id in calls: calls[id].cancel()
        case {"id": id, "result": _} | {"id": id, "error": _}: asked.pop(id, asyncio.Queue()).put_nowait(message)
        case {"id": str() | int() as id}:
            calls[id] = loop.create_task(answer(id, message.get("method"), message.get("params") or {}))
            calls[id].add_done_callback(lambda _: end(id))

threading.Thread(target=loop.run_forever, daemon=True).start()
for line in sys.stdin.buffer: loop.call_soon_threadsafe(receive, line)
os._exit(0)  # the end of stdin: nobody is left to read an answer
