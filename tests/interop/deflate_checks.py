"""The checks of permessage-deflate, with the peers `deflate_*`: every size of window, with and without takeover, each
side with its own demands, and in each what was agreed, what came back and how many bytes it took.
"""

import asyncio
import dataclasses
import json
import os
import random
import string
from collections.abc import Callable

from harness import MIB, PATIENCE, Program, equal

NAME = "permessage-deflate"
NO_TAKEOVER = "server_no_context_takeover", "client_no_context_takeover"
BITS = "server_max_window_bits", "client_max_window_bits"
SIZES = (0, 1, 3, 64, 126, 127, 128, 129, 250, 257, 512, 1000, 1024, 4096, 5000, 16384, 32768, 32769, 65536, 100000)


class Case:
    """What both sides are told, and what they must come to."""

    def __init__(
        self, title, *, ours=(), bits=(None, None), takeover=(True, True), agreed=(15, 15), said=(), both=None
    ):
        """`bits` and `takeover` are what the peer is told, for what the server and the client send. `agreed` are the
        windows that result, `said` those of them that stand in the answer. `both` is the takeover that results.
        """
        self.title = title
        self.ours = [f"--deflate-{option}" for option in ours]
        self.config = {
            "server_bits": bits[0],
            "client_bits": bits[1],
            "server_takeover": takeover[0],
            "client_takeover": takeover[1],
            "bits": agreed,
            "takeover": takeover if both is None else both,
        }
        flags = [name for name, on in zip(NO_TAKEOVER, self.config["takeover"]) if not on]
        windows = [f"{name}={agreed[i]}" for i, name in enumerate(BITS) if name in said]
        self.config["answer"] = "; ".join([NAME, *flags, *windows])

    @property
    def json(self):
        return json.dumps(self.config)


def takeovers():
    yield Case("defaults")
    yield Case("the peer wants no takeover", takeover=(False, False))
    yield Case("the peer wants no takeover of the server", takeover=(False, True))
    yield Case("the peer wants no takeover of the client", takeover=(True, False))
    yield Case("we want no takeover", ours=("no-takeover",), both=(False, False))


def their_windows(peer, role):
    """The peer wants small windows; every second time nobody takes windows over."""
    for bits in range(8, 16):
        # The codec of `websockets` has no window of 8 for what it sends itself.
        least = 9 if peer == "websockets" else 8
        pair = (bits, max(bits, least)) if role == "client" else (max(bits, least), bits)
        # Our server has no reason to tell a client that it may have the largest window.
        said = BITS[:1] if role == "client" and pair[1] == 15 else BITS
        takeover = (bits % 2 == 1,) * 2
        title = f"the peer wants windows of {pair[0]} and {pair[1]} bits"
        yield Case(title, bits=pair, takeover=takeover, agreed=pair, said=said)


def our_windows(peer, role):
    """The same from our side."""
    for bits in range(8, 16):
        title = f"we want windows of {bits} bits"
        ours = (f"window={bits}",) if bits % 2 == 0 else (f"window={bits}", "no-takeover")
        case = Case(title, ours=ours, both=(bits % 2 == 0,) * 2, agreed=(bits, bits), said=BITS if bits < 15 else ())
        if bits == 8 and peer == "websockets":
            # It has no such window: as a client it fails, as a server it does without.
            if role == "client":
                continue
            case.config["answer"] = ""
        yield case


def few_cases(peer, role):
    """What is left when the windows have been tried elsewhere."""
    yield Case("defaults")
    ours = ("no-takeover", "window=10")
    yield Case("we want no takeover, and windows of 10 bits", ours=ours, both=(False, False), agreed=(10, 10), said=BITS)


def cases(peer, role):
    """`role` is that of the peer."""
    yield from takeovers()
    yield from their_windows(peer, role)
    yield from our_windows(peer, role)


@dataclasses.dataclass
class Ours:
    """Where our programs are and what else they are told, what the peers have in their environment, which cases there are
    for a peer and its role, and what the checks are called.
    """

    examples: str
    serving: tuple = ()
    connecting: tuple = ()
    serving_peer: dict | None = None
    connecting_peer: dict | None = None
    cases: Callable = cases
    label: str = "deflate"

    def program(self, name):
        return os.path.join(self.examples, name)


# Ours as the server


async def server_checks(score, ours, peers):
    start = (ours.program("echo_server"), "--listen", "127.0.0.1:0", "--max-message", str(2 * MIB), *ours.serving)
    for name, peer in peers.items():
        for number, case in enumerate(ours.cases(name, "client")):
            # Both with short messages that are compressed, and with short ones that are not.
            least = () if max(case.config["bits"]) == 15 and number % 2 else ("--deflate-min", "0")
            async with await Program.start(*start, "--deflate", *case.ours, *least) as server:
                server.end_of_input()
                url = await server.line_after("listening on ")
                async with await Program.start(*peer, "client", url, case.json, env=ours.connecting_peer) as theirs:
                    await score.take(f"{name} -> echo_server, {ours.label}, {case.title}", theirs)
                await server.stop()


# Ours as the client


def text(size):
    """Text like that of many programs."""
    parts = '{"id":%d,"name":"user %d","price":%d},'
    return "".join(parts % (i, i * 7919 % 1000, i * 104729 % 9973) for i in range(size // 30 + 1))[:size]


def noise(size):
    """Text with nothing in it that repeats; a compressor takes a quarter off it."""
    return "".join(random.Random(size).choices(string.ascii_letters + string.digits + "+/", k=size))


def corpus():
    for size in SIZES:
        yield from (text(size), noise(size), "\t" * size, "κό" * (size // 4))
    yield text(MIB)
    yield noise(MIB)


async def carry(connect, theirs, url, options, lines):
    """Sends lines and expects them back; `connect` is the command up to the URL. What the peer tells of it."""

    async def put(ours):
        for line in lines:
            await ours.write(line + "\n")

    async with await Program.start(*connect, url, "--deflate", *options) as ours:
        sending = asyncio.ensure_future(put(ours))
        for i, line in enumerate(lines):
            if await ours.line() != line:
                raise AssertionError(f"line {i}, of {len(line)} characters, differs")
        await sending
        ours.end_of_input()
        out, status, errors = await ours.rest()
        if out or status or not errors.endswith('closed 1000 "" clean\n'):
            raise AssertionError(f"exit status {status}, standard error {errors!r}, further output {out!r}")
    told = json.loads(await theirs.line_after("closed "))
    total = sum(len(line.encode()) for line in lines)
    equal([told[name] for name in ("code", "count", "carried")], [1000, len(lines), total], "what the peer saw")
    return told


def parts(answer):
    return sorted(part.strip() for part in answer.split(";"))


async def client_check(ours, case, peer):
    connect = (ours.program("connect"), *ours.connecting)
    async with await Program.start(*peer, "server", case.json, env=ours.serving_peer) as theirs:
        url = await theirs.line_after("listening on ")
        config = case.config
        told = await carry(connect, theirs, url + "/turns", case.ours, list(corpus()))
        equal(parts(told["answer"]), parts(config["answer"]), "answer")
        options = [*case.ours, "--deflate-min", "0"]
        told = await carry(connect, theirs, url + "/turns", options, list(corpus()))
        if config["answer"]:
            told = await carry(connect, theirs, url + "/", options, [text(4000)] * 20)
            if max(told["read"], told["written"]) > told["carried"] / 2:
                raise AssertionError(f"not compressed: {told}")
            told = await carry(connect, theirs, url + "/", options, [noise(2 ** (min(config["bits"]) - 2))] * 20)
            for who, takeover in zip(("written", "read"), config["takeover"]):
                if (told[who] < told["carried"] / 2) != takeover:
                    raise AssertionError(f"takeover of what the peer has {who}: {told}")
        await asyncio.wait_for(theirs.stop(), PATIENCE)


async def client_checks(score, ours, peers):
    for name, peer in peers.items():
        for case in ours.cases(name, "server"):
            await score.check(f"connect -> {name}, {ours.label}, {case.title}", client_check(ours, case, peer))


async def checks(score, ours, peers):
    await server_checks(score, ours, peers)
    await client_checks(score, ours, peers)
