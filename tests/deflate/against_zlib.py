"""Holds the zlib of Python against our end of a compressed connection: against_zlib.py PEER"""

import random
import subprocess
import sys
import zlib

TAIL = b"\0\0\xff\xff"
STRATEGIES = [
    zlib.Z_DEFAULT_STRATEGY,
    zlib.Z_FILTERED,
    zlib.Z_HUFFMAN_ONLY,
    zlib.Z_RLE,
    zlib.Z_FIXED,
]


class Peer:
    def __init__(self, program):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([program], **pipes)

    def ask(self, words, body=b""):
        self.process.stdin.write(f"{words} {len(body)}\n".encode() + body)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().split()
        if not answer:
            sys.exit("the peer is gone")
        return " ".join(answer[:-1]), self.process.stdout.read(int(answer[-1]))


class Inflater:
    """An inflater that can't look back further than its window: it gets no room for more than a few bytes."""

    def __init__(self, bits):
        self.bits = bits
        self.raw = zlib.decompressobj(-bits)

    def message(self, payload):
        out = []
        data = payload + TAIL
        for at in range(0, len(data), 64):
            rest = data[at : at + 64]
            while True:
                piece = self.raw.decompress(rest, 32)
                out.append(piece)
                rest = self.raw.unconsumed_tail
                if not rest and len(piece) < 32:
                    break
        assert not self.raw.eof and not self.raw.unused_data
        return b"".join(out)


def messages(rng, bits):
    """Many kinds, in an order that the seed tells."""
    window = 1 << bits
    block = rng.randbytes(window + 300)
    record = b'{"id":%d,"name":"user %d","tags":["a","b","c"],"score":%d.5}'
    records = b",".join(record % (i, i * 7, i * i % 100) for i in range(60))
    kinds = [
        b"",
        b"x",
        b"Hello",
        b"Hello",
        rng.randbytes(300),
        records,
        records.replace(b"user", b"nobody"),
        block + block[:200],
        block[-window:],
        block[-window - 1 :],
        block[:50],
        b"ab" * 500,
        bytes(rng.choice([100, 5000])),
    ]
    rng.shuffle(kinds)
    return kinds


def large(rng):
    words = [rng.randbytes(rng.randrange(1, 12)) for _ in range(300)]
    return [
        b" ".join(rng.choices(words, k=9000)),
        bytes(70_000),
        rng.randbytes(66_000),
    ]


def theirs(peer, rng, all, bits, takeover, level, memory):
    made = None
    for message in all:
        if made is None or not takeover:
            strategy = rng.choice(STRATEGIES)
            made = zlib.compressobj(level, zlib.DEFLATED, -max(bits, 9), memory, strategy)
        payload, at = b"", 0
        while at < len(message):
            step = rng.choice([len(message), rng.randrange(1, len(message) + 1)])
            payload += made.compress(message[at : at + step])
            at += step
            if rng.randrange(4) == 0:
                payload += made.flush(rng.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
        last = rng.randrange(8) == 0
        if last:
            # The end of the stream, as some senders end each message.
            payload += made.flush(zlib.Z_FINISH) + b"\0"
            made = None
        else:
            payload += made.flush(zlib.Z_SYNC_FLUSH)
            if not payload.endswith(TAIL):
                payload += b"\0" + TAIL  # nothing to flush since the last one
            payload = payload[:-4]
        read = rng.choice([1, 7, 1000, 1 << 20]) if len(payload) < 10_000 else rng.choice([1000, 1 << 20])
        size = rng.choice([len(payload), rng.randrange(1, len(payload) + 2)])
        got = peer.ask(f"inflate {read} {max(size, len(payload) // 500, 1)}", payload)
        assert got == ("message", message), f"theirs: {got[0]}, {len(got[1])} of {len(message)} bytes"
    return len(all)


def ours(peer, rng, all, bits, takeover):
    inflater = None
    for message in all:
        if inflater is None or not takeover:
            inflater = Inflater(bits)
        how = rng.choice(["whole", "whole", "whole", "pieces", "prepared", "plain"])
        if rng.randrange(10) == 0:
            peer.ask("pause")
        size = max(1, len(message) // rng.randrange(1, 9))
        word, payload = peer.ask(f"deflate {how} {size}", message)
        if how == "plain":
            assert (word, payload) == ("plain", message)
            continue
        assert word == "compressed", word
        got = inflater.message(payload)
        assert got == message, f"ours: {len(got)} of {len(message)} bytes"
    return len(all)


def round(peer, seed, bits, takeover, level, memory):
    rng = random.Random(seed)
    role = rng.choice(["server", "client"])
    delivery = rng.choice(["chunks", "messages"])
    compressor = rng.choice(["own", "shared"])
    offer = f"permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}"
    if not takeover:
        offer += "; server_no_context_takeover; client_no_context_takeover"
    what = f"open {role} {delivery} {level} {memory} {compressor}"
    assert peer.ask(what, offer.encode())[0] == "ok"
    try:
        all = messages(rng, bits) + messages(rng, bits)
        if level in (1, 6) and memory == 8:
            all += large(rng)
        sent = ours(peer, rng, all, bits, takeover)
        return sent + theirs(peer, rng, all, bits, takeover, level, memory)
    except (AssertionError, zlib.error) as error:
        return f"seed {seed}, {what}, {offer}: {error}"


def check_the_inflater():
    """One with the agreed window must refuse what refers back further."""
    for bits in range(8, 16):
        window = 1 << bits
        data = random.Random(bits).randbytes(window)
        made = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
        first = made.compress(data + b"....") + made.flush(zlib.Z_SYNC_FLUSH)
        inflater = Inflater(bits)
        assert inflater.message(first[:-4]) == data + b"...."
        second = made.compress(data[2:40]) + made.flush(zlib.Z_SYNC_FLUSH)
        if bits == 15:
            continue  # zlib itself looks back no further
        try:
            inflater.message(second[:-4])
        except zlib.error:
            continue
        sys.exit(f"an inflater with {bits} bits of window takes a reference {window + 2} back")


def main():
    check_the_inflater()
    peer = Peer(sys.argv[1])
    passed = failed = count = seed = 0
    for bits in range(8, 16):
        for takeover in (True, False):
            here = 0
            for level, memory in [(0, 8), (1, 8), (2, 3), (3, 8), (4, 9), (5, 1), (6, 8), (7, 8), (8, 5), (9, 9), (9, 1)]:
                seed += 1
                result = round(peer, seed, bits, takeover, level, memory)
                if isinstance(result, str):
                    failed += 1
                    print("FAILED", result)
                else:
                    passed += 1
                    here += result
            count += here
            print(f"zlib {zlib.ZLIB_RUNTIME_VERSION}, window {bits}, takeover {takeover}: {here} messages")
    peer.process.stdin.close()
    if peer.process.wait(timeout=60) != 0:
        failed += 1
    print(f"{count} messages")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
