"""Programs that are driven by lines: ours, and the peers with their events and commands (see `control.rb`)."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import harness
from harness import PATIENCE, equal

# What the harness raises when something is not as it should be.
Failure = AssertionError


class Program(harness.Program):
    """A program with its standard streams on pipes, one of ours or a peer."""

    @classmethod
    async def start(cls, *command):
        program = await super().start(*command)
        program.name = " ".join(map(os.path.basename, command[:3]))
        return program

    async def write(self, text):
        with contextlib.suppress(ConnectionError):
            await super().write(text)

    async def listening(self):
        while not (line := await self.line()).startswith("listening on "):
            pass
        return line.removeprefix("listening on ").rstrip("/").replace("http://", "ws://")

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
