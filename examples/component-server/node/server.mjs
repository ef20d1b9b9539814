// A component server without any package: JSON-RPC 2.0 over stdin and stdout, one message a line.

import { createWriteStream } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const wire = createWriteStream("", { fd: 1 }); // process.stdout would make the reader wait for a full pipe
console.log = console.error; // a stray `console.log` must not get among the messages

// What the runtime says of itself; requests in progress, by their ids: its own, and those of this server.
const runtime = {}, calls = new Map(), asked = new Map();


// Messages out, whole, one after the other.
const failure = (code, message, data) => Object.assign(new Error(message), { code, data });

function send(message) {
  const line = JSON.stringify({ jsonrpc: "2.0", ...message });
  if (Buffer.byteLength(line) >= (runtime.max_message_bytes ?? Infinity)) throw failure(-32004, "that is too long");
  wire.write(`${line}\n`);
}


// Calls back. While a component waits for its answer, the others go on.
const ask = (call, method, params) => new Promise((resolve, reject) => {
  const id = crypto.randomUUID(), about = { execution: call.id, observability: call.observability };
  asked.set(id, ({ result, error: it }) => it ? reject(failure(it.code, it.message, it.data)) : resolve(result));
  call.signal.addEventListener("abort", reject);
  send({ id, method, params: { ...params, ...about } });
});


// Components: an input goes in, an output comes out.
const components = new Map(Object.entries({
  "/greet": async ({ name }) => ({ text: `Hello, ${name}!` }),
  "/conformance/echo": async (input) => input,
  "/conformance/fail": async ({ code = -32004, message, data }) => { throw failure(code, message, data); },
  "/conformance/sleep": async (input, { signal }) => pause(input.ms, input, { signal }),
  "/conformance/blob": async ({ data }, call) => {
    const { blob_id } = await ask(call, "blobs/put", { data });
    return { blob_id, data: (await ask(call, "blobs/get", { blob_id })).data };
  },
}));

function find(path) { // by `/greet`, and by `greet` and `/<name of the plugin>/greet` as well
  if (typeof path !== "string") throw failure(-32602, "it takes the path of a `component`");
  const name = [path, `/${path}`, path.replace(`/${runtime.protocol_prefix}/`, "/")].find((it) => components.has(it));
  if (!name) throw failure(-32001, `there is no ${path} here, but ${[...components.keys()].join(", ")}`);
  return name;
}


// Methods: params go in, a result comes out.
const methods = new Map(Object.entries({
  "initialize": ({ runtime_protocol_version: theirs, ...more }) => {
    if (theirs !== 1) throw failure(theirs === undefined ? -32602 : -32002, `version ${theirs} is not ours, 1`);
    Object.assign(runtime, more);
    return { server_protocol_version: 1, server: { name: "example" }, capabilities: { cancel: {} } };
  },
  "components/list": () => ({ components: [...components.keys()].map((name) => ({ component: name })) }),
  "components/info": ({ component }) => ({ info: { component: find(component) } }),
  "components/execute": async ({ component, input, observability }, call) => {
    if (input === undefined) throw failure(-32602, "it takes an `input`");
    return { output: await components.get(find(component))(input, { ...call, observability }) };
  },
}));

function answer(method, params, call) {
  if (typeof method !== "string") throw failure(-32600, "a request needs a `method`");
  if (method !== "initialize" && !runtime.ready) throw failure(-32002, "shake hands first");
  if (!methods.has(method)) throw failure(-32601, `there is no method ${method} here`);
  return methods.get(method)(params, call);
}


// Each request is answered exactly once, whatever becomes of it.
async function serve(id, method, params) {
  const controller = new AbortController(), { signal } = controller;
  calls.set(id, controller);
  try { send({ id, result: await answer(method, params, { id, signal }) }); }
  catch ({ code, message, data }) {
    const own = { code: Number.isInteger(code) ? code : -32004, message, data };
    send({ id, error: signal.aborted ? { code: -32012, message: "cancelled" } : own });
  }
  calls.delete(id);
}


// Messages in. The reader waits for no component, and for no message on its way out.
function receive(line) {
  let message;
  try { message = JSON.parse(line.trim()) ?? {}; } catch { return; } // noise: there is no id to answer to
  const { id, method, params } = message;
  if (method === "initialized") runtime.ready = true;
  else if (method === "$/cancelRequest") calls.get(params?.id)?.abort();
  else if (message.result !== undefined || message.error !== undefined) asked.get(id)?.(message);
  else if (id !== undefined) serve(id, method, params ?? {});
}

let line = "";
for await (const text of process.stdin.setEncoding("utf8")) {
  const [end, ...more] = text.split("\n");
  line += end;
  for (const next of more) { receive(line); line = next; }
}
process.exit(); // the end of stdin: nobody is left to read an answer
