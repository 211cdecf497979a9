// The peers on Node.js.
//
//    node peer_node.mjs LIBRARY client|server
//
// LIBRARY is `ws` (8 and 13), `ws-0.4` (server: hixie-76, 8 and 13; client: 8 and 13) or `websocket-driver`
// (server: hixie-75, hixie-76 and 13; client: 13).  Events and commands are those of `control.rb`; there is one more:
// `fragments HEX HEX...`, the pieces of a text message.
import { once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const [name, role] = process.argv.slice(2);

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);
const hex = (data) => Buffer.from(data ?? "").toString("hex");
const bytes = (text) => Buffer.from(text ?? "", "hex");
const named = (number) => (/^(8|7)$/.test(number) ? `hybi-0${number}` : String(number));
const announced = (name) => Number(name.replace(/^hybi-/, ""));
const pathOf = (url) => new URL(url, "ws://host").pathname;
const listening = (server) => say(`listening on ws://127.0.0.1:${server.address().port}`);
const subprotocol = "chat";

/** Tells of a connection of `ws`, of whatever release; `isBinary` knows its second argument. */
function follow(socket, isBinary) {
  let opened = false;
  socket.on("open", () => (opened = true));
  socket.on("message", (data, flags) => say(isBinary(data, flags) ? "binary" : "text", hex(data)));
  socket.on("pong", (data) => say("pong", hex(data)));
  socket.on("close", (code, reason) => say("closed", code, hex(reason)));
  // Only a client's socket can fail before it is open.
  socket.on("error", (error) => say(opened || role === "server" ? "note" : "failed", error.message ?? error));
}

const ws = {
  load() {
    const { WebSocket, WebSocketServer } = require("ws");
    return { WebSocket, WebSocketServer };
  },
  open(version, url, protocol, opened) {
    const { WebSocket } = this.load();
    const socket = new WebSocket(url, protocol ? [protocol] : [], { protocolVersion: announced(version) });
    this.follow(socket);
    socket.on("open", () => opened(socket, socket.protocol));
    return socket;
  },
  async serve(opened) {
    const { WebSocketServer } = this.load();
    const handleProtocols = (offered) => offered.has(subprotocol) && subprotocol;
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols });
    server.on("connection", (socket, request) => {
      this.follow(socket);
      opened(socket, named(request.headers["sec-websocket-version"]), pathOf(request.url), socket.protocol);
    });
    await once(server, "listening");
    listening(server);
  },
  follow: (socket) => follow(socket, (_, binary) => binary),
  text: (socket, data) => socket.send(data.toString()),
  binary: (socket, data) => socket.send(data),
  ping: (socket, data) => socket.ping(data),
  fragments(socket, parts) {
    parts.forEach((part, i) => socket.send(part, { binary: false, fin: i === parts.length - 1 }));
  },
  close: (socket, code, reason) => socket.close(code, reason),
  drop: (socket) => socket.terminate(),
};

const ws04 = {
  ...ws,
  load() {
    // That release hashes what it takes for bytes; today strings are hashed as UTF-8.
    const crypto = require("crypto");
    const { createHash } = crypto;
    crypto.createHash = (name, ...rest) => {
      const hash = createHash(name, ...rest);
      const update = hash.update.bind(hash);
      hash.update = (data) => (update(data, "latin1"), hash);
      return hash;
    };
    return require("ws-0.4");
  },
  open(version, url, protocol, opened) {
    const WebSocket = this.load();
    // On top of the origin that it is given it sends another one in version 8, which is none: without a scheme.
    const origin = `http://${new URL(url).host}`;
    const options = { protocolVersion: announced(version), origin, headers: { Origin: origin } };
    if (protocol) options.protocol = protocol;
    const socket = new WebSocket(url, options);
    this.follow(socket);
    socket.on("open", () => opened(socket, socket.protocol));
    return socket;
  },
  async serve(opened) {
    const { Server } = this.load();
    const server = new Server({ host: "127.0.0.1", port: 0 });
    server.on("connection", (socket) => {
      this.follow(socket);
      opened(socket, named(socket.protocolVersion), pathOf(socket.upgradeReq.url), socket.protocol);
    });
    await once(server, "listening");
    listening(server._server);
  },
  follow: (socket) => follow(socket, (_, flags) => flags?.binary === true),
  fragments(socket, parts) {
    const rest = [...parts];
    socket.stream({ binary: false }, (error, send) => {
      if (error) throw new Error(error);
      const part = rest.shift();
      send(part, rest.length === 0);
    });
  },
};

const driver = {
  wire(socket, driver, opened) {
    let closed = [1006, ""];
    driver.on("open", () => opened());
    driver.on("message", ({ data }) => say(typeof data === "string" ? "text" : "binary", hex(data)));
    driver.on("pong", ({ data }) => say("pong", hex(data)));
    driver.on("error", (error) => say("note", error.message));
    driver.on("close", ({ code, reason }) => {
      closed = [code ?? 1005, reason ?? ""];
      socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => say("closed", closed[0], hex(closed[1])));
    socket.pipe(driver.io);
    driver.io.pipe(socket);
    return { driver, socket };
  },
  open(version, url, protocol, opened) {
    const driver = require("websocket-driver").client(url, protocol ? { protocols: [protocol] } : {});
    const { hostname, port } = new URL(url);
    const socket = net.connect(Number(port), hostname, () => driver.start());
    const connection = this.wire(socket, driver, () => opened(connection, driver.protocol));
    return connection;
  },
  async serve(opened) {
    const library = require("websocket-driver");
    const server = net.createServer((socket) => {
      const driver = library.server({ protocols: [subprotocol] });
      const connection = this.wire(socket, driver, () =>
        opened(connection, named(driver.version.replace(/^hybi-/, "")), pathOf(driver.url), driver.protocol),
      );
      driver.on("connect", () => driver.start());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    listening(server);
  },
  text: ({ driver }, data) => driver.text(data.toString()),
  binary: ({ driver }, data) => driver.binary(data),
  ping: ({ driver }, data) => driver.ping(data.toString()),
  fragments() {
    throw new Error("the library sends whole messages only");
  },
  close: ({ driver }, code, reason) => driver.close(reason, code),
  drop: ({ socket }) => socket.destroy(),
};

const library = { ws, "ws-0.4": ws04, "websocket-driver": driver }[name];
let current;

if (role === "server") {
  await library.serve((socket, version, path, protocol) => {
    current = socket;
    say("open", version, path, protocol || "-");
    if (path === "/hello") library.text(socket, "hello");
  });
}
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...args] = line.split(" ");
  switch (command) {
    case "open": {
      const [version, url, protocol] = args;
      current = library.open(version, url, protocol === "-" ? "" : protocol, (_, chosen) =>
        say("open", version, pathOf(url), chosen || "-"),
      );
      break;
    }
    case "text":
    case "binary":
    case "ping":
      library[command](current, bytes(args[0]));
      break;
    case "fragments":
      library.fragments(current, args.map(bytes));
      break;
    case "close":
      library.close(current, args[0] && Number(args[0]), args[1] && bytes(args[1]).toString());
      break;
    case "drop":
      library.drop(current);
  }
}
process.exit(0);
