"""What peers do in their own way.  Everything that differs from what the checks want must stand here."""

import re
from typing import NamedTuple


class Quirk(NamedTuple):
    who: str
    role: str
    versions: str  # a pattern for the whole name
    check: str  # likewise
    outcome: str  # a pattern somewhere in what the check says
    why: str


AS_HIXIE_76 = "it does not look at the number of the draft, and goes on in hixie-76"
# Versions that a library answers to, and does not speak.
UNUSABLE = {
    "websocket (Ruby)": {
        "hybi-01": "it goes on with the frames of hixie-76",
        "hybi-02": "it goes on with the frames of hixie-76",
        "hybi-04": "it sends no nonce and masks nothing",
        "hybi-05": "it masks in the way of hybi-07",
        "hybi-06": "it masks in the way of hybi-07",
    },
    "websocket-driver (Ruby)": {
        **{f"hybi-0{i}": AS_HIXIE_76 for i in (1, 2, 3)},
        **{f"hybi-0{i}": "it does not look at the number, and goes on with the frames of 13" for i in (4, 5, 6)},
    },
    "websocket-driver (Node.js)": {f"hybi-0{i}": AS_HIXIE_76 for i in (1, 2, 3)},
    "Protocol::WebSocket (Perl)": {
        **{f"hybi-0{i}": AS_HIXIE_76 for i in (1, 2, 3)},
        **{f"hybi-0{i}": "it takes every number but 13 for 8" for i in (4, 5, 6, 7)},
    },
    "ws 0.4": {f"hybi-0{i}": AS_HIXIE_76 for i in (1, 2, 3)},
    "eventlet": {f"hybi-0{i}": AS_HIXIE_76 for i in (1, 2, 3)},
}

# Servers that answer with a subprotocol whether one was offered or not: here one always is.
OFFER = {("eventlet", "hixie-76"): "chat"}

# The checks that we end by closing.
FINISH = "lines|100 lines at once|a message along with the answer|subprotocol|a text in pieces"

QUIRKS = [
    Quirk(
        "em-websocket",
        "server",
        "hixie-76",
        FINISH,
        r"saw the end \(1006, '.*instead of \(1005, ",
        "it says 1006 at every end",
    ),
    Quirk(
        "em-websocket",
        "server",
        "hixie-76",
        "closed by the server",
        'closed 1006 "" unclean',
        "it closes without a closing handshake",
    ),
    Quirk(
        "ws 0.4",
        "server",
        "hixie-76",
        f"{FINISH}|closed by the server",
        r"saw the end \(1000, ",
        "it says 1000 at every end",
    ),
    Quirk("ws 0.4", "server", ".*", "dropped by the server", r"saw the end \(1000, ", "it says 1000 at every end"),
    Quirk(
        "eventlet",
        "server",
        "hixie-76",
        "no subprotocol",
        "chose a subprotocol that was not offered",
        "it always answers with one",
    ),
    Quirk(
        "gevent-websocket",
        "server",
        ".*",
        FINISH,
        'closed 1005 "" clean',
        "its answer to a Close has no code",
    ),
    Quirk(
        "gevent-websocket",
        "server",
        ".*",
        "closed by the server",
        'closed 1002 "" unclean',
        "its Close has the reason where the code belongs",
    ),
    Quirk("ws 0.4", "client", ".*", "drop", r"saw the end \(1000, ", "it says 1000 at every end without a Close"),
]


def find(who, role, version, check):
    for quirk in QUIRKS:
        if (quirk.who, quirk.role) != (who, role):
            continue
        if re.fullmatch(quirk.versions, version) and re.fullmatch(quirk.check, check):
            return quirk
    return None
