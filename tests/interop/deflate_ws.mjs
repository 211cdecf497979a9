// The Node.js peer, `ws`, with permessage-deflate.
//
//    node deflate_ws.mjs client URL CONFIG   checks an echo server; a line per check
//    node deflate_ws.mjs server CONFIG       echoes, and tells what went over the wire, until SIGTERM
//
// CONFIG is JSON: `server_bits` and `client_bits` (8 to 15, or null to say nothing), `server_takeover` and
// `client_takeover` (false to ask for none).  For `client`: `answer`, the header that the server must answer with, and
// `takeover` and `bits`, what must hold for what the server and the client send, in this order.
//
// About TLS see `peer_tls.mjs`.
import { once } from "node:events";
import WebSocket, { WebSocketServer } from "ws";
import { listen, settings } from "./peer_tls.mjs";

const MIB = 1024 * 1024;
const SIZES = [
  0, 1, 2, 3, 10, 63, 64, 65, 100, 125, 126, 127, 128, 129, 250, 256, 257, 500, 511, 512, 513, 1000, 1023, 1024, 1025,
  2000, 4095, 4096, 5000, 8192, 10000, 16383, 16384, 16385, 20000, 32767, 32768, 32769, 50000, 65535, 65536, 65537,
  100000,
];

function require(holds, what) {
  if (!holds) throw new Error(what);
}

/** Bytes that look random, and are the same each time. */
function noise(size, seed = 1) {
  const bytes = Buffer.alloc(size);
  let state = 0x9e3779b9 ^ Math.imul(seed, 0x85ebca6b) || 1;
  for (let i = 0; i < size; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Text like that of many programs. */
function json(size) {
  let text = "";
  for (let i = 0; text.length < size; i += 1) {
    text += `{"id":${i},"name":"user ${(i * 7919) % 1000}","price":${(i * 104729) % 9973},"ok":${i % 3 === 0}},`;
  }
  return text.slice(0, size);
}

function mixed(size) {
  return Buffer.concat([noise(size >> 1, size), Buffer.from(json(size - (size >> 1)))]);
}

function corpus() {
  const messages = SIZES.flatMap((size) => [json(size), noise(size, size), Buffer.alloc(size, size), mixed(size)]);
  return [...messages, "κόσμε 💬".repeat(999), json(MIB), noise(MIB)];
}

/** Sends a message whole, in fragments, or as it is, by turns. */
function send(socket, message, i) {
  const binary = typeof message !== "string";
  if (i % 5 === 4) {
    socket.send(message, { compress: false });
  } else if (i % 3 === 2) {
    const bytes = Buffer.from(message);
    for (const [from, to] of [[0, 0.2], [0.2, 0.2], [0.2, 0.7], [0.7, 1]]) {
      const part = bytes.subarray(Math.floor(from * bytes.length), Math.floor(to * bytes.length));
      socket.send(part, { binary, fin: to === 1 });
    }
  } else {
    socket.send(message);
  }
}

/** Messages that come in, one after the other. */
async function* messages(socket) {
  const waiting = [];
  let wake = () => {};
  socket.on("message", (data, binary) => wake(waiting.push({ data, binary })));
  socket.on("error", (error) => wake(waiting.push({ error })));
  socket.on("close", (code) => wake(waiting.push({ error: new Error(`closed with ${code}`) })));
  for (;;) {
    while (waiting.length === 0) await new Promise((done) => (wake = done));
    const next = waiting.shift();
    if (next.error) throw next.error;
    yield next;
  }
}

async function expect(incoming, message, i) {
  const { data, binary } = (await incoming.next()).value;
  require(binary === (typeof message !== "string"), `echo ${i} is of the other type`);
  const same = Buffer.compare(data, Buffer.from(message)) === 0;
  require(same, `echo ${i}, of ${message.length} characters or bytes, differs`);
}

function options(config) {
  return {
    threshold: 0,
    serverNoContextTakeover: config.server_takeover ? undefined : true,
    clientNoContextTakeover: config.client_takeover ? undefined : true,
    serverMaxWindowBits: config.server_bits ?? undefined,
    clientMaxWindowBits: config.client_bits ?? undefined,
  };
}

const clientChecks = {
  "the answer is as expected": async ({ answer, config }) => require(answer === config.answer, `it is ${answer}`),
  "one message after the other": async ({ socket, incoming }) => {
    for (const [i, message] of corpus().entries()) {
      send(socket, message, i);
      await expect(incoming, message, i);
    }
  },
  "many messages at once": async ({ socket, incoming }) => {
    const all = corpus();
    all.forEach((message, i) => send(socket, message, i + 1));
    for (const [i, message] of all.entries()) await expect(incoming, message, i);
  },
  "both directions are compressed": async (client) => {
    const [read, written] = await client.carry(Array.from({ length: 20 }, () => json(4000)));
    require(read < 40_000 && written < 40_000, `80,000 bytes became ${written} there and ${read} back`);
  },
  "earlier messages are made use of, or not, as agreed": async (client) => {
    // Each fits into the smallest window several times, and has nothing in it that repeats.
    const message = noise(2 ** (Math.min(...client.config.bits) - 2), 99);
    const all = 20 * message.length;
    const carried = await client.carry(Array.from({ length: 20 }, () => message));
    client.config.takeover.forEach((takeover, i) => {
      const small = carried[i] < 0.7 * all;
      require(small === takeover, `${all} bytes from the ${["server", "client"][i]} became ${carried[i]}`);
    });
  },
};

class Client {
  static async open(url, config) {
    const client = new Client();
    client.config = config;
    client.socket = new WebSocket(url, { ...settings, perMessageDeflate: options(config) });
    client.socket.on("upgrade", (response) => (client.answer = response.headers["sec-websocket-extensions"] ?? ""));
    client.incoming = messages(client.socket);
    client.incoming.next = client.incoming.next.bind(client.incoming);
    await once(client.socket, "open");
    return client;
  }

  /** Bytes from and to the server for these messages and their echoes, one after the other. */
  async carry(all) {
    const tcp = this.socket._socket;
    const [read, written] = [tcp.bytesRead, tcp.bytesWritten];
    for (const [i, message] of all.entries()) {
      this.socket.send(message);
      await expect(this.incoming, message, i);
    }
    return [tcp.bytesRead - read, tcp.bytesWritten - written];
  }
}

async function client(url, config) {
  const connection = await Client.open(url, config);
  for (const [name, body] of Object.entries(clientChecks)) {
    let guard;
    const late = new Promise((_, fail) => {
      guard = setTimeout(() => fail(new Error("nothing happened for 60 s")), 60_000);
    });
    try {
      await Promise.race([body(connection), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`FAIL ${name}: ${error.message}`);
    }
    clearTimeout(guard);
  }
  connection.incoming.next().catch(() => {});
  connection.socket.close(1000);
  const [code] = await once(connection.socket, "close");
  console.log(`${code === 1000 ? "ok" : "FAIL"} closed with ${code}`);
  process.exit(0);
}

async function server(config) {
  const [http, url] = await listen();
  const listener = new WebSocketServer({
    server: http,
    maxPayload: 4 * MIB,
    perMessageDeflate: options(config),
  });
  listener.on("headers", (lines, request) => {
    request.answer = lines.find((line) => /^sec-websocket-extensions:/i.test(line))?.replace(/^[^:]*: */, "") ?? "";
  });
  listener.on("connection", (socket, request) => {
    const tcp = socket._socket;
    const [read, written] = [tcp.bytesRead, tcp.bytesWritten];
    let [count, carried] = [0, 0];
    socket.on("message", (data, binary) => {
      carried += data.length;
      if (request.url === "/turns") send(socket, binary ? data : data.toString(), count);
      else socket.send(data, { binary });
      count += 1;
    });
    socket.on("error", (error) => console.log(`error ${error.message}`));
    socket.on("close", (code) => {
      const wire = { read: tcp.bytesRead - read, written: tcp.bytesWritten - written };
      console.log(`closed ${JSON.stringify({ code, answer: request.answer, count, carried, ...wire })}`);
    });
  });
  console.log(`listening on ${url}`);
  process.on("SIGTERM", () => process.exit(0));
}

const [mode, ...rest] = process.argv.slice(2);
const config = JSON.parse(rest.pop());
await (mode === "client" ? client(rest[0], config) : server(config));
