"""Runs the peers against the example programs; started by `run`.

    drive.py EXAMPLES NODE CERTIFICATES WINDOWS

EXAMPLES is the folder with `echo_server` and `connect`, NODE the Node.js to
use, CERTIFICATES what `../tls/make` has made; WINDOWS says which windows of
compression are tried: `all` or `few`.  Prints a line per check and `N passed, M failed` at the end; the exit
status is 0 only if none failed.
"""

import asyncio
import contextlib
import json
import os
import re
import sys

import deflate_checks
import tls_checks
from harness import MIB, Program, Score, equal

HERE = os.path.dirname(os.path.abspath(__file__))


# Ours as the server


async def server_checks(score, examples, peers):
    command = (os.path.join(examples, "echo_server"), "--listen", "127.0.0.1:0", "--max-message", str(2 * MIB))
    async with await Program.start(*command) as ours:
        ours.end_of_input()
        url = await ours.line_after("listening on ")
        for name, peer in peers.items():
            async with await Program.start(*peer, "client", url) as theirs:
                await score.take(f"{name} -> echo_server", theirs)
        async with contextlib.AsyncExitStack() as stack:
            waiting = {}
            for name, peer in peers.items():
                waiting[name] = await stack.enter_async_context(await Program.start(*peer, "away", url))
                equal(await waiting[name].line(), "connected", name)
            status = await ours.stop()
            for name, theirs in waiting.items():
                await score.take(f"{name} -> echo_server", theirs)

            async def ended():
                equal(status, 0, "exit status")

            await score.check("echo_server ends with status 0 after SIGTERM", ended())


# Ours as the client


class Case:
    """One run of `connect` against a peer that serves at `url`."""

    def __init__(self, connect, url, peer, *options):
        self.connect = connect
        self.url = url
        self.peer = peer
        self.options = options

    async def start(self, path, *options):
        return await Program.start(self.connect, self.url + path, *self.options, *options)

    async def ends(self, ours, code, reason, status=0, how="clean"):
        out, got, errors = await ours.rest()
        equal(out, "", "further output")
        last = (errors.splitlines() or [""])[-1]
        if not re.fullmatch(rf'closed {code} "{reason}" {how}', last):
            raise AssertionError(f"unexpected end of standard error: {errors!r}")
        if (got == 0) != (status == 0):
            raise AssertionError(f"exit status {got}")

    async def peer_saw(self, path, code, reason):
        got = await self.peer.line_after(f"closed {path} ")
        equal(got, f"{code} {json.dumps(reason)}", "what the peer saw")


async def echoes(case):
    async with await case.start("/echo") as ours:
        for line in ("one", "", "κόσμε 💬", "  spaces stay  "):
            await ours.write(line + "\n")
            equal(await ours.line(), line, "line")
        ours.end_of_input()
        await case.ends(ours, 1000, "")
        await case.peer_saw("/echo", 1000, "")


async def pipelined(case):
    lines = [f"line {i}" for i in range(2000)]
    async with await case.start("/echo") as ours:
        await ours.write("".join(line + "\n" for line in lines))
        for line in lines:
            equal(await ours.line(), line, "line")
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def long_line(case):
    line = "é" * MIB
    async with await case.start("/echo") as ours:
        await ours.write(line + "\n")
        if await ours.line() != line:
            raise AssertionError("the line that came back differs")
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def no_input(case):
    async with await case.start("/echo") as ours:
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def bad_input(case):
    async with await case.start("/echo") as ours:
        await ours.write("good\r\n")
        equal(await ours.line(), "good", "line")
        await ours.write(b"bad \xff\nnever sent\n")
        # The input stays open.
        out, status, errors = await ours.rest()
        equal(out, "", "further output")
        if status == 0 or "not UTF-8" not in errors or not errors.endswith('closed 1000 "" clean\n'):
            raise AssertionError(f"exit status {status}, standard error {errors!r}")


async def first_line(case, path, expected):
    async with await case.start(path) as ours:
        equal(await ours.line(), expected, "line")
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def binary(case):
    await first_line(case, "/binary", "binary 0001ff")


async def fragments(case):
    await first_line(case, "/fragments", "fragments")


async def ping(case):
    await first_line(case, "/ping", "pong are you there")


async def plain_request(case):
    async with await case.start("/request") as ours:
        equal(
            json.loads(await ours.line()),
            {"origin": None, "header": None, "offered": None, "chosen": None},
            "request",
        )
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def request(case):
    options = ["--protocol", "first", "--protocol", "second", "--origin", "https://example.com"]
    options += ["--header", "X-Test: one", "--header", "X-Test: two: three"]
    async with await case.start("/request", *options) as ours:
        expected = {
            "origin": "https://example.com",
            "header": "one, two: three",
            "offered": "first, second",
            "chosen": "second",
        }
        equal(json.loads(await ours.line()), expected, "request")
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def closed_by_the_server(case):
    async with await case.start("/close") as ours:
        # The input stays open: the end of the connection is enough to end the program.
        await ours.write("please\n")
        await case.ends(ours, 4001, "on purpose")
        # The answer repeats the code, as RFC 6455 section 5.5.1 says, and not the reason.
        await case.peer_saw("/close", 4001, "")


async def dropped_by_the_server(case):
    async with await case.start("/drop") as ours:
        await ours.write("please\n")
        await case.ends(ours, r"\d+", "", status=1, how="unclean")


async def refused(case):
    async with await case.start("/refuse") as ours:
        out, status, errors = await ours.rest()
        equal(out, "", "output")
        if status == 0:
            raise AssertionError("exit status 0")
        if "403" not in errors:
            raise AssertionError(f"no 403 in {errors!r}")


async def nobody_there(connect):
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    async with await Program.start(connect, f"ws://127.0.0.1:{port}/") as ours:
        out, status, errors = await ours.rest()
        equal(out, "", "output")
        if status == 0 or not errors.strip():
            raise AssertionError(f"exit status {status}, standard error {errors!r}")


CLIENT_CHECKS = {
    "lines in, echoes out, 1000 at the end of input": echoes,
    "2000 lines at once": pipelined,
    "a line of 2 MiB": long_line,
    "no input at all": no_input,
    "input that is not UTF-8": bad_input,
    "binary": binary,
    "a fragmented message": fragments,
    "a ping is answered": ping,
    "a plain request": plain_request,
    "subprotocols, headers and origin": request,
    "closed by the server with 4001": closed_by_the_server,
    "dropped by the server": dropped_by_the_server,
    "refused with 403": refused,
}


async def client_checks(score, examples, peers):
    connect = os.path.join(examples, "connect")
    for name, peer in peers.items():
        async with await Program.start(*peer, "server") as theirs:
            url = await theirs.line_after("listening on ")
            for title, body in CLIENT_CHECKS.items():
                await score.check(f"connect -> {name}: {title}", body(Case(connect, url, theirs)))
            await theirs.stop()
    await score.check("connect: nobody listens", nobody_there(connect))


def client_checks_over_tls(examples, certificates):
    options = (os.path.join(examples, "connect"), "--ca", os.path.join(certificates, "ca.pem"))

    def make(url, theirs):
        for title, body in CLIENT_CHECKS.items():
            yield title, body(Case(options[0], url, theirs, *options[1:]))

    return make


async def main(examples, node, certificates, windows):
    peers = {
        "ws": (node, os.path.join(HERE, "peer_ws.mjs")),
        "websockets": (sys.executable, os.path.join(HERE, "peer_websockets.py")),
    }
    compressing = {
        "ws": (node, os.path.join(HERE, "deflate_ws.mjs")),
        "websockets": (sys.executable, os.path.join(HERE, "deflate_websockets.py")),
    }
    score = Score()
    await server_checks(score, examples, peers)
    await client_checks(score, examples, peers)
    plain_checks = client_checks_over_tls(examples, certificates)
    await tls_checks.checks(score, examples, certificates, peers, compressing, plain_checks)
    cases = {"all": deflate_checks.cases, "few": deflate_checks.few_cases}[windows]
    await deflate_checks.checks(score, deflate_checks.Ours(examples, cases=cases), compressing)
    print(f"{score.passed} passed, {score.failed} failed")
    return 1 if score.failed or not score.passed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
