"""The checks of TLS with OpenSSL's own programs, `s_client` and `s_server`; the WebSocket in it is written by hand."""

import asyncio
import re

import by_hand
from harness import MIB, PATIENCE, Program, equal, require

BOTH = "TLSv1.2", "TLSv1.3"


def flag(version):
    return {"TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}[version]


def place(url):
    """Host and port in a URL without a path."""
    return re.fullmatch(r"wss://([^/]+:\d+)/?", url)[1]


# Ours as the server


def s_client(tls, url, version, *options):
    trust = ("-CAfile", tls.file("ca.pem"), "-verify_return_error", "-verify_hostname", "localhost")
    where = ("-connect", place(url), "-servername", "localhost", flag(version))
    return Program.start("openssl", "s_client", *where, *trust, *options)


async def frame(ours, opcode, payload, what):
    got = await asyncio.wait_for(by_hand.frame_from_server(ours.process.stdout), PATIENCE)
    require(got == (opcode, payload), f"{what}: opcode {got[0]} with {len(got[1])} bytes, {got[1][:40]!r}")


async def conversation(client):
    """A WebSocket over what `client` carries, to the end."""
    await client.write(by_hand.request())
    head = await asyncio.wait_for(client.process.stdout.readuntil(b"\r\n\r\n"), PATIENCE)
    first, headers = by_hand.headers(head)
    equal(first, "HTTP/1.1 101 Switching Protocols", "answer")
    equal(headers["sec-websocket-accept"], by_hand.accept(by_hand.KEY), "Sec-WebSocket-Accept")
    for opcode, back, payload in (
        (by_hand.TEXT, by_hand.TEXT, "κόσμε".encode()),
        (by_hand.PING, by_hand.PONG, b"are you there"),
        (by_hand.BINARY, by_hand.BINARY, bytes(range(256)) * 64),
        (by_hand.BINARY, by_hand.BINARY, bytes(2 * MIB)),
        (by_hand.CLOSE, by_hand.CLOSE, by_hand.close(4000)),
    ):
        await client.write(by_hand.from_client(opcode, payload))
        await frame(client, back, payload, "echo")
    # The input stays open: the server ends the connection, and says so.
    out, status, errors = await client.rest()
    equal(out, "", "further output")
    require(status == 0 and "error" not in errors, f"exit status {status}, standard error {errors!r}")


async def talks(tls, url, version, *options):
    async with await s_client(tls, url, version, "-quiet", *options) as client:
        await conversation(client)


async def told(tls, url, version, *options):
    """What s_client says of a handshake, and its exit status. Ends the connection after it."""
    async with await s_client(tls, url, version, *options) as client:
        client.end_of_input()
        out, status, errors = await client.rest()
        return out + errors, status


async def agrees(tls, url, version, options, *expected):
    out, status = await told(tls, url, version, *options)
    missing = [line for line in expected if line not in out]
    require(status == 0 and not missing, f"exit status {status}, without {missing}: {out[-300:]!r}")


async def refuses(tls, url, version, options, alert):
    out, status = await told(tls, url, version, *options)
    require(status != 0 and alert in out, f"exit status {status}, without {alert!r}: {out[-300:]!r}")


async def resumes(tls, url, version):
    session = tls.scratch(f"session-{version}")
    await talks(tls, url, version, "-sess_out", session)
    await agrees(tls, url, version, ["-sess_in", session], f"Reused, {version}")


async def refused_with_1_3(tls, url, options, alert):
    """Only after its own part of the handshake does the client learn of it; until then it may send."""
    async with await s_client(tls, url, "TLSv1.3", "-quiet", *options) as client:
        try:
            await client.write(by_hand.request())
        except ConnectionError:
            pass
        out, status, errors = await client.rest()
        equal(out, "", "output")
        require(status != 0 and alert in errors, f"exit status {status}, standard error {errors!r}")


def handshake_checks(tls, url):
    for version in BOTH:
        yield f"{version}, and a WebSocket to its end", talks(tls, url, version, "-alpn", "http/1.1")
        yield f"{version}, resumed", resumes(tls, url, version)
        for offered, agreed in (
            ("http/1.1", "ALPN protocol: http/1.1"),
            ("h2,http/1.1", "ALPN protocol: http/1.1"),
            (None, "No ALPN negotiated"),
        ):
            options = ("-alpn", offered) if offered else ()
            yield f"{version}, {offered or 'no'} ALPN", agrees(tls, url, version, options, version, agreed)
        alert = "no application protocol"
        yield f"{version}, ALPN only h2 is refused", refuses(tls, url, version, ("-alpn", "h2"), alert)
    for suite in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
        yield suite, talks(tls, url, "TLSv1.3", "-ciphersuites", suite)
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        yield suite, talks(tls, url, "TLSv1.2", "-cipher", suite)
    old = ("-cipher", "ALL:@SECLEVEL=0")
    yield "TLSv1.1 is refused", refuses(tls, url, "TLSv1.1", old, "alert handshake failure")
    weak = ("-cipher", "ECDHE-ECDSA-AES128-SHA")
    yield "TLSv1.2 with CBC is refused", refuses(tls, url, "TLSv1.2", weak, "alert handshake failure")


def identity(tls, name):
    return "-cert", tls.file(f"{name}.pem"), "-key", tls.file(f"{name}.key")


def client_certificate_checks(tls, url):
    """With a server that wants certificates from ca.pem."""
    ours, other = identity(tls, "client"), identity(tls, "other-client")
    for version in BOTH:
        yield f"{version}, a client certificate", talks(tls, url, version, *ours)
    name = "no client certificate is refused"
    yield f"TLSv1.2, {name}", refuses(tls, url, "TLSv1.2", (), "alert certificate required")
    yield f"TLSv1.3, {name}", refused_with_1_3(tls, url, (), "alert certificate required")
    name = "a client certificate of another authority is refused"
    yield f"TLSv1.2, {name}", refuses(tls, url, "TLSv1.2", other, "alert unknown ca")
    yield f"TLSv1.3, {name}", refused_with_1_3(tls, url, other, "alert unknown ca")


async def server_checks(score, tls):
    async with tls.echo_server() as url:
        for title, body in handshake_checks(tls, url):
            await score.check(f"s_client -> echo_server: {title}", body)
    async with tls.echo_server("--tls-client-ca", tls.file("ca.pem")) as url:
        for title, body in client_certificate_checks(tls, url):
            await score.check(f"s_client -> echo_server: {title}", body)


# Ours as the client


async def s_server(tls, *options):
    """Serves one connection; its URL is the second result."""
    known = ("-cert", tls.file("server.pem"), "-key", tls.file("server.key"))
    # Standard output tells of the connection and has what the client sends, standard input goes to the client.
    server = await Program.start("openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", *known, *options)
    return server, "wss://" + await server.line_after("ACCEPT ")


async def accepted(tls, server, ours):
    """Answers the request that comes through s_server, and sends a line; what s_server told of the handshake."""
    told = await asyncio.wait_for(server.process.stdout.readuntil(b"GET /"), PATIENCE)
    head = b"GET /" + await asyncio.wait_for(server.process.stdout.readuntil(b"\r\n\r\n"), PATIENCE)
    await server.write(by_hand.answer(head))
    await server.write(by_hand.from_server(by_hand.TEXT, b"Hello"))
    equal(await ours.line(), "Hello", "line")
    return told.decode(errors="replace")


async def to_the_end(tls, server_options, connect_options, *expected):
    """connect closes, gets the Close back, and then s_server goes without a close_notify, as is its way."""
    server, url = await s_server(tls, *server_options)
    async with server, await tls.connect(url, *connect_options) as ours:
        told = await accepted(tls, server, ours)
        missing = [line for line in expected if line not in told]
        require(not missing, f"s_server did not say {missing}: {told!r}")
        ours.end_of_input()
        close = await asyncio.wait_for(server.process.stdout.readexactly(8), PATIENCE)
        equal(close[:2], b"\x88\x82", "frame of the client")
        await server.write(by_hand.from_server(by_hand.CLOSE, by_hand.close(1000)))
        server.end_of_input()
        await tls.ends(ours, 1000)
        # After its one connection it ends by itself.
        await server.rest()


async def no_connection(tls, server_options, connect_options, *expected):
    server, url = await s_server(tls, *server_options)
    async with server, await tls.connect(url, *connect_options) as ours:
        await tls.fails(ours, *expected)
        server.end_of_input()
        await server.rest()


async def no_websocket(tls):
    """s_server's own answer to a request is a page."""
    server, url = await s_server(tls, "-www")
    async with server, await tls.connect(url) as ours:
        await tls.fails(ours, "200")
        server.end_of_input()
        await server.rest()


def client_cases(tls):
    known = ("-CAfile", tls.file("ca.pem"), "-Verify", "2", "-verify_return_error")
    for version in BOTH:
        yield f"{version}, a WebSocket to its end", to_the_end(tls, (flag(version),), ())
        name = "our client certificate"
        mine = ("--cert", tls.file("client.pem"), "--key", tls.file("client.key"))
        other = ("--cert", tls.file("other-client.pem"), "--key", tls.file("other-client.key"))
        ask = (flag(version), *known)
        yield f"{version}, {name}", to_the_end(tls, ask, mine, "subject=CN = alice")
        yield f"{version}, {name} is missing", no_connection(tls, ask, (), "")
        yield f"{version}, {name} is of another authority", no_connection(tls, ask, other, "nown")
        chosen = "ALPN protocols selected: http/1.1"
        yield f"{version}, ALPN http/1.1", to_the_end(tls, (flag(version), "-alpn", "h2,http/1.1"), (), chosen)
        no_match = (flag(version), "-alpn", "h2")
        yield f"{version}, ALPN only h2", no_connection(tls, no_match, (), "")
    yield "TLSv1.1", no_connection(tls, ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), (), "")
    yield "a page instead of a WebSocket", no_websocket(tls)


async def client_checks(score, tls):
    for title, body in client_cases(tls):
        await score.check(f"connect -> s_server: {title}", body)
