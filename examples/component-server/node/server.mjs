// A component server without any package: JSON-RPC 2.0 over stdin and stdout, one message a line.

import { createWriteStream } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const wire = createWriteStream("", { fd: 1 }); // process.stdout would make the reader wait for a full pipe
console.log = console.error; // a stray `console.log` must not get among the messages

// What the runtime says of itself; requests in progress, by their ids: its own, and those of this server.
const runtime = {}, calls = new Map(), asked = new Map();


// Messages out, whole, one after the other.
const raise = (code, message, data) => { throw { code, message, data }; };

function send(message) {
  const line = `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`;
  if (Buffer.byteLength(line) > (runtime.max_message_bytes ?? Infinity)) raise(-32004, "the message is too long");
  wire.write(line);
}


// Calls back. While a component waits for its answer, the others go on.
const ask = (call, method, params) => new Promise((resolve, reject) => {
  const id = crypto.randomUUID(), about = { execution: call.id, observability: call.observability };
  asked.set(id, ({ result, error }) => error ? reject(error) : resolve(result));
  call.signal.addEventListener("abort", reject);
  send({ id, method, params: { ...params, ...about } });
});


// Components: an input goes in, an output comes out.
const components = new Map(Object.entries({
  "/greet": async ({ name }) => ({ text: `Hello, ${name}!` }),
  "/conformance/echo": async (input) => input,
  "/conformance/fail": async ({ code = -32004, message, data }) => raise(code, message, data),
  "/conformance/sleep": async (input, { signal }) => pause(input.ms, input, { signal }),
  "/conformance/blob": async ({ data }, call) => {
    const { blob_id } = await ask(call, "blobs/put", { data });
    return { blob_id, data: (await ask(call, "blobs/get", { blob_id })).data };
  },
}));

// By `/greet`, and by `greet` and `/<name of the plugin>/greet` as well.
const find = (path) => typeof path !== "string" ? raise(-32602, "it takes the path of a `component`")
  : [path, `/${path}`, path.replace(`/${runtime.protocol_prefix}/`, "/")].find((it) => components.has(it))
  ?? raise(-32001, `there is no ${path} here, but ${[...components.keys()].join(", ")}`);


// Methods: params go in, a result comes out.
const hello = { server_protocol_version: 1, server: { name: "example" }, capabilities: { cancel: {} } };
const methods = new Map(Object.entries({
  "initialize": ({ runtime_protocol_version: theirs, ...more }) => theirs === 1 ? Object.assign(runtime, more) && hello
    : raise(theirs === undefined ? -32602 : -32002, `version ${theirs} is not ours, 1`),
  "components/list": () => ({ components: [...components.keys()].map((name) => ({ component: name })) }),
  "components/info": ({ component }) => ({ info: { component: find(component) } }),
  "components/execute": async ({ component, input, ...more }, call) => input === undefined ? raise(-32602, "no input")
    : { output: await components.get(find(component))(input, { ...more, ...call }) },
}));


// Each request is answered exactly once, whatever becomes of it.
async function serve(id, method, params) {
  const controller = new AbortController(), { signal } = controller;
  calls.set(id, controller);
  try {
    if (typeof method !== "string") raise(-32600, "a request needs a `method`");
    if (method !== "initialize" && !runtime.ready) raise(-32002, "shake hands first");
    if (!methods.has(method)) raise(-32601, `there is no method ${method} here`);
    send({ id, result: await methods.get(method)(params, { id, signal }) });
  } catch (it) {
    const { code, message, data } = signal.aborted ? { code: -32012, message: "cancelled" } : it;
    send({ id, error: { code: Number.isInteger(code) ? code : -32004, message, data } });
  }
  calls.delete(id);
}


// Messages in. The reader waits for no component, and for no message on its way out.
const read = (line) => { try { return JSON.parse(line.trim()) ?? {}; } catch { return {}; } }; // noise has no id

function receive(message) {
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
  for (const next of more) { receive(read(line)); line = next; }
}
process.exit(); // the end of stdin: nobody is left to read an answer
