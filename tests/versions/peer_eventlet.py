"""The Python library eventlet: a server of hixie-75, hixie-76, hybi-08 and 13."""

import os
import struct

import eventlet
from eventlet import hubs, websocket, wsgi

from control import Commands, named, say

current = None


@websocket.WebSocketWSGI.configured(supported_protocols=["chat"], support_legacy_versions=True)
def handle(ws):
    global current
    current = ws
    code, reason = 1006, b""
    modern = ws.version > 76 or ws.version < 75
    if modern:
        # The library swallows pongs.
        control = ws._handle_control_frame

        def told(opcode, data):
            if opcode == 0xA:
                say("pong", bytes(data).hex())
            return control(opcode, data)

        ws._handle_control_frame = told
    # In hixie-76 it sends back what the client asks for.
    protocol = ws.protocol if modern else ws.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")
    say("open", named(ws.version), ws.path, protocol or "-")
    if ws.path == "/hello":
        ws.send("hello")
    try:
        while (message := ws.wait()) is not None:
            if isinstance(message, str):
                say("text", message.encode().hex())
            else:
                say("binary", bytes(message).hex())
    except OSError as error:
        say("note", error)
    if modern and ws._remote_close_data is not None:
        data = ws._remote_close_data
        code, reason = (struct.unpack("!H", data[:2])[0], data[2:]) if data else (1005, b"")
    elif not modern and ws.websocket_closed:
        code = 1005
    say("closed", code, reason.hex())


def carry_out(command, *arguments):
    data = [bytes.fromhex(argument) for argument in arguments[:1 if command != "fragments" else None]] \
        if command != "close" else []
    if command == "text":
        current.send(data[0].decode())
    elif command == "binary":
        current.send(data[0])
    elif command == "ping":
        current.send(data[0], control_code=9)
    elif command == "fragments":
        for i, part in enumerate(data):
            current.send(part if i else part.decode(), continuation=i > 0, final=i == len(data) - 1)
    elif command == "close":
        if arguments and current.version not in (75, 76):
            reason = bytes.fromhex(arguments[1]) if len(arguments) > 1 else b""
            current._send_closing_frame(True, (int(arguments[0]), reason))
        elif current.version == 75:
            current.socket.shutdown(2)
        else:
            current._send_closing_frame(True)
    elif command == "drop":
        current.socket.shutdown(2)


def listen_to_commands():
    commands = Commands(carry_out)
    while True:
        hubs.trampoline(0, read=True)
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        commands.feed(data)


listener = eventlet.listen(("127.0.0.1", 0))
say(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}")
eventlet.spawn(listen_to_commands)
wsgi.server(listener, handle, log_output=False)
