"""Runs the peers against the example programs, in each version; started by `run`.

    drive.py EXAMPLES NODE RUBY PERL [--all]

EXAMPLES is the folder with `echo_server`, `chat`, `connect` and `autobahn_client`.  Prints a line per check and
`N passed, M failed` at the end; the exit status is 0 only if none failed.  It stops at the first check that fails,
unless there is `--all`.

A peer is a program that says what happens as lines and does what it is told as lines: see `control.rb`.  What a
library can't do is in `peers.py`, and what it does in its own way in `quirks.py`.
"""

import asyncio
import contextlib
import os
import re
import sys

import quirks
from peers import ALL, BINARY, CLOSES, CODES, HERE, peers
from program import PATIENCE, Failure, Program, equal, hexed

TEXTS = ["Hello", "κόσμε 💬", "", "é" * (100 * 1024)]  # the last has 200 KiB
PIECES = ["fra".encode(), "gm €".encode()[:-1], "€".encode()[-1:] + b"ents"]
WHOLE = "fragm €ents"


class Score:
    def __init__(self, go_on):
        self.go_on = go_on
        self.passed = self.failed = self.quirks = 0

    async def check(self, who, role, version, name, body):
        """Runs a check; `role` is the peer's.  A known quirk is told, and counts as passed if it is as known."""
        title = f"{who} as {role}, {version}: {name}"
        quirk = quirks.find(who, role, version, name)
        failure = None
        try:
            await asyncio.wait_for(body, 2 * PATIENCE)
        except asyncio.TimeoutError:
            failure = "nothing happened for a long time"
        except Failure as e:
            failure = str(e)
        if failure is None:
            self.passed += 1
            print(f"ok {title}" + (f" (a quirk is gone: {quirk.why})" if quirk else ""), flush=True)
        elif quirk and re.search(quirk.outcome, failure):
            self.passed += 1
            self.quirks += 1
            print(f"ok {title}: {quirk.why}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {title}: {failure[:600]}", flush=True)
            if not self.go_on:
                raise Stop
        return failure is None


class Stop(Exception):
    pass


# Ours as the server


class Served:
    """A peer's client against a server of ours."""

    def __init__(self, peer, program, version, url):
        self.peer = peer
        self.program = program
        self.version = version
        self.url = url

    async def open(self, path="/", protocol="-", first=None, chosen="-"):
        first = "-" if first is None else hexed(first)
        await self.program.write(f"open {self.version} {self.url}{path} {protocol} {first}\n")
        kind, words = await self.program.event("open", "failed")
        if kind == "failed":
            raise Failure(f"the handshake failed: {' '.join(words)}")
        equal(words, [self.version, path, chosen], "what was agreed on")

    async def finish(self):
        if self.version in CODES:
            await self.program.write("close 1000\n")
            await self.program.closed(1000)
        else:
            await self.program.write("close\n")
            await self.program.closed(1005 if self.version in CLOSES else 1006)


async def texts(case):
    await case.open()
    for text in TEXTS:
        await case.program.tell("text", text)
        await case.program.got("text", text)
    await case.finish()


async def many_texts(case):
    await case.open()
    for i in range(100):
        await case.program.tell("text", f"message {i}")
    for i in range(100):
        await case.program.got("text", f"message {i}")
    await case.finish()


async def binary(case):
    await case.open()
    for data in (b"\x00\x01\xff", b"", bytes(range(256)) * 800):
        await case.program.tell("binary", data)
        await case.program.got("binary", data)
    await case.finish()


async def ping(case):
    await case.open()
    await case.program.tell("ping", "are you there")
    await case.program.got("pong", "are you there")
    await case.finish()


async def pieces(case):
    await case.open()
    await case.program.tell("fragments", *PIECES)
    await case.program.got("text", WHOLE)
    await case.finish()


async def close_with_a_code(case):
    await case.open()
    await case.program.write(f"close 4001 {hexed('on purpose')}\n")
    await case.program.closed(4001, "on purpose")


async def close_without_a_code(case):
    await case.open()
    await case.finish()


async def drop(case):
    await case.open()
    await case.program.write("drop\n")
    await case.program.closed(1006)


async def along_with_the_request(case):
    await case.open(first="early €")
    await case.program.got("text", "early €")
    await case.finish()


async def refused_version(case):
    try:
        await case.open()
    except Failure as e:
        if "handshake failed" in str(e):
            return
        raise
    raise Failure("a version that is switched off was accepted")


async def as_clients(score, examples, all_peers):
    command = (os.path.join(examples, "echo_server"), "--listen", "127.0.0.1:0", "--versions")
    async with await Program.start(*command, "all") as ours, await Program.start(*command, "hybi-04") as narrow:
        ours.end_of_input()
        url = await ours.listening()
        narrow_url = await narrow.listening()
        for who, peer in all_peers.items():
            for version in peer.client:
                checks = {"texts": texts, "100 texts at once": many_texts}
                if version in BINARY:
                    checks |= {"binary": binary, "ping": ping}
                if version in peer.pieces:
                    checks |= {"a text in pieces": pieces}
                if version in CODES:
                    checks |= {"close with 4001": close_with_a_code}
                checks |= {"close": close_without_a_code, "drop": drop}
                if peer.bundles:
                    checks |= {"a message along with the request": along_with_the_request}
                await client_checks(score, who, peer, version, url, checks)
                if who == "websocket (Ruby)":
                    refused = {"a version that is switched off": refused_version}
                    await client_checks(score, who, peer, version, narrow_url, refused)
        await ends(score, ours, url, all_peers)


async def client_checks(score, who, peer, version, url, checks):
    program = None
    try:
        for name, body in checks.items():
            if program is None:
                program = await Program.start(*peer.command, "client")
            if not await score.check(who, "client", version, name, body(Served(peer, program, version, url))):
                # It may be in the middle of something.
                await program.__aexit__()
                program = None
    finally:
        if program is not None:
            await program.__aexit__()


async def ends(score, ours, url, all_peers):
    """The server ends: every client is told so in its own way."""
    async with contextlib.AsyncExitStack() as stack:
        waiting = []
        for who, peer in all_peers.items():
            for version in peer.client:
                program = await stack.enter_async_context(await Program.start(*peer.command, "client"))
                waiting.append((who, version, program))
                await Served(peer, program, version, url).open()
        status = asyncio.ensure_future(ours.stop())
        for who, version, program in waiting:
            code = 1001 if version in CODES else 1005 if version in CLOSES else 1006
            await score.check(who, "client", version, "the server ends", program.closed(code, "going away"))

        async def ended():
            equal(await status, 0, "exit status")

        await score.check("echo_server", "server", "all", "ends with status 0 after SIGTERM", ended())


async def one_chat(score, examples, ruby, all_peers):
    """A client of each kind in the same room: what one says, all hear.

    Who is told of with lines (`connect`) has True in the end."""
    chat = os.path.join(examples, "chat")
    async with contextlib.AsyncExitStack() as stack:
        ours = await stack.enter_async_context(
            await Program.start(chat, "--listen", "127.0.0.1:0", "--versions", "all")
        )
        url = await ours.listening()
        people = []
        for who, peer in all_peers.items():
            for version in peer.client:
                program = await stack.enter_async_context(await Program.start(*peer.command, "client"))
                protocol = "chat.people" if version in peer.offers else "-"
                body = Served(peer, program, version, url).open("/chat", protocol, chosen=protocol)
                if await score.check(who, "client", version, "joins the chat", body):
                    people.append((who, version, program, False))
        for version in ALL:
            program = await Program.start(
                os.path.join(examples, "connect"), "--version", version, f"{url}/chat", "--protocol", "chat.people"
            )
            people.append(("connect", version, await stack.enter_async_context(program), True))

        async def hears(program, is_ours, end):
            while True:
                if is_ours:
                    line = await program.line()
                else:
                    kind, words = await program.event("text", "binary")
                    line = bytes.fromhex("".join(words)).decode() if kind == "text" else ""
                if line.endswith(end):
                    return

        old_client = await Program.start(ruby, os.path.join(HERE, "old_client.rb"), "hixie-76", f"{url}/chat")
        people.append(("old_client.rb", "hixie-76", await stack.enter_async_context(old_client), True))
        users = None
        while users != str(len(people)):
            await ours.write("users\n")
            users = await ours.line()
        for who, version, program, is_ours in people:
            said = f"I am {who} in {version} 💬"
            await (program.write(said + "\n") if is_ours else program.tell("text", said))

            async def all_hear():
                for *_, other, other_is_ours in people:
                    await hears(other, other_is_ours, said)

            await score.check(who, "client", version, "everybody in the chat hears it", all_hear())


# Ours as the client


class Case:
    """A run of a program of ours against a peer that serves at `url`."""

    def __init__(self, examples, url, peer, version, offer):
        self.offer = offer
        self.examples = examples
        self.url = url
        self.peer = peer
        self.version = version

    async def start(self, *options, path="/", chosen="-"):
        if self.offer and not options:
            options, chosen = ("--protocol", self.offer), self.offer
        connect = os.path.join(self.examples, "connect")
        ours = await Program.start(connect, "--version", self.version, self.url + path, *options)
        await self.opened(path, chosen)
        return ours

    async def opened(self, path="/", chosen="-"):
        kind, words = await self.peer.event("open", "failed")
        equal([kind, *words], ["open", self.version, path, chosen], "what was agreed on")

    async def ends(self, ours, code, reason="", how="clean"):
        out, got, errors = await ours.rest()
        equal(out, "", "further output")
        last = (errors.splitlines() or [""])[-1]
        equal(last, f'closed {code} "{reason}" {how}', "the end")
        equal(got, 0 if how == "clean" else 1, "exit status")

    async def finish(self, ours):
        """At the end of its input it closes; how that looks depends on the version."""
        ours.end_of_input()
        if self.version in CODES:
            await self.ends(ours, 1000)
            await self.peer.closed(1000)
        else:
            await self.ends(ours, 1005)
            if self.version in CLOSES:
                await self.peer.closed(1005)
            else:
                # All that it saw is the end of the stream: what it makes of that is up to it.
                await self.peer.event("closed")


async def lines(case):
    async with await case.start() as ours:
        for text in TEXTS:
            await ours.write(text + "\n")
            await case.peer.got("text", text)
            await case.peer.tell("text", text)
            if await ours.line() != text:
                raise Failure("the line that came back differs")
        await case.finish(ours)


async def many_lines(case):
    async with await case.start() as ours:
        await ours.write("".join(f"line {i}\n" for i in range(100)))
        for i in range(100):
            await case.peer.got("text", f"line {i}")
            await case.peer.tell("text", f"line {i}")
        for i in range(100):
            equal(await ours.line(), f"line {i}", "line")
        await case.finish(ours)


async def along_with_the_answer(case):
    async with await case.start(path="/hello") as ours:
        equal(await ours.line(), "hello", "line")
        await case.finish(ours)


async def subprotocol(case):
    async with await case.start("--protocol", "chat", chosen="chat") as ours:
        await case.finish(ours)


async def no_subprotocol(case):
    connect = os.path.join(case.examples, "connect")
    async with await Program.start(connect, "--version", case.version, case.url + "/") as ours:
        await case.opened()
        _, _, errors = await ours.rest()
        await case.peer.event("closed")
        if errors:
            raise Failure(errors)


async def echoes(case):
    """The Autobahn client sends back what it gets: binary messages, pings and pieces, too."""
    client = os.path.join(case.examples, "autobahn_client")
    async with await Program.start(client, "--version", case.version, case.url) as ours:
        await case.opened("/getCaseCount")
        await case.peer.tell("text", "1")
        await case.peer.event("closed")
        await case.opened("/runCase")
        for data in (b"\x00\x01\xff", b"", bytes(range(256)) * 800):
            await case.peer.tell("binary", data)
            await case.peer.got("binary", data)
        await case.peer.tell("ping", "are you there")
        await case.peer.got("pong", "are you there")
        await case.peer.write("drop\n")
        await case.peer.event("closed")
        await case.opened("/updateReports")
        await case.peer.write("drop\n")
        await case.peer.event("closed")
        out, status, errors = await ours.rest()
        equal((out, status, errors), ("1 cases\n", 0, ""), "its end")


async def server_pieces(case):
    async with await case.start() as ours:
        await case.peer.tell("fragments", *PIECES)
        equal(await ours.line(), WHOLE, "line")
        await case.finish(ours)


async def closed_by_the_server(case):
    async with await case.start() as ours:
        if case.version in CODES:
            await case.peer.write(f"close 4001 {hexed('on purpose')}\n")
            await case.ends(ours, 4001, "on purpose")
            # The code comes back; the reason need not (RFC 6455 section 5.5.1).
            await case.peer.closed(4001, "on purpose")
        elif case.version in CLOSES:
            await case.peer.write("close\n")
            await case.ends(ours, 1005)
            await case.peer.closed(1005)
        else:
            await case.peer.write("close\n")
            await case.ends(ours, 1006, how="unclean")
            await case.peer.event("closed")


async def dropped_by_the_server(case):
    async with await case.start() as ours:
        await case.peer.write("drop\n")
        await case.ends(ours, 1006, how="unclean")
        await case.peer.closed(1006)


async def unknown_version(case):
    """A version that the server does not have: an error that says so."""
    connect = os.path.join(case.examples, "connect")
    async with await Program.start(connect, "--version", case.version, case.url + "/") as ours:
        out, status, errors = await ours.rest()
        equal((out, status), ("", 2), "output and exit status")
        if not re.search("version|status 4|ended during the handshake|the transport failed", errors):
            raise Failure(f"the error is {errors!r}")


async def as_servers(score, examples, all_peers):
    for who, peer in all_peers.items():
        for version in peer.server:
            checks = {"lines": lines, "100 lines at once": many_lines}
            checks |= {"a message along with the answer": along_with_the_answer}
            if version in peer.chooses:
                checks |= {"subprotocol": subprotocol}
            if version in BINARY:
                checks |= {"binary and ping": echoes}
            if version in peer.pieces:
                checks |= {"a text in pieces": server_pieces}
            if (who, version) in quirks.OFFER:
                checks |= {"no subprotocol": no_subprotocol}
            checks |= {"closed by the server": closed_by_the_server, "dropped by the server": dropped_by_the_server}
            await server_checks(score, who, examples, peer, version, checks)
        missing = [v for v in ALL if v not in peer.server and v not in quirks.UNUSABLE.get(who, {})]
        for version in missing:
            checks = {"a version that it does not have": unknown_version}
            await server_checks(score, who, examples, peer, version, checks)


async def server_checks(score, who, examples, peer, version, checks):
    program = None
    offer = quirks.OFFER.get((who, version))
    try:
        for name, body in checks.items():
            if program is None:
                program = await Program.start(*peer.command, "server")
                url = await program.listening()
            if not await score.check(who, "server", version, name, body(Case(examples, url, program, version, offer))):
                await program.__aexit__()
                program = None
    finally:
        if program is not None:
            await program.__aexit__()


async def main(examples, node, ruby, perl, *options):
    score = Score("--all" in options)
    all_peers = peers(node, ruby, perl)
    for who, versions in quirks.UNUSABLE.items():
        for version, why in versions.items():
            print(f"note {who}, {version}: not tried: {why}")
    with contextlib.suppress(Stop):
        await as_clients(score, examples, all_peers)
        await one_chat(score, examples, ruby, all_peers)
        await as_servers(score, examples, all_peers)
    print(f"{score.quirks} of them with a known quirk of the peer")
    print(f"{score.passed} passed, {score.failed} failed")
    return 1 if score.failed or not score.passed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
