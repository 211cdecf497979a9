"""The libraries, and what they can do."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

ALL = ["hixie-75", "hixie-76", *(f"hybi-0{i}" for i in range(1, 9)), "13"]
BINARY = ALL[2:]  # the versions with binary messages, pings and fragments
CLOSES = ALL[1:]  # with a closing handshake
CODES = ALL[7:]  # with a code and a reason in it


class Peer:
    """What a library can do: the versions of its server and of its client; whether it can send pieces of a message,
    whether its server takes the subprotocol `chat` from a client of ours (in which versions), and whether its client
    can send a message along with the request."""

    def __init__(self, command, server=(), client=(), pieces=(), chooses=(), bundles=False, offers=()):
        self.command = command
        self.server = list(server)
        self.client = list(client)
        self.pieces = list(pieces)
        self.chooses = list(chooses)
        self.offers = list(offers)
        self.bundles = bundles


def peers(node, ruby, perl):
    python = [sys.executable, "-B", "-W", "ignore"]
    path = lambda name: os.path.join(HERE, name)
    gem = ["hixie-75", "hixie-76", "hybi-03", "hybi-07", "hybi-08", "13"]
    em = ["hixie-75", "hixie-76", "hybi-01", "hybi-02", "hybi-03", "hybi-05", "hybi-06", "hybi-07", "hybi-08", "13"]
    return {
        "em-websocket": Peer([ruby, path("peer_em_websocket.rb")], em, chooses=em[1:5]),
        "websocket (Ruby)": Peer(
            [ruby, path("peer_websocket.rb")],
            gem,
            gem,
            chooses=gem,
            # In hixie-76 and hybi-03 it sends the header of hixie-75.
            offers=["hixie-75", "hybi-07", "hybi-08", "13"],
            bundles=True,
        ),
        "websocket-driver (Ruby)": Peer(
            [ruby, path("peer_driver.rb")],
            ["hixie-75", "hixie-76", "hybi-07", "hybi-08", "13"],
            ["13"],
            chooses=["hybi-07", "hybi-08", "13"],
        ),
        "websocket-driver (Node.js)": Peer(
            [node, path("peer_node.mjs"), "websocket-driver"],
            ["hixie-75", "hixie-76", "13"],
            ["13"],
            chooses=["13"],
        ),
        "Protocol::WebSocket (Perl)": Peer(
            [perl, path("peer_perl.pl")],
            ["hixie-75", "hixie-76", "hybi-08", "13"],
            ["hixie-75", "hixie-76", "hybi-08", "13"],
            pieces=["hybi-08", "13"],
            bundles=True,
        ),
        "ws 0.4": Peer(
            [node, "--no-deprecation", path("peer_node.mjs"), "ws-0.4"],
            ["hixie-76", "hybi-08", "13"],
            ["hybi-08", "13"],
            pieces=["hixie-76", "hybi-08", "13"],
            chooses=["hixie-76", "hybi-08", "13"],
            offers=["hybi-08", "13"],
        ),
        "ws": Peer(
            [node, path("peer_node.mjs"), "ws"],
            ["hybi-08", "13"],
            ["hybi-08", "13"],
            pieces=["hybi-08", "13"],
            chooses=["hybi-08", "13"],
            offers=["hybi-08", "13"],
        ),
        "eventlet": Peer(
            [*python, path("peer_eventlet.py")],
            ["hixie-75", "hixie-76", "hybi-08", "13"],
            pieces=["hybi-08", "13"],
            chooses=["hixie-76", "hybi-08", "13"],
        ),
        "gevent-websocket": Peer(
            [*python, path("peer_gevent.py")],
            ["hybi-07", "hybi-08", "13"],
            chooses=["hybi-07", "hybi-08", "13"],
        ),
    }
