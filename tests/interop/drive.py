"""Runs the peers against the example programs; started by `run`.

    drive.py EXAMPLES NODE

EXAMPLES is the folder with `echo_server` and `connect`, NODE the Node.js to
use.  Prints a line per check and `N passed, M failed` at the end; the exit
status is 0 only if none failed.
"""

import asyncio
import contextlib
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1024 * 1024
# Ends a wait for something that never comes; nothing is measured by it.
PATIENCE = 60


class Program:
    """A program with its standard streams on pipes."""

    def __init__(self, name, process):
        self.name = name
        self.process = process
        self.errors = asyncio.ensure_future(process.stderr.read())

    @classmethod
    async def start(cls, *command):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=4 * MIB,
        )
        return cls(os.path.basename(command[0]), process)

    async def write(self, text):
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        await self.process.stdin.drain()

    def end_of_input(self):
        self.process.stdin.close()

    async def line(self):
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            errors = (await asyncio.wait_for(self.errors, PATIENCE)).decode().strip()
            raise AssertionError(f"{self.name} printed no further line; standard error: {errors!r}")
        return line.decode().removesuffix("\n")

    async def line_after(self, prefix):
        while True:
            line = await self.line()
            if line.startswith(prefix):
                return line[len(prefix):]

    async def rest(self):
        """What is printed until the end, the exit status and standard error."""
        out = await asyncio.wait_for(self.process.stdout.read(), PATIENCE)
        status = await asyncio.wait_for(self.process.wait(), PATIENCE)
        return out.decode(), status, (await self.errors).decode()

    async def stop(self):
        """Asks it to end; the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        return (await self.rest())[1]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self.errors


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: {got!r} instead of {expected!r}")


class Score:
    passed = failed = 0

    def add(self, line):
        if len(line) > 400:
            line = line[:400] + "..."
        print("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line), flush=True)
        if line.startswith("ok "):
            self.passed += 1
        else:
            self.failed += 1

    async def check(self, name, body):
        try:
            await asyncio.wait_for(body, 2 * PATIENCE)
            self.add(f"ok {name}")
        except asyncio.TimeoutError:
            self.add(f"FAIL {name}: nothing happened for a long time")
        except Exception as e:
            self.add(f"FAIL {name}: {type(e).__name__} {e}")

    async def take(self, label, peer):
        """The lines of a peer that checks by itself."""
        out, status, errors = await peer.rest()
        lines = out.splitlines()
        for line in lines:
            verdict, _, name = line.partition(" ")
            self.add(f"{verdict} {label}: {name}")
        if status != 0 or not lines:
            self.add(f"FAIL {label}: the peer ended with status {status}: {errors.strip()}")


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

    def __init__(self, connect, url, peer):
        self.connect = connect
        self.url = url
        self.peer = peer

    async def start(self, path, *options):
        return await Program.start(self.connect, self.url + path, *options)

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
    lines = [f"line {i}" for i in range(200)]
    async with await case.start("/echo") as ours:
        await ours.write("".join(line + "\n" for line in lines))
        for line in lines:
            equal(await ours.line(), line, "line")
        ours.end_of_input()
        await case.ends(ours, 1000, "")


async def long_line(case):
    line = "é" * (MIB // 2)
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
    "200 lines at once": pipelined,
    "a line of 1 MiB": long_line,
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


async def main(examples, node):
    peers = {
        "ws": (node, os.path.join(HERE, "peer_ws.mjs")),
        "websockets": (sys.executable, os.path.join(HERE, "peer_websockets.py")),
    }
    score = Score()
    await server_checks(score, examples, peers)
    await client_checks(score, examples, peers)
    print(f"{score.passed} passed, {score.failed} failed")
    return 1 if score.failed or not score.passed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
