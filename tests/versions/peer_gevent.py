"""The Python library gevent-websocket: a server of hybi-07, hybi-08 and 13."""

import os
import struct

import gevent
from gevent import os as gevent_os
from gevent.pywsgi import WSGIServer
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket import handler

from control import Commands, named, say

current = None


class WebSocket(handler.WebSocket):
    """The library swallows pongs, and does not say what came in a Close."""

    end = 1006, b""

    def handle_pong(self, header, payload):
        say("pong", bytes(payload).hex())

    def handle_close(self, header, payload):
        payload = bytes(payload)
        self.end = (struct.unpack("!H", payload[:2])[0], payload[2:]) if payload else (1005, b"")
        super().handle_close(header, payload)


handler.WebSocket = WebSocket


class Application:
    def app_protocol(self, path):
        return "chat"

    def __call__(self, environ, start_response):
        global current
        ws = current = environ["wsgi.websocket"]
        protocol = "chat" if "chat" in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "") else "-"
        say("open", named(ws.version), ws.path, protocol)
        if ws.path == "/hello":
            ws.send("hello")
        try:
            while (message := ws.receive()) is not None:
                if isinstance(message, str):
                    say("text", message.encode().hex())
                else:
                    say("binary", bytes(message).hex())
        except (WebSocketError, OSError) as error:
            say("note", error)
        say("closed", ws.end[0], ws.end[1].hex())
        return []


def carry_out(command, *arguments):
    if command == "text":
        current.send(bytes.fromhex(arguments[0]).decode())
    elif command == "binary":
        current.send(bytes.fromhex(arguments[0]), binary=True)
    elif command == "ping":
        current.send_frame(bytes.fromhex(arguments[0]).decode(), current.OPCODE_PING)
    elif command == "close":
        reason = bytes.fromhex(arguments[1]) if len(arguments) > 1 else b""
        current.close(int(arguments[0]) if arguments else 1000, reason.decode())
    elif command == "drop":
        current.handler.socket.shutdown(2)


def listen_to_commands():
    commands = Commands(carry_out)
    gevent_os.make_nonblocking(0)
    while data := gevent_os.nb_read(0, 65536):
        commands.feed(data)
    os._exit(0)


server = WSGIServer(("127.0.0.1", 0), Application(), handler_class=handler.WebSocketHandler, log=None)
server.start()
say(f"listening on ws://127.0.0.1:{server.server_port}")
gevent.spawn(listen_to_commands)
server.serve_forever()
