"""A WebSocket written out by hand, for peers that carry bytes and know nothing of WebSockets."""

import base64
import hashlib
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def request(host="localhost", path="/"):
    lines = f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"
    lines += f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", "", ""
    return "\r\n".join(lines).encode()


def accept(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def headers(head):
    """The first line of a request or an answer, and its headers by names in lower case."""
    first, *lines = head.decode().rstrip().split("\r\n")
    return first, {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


def answer(head):
    """What a server says to this request."""
    key = headers(head)[1]["sec-websocket-key"]
    lines = "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"
    return "\r\n".join((*lines, f"Sec-WebSocket-Accept: {accept(key)}", "", "")).encode()


def length(size, flag):
    if size < 126:
        return bytes((flag | size,))
    if size < 65536:
        return struct.pack(">BH", flag | 126, size)
    return struct.pack(">BQ", flag | 127, size)


def from_server(opcode, payload):
    return bytes((0x80 | opcode,)) + length(len(payload), 0) + payload


def from_client(opcode, payload):
    pad = MASK * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(pad[: len(payload)], "big")
    return bytes((0x80 | opcode,)) + length(len(payload), 0x80) + MASK + masked.to_bytes(len(payload), "big")


def close(code):
    return struct.pack(">H", code)


def take(read):
    """Reads a frame with `read`, a function that returns so many bytes; the opcode and the payload, unmasked."""
    first, second = read(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(read(2 if size == 126 else 8), "big")
    mask = read(4) if second & 0x80 else bytes(4)
    return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(read(size)))


async def frame_from_server(stream):
    """The same from a stream of asyncio, of a server: nothing is masked."""
    first, size = await stream.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await stream.readexactly(2 if size == 126 else 8), "big")
    return first & 0x0F, await stream.readexactly(size)
