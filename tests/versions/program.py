"""Programs that are driven by lines: ours, and the peers with their events and commands (see `control.rb`)."""

import asyncio
import contextlib
import os

MIB = 1024 * 1024
# Ends a wait for something that never comes; nothing is measured by it.
PATIENCE = 60


class Failure(Exception):
    pass


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
        return cls(" ".join(map(os.path.basename, command[:3])), process)

    async def write(self, text):
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(text.encode())
            await self.process.stdin.drain()

    def end_of_input(self):
        self.process.stdin.close()

    async def line(self):
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            errors = (await asyncio.wait_for(self.errors, PATIENCE)).decode().strip()
            raise Failure(f"{self.name} printed no further line; standard error: {errors!r}")
        return line.decode().removesuffix("\n")

    async def listening(self):
        while not (line := await self.line()).startswith("listening on "):
            pass
        return line.removeprefix("listening on ").rstrip("/").replace("http://", "ws://")

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

    # A peer's events and commands

    async def tell(self, command, *data):
        await self.write(" ".join([command, *map(hexed, data)]) + "\n")

    async def event(self, *kinds):
        """The next event, which must be of one of these kinds; notes are told if it is not."""
        notes = []
        while True:
            kind, *words = (await self.line()).split(" ")
            if kind == "note":
                notes.append(" ".join(words))
            elif kind in kinds:
                return kind, words
            else:
                told = f" ({'; '.join(notes)})" if notes else ""
                raise Failure(f"{kind} {' '.join(words)[:200]}{told} instead of {' or '.join(kinds)}")

    async def got(self, kind, data):
        _, words = await self.event(kind)
        if "".join(words) != hexed(data):
            raise Failure(f"{kind} {' '.join(words)[:200]} instead of {hexed(data)[:200]}")

    async def closed(self, code, reason=""):
        _, words = await self.event("closed")
        got = int(words[0]), bytes.fromhex(words[1] if len(words) > 1 else "").decode()
        if got[0] != code or got[1] not in ("", reason):
            raise Failure(f"the peer saw the end {got} instead of {(code, reason)}")


def hexed(data):
    return (data.encode() if isinstance(data, str) else data).hex()


def equal(got, expected, what):
    if got != expected:
        raise Failure(f"{what}: {got!r} instead of {expected!r}")
