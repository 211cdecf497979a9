"""The checks of what comes to a listener with TLS that is no TLS, and of servers that go without a word."""

import asyncio
import contextlib
import random
import socket
import ssl

import by_hand
from harness import PATIENCE, equal, require
from tls_openssl import BOTH, place

ALERT = 0x15


# Ours as the server


def not_tls():
    """What is sent, and whether an alert says that it was understood not to be TLS."""
    noise = random.Random(5)
    yield "plain HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", True
    yield "a WebSocket without TLS", by_hand.request(), True
    yield "noise", bytes((0x80,)) + noise.randbytes(4000), True
    yield "zeros", bytes(4000), True
    yield "a hello of SSL 2", bytes.fromhex("802e0100020015000000100100800200800300800600") + noise.randbytes(26), True
    yield "a record that is too long", bytes((0x16, 3, 1, 0xFF, 0xFF)) + noise.randbytes(4000), True
    yield "a hello that is noise", bytes((0x16, 3, 1, 0x02, 0x04, 1, 0, 2, 0)) + noise.randbytes(512), True
    yield "data before a hello", bytes((0x17, 3, 3, 0, 32)) + noise.randbytes(32), True
    yield "an alert", bytes((ALERT, 3, 3, 0, 2, 2, 40)), False


def hello(host="localhost"):
    """What a client begins with."""
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=host).do_handshake()
    return out.read()


async def until_the_end(reader):
    """What comes until the other side ends the connection, gently or not."""
    came = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(reader.read(65536), PATIENCE):
            came += part
    return bytes(came)


async def is_refused(url, sent, alert, end=False):
    host, port = place(url).split(":")
    reader, writer = await asyncio.open_connection(host, port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
            if end:
                writer.write_eof()
        came = await until_the_end(reader)
        require(not came or came[0] == ALERT, f"the answer begins with {came[:20]!r}")
        require(came or not alert, "there was no alert")
    finally:
        writer.close()


async def over_tls(tls, url, sent, expected):
    """What is no WebSocket, but comes over good TLS."""
    host, port = place(url).split(":")
    context = ssl.create_default_context(cafile=tls.file("ca.pem"))
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
    try:
        writer.write(sent)
        await writer.drain()
        came = await until_the_end(reader)
        require(came.startswith(expected) and bool(came) == bool(expected), f"the answer begins with {came[:60]!r}")
    finally:
        writer.close()


def intruders(tls, url):
    for name, sent, alert in not_tls():
        yield name, is_refused(url, sent, alert)
    yield "nothing at all", is_refused(url, b"", False, end=True)
    yield "half a hello", is_refused(url, hello()[:100], False, end=True)
    yield "a hello, and no more", is_refused_after_hello(url)
    # What is no HTTP is not answered.
    yield "noise over TLS", over_tls(tls, url, bytes(range(256)) * 4, b"")
    yield "bad HTTP over TLS", over_tls(tls, url, b"Hello?\r\n\r\n", b"HTTP/1.1 400 ")
    yield "a page over TLS", over_tls(tls, url, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 4")
    reserved = by_hand.request() + bytes((0x83, 0x80)) + by_hand.MASK
    yield "a bad frame over TLS", over_tls(tls, url, reserved, b"HTTP/1.1 101 ")


async def is_refused_after_hello(url):
    """The server has answered; then the client goes."""
    host, port = place(url).split(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(hello())
    equal((await asyncio.wait_for(reader.readexactly(1), PATIENCE))[0], 0x16, "the first byte of the answer")
    writer.write_eof()
    await until_the_end(reader)
    writer.close()


def blocking_client(tls, url):
    """A WebSocket that stays; over a socket with blocking calls."""
    host, port = place(url).split(":")
    context = ssl.create_default_context(cafile=tls.file("ca.pem"))
    plain = socket.create_connection((host, port), timeout=PATIENCE)
    connection = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
    connection.sendall(by_hand.request())
    head(connection)
    return connection


def reading(connection):
    """A function that reads so many bytes."""

    def read(count):
        parts = bytearray()
        while len(parts) < count:
            part = connection.recv(count - len(parts))
            require(part, "the connection has ended")
            parts += part
        return bytes(parts)

    return read


def head(connection):
    came = bytearray()
    while not came.endswith(b"\r\n\r\n"):
        came += reading(connection)(1)
    return bytes(came)


def goes_on(connection, text):
    connection.sendall(by_hand.from_client(by_hand.TEXT, text))
    equal(by_hand.take(reading(connection)), (by_hand.TEXT, text), "echo")


def ends_well(connection):
    """Closes; the server answers, and then ends the TLS stream with a close_notify."""
    connection.sendall(by_hand.from_client(by_hand.CLOSE, by_hand.close(1000)))
    equal(by_hand.take(reading(connection)), (by_hand.CLOSE, by_hand.close(1000)), "answer")
    # Without a close_notify this raises.
    equal(connection.recv(1), b"", "further data")
    connection.close()


async def server_checks(score, tls):
    async with tls.echo_server() as url:
        stays = await asyncio.to_thread(blocking_client, tls, url)
        all_of_them = dict(intruders(tls, url))
        # All at once: none of them waits for another.
        await asyncio.gather(*(score.check(f"echo_server refuses {name}", body) for name, body in all_of_them.items()))

        async def unharmed():
            await asyncio.to_thread(goes_on, stays, b"still there")
            await asyncio.to_thread(goes_on, await asyncio.to_thread(blocking_client, tls, url), b"newly there")

        await score.check("echo_server still serves those before and after", unharmed())
        body = asyncio.to_thread(ends_well, stays)
        await score.check("echo_server ends the TLS stream with a close_notify", body)


# Ours as the client


class Stub:
    """A server for one connection, which is handled by a function in a thread of its own."""

    def __init__(self, tls, version, handle):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(tls.file("server.pem"), tls.file("server.key"))
        self.context.minimum_version = self.context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.url = f"wss://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.handle = handle

    def run(self):
        plain, _ = self.listener.accept()
        plain.settimeout(PATIENCE)
        connection = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        with self.listener, connection:
            connection.sendall(by_hand.answer(head(connection)))
            connection.sendall(by_hand.from_server(by_hand.TEXT, b"Hello"))
            # The client has something to say: nothing is on its way when the connection ends.
            equal(by_hand.take(reading(connection)), (by_hand.TEXT, b"go"), "message")
            self.handle(connection)


def cut_off(connection):
    """The stream ends when the caller closes the socket, and nothing has said that it would."""


def cut_within_a_message(connection):
    connection.sendall(by_hand.from_server(by_hand.TEXT, b"never whole")[:-3])


def goodbye(connection):
    """A close_notify, which the client answers."""
    connection.unwrap().close()


def closed_and_cut(connection):
    connection.sendall(by_hand.from_server(by_hand.CLOSE, by_hand.close(4001)))
    equal(by_hand.take(reading(connection)), (by_hand.CLOSE, by_hand.close(4001)), "answer")


def closed_and_goodbye(connection):
    closed_and_cut(connection)
    goodbye(connection)


ENDS = {
    # Why a connection ended without a Close is for programs to ask; to connect it is all the same.
    "cut off": (cut_off, 1006, "unclean"),
    "cut off within a message": (cut_within_a_message, 1006, "unclean"),
    "a close_notify without a Close": (goodbye, 1006, "unclean"),
    "a Close, then cut off": (closed_and_cut, 4001, "clean"),
    "a Close, then a close_notify": (closed_and_goodbye, 4001, "clean"),
}


async def end_check(tls, version, handle, code, how):
    stub = Stub(tls, version, handle)
    running = asyncio.ensure_future(asyncio.to_thread(stub.run))
    async with await tls.connect(stub.url) as ours:
        equal(await ours.line(), "Hello", "line")
        await ours.write("go\n")
        # The input stays open: the end of the connection is enough to end the program.
        await tls.ends(ours, code, how)
    await running


async def client_checks(score, tls):
    for version in BOTH:
        for name, (handle, code, how) in ENDS.items():
            title = f"connect, {version}: {name}"
            await score.check(title, end_check(tls, version, handle, code, how))
