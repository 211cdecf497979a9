"""The Python peer, `websockets`.

    peer_websockets.py client URL   checks an echo server; a line per check
    peer_websockets.py away URL     waits for a connection to be closed with 1001
    peer_websockets.py tls URL      the same over TLS only; prints what was agreed on, or the error
    peer_websockets.py server       serves the paths at the end of this file, until SIGTERM

About TLS see `peer_tls.mjs`.
"""

import asyncio
import http
import json
import signal
import sys

import peer_tls
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, WebSocketException

MIB = 1024 * 1024


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: {got!r} instead of {expected!r}")


def same(got, expected, what):
    """As `equal`, for messages that nobody wants to see whole."""
    if type(got) is not type(expected) or got != expected:
        raise AssertionError(f"{what}: {type(got).__name__} of {len(got)} differs")


def opened(url, **options):
    return connect(url, max_size=None, proxy=None, ssl=peer_tls.client(url), **options)


async def finish(ws, code=1000, reason=""):
    """Closes from this side and expects the code back, with the reason or without."""
    await ws.close(code, reason)
    answer = ws.protocol.close_rcvd
    if answer is None:
        raise AssertionError("the connection ended without a Close from the server")
    equal(answer.code, code, "close code")
    if answer.reason:
        equal(answer.reason, reason, "close reason")


async def echoes(url, *messages, **options):
    """Sends each message, and expects it back before the next."""
    async with opened(url, **options) as ws:
        for message in messages:
            await ws.send(message)
            same(await ws.recv(), message, "echo")
        await finish(ws)


async def fragments(url, parts):
    async with opened(url) as ws:
        await ws.send(parts)
        same(await ws.recv(), type(parts[0])().join(parts), "echo")
        await finish(ws)


async def refused(url, code, message, **options):
    """Sends something that the server must refuse, and expects it to close with `code`."""
    async with opened(url) as ws:
        try:
            await ws.send(message, **options)
            await ws.recv()
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise AssertionError("the connection ended without a Close from the server") from closed
            equal(closed.rcvd.code, code, "close code")
        else:
            raise AssertionError("the server went on")


async def text(url):
    await echoes(url, "Hello", "\0", "κόσμε 💬")


async def binary(url):
    await echoes(url, bytes([0, 1, 2, 255]))


async def empty_text_and_empty_binary(url):
    await echoes(url, "", b"")


async def sizes_around_the_length_forms(url):
    for size in (125, 126, 127, 65535, 65536):
        await echoes(url, "x" * size, bytes([7]) * size)


async def one_mib(url):
    await echoes(url, "é" * (MIB // 2), b"\xff" * MIB)


async def two_mib_the_longest_that_the_server_takes(url):
    await echoes(url, "é" * MIB, b"\xff" * 2 * MIB)


async def any_path_and_query(url):
    await echoes(url + "/some/where?a=b&c=%20", "here")


async def without_an_offer_of_compression(url):
    await echoes(url, "plain", compression=None)


async def fragmented_text(url):
    await fragments(url, ["one ", "", "two ", "three"])


async def fragmented_binary(url):
    await fragments(url, [b"1" * 70000, b"2", b""])


async def pings_between_fragments(url):
    async with opened(url) as ws:
        # The pong must not wait for the end of the message.
        async def parts():
            yield "before "
            await (await ws.ping("between"))
            yield "after"

        await ws.send(parts())
        equal(await ws.recv(), "before after", "echo")
        await finish(ws)


async def two_hundred_messages_before_the_first_echo_is_read(url):
    messages = [f"message {i}" if i % 2 else bytes([i]) * (i * 10) for i in range(200)]
    async with opened(url) as ws:
        for message in messages:
            await ws.send(message)
        for message in messages:
            same(await ws.recv(), message, "echo")
        await finish(ws)


async def five_thousand_small_messages_at_once(url):
    async def put(ws):
        for i in range(5000):
            await ws.send(str(i))

    async with opened(url) as ws:
        sending = asyncio.ensure_future(put(ws))
        for i in range(5000):
            equal(await ws.recv(), str(i), "echo")
        await sending
        await finish(ws)


async def ping(url):
    async with opened(url) as ws:
        for payload in (b"", b"p" * 125):
            await (await ws.ping(payload))
        await ws.pong("nobody asked")
        await finish(ws)


async def close_codes_and_reasons(url):
    for code, reason in ((1000, ""), (1001, "over"), (3000, "ünï" * 20), (4999, "r" * 123)):
        async with opened(url) as ws:
            await finish(ws, code, reason)


async def subprotocols_offered_none_is_chosen(url):
    async with opened(url, subprotocols=["superchat", "chat"]) as ws:
        equal(ws.subprotocol, None, "subprotocol")
        await ws.send("still fine")
        equal(await ws.recv(), "still fine", "echo")
        await finish(ws)


async def invalid_utf_8_is_answered_by_1007(url):
    await refused(url, 1007, b"\xce\xff", text=True)


async def a_message_that_is_too_big_is_answered_by_1009(url):
    await refused(url, 1009, bytes(3 * MIB))


CLIENT_CHECKS = [
    text,
    binary,
    empty_text_and_empty_binary,
    sizes_around_the_length_forms,
    one_mib,
    two_mib_the_longest_that_the_server_takes,
    any_path_and_query,
    without_an_offer_of_compression,
    fragmented_text,
    fragmented_binary,
    pings_between_fragments,
    two_hundred_messages_before_the_first_echo_is_read,
    five_thousand_small_messages_at_once,
    ping,
    close_codes_and_reasons,
    subprotocols_offered_none_is_chosen,
    invalid_utf_8_is_answered_by_1007,
    a_message_that_is_too_big_is_answered_by_1009,
]


async def check(name, body):
    try:
        await asyncio.wait_for(body, 60)
        print(f"ok {name}", flush=True)
    except asyncio.TimeoutError:
        print(f"FAIL {name}: nothing happened for 60 s", flush=True)
    except Exception as e:
        print(f"FAIL {name}: {type(e).__name__} {e}", flush=True)


async def client(url):
    for body in CLIENT_CHECKS:
        await check(body.__name__.replace("_", " "), body(url))


async def away(url):
    async def body():
        async with opened(url) as ws:
            print("connected", flush=True)
            try:
                await ws.recv()
            except ConnectionClosed as closed:
                equal(closed.rcvd and closed.rcvd.code, 1001, "close code")
            else:
                raise AssertionError("a message nobody sent")

    await check("a server that ends says 1001", body())


async def tls(url):
    try:
        async with opened(url) as ws:
            await ws.send("Hello")
            equal(await ws.recv(), "Hello", "echo")
            print(json.dumps(peer_tls.agreed(ws.transport)), flush=True)
            await finish(ws)
    except (OSError, WebSocketException) as error:
        print(f"refused {type(error).__name__} {error}", flush=True)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def send_tls(ws):
    await ws.send(json.dumps(peer_tls.agreed(ws.transport)))
    await echo(ws)


async def request(ws):
    headers = ws.request.headers
    await ws.send(
        json.dumps(
            {
                "origin": headers.get("Origin"),
                "header": ", ".join(headers.get_all("X-Test")) or None,
                "offered": ", ".join(headers.get_all("Sec-WebSocket-Protocol")) or None,
                "chosen": ws.subprotocol,
            }
        )
    )
    await echo(ws)


async def send_binary(ws):
    await ws.send(b"\x00\x01\xff")
    await echo(ws)


async def send_fragments(ws):
    await ws.send(["fra", "gm", "ents"])
    await echo(ws)


async def send_ping(ws):
    await (await ws.ping("are you there"))
    await ws.send("pong are you there")
    await echo(ws)


async def close(ws):
    await ws.recv()
    await ws.close(4001, "on purpose")


async def drop(ws):
    await ws.recv()
    ws.transport.abort()


BEHAVIOURS = {
    "/echo": echo,
    "/tls": send_tls,
    "/request": request,
    "/binary": send_binary,
    "/fragments": send_fragments,
    "/ping": send_ping,
    "/close": close,
    "/drop": drop,
}


async def handle(ws):
    try:
        await BEHAVIOURS[ws.request.path](ws)
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    got = ws.protocol.close_rcvd
    code, reason = (got.code, got.reason) if got else (1006, "")
    print(f"closed {ws.request.path} {code} {json.dumps(reason)}", flush=True)


def refuse(ws, request):
    if request.path == "/refuse":
        return ws.respond(http.HTTPStatus.FORBIDDEN, "Not for you.\n")
    return None


def choose(ws, offered):
    return "second" if "second" in offered else None


async def server():
    async with serve(
        handle,
        "127.0.0.1",
        0,
        max_size=None,
        ssl=peer_tls.server(),
        process_request=refuse,
        select_subprotocol=choose,
    ) as listener:
        port = listener.sockets[0].getsockname()[1]
        print(f"listening on {peer_tls.SCHEME}://127.0.0.1:{port}", flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run({"client": client, "away": away, "tls": tls, "server": server}[sys.argv[1]](*sys.argv[2:]))
