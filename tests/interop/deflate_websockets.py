"""The Python peer, `websockets`, with permessage-deflate.

    deflate_websockets.py client URL CONFIG   checks an echo server; a line per check
    deflate_websockets.py server CONFIG       echoes, and tells what went over the wire, until SIGTERM

CONFIG is as in `deflate_ws.mjs`. About TLS see `peer_tls.mjs`.
"""

import asyncio
import json
import random
import signal
import sys

import peer_tls
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

MIB = 1024 * 1024
SIZES = [
    *(0, 1, 2, 3, 10, 63, 64, 65, 100, 125, 126, 127, 128, 129, 250, 256, 257, 500, 511, 512, 513, 1000, 1023, 1024),
    *(1025, 2000, 4095, 4096, 5000, 8192, 10000, 16383, 16384, 16385, 20000, 32767, 32768, 32769, 50000, 65535, 65536),
    *(65537, 100000),
]


def require(holds, what):
    if not holds:
        raise AssertionError(what)


def noise(size, seed=1):
    """Bytes that look random, and are the same each time."""
    return random.Random(seed).randbytes(size)


def text(size):
    """Text like that of many programs."""
    parts, length, i = [], 0, 0
    while length < size:
        part = '{"id":%d,"name":"user %d","price":%d,"ok":%s},' % (i, i * 7919 % 1000, i * 104729 % 9973, i % 3 == 0)
        parts.append(part)
        length += len(part)
        i += 1
    return "".join(parts)[:size]


def mixed(size):
    return noise(size // 2, size) + text(size - size // 2).encode()


def corpus():
    for size in SIZES:
        yield from (text(size), noise(size, size), bytes([size % 256]) * size, mixed(size))
    yield from ("κόσμε 💬" * 999, text(MIB), noise(MIB))


class Counted:
    """Counts the bytes on the wire."""

    read = written = 0

    def data_received(self, data):
        self.read += len(data)
        super().data_received(data)

    def send_data(self):
        self.written += sum(map(len, self.protocol.writes))
        super().send_data()


class CountedClient(Counted, ClientConnection):
    pass


class CountedServer(Counted, ServerConnection):
    pass


def send_as_it_is(ws, message):
    """The library has no call for a message that is not compressed."""
    protocol = ws.protocol
    extensions, protocol.extensions = protocol.extensions, []
    try:
        if isinstance(message, str):
            protocol.send_text(message.encode())
        else:
            protocol.send_binary(message)
    finally:
        protocol.extensions = extensions
    ws.send_data()


async def send(ws, message, i):
    """Sends a message whole, in fragments, or as it is, by turns."""
    if i % 5 == 4:
        send_as_it_is(ws, message)
    elif i % 3 == 2:
        cuts = [int(part * len(message)) for part in (0, 0.2, 0.2, 0.7, 1)]
        await ws.send([message[a:b] for a, b in zip(cuts, cuts[1:])])
    else:
        await ws.send(message)


def answer(ws):
    return ", ".join(ws.response.headers.get_all("Sec-WebSocket-Extensions"))


async def expect(ws, message, i):
    got = await ws.recv()
    same = type(got) is type(message) and got == message
    require(same, f"echo {i}, of {len(message)} characters or bytes, differs")


async def the_answer_is_as_expected(ws, config):
    require(answer(ws) == config["answer"], f"it is {answer(ws)}")


async def one_message_after_the_other(ws, config):
    for i, message in enumerate(corpus()):
        await send(ws, message, i)
        await expect(ws, message, i)


async def many_messages_at_once(ws, config):
    async def put():
        for i, message in enumerate(corpus()):
            await send(ws, message, i + 1)

    sending = asyncio.ensure_future(put())
    for i, message in enumerate(corpus()):
        await expect(ws, message, i)
    await sending


async def carry(ws, messages):
    """Bytes from and to the server for these messages and their echoes, one after the other."""
    read, written = ws.read, ws.written
    for i, message in enumerate(messages):
        await ws.send(message)
        await expect(ws, message, i)
    return ws.read - read, ws.written - written


async def both_directions_are_compressed(ws, config):
    read, written = await carry(ws, [text(4000)] * 20)
    require(read < 40_000 and written < 40_000, f"80,000 bytes became {written} there and {read} back")


async def earlier_messages_are_made_use_of_or_not_as_agreed(ws, config):
    # Each fits into the smallest window several times, and has nothing in it that repeats.
    message = noise(2 ** (min(config["bits"]) - 2), 99)
    total = 20 * len(message)
    for who, takeover, carried in zip(("server", "client"), config["takeover"], await carry(ws, [message] * 20)):
        require((carried < 0.7 * total) == takeover, f"{total} bytes from the {who} became {carried}")


async def closed_with_1000(ws, config):
    await ws.close()
    require(ws.close_code == 1000, f"it is {ws.close_code}")


CLIENT_CHECKS = [
    the_answer_is_as_expected,
    one_message_after_the_other,
    many_messages_at_once,
    both_directions_are_compressed,
    earlier_messages_are_made_use_of_or_not_as_agreed,
    closed_with_1000,
]


async def client(url, config):
    offer = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not config["server_takeover"],
        client_no_context_takeover=not config["client_takeover"],
        server_max_window_bits=config["server_bits"],
        client_max_window_bits=config["client_bits"] or True,
    )
    async with connect(
        url,
        max_size=None,
        proxy=None,
        ssl=peer_tls.client(url),
        compression=None,
        extensions=[offer],
        create_connection=CountedClient,
    ) as ws:
        for body in CLIENT_CHECKS:
            name = body.__name__.replace("_", " ")
            try:
                await asyncio.wait_for(body(ws, config), 60)
                print(f"ok {name}", flush=True)
            except asyncio.TimeoutError:
                print(f"FAIL {name}: nothing happened for 60 s", flush=True)
            except Exception as e:
                print(f"FAIL {name}: {type(e).__name__} {e}", flush=True)


async def handle(ws):
    read, written, count, carried = ws.read, ws.written, 0, 0
    try:
        async for message in ws:
            carried += len(message.encode() if isinstance(message, str) else message)
            if ws.request.path == "/turns":
                await send(ws, message, count)
            else:
                await ws.send(message)
            count += 1
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    told = {"code": ws.close_code, "answer": answer(ws), "count": count, "carried": carried}
    told |= {"read": ws.read - read, "written": ws.written - written}
    print(f"closed {json.dumps(told)}", flush=True)


async def server(config):
    accept = ServerPerMessageDeflateFactory(
        server_no_context_takeover=not config["server_takeover"],
        client_no_context_takeover=not config["client_takeover"],
        server_max_window_bits=config["server_bits"],
        client_max_window_bits=config["client_bits"],
    )
    async with serve(
        handle,
        "127.0.0.1",
        0,
        max_size=None,
        ssl=peer_tls.server(),
        compression=None,
        extensions=[accept],
        create_connection=CountedServer,
    ) as listener:
        port = listener.sockets[0].getsockname()[1]
        print(f"listening on {peer_tls.SCHEME}://127.0.0.1:{port}", flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()


if __name__ == "__main__":
    *rest, last = sys.argv[2:]
    asyncio.run({"client": client, "server": server}[sys.argv[1]](*rest, json.loads(last)))
