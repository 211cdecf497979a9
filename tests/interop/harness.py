"""What the checks of `drive.py` and of the modules beside it are made with."""

import asyncio
import contextlib
import os

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
    async def start(cls, *command, env=None):
        """`env` is what the environment has besides that of this program."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=4 * MIB,
            env={**os.environ, **(env or {})},
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


def require(holds, what):
    if not holds:
        raise AssertionError(what)


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
