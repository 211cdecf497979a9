// The Node.js peer, `ws`.
//
//    node peer_ws.mjs client URL    checks an echo server; a line per check
//    node peer_ws.mjs away URL      waits for a connection to be closed with 1001
//    node peer_ws.mjs tls URL       the same over TLS only; prints what was agreed on, or the error
//    node peer_ws.mjs server        serves the paths at the end of this file, until SIGTERM
//
// About TLS see `peer_tls.mjs`.
import WebSocket, { WebSocketServer } from "ws";
import { agreed, listen, settings } from "./peer_tls.mjs";

const MIB = 1024 * 1024;

/** A connection that keeps what comes in until it is asked for. */
class Client {
  constructor(url, protocols = [], options = {}) {
    this.socket = new WebSocket(url, protocols, { ...settings, ...options });
    this.waiting = [];
    this.arrived = [];
    const put = (event) => {
      const taker = this.waiting.shift();
      if (taker) taker(event);
      else this.arrived.push(event);
    };
    this.socket.on("open", () => put({ kind: "open" }));
    this.socket.on("message", (data, binary) => put({ kind: binary ? "binary" : "text", data }));
    this.socket.on("pong", (data) => put({ kind: "pong", data }));
    this.socket.on("error", (error) => put({ kind: "error", error }));
    this.socket.on("close", (code, reason) => put({ kind: "close", code, reason: reason.toString() }));
  }

  async next(kind) {
    const event = this.arrived.shift() ?? (await new Promise((done) => this.waiting.push(done)));
    if (event.kind !== kind) {
      throw new Error(`expected ${kind}, got ${event.kind} ${event.error ?? event.code ?? event.data}`);
    }
    return event;
  }

  async echoed(data) {
    const kind = typeof data === "string" ? "text" : "binary";
    const got = await this.next(kind);
    equal(Buffer.compare(got.data, Buffer.from(data)), 0, `the ${kind} echo differs`);
  }

  /** Closes from this side and expects the code back, with the reason or without. */
  async finish(code = 1000, reason = "") {
    this.socket.close(code, reason);
    const closed = await this.next("close");
    equal(closed.code, code, "close code");
    if (closed.reason !== "") equal(closed.reason, reason, "close reason");
  }
}

function equal(got, expected, what) {
  if (got !== expected) throw new Error(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(expected)}`);
}

async function open(url, protocols, options) {
  const client = new Client(url, protocols, options);
  await client.next("open");
  return client;
}

/** Sends each message, and expects it back before the next. */
function echoes(...messages) {
  return async (url) => {
    const client = await open(url);
    for (const message of messages) {
      client.socket.send(message);
      await client.echoed(message);
    }
    await client.finish();
  };
}

function fragments(parts) {
  return async (url) => {
    const client = await open(url);
    parts.forEach((part, i) => {
      client.socket.send(part, { fin: i === parts.length - 1, binary: typeof parts[0] !== "string" });
      client.socket.ping(`after ${i}`);
    });
    // A ping between fragments is answered, with or without the earlier pongs
    // (RFC 6455, 5.5.3: the latest is enough), and the message is echoed once.
    const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
    let echo;
    let pong;
    while (echo === undefined || pong !== `after ${parts.length - 1}`) {
      const event = client.arrived.shift() ?? (await new Promise((done) => client.waiting.push(done)));
      if (event.kind === "pong") pong = event.data.toString();
      else if (echo === undefined && event.kind === (typeof parts[0] === "string" ? "text" : "binary")) echo = event.data;
      else throw new Error(`unexpected ${event.kind}`);
    }
    equal(Buffer.compare(echo, whole), 0, "the echo differs");
    await client.finish();
  };
}

/** Sends something that the server must refuse, and expects it to close with `code`. */
function refused(code, send) {
  return async (url) => {
    const client = await open(url);
    send(client.socket);
    equal((await client.next("close")).code, code, "close code");
  };
}

const euro = Buffer.from("€");
const clientChecks = {
  "text": echoes("Hello", "\u0000", "κόσμε 💬"),
  "binary": echoes(Buffer.from([0, 1, 2, 255])),
  "empty text and empty binary": echoes("", Buffer.alloc(0)),
  "sizes around the length forms": echoes(...[125, 126, 127, 65535, 65536].flatMap((n) => ["x".repeat(n), Buffer.alloc(n, 7)])),
  "1 MiB": echoes("é".repeat(MIB / 2), Buffer.alloc(MIB, 255)),
  "2 MiB, the longest that the server takes": echoes("é".repeat(MIB), Buffer.alloc(2 * MIB, 255)),
  "any path and query": (url) => echoes("here")(`${url}/some/where?a=b&c=%20`),
  "without an offer of compression": async (url) => {
    const client = await open(url, [], { perMessageDeflate: false });
    equal(client.socket.extensions, "", "extensions");
    client.socket.send("plain");
    await client.echoed("plain");
    await client.finish();
  },
  "fragmented text, pings between": fragments(["one ", "", "two ", "three"]),
  "fragmented binary, pings between": fragments([Buffer.alloc(70000, 1), Buffer.alloc(1, 2), Buffer.alloc(0)]),
  "fragments that split a character": async (url) => {
    const client = await open(url);
    client.socket.send(euro.subarray(0, 1), { binary: false, fin: false });
    client.socket.send(euro.subarray(1), { binary: false, fin: true });
    await client.echoed("€");
    await client.finish();
  },
  "200 messages before the first echo is read": async (url) => {
    const client = await open(url);
    const messages = Array.from({ length: 200 }, (_, i) => (i % 2 ? `message ${i}` : Buffer.alloc(i * 10, i)));
    for (const message of messages) client.socket.send(message);
    for (const message of messages) await client.echoed(message);
    await client.finish();
  },
  "5000 small messages at once": async (url) => {
    const client = await open(url);
    for (let i = 0; i < 5000; i += 1) client.socket.send(`${i}`);
    for (let i = 0; i < 5000; i += 1) await client.echoed(`${i}`);
    await client.finish();
  },
  "ping": async (url) => {
    const client = await open(url);
    for (const payload of ["", "p".repeat(125)]) {
      client.socket.ping(payload);
      equal((await client.next("pong")).data.toString(), payload, "pong");
    }
    client.socket.pong("nobody asked");
    await client.finish();
  },
  "close without a code": async (url) => {
    const client = await open(url);
    client.socket.close();
    const closed = await client.next("close");
    equal(closed.code, 1005, "close code");
    equal(closed.reason, "", "close reason");
  },
  "close 1000, 1001, 3000 and 4999, with reasons": async (url) => {
    const reasons = { 1000: "", 1001: "over", 3000: "ünï".repeat(20), 4999: "r".repeat(123) };
    for (const [code, reason] of Object.entries(reasons)) await (await open(url)).finish(Number(code), reason);
  },
  "subprotocols offered, none is chosen": async (url) => {
    // This client takes that for an error; the server must not make one up.
    const client = new Client(url, ["superchat", "chat"]);
    const { error } = await client.next("error");
    equal(error.message, "Server sent no subprotocol", "error");
  },
  "invalid UTF-8 is answered by 1007": refused(1007, (socket) => socket.send(Buffer.from([0xce, 0xff]), { binary: false })),
  "a message that is too big is answered by 1009": refused(1009, (socket) => socket.send(Buffer.alloc(3 * MIB))),
};

async function check(name, body) {
  let guard;
  const late = new Promise((_, fail) => {
    guard = setTimeout(() => fail(new Error("nothing happened for 60 s")), 60_000);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${error.message}`);
  }
  clearTimeout(guard);
}

async function client(url) {
  for (const [name, body] of Object.entries(clientChecks)) await check(name, () => body(url));
  process.exit(0);
}

async function away(url) {
  await check("a server that ends says 1001", async () => {
    const client = await open(url);
    console.log("connected");
    equal((await client.next("close")).code, 1001, "close code");
  });
  process.exit(0);
}

async function tls(url) {
  const client = new Client(url);
  const event = client.arrived.shift() ?? (await new Promise((done) => client.waiting.push(done)));
  if (event.kind === "open") {
    client.socket.send("Hello");
    await client.echoed("Hello");
    console.log(JSON.stringify(agreed(client.socket._socket)));
    await client.finish();
  } else {
    console.log(`refused ${event.error?.code} ${event.error?.message}`);
  }
  process.exit(0);
}

const behaviours = {
  "/echo": () => {},
  "/tls": (socket, request) => socket.send(JSON.stringify(agreed(request.socket))),
  "/request": (socket, request) => {
    socket.send(
      JSON.stringify({
        origin: request.headers.origin ?? null,
        header: request.headers["x-test"] ?? null,
        offered: request.headers["sec-websocket-protocol"] ?? null,
        chosen: socket.protocol || null,
      }),
    );
  },
  "/binary": (socket) => socket.send(Buffer.from([0, 1, 255])),
  "/fragments": (socket) => {
    socket.send("fra", { fin: false });
    socket.ping();
    socket.send("gm", { fin: false });
    socket.send("ents", { fin: true });
  },
  "/ping": (socket) => {
    socket.on("pong", (data) => socket.send(`pong ${data}`));
    socket.ping("are you there");
  },
  "/close": (socket) => socket.once("message", () => socket.close(4001, "on purpose")),
  "/drop": (socket) => socket.once("message", () => socket.terminate()),
};

async function server() {
  const [http, url] = await listen((why) => console.log(`refused ${why}`));
  const listener = new WebSocketServer({
    server: http,
    maxPayload: 4 * MIB,
    verifyClient: ({ req }, answer) => answer(req.url !== "/refuse", 403),
    handleProtocols: (offered) => (offered.has("second") ? "second" : false),
  });
  listener.on("connection", (socket, request) => {
    const behaviour = behaviours[request.url];
    if (!["/close", "/drop"].includes(request.url)) {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    }
    socket.on("error", (error) => console.log(`error ${request.url} ${error.message}`));
    socket.on("close", (code, reason) => console.log(`closed ${request.url} ${code} ${JSON.stringify(reason.toString())}`));
    behaviour(socket, request);
  });
  console.log(`listening on ${url}`);
  process.on("SIGTERM", () => process.exit(0));
}

const [mode, url] = process.argv.slice(2);
await { client, away, tls, server }[mode](url);
