"""How the peers in Python speak TLS: as the environment says, in the same words as in `peer_tls.mjs`."""

import os
import ssl

CERT, KEY, CA, VERSION = (os.environ.get(f"TLS_{name}") for name in ("CERT", "KEY", "CA", "VERSION"))
SCHEME = "wss" if CERT else "ws"


def context(purpose):
    made = ssl.create_default_context(purpose, cafile=CA)
    if CERT:
        made.load_cert_chain(CERT, KEY)
    if CA:
        made.verify_mode = ssl.CERT_REQUIRED
    if VERSION:
        made.minimum_version = made.maximum_version = ssl.TLSVersion[VERSION.replace(".", "_")]
    made.set_alpn_protocols(["http/1.1"])
    return made


def server():
    """The settings of a server, or None if it shall speak no TLS."""
    return context(ssl.Purpose.CLIENT_AUTH) if CERT else None


def client(url):
    """The settings for this URL, or None if it is one without TLS."""
    return context(ssl.Purpose.SERVER_AUTH) if url.startswith("wss:") else None


def agreed(transport):
    """What a connection agreed on, and the common name in the certificate of the other side."""
    tls = transport.get_extra_info("ssl_object")
    subject = dict(pair for part in (tls.getpeercert() or {}).get("subject", ()) for pair in part)
    return {
        "version": tls.version(),
        "alpn": tls.selected_alpn_protocol(),
        "name": subject.get("commonName"),
    }
