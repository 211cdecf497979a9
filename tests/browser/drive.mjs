// Chats in real browser pages, and sends compressed messages to and fro; started by `run`.
//
//    node drive.mjs EXAMPLES CHROMIUM SCREENSHOTS CERTIFICATES
//
// EXAMPLES is the folder with `chat` and `echo_server`, CHROMIUM the browser,
// SCREENSHOTS a folder for one picture per viewport, CERTIFICATES what `../tls/make`
// has made. Of these the browser trusts the key of `server.pem`. Prints a line per check and `N passed, M failed`.
//
// What it relies on in the page: `#state` with `data-state` one of `connecting`,
// `open`, `closed`; `#people` with one `li` per person; `#log` with one child
// per line; a form with `#input` and `#send`.
import { spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const [programs, executablePath, pictures, certificates] = process.argv.slice(2);
// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE = 60_000;

function require(holds, what) {
  if (!holds) throw new Error(what);
}

/** Waits until `look` finds what it wants; `look` returns undefined until then. */
async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(25);
  }
}

const servers = [];

/** The chat server, with its console, or another server of ours. */
class Server {
  static async start(address, options = [], program = "chat") {
    const server = new Server();
    servers.push(server);
    server.lines = [];
    server.process = spawn(join(programs, program), ["--listen", address, ...options], { stdio: ["pipe", "pipe", "inherit"] });
    server.ended = new Promise((done) => {
      server.process.on("error", (error) => done(error.message));
      server.process.on("exit", (status, signal) => done(status ?? signal));
    });
    server.ended.then(() => (server.gone = true));
    createInterface({ input: server.process.stdout }).on("line", (line) => server.lines.push(line));
    server.url = await server.says(/^listening on (\w+:\/\/\S+)$/);
    return server;
  }

  /** The first group of the first line from now on, or among those not yet read, that matches. */
  says(pattern) {
    return until(`a line like ${pattern} from the server`, () => {
      while (this.lines.length > 0) {
        const match = this.lines.shift().match(pattern);
        if (match) return match[1] ?? match[0];
      }
      require(!this.gone, "the server ended");
    });
  }

  async end(how) {
    how();
    const status = await Promise.race([this.ended, sleep(PATIENCE, "nothing", { ref: false })]);
    require(status === 0, `the server ended with ${status}`);
  }
}

/** One person with a page of their own. */
class Person {
  static async join(browser, url, options = {}) {
    const person = new Person();
    person.faults = [];
    person.foreign = [];
    person.context = await browser.newContext(options);
    await person.context.addInitScript(() => {
      globalThis.sockets = [];
      globalThis.WebSocket = class extends WebSocket {
        constructor(...options) {
          super(...options);
          globalThis.sockets.push(this);
        }
      };
    });
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(PATIENCE);
    person.page.on("pageerror", (error) => person.faults.push(error.message));
    person.page.on("request", (request) => {
      if (new URL(request.url()).host !== new URL(url).host) person.foreign.push(request.url());
    });
    await person.page.goto(url);
    await person.state("open");
    return person;
  }

  async say(text) {
    await this.page.fill("#input", text);
    await this.page.press("#input", "Enter");
  }

  log() {
    return this.page.locator("#log > *").allTextContents();
  }

  people() {
    return this.page.locator("#people li").allTextContents();
  }

  /** The first line that is `line`, or matches it. */
  async sees(line) {
    return until(`the line ${line}`, async () =>
      (await this.log()).find((one) => (typeof line === "string" ? one === line : line.test(one))),
    ).catch(async (error) => {
      throw new Error(`${error.message} in ${JSON.stringify(await this.log())}`);
    });
  }

  async seesPeople(...names) {
    const wanted = JSON.stringify(names.sort());
    await until(`the people ${wanted}`, async () =>
      JSON.stringify((await this.people()).map((name) => name.trim()).sort()) === wanted ? true : undefined,
    ).catch(async (error) => {
      throw new Error(`${error.message}, there are ${JSON.stringify(await this.people())}`);
    });
  }

  async state(...states) {
    const indicator = this.page.locator("#state");
    return until(`the state ${states.join(" or ")}`, async () => {
      const state = await indicator.getAttribute("data-state");
      return states.includes(state) ? state : undefined;
    });
  }

  async fits() {
    const [content, window] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    require(content <= window, `the page is ${content} wide in a window of ${window}`);
    for (const id of ["#log", "#input", "#send"]) {
      const box = await this.page.locator(id).boundingBox();
      const { width, height } = this.page.viewportSize();
      require(box !== null, `${id} is not visible`);
      require(
        box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height,
        `${id} is outside of the window: ${JSON.stringify(box)}`,
      );
    }
  }
}

let passed = 0;
const failed = [];

/** What comes later builds on what comes earlier: the first failure ends the run. */
async function check(name, body) {
  try {
    await body();
    console.log(`ok ${name}`);
    passed += 1;
  } catch (error) {
    console.log(`FAIL ${name}: ${error.message}`);
    failed.push(name);
    throw error;
  }
}

async function chat(browser) {
  let server;
  let alice;
  let bob;
  let carol;
  const DESKTOP = { viewport: { width: 1100, height: 720 } };
  const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

  await check("the server says where it listens", async () => {
    server = await Server.start("127.0.0.1:0");
  });
  await check("the page opens and connects", async () => {
    alice = await Person.join(browser, server.url, DESKTOP);
    require((await alice.page.title()).trim() !== "", "the page has no title");
    const text = await alice.page.locator("#state").textContent();
    require(text.trim() === "connected", `the state reads ${JSON.stringify(text)}`);
  });
  await check("one without a name is john doe", () => alice.seesPeople("john doe"));
  await check("a second page joins", async () => {
    bob = await Person.join(browser, server.url, DESKTOP);
    await until("two people", async () => ((await alice.people()).length === 2 ? true : undefined));
  });
  await check("a rename is announced", async () => {
    await alice.say("/nick alice");
    await bob.sees(/^server: .*\bjohn doe\b.*\balice\b/);
    await until("alice among the people", async () => ((await bob.people()).includes("alice") ? true : undefined));
  });
  await check("a name that is taken gets an underscore", async () => {
    await bob.say("/nick alice");
    await alice.sees(/^server: .*\balice_(?!\w)/);
    await alice.seesPeople("alice", "alice_");
    await bob.seesPeople("alice", "alice_");
  });
  await check("another rename", async () => {
    await bob.say("/nick bob");
    await alice.sees(/^server: .*\balice_ .*\bbob\b/);
    await alice.seesPeople("alice", "bob");
    await bob.seesPeople("alice", "bob");
  });
  await check("the sender sees me, the other sees the name", async () => {
    await alice.say("hi");
    await alice.sees("me: hi");
    await bob.sees("alice: hi");
    require(!(await bob.log()).includes("me: hi"), "the other saw me: as well");
    require(!(await alice.log()).includes("alice: hi"), "the sender saw the name as well");
    require((await alice.page.inputValue("#input")) === "", "the input was not cleared");
  });
  await check("the button sends, too", async () => {
    await bob.page.fill("#input", "hello alice");
    await bob.page.click("#send");
    await bob.sees("me: hello alice");
    await alice.sees("bob: hello alice");
  });
  await check("text is shown as it was typed", async () => {
    const text = "<b>1 & 2</b> κόσμε 💬 \"'";
    await alice.say(text);
    await alice.sees(`me: ${text}`);
    await bob.sees(`alice: ${text}`);
    require((await bob.page.locator("#log b").count()) === 0, "markup was taken for markup");
  });
  await check("nothing is sent for an empty line", async () => {
    const before = (await alice.log()).length;
    await alice.page.press("#input", "Enter");
    await bob.say("next");
    await alice.sees("bob: next");
    require((await alice.log()).length === before + 1, "there is one line too many");
  });
  await check("the console counts the people", async () => {
    server.process.stdin.write("users\n");
    await server.says(/\b2\b/);
  });
  await check("a phone joins and nothing scrolls sideways", async () => {
    carol = await Person.join(browser, server.url, PHONE);
    await carol.say("/nick carol");
    for (const person of [alice, bob, carol]) await person.seesPeople("alice", "bob", "carol");
    await carol.fits();
    await alice.say("w".repeat(400));
    await carol.sees(`alice: ${"w".repeat(400)}`);
    for (let i = 0; i < 40; i += 1) await bob.say(`line ${i}`);
    await carol.sees("bob: line 39");
    await carol.say("hello from the phone");
    await alice.sees("carol: hello from the phone");
    await carol.fits();
    await alice.fits();
    await until("the last line in sight", () =>
      carol.page.locator("#log > *").last().evaluate((line) => {
        const { top, bottom } = line.getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight ? true : undefined;
      }),
    );
  });
  await check("a picture of each viewport", async () => {
    await alice.page.screenshot({ path: join(pictures, "desktop.png") });
    await carol.page.screenshot({ path: join(pictures, "phone.png") });
  });
  await check("who leaves is announced", async () => {
    await carol.context.close();
    await alice.sees(/^server: .*\bcarol\b.*\b(left|leaves|gone)\b/);
    await bob.seesPeople("alice", "bob");
  });
  await check("the page says that the server is gone", async () => {
    await server.end(() => server.process.kill("SIGTERM"));
    for (const person of [alice, bob]) await person.state("connecting", "closed");
    await alice.page.screenshot({ path: join(pictures, "away.png") });
  });
  await check("the pages connect again by themselves", async () => {
    server = await Server.start(new URL(server.url).host);
    for (const person of [alice, bob]) await person.state("open");
    await until("two people", async () => ((await alice.people()).length === 2 ? true : undefined));
    await alice.say("still there?");
    await alice.sees("me: still there?");
    await bob.sees(/: still there\?$/);
  });
  await check("a browser without WebSocket is told so", async () => {
    const context = await browser.newContext();
    await context.addInitScript(() => delete globalThis.WebSocket);
    const page = await context.newPage();
    await page.goto(server.url);
    await until("the state closed", async () =>
      (await page.locator("#state").getAttribute("data-state")) === "closed" ? true : undefined,
    );
    await context.close();
  });
  await check("nothing went wrong in a page, and nothing came from elsewhere", async () => {
    for (const person of [alice, bob, carol]) {
      require(person.faults.length === 0, `errors: ${person.faults.join("; ")}`);
      require(person.foreign.length === 0, `requests: ${person.foreign.join("; ")}`);
    }
  });
  await check("quit on the console ends the server", async () => {
    await server.end(() => server.process.stdin.write("quit\n"));
    await alice.state("connecting", "closed");
  });
}

/** Runs in a page: opens a WebSocket, sends messages whole and expects each back; gives the extensions. */
async function echoed(url) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const events = [];
  let wake = () => {};
  for (const type of ["open", "message", "close"]) {
    socket.addEventListener(type, (event) => {
      events.push(event);
      wake();
    });
  }
  const next = async (type) => {
    while (events.length === 0) await new Promise((done) => (wake = done));
    const event = events.shift();
    if (event.type !== type) throw new Error(`${event.type} ${event.code ?? ""} instead of ${type}`);
    return event;
  };
  const noise = (size) => {
    const bytes = new Uint8Array(size);
    for (let from = 0; from < size; from += 65536) crypto.getRandomValues(bytes.subarray(from, from + 65536));
    return bytes;
  };
  const same = (got, sent) => {
    if (typeof sent === "string") return got === sent;
    const bytes = new Uint8Array(got);
    return bytes.length === sent.length && bytes.every((byte, i) => byte === sent[i]);
  };
  await next("open");
  const messages = [0, 1, 2, 100, 127, 128, 129, 1000, 5000, 32768, 65535, 65536, 100_000, 1_000_000].flatMap((size) => {
    const words = '{"name":"κόσμε","ok":true},'.repeat(Math.ceil(size / 27)).slice(0, size);
    return [words, noise(size), new Uint8Array(size), words];
  });
  for (const atOnce of [false, true]) {
    if (atOnce) for (const message of messages) socket.send(message);
    for (const [i, message] of messages.entries()) {
      if (!atOnce) socket.send(message);
      if (!same((await next("message")).data, message)) throw new Error(`echo ${i}, of ${message.length}, differs`);
    }
  }
  socket.close(1000);
  const { code, wasClean } = await next("close");
  if (code !== 1000 || !wasClean) throw new Error(`closed with ${code}`);
  return socket.extensions;
}

async function compression(browser) {
  const name = "permessage-deflate";
  const windows = (bits) => `; server_max_window_bits=${bits}; client_max_window_bits=${bits}`;
  const none = "; server_no_context_takeover; client_no_context_takeover";
  const cases = [
    [[], ""],
    [["--deflate"], name],
    [["--deflate", "--deflate-min", "0"], name],
    [["--deflate", "--deflate-no-takeover"], name + none],
    [["--deflate", "--deflate-window", "12"], name + windows(12)],
    [["--deflate", "--deflate-min", "0", "--deflate-window", "9"], name + windows(9)],
    [["--deflate", "--deflate-min", "0", "--deflate-window", "8"], name + windows(8)],
    [["--deflate", "--deflate-window", "10", "--deflate-no-takeover"], name + none + windows(10)],
  ];
  for (const [options, expected] of cases) {
    await check(`echo_server ${options.join(" ")}`, async () => {
      const server = await Server.start("127.0.0.1:0", options, "echo_server");
      const page = await browser.newPage();
      const extensions = await Promise.race([
        page.evaluate(echoed, server.url),
        sleep(PATIENCE, "waited in vain", { ref: false }),
      ]);
      require(extensions === expected, `the extensions are ${JSON.stringify(extensions)}`);
      await page.close();
      await server.end(() => server.process.kill("SIGTERM"));
    });
  }
  await check("the chat compresses", async () => {
    const server = await Server.start("127.0.0.1:0", ["--deflate"]);
    const alice = await Person.join(browser, server.url);
    const bob = await Person.join(browser, server.url);
    for (const person of [alice, bob]) {
      const [extensions] = await person.page.evaluate(() => globalThis.sockets.map((socket) => socket.extensions));
      require(extensions === name, `the extensions are ${JSON.stringify(extensions)}`);
    }
    for (let i = 0; i < 10; i += 1) {
      for (const [from, to] of [[alice, bob], [bob, alice]]) {
        const text = `${i} ${"compressed or not ".repeat(10 * i)}`.trim();
        await from.say(text);
        await from.sees(`me: ${text}`);
        await to.sees(`john doe: ${text}`);
      }
    }
    await server.end(() => server.process.stdin.write("quit\n"));
    for (const person of [alice, bob]) await person.context.close();
  });
}

/** What a server is told to speak TLS with this certificate. */
function identity(name) {
  return ["--tls-cert", join(certificates, `${name}.pem`), "--tls-key", join(certificates, `${name}.key`)];
}

async function tls(browser) {
  let server;
  let alice;
  let bob;
  await check("the chat speaks TLS", async () => {
    server = await Server.start("127.0.0.1:0", [...identity("server"), "--deflate"]);
    require(server.url.startsWith("https://"), `its URL is ${server.url}`);
  });
  await check("the page opens over https, and connects with wss", async () => {
    // Once by address, once by name.
    alice = await Person.join(browser, server.url);
    bob = await Person.join(browser, server.url.replace("127.0.0.1", "localhost"));
    for (const person of [alice, bob]) {
      const sockets = await person.page.evaluate(() => globalThis.sockets.map(({ url, extensions }) => ({ url, extensions })));
      require(sockets.length === 1, `there are ${sockets.length} WebSockets`);
      require(sockets[0].url.startsWith("wss://"), `its URL is ${sockets[0].url}`);
      require(sockets[0].extensions === "permessage-deflate", `the extensions are ${sockets[0].extensions}`);
      require(await person.page.evaluate(() => isSecureContext), "the page is not in a secure context");
    }
  });
  await check("a chat over TLS, both ways", async () => {
    await alice.say("/nick alice");
    await bob.sees(/^server: .*\balice\b/);
    await bob.say("/nick bob");
    for (const person of [alice, bob]) await person.seesPeople("alice", "bob");
    for (let i = 0; i < 10; i += 1) {
      for (const [from, to, name] of [[alice, bob, "alice"], [bob, alice, "bob"]]) {
        const text = `${i} κόσμε 💬 ${"over TLS ".repeat(20 * i)}`.trim();
        await from.say(text);
        await from.sees(`me: ${text}`);
        await to.sees(`${name}: ${text}`);
      }
    }
  });
  await check("the pages come back when the server does, over TLS", async () => {
    const { host } = new URL(server.url);
    await server.end(() => server.process.stdin.write("quit\n"));
    for (const person of [alice, bob]) await person.state("connecting", "closed");
    server = await Server.start(host, [...identity("server"), "--deflate"]);
    for (const person of [alice, bob]) await person.state("open");
    await alice.say("still there?");
    await bob.sees(/: still there\?$/);
    for (const person of [alice, bob]) {
      require(person.faults.length === 0, `errors: ${person.faults.join("; ")}`);
      require(person.foreign.length === 0, `requests: ${person.foreign.join("; ")}`);
      await person.context.close();
    }
    await server.end(() => server.process.stdin.write("quit\n"));
  });
  for (const options of [[], ["--deflate"], ["--deflate", "--deflate-min", "0", "--deflate-no-takeover"]]) {
    await check(`echo_server over TLS ${options.join(" ")}`, async () => {
      const server = await Server.start("127.0.0.1:0", [...identity("server"), ...options], "echo_server");
      const page = await browser.newPage();
      const extensions = await Promise.race([
        page.evaluate(echoed, server.url),
        sleep(PATIENCE, "waited in vain", { ref: false }),
      ]);
      require(extensions.startsWith("permessage-deflate") === options.length > 0, `the extensions are ${extensions}`);
      await page.close();
      await server.end(() => server.process.kill("SIGTERM"));
    });
  }
  await check("nobody speaks to a server with a key that is not trusted, which stays as it is", async () => {
    const server = await Server.start("127.0.0.1:0", identity("renewed"));
    const page = await browser.newPage();
    const error = await page.goto(server.url).then(() => "", ({ message }) => message);
    require(error.includes("ERR_CERT_AUTHORITY_INVALID"), `the page opened, or failed with ${JSON.stringify(error)}`);
    await page.close();
    // Not from the page that failed: it may still be on its way to one that tells of the failure.
    const blank = await browser.newPage();
    const closed = await blank.evaluate(
      (url) => new Promise((done) => (new WebSocket(url).onclose = ({ code, wasClean }) => done(`${code} ${wasClean}`))),
      server.url.replace("https:", "wss:"),
    );
    require(closed === "1006 false", `the WebSocket was closed with ${closed}`);
    await blank.close();
    server.process.stdin.write("users\n");
    await server.says(/\b0\b/);
    await server.end(() => server.process.kill("SIGTERM"));
  });
}

await mkdir(pictures, { recursive: true });
const trusted = (await readFile(join(certificates, "server.spki"), "utf8")).trim();
const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--ignore-certificate-errors-spki-list=${trusted}`,
  ],
});
process.on("exit", () => {
  for (const server of servers) if (!server.gone) server.process.kill("SIGKILL");
});
try {
  await chat(browser);
  await compression(browser);
  await tls(browser);
} catch (error) {
  if (failed.length === 0) throw error;
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed.length} failed`);
// Not by setting the status: a server that is left over would keep the program from ending.
process.exit(failed.length === 0 && passed > 0 ? 0 : 1);
