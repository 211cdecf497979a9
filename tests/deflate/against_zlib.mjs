// Holds the zlib of Node.js against our end of a compressed connection: against_zlib.mjs PEER

import { spawn } from 'node:child_process';
import zlib from 'node:zlib';

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const { Z_SYNC_FLUSH, Z_FULL_FLUSH } = zlib.constants;
const STRATEGIES = [0, 1, 2, 3, 4];

class Peer {
  constructor(program) {
    this.process = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((done) => this.process.on('exit', done));
    this.chunks = this.process.stdout[Symbol.asyncIterator]();
    this.buffer = Buffer.alloc(0);
  }

  async more() {
    const { value, done } = await this.chunks.next();
    if (done) throw new Error('the peer is gone');
    this.buffer = Buffer.concat([this.buffer, value]);
  }

  async ask(words, body = Buffer.alloc(0)) {
    this.process.stdin.write(Buffer.concat([Buffer.from(`${words} ${body.length}\n`), body]));
    let end;
    while ((end = this.buffer.indexOf(10)) < 0) await this.more();
    const answer = this.buffer.subarray(0, end).toString().split(' ');
    const length = Number(answer.pop());
    while (this.buffer.length < end + 1 + length) await this.more();
    const bytes = this.buffer.subarray(end + 1, end + 1 + length);
    this.buffer = this.buffer.subarray(end + 1 + length);
    return [answer.join(' '), bytes];
  }
}

// The same numbers for the same seed, on every machine.
function randomness(seed) {
  let state = (seed * 2654435761) >>> 0;
  const number = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => number() % n;
  const pick = (list) => list[below(list.length)];
  const bytes = (n) => Buffer.from(Array.from({ length: n }, () => below(256)));
  return { below, pick, bytes };
}

// A compressor or decompressor that works on one piece at a time.
class Machine {
  constructor(raw) {
    this.raw = raw;
    this.out = [];
    this.failed = new Promise((_, fail) => raw.on('error', fail));
    this.failed.catch(() => {});
    raw.on('data', (piece) => this.out.push(piece));
  }

  async push(piece, flush) {
    if (piece.length > 0) {
      await Promise.race([this.failed, new Promise((done) => this.raw.write(piece, done))]);
    }
    await Promise.race([this.failed, new Promise((done) => this.raw.flush(flush, done))]);
    return Buffer.concat(this.out.splice(0));
  }
}

function messages(random, bits) {
  const window = 1 << bits;
  const block = random.bytes(window + 300);
  const records = JSON.stringify(Array.from({ length: 60 }, (_, i) => ({ id: i, name: `user ${i * 7}`, tags: ['a', 'b'] })));
  return [
    Buffer.alloc(0), Buffer.from('x'), Buffer.from('Hello'), Buffer.from('Hello'), random.bytes(300),
    Buffer.from(records), Buffer.from(records.replaceAll('user', 'nobody')), Buffer.concat([block, block.subarray(0, 200)]),
    block.subarray(-window), block.subarray(-window - 1), block.subarray(0, 50), Buffer.from('ab'.repeat(500)),
    Buffer.alloc(random.pick([100, 5000])),
  ].map((message) => [random.below(1000), message]).sort(([a], [b]) => a - b).map(([, message]) => message);
}

async function theirs(peer, random, all, bits, takeover, level, memLevel) {
  let made;
  for (const message of all) {
    if (!made || !takeover) {
      made = new Machine(zlib.createDeflateRaw({ windowBits: Math.max(bits, 9), level, memLevel, strategy: random.pick(STRATEGIES) }));
    }
    const at = random.below(message.length + 1);
    let payload = Buffer.alloc(0);
    if (at > 0 && random.below(3) === 0) {
      payload = await made.push(message.subarray(0, at), random.pick([Z_SYNC_FLUSH, Z_FULL_FLUSH]));
      if (at < message.length) payload = Buffer.concat([payload, await made.push(message.subarray(at), Z_SYNC_FLUSH)]);
    } else if (message.length > 0) {
      payload = await made.push(message, Z_SYNC_FLUSH);
    }
    payload = message.length === 0 ? Buffer.from([0]) : payload.subarray(0, -4);
    const read = payload.length < 10000 ? random.pick([1, 7, 1000, 1 << 20]) : random.pick([1000, 1 << 20]);
    const size = Math.max(random.pick([payload.length, 1 + random.below(payload.length + 1)]), payload.length / 500 | 0, 1);
    const [word, got] = await peer.ask(`inflate ${read} ${size}`, payload);
    if (word !== 'message' || !got.equals(message)) {
      throw new Error(`theirs: ${word}, ${got.length} of ${message.length} bytes`);
    }
  }
}

async function ours(peer, random, all, bits, takeover) {
  let machine;
  for (const message of all) {
    // No room for more than 64 bytes at a time, so that it can't look back further than its window.
    if (!machine || !takeover) machine = new Machine(zlib.createInflateRaw({ windowBits: bits, chunkSize: 64 }));
    const how = random.pick(['whole', 'whole', 'whole', 'pieces', 'prepared', 'plain']);
    if (random.below(10) === 0) await peer.ask('pause');
    const [word, payload] = await peer.ask(`deflate ${how} ${1 + (message.length / (1 + random.below(8)) | 0)}`, message);
    if (word !== (how === 'plain' ? 'plain' : 'compressed')) throw new Error(word);
    const got = how === 'plain' ? payload : await machine.push(Buffer.concat([payload, TAIL]), Z_SYNC_FLUSH);
    if (!got.equals(message)) throw new Error(`ours: ${got.length} of ${message.length} bytes`);
  }
}

const peer = new Peer(process.argv[2]);
let [passed, failed, count, seed] = [0, 0, 0, 0];
for (let bits = 8; bits <= 15; bits++) {
  for (const takeover of [true, false]) {
    for (const [level, memory] of [[1, 8], [3, 1], [6, 8], [9, 9]]) {
      const random = randomness(++seed);
      let offer = `permessage-deflate; server_max_window_bits=${bits}; client_max_window_bits=${bits}`;
      if (!takeover) offer += '; server_no_context_takeover; client_no_context_takeover';
      const open = `open ${random.pick(['server', 'client'])} ${random.pick(['chunks', 'messages'])} ${level} ${memory} ${random.pick(['own', 'shared'])}`;
      try {
        await peer.ask(open, Buffer.from(offer));
        const all = [...messages(random, bits), ...messages(random, bits)];
        if (level === 6) all.push(random.bytes(66000), Buffer.alloc(70000), Buffer.from('one two three '.repeat(6000)));
        await ours(peer, random, all, bits, takeover);
        await theirs(peer, random, all, bits, takeover, level, memory);
        passed += 1;
        count += 2 * all.length;
      } catch (error) {
        failed += 1;
        console.log(`FAILED seed ${seed}, ${open}, ${offer}: ${error.message}`);
      }
    }
  }
}
peer.process.stdin.end();
if ((await peer.exited) !== 0) failed += 1;
console.log(`zlib ${process.versions.zlib}: ${count} messages`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
