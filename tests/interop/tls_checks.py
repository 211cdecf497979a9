"""The checks over TLS: the same peers as without it, with certificates of our own authority, and OpenSSL's programs.

The certificates are those of `../tls/make`. What is said here of a peer is in its environment, see `peer_tls.mjs`.
"""

import contextlib
import json
import os
import re
import tempfile

import deflate_checks
import tls_ends
import tls_openssl
from harness import MIB, Program, equal, require

HERE = "127.0.0.1:0"
BOTH = tls_openssl.BOTH


class Tls:
    """Our programs, and the certificates for them."""

    def __init__(self, examples, certificates, folder):
        self.examples = examples
        self.certificates = certificates
        self.folder = folder

    def file(self, name):
        return os.path.join(self.certificates, name)

    def scratch(self, name):
        return os.path.join(self.folder, name)

    def program(self, name):
        return os.path.join(self.examples, name)

    @contextlib.asynccontextmanager
    async def echo_server(self, *options, identity="server", where=("--listen", HERE)):
        """Its URL."""
        known = ("--tls-cert", self.file(f"{identity}.pem"), "--tls-key", self.file(f"{identity}.key"))
        command = (self.program("echo_server"), *where, "--max-message", str(2 * MIB), *known, *options)
        async with await Program.start(*command) as ours:
            ours.end_of_input()
            yield await ours.line_after("listening on ")
            equal(await ours.stop(), 0, "exit status of echo_server")

    def connect(self, url, *options, trust="ca", env=None):
        """Starts connect, which trusts this authority, or those of the system."""
        known = ("--ca", self.file(f"{trust}.pem")) if trust else ()
        return Program.start(self.program("connect"), url, *known, *options, env=env)

    def peer(self, identity=None, trust=None, version=None):
        """The environment for a peer."""
        settings = {}
        if identity:
            settings |= {"TLS_CERT": self.file(f"{identity}.pem"), "TLS_KEY": self.file(f"{identity}.key")}
        if trust:
            settings["TLS_CA"] = self.file(f"{trust}.pem")
        if version:
            settings["TLS_VERSION"] = version
        return settings

    async def ends(self, ours, code, how="clean"):
        out, status, errors = await ours.rest()
        equal(out, "", "further output")
        last = (errors.splitlines() or [""])[-1]
        require(re.fullmatch(rf'closed {code} "[^"]*" {how}', last), f"standard error {errors!r}")
        equal(status, 0 if how == "clean" else 1, "exit status")

    async def fails(self, ours, *expected):
        """There is no connection, and one of these is among what is said of it."""
        out, status, errors = await ours.rest()
        equal(out, "", "output")
        equal(status, 2, "exit status")
        said = errors.strip() and any(word in errors for word in expected)
        require(said and "panicked" not in errors, f"standard error {errors!r}, without {expected}")


# Ours as the server


async def peer_says(peer, url, env):
    """What a peer tells of an exchange over TLS, or of its failure."""
    async with await Program.start(*peer, "tls", url, env=env) as theirs:
        out, status, errors = await theirs.rest()
        require(status == 0, f"exit status {status}, standard error {errors!r}")
        return out.strip()


async def peer_agrees(peer, url, env, version, name="localhost"):
    told = json.loads(await peer_says(peer, url, env))
    equal(told, {"version": version, "alpn": "http/1.1", "name": name}, "what was agreed on")


async def peer_refuses(peer, url, env, *words):
    told = await peer_says(peer, url, env)
    require(told.startswith("refused "), f"it went on: {told}")
    require(any(word in told for word in words), f"{told!r}, without {words}")


def who_is_who(tls, peer, url):
    for version in BOTH:
        yield f"{version} and http/1.1", peer_agrees(peer, url, tls.peer(trust="ca", version=version), version)
    unknown = ("UNABLE_TO_VERIFY", "unable to verify", "CERTIFICATE_VERIFY_FAILED", "unable to get local issuer")
    yield "another authority is trusted", peer_refuses(peer, url, tls.peer(trust="other-ca"), *unknown)
    # Nothing is said of whom to trust.
    yield "only the system's authorities are trusted", peer_refuses(peer, url, {}, *unknown)


def client_certificates(tls, peer, url):
    """With a server that wants certificates from ca.pem."""
    # With TLS 1.3 a client is through before the server has refused it. What it says is up to its library then.
    refused = ("alert", "ALERT", "reset", "ECONNRESET", "EPIPE", "did not receive a valid HTTP response")
    for version in BOTH:
        title = f"{version}, a client certificate"
        yield title, peer_agrees(peer, url, tls.peer("client", "ca", version), version)
        yield f"{title} is missing", peer_refuses(peer, url, tls.peer(None, "ca", version), *refused)
        yield f"{title} is another's", peer_refuses(peer, url, tls.peer("other-client", "ca", version), *refused)


async def server_checks(score, tls, peers):
    async with tls.echo_server() as url:
        for name, peer in peers.items():
            # By the way in which these programs are told of an authority of the company, say.
            trust = {"NODE_EXTRA_CA_CERTS": tls.file("ca.pem"), "SSL_CERT_FILE": tls.file("ca.pem")}
            async with await Program.start(*peer, "client", url, env=trust) as theirs:
                await score.take(f"{name} -> echo_server, TLS", theirs)
            for title, body in who_is_who(tls, peer, url):
                await score.check(f"{name} -> echo_server, TLS: {title}", body)
    async with tls.echo_server(identity="wrong-name") as url:
        for name, peer in peers.items():
            words = ("ERR_TLS_CERT_ALTNAME_INVALID", "IP address mismatch", "not valid for")
            body = peer_refuses(peer, url, tls.peer(trust="ca"), *words)
            await score.check(f"{name} -> echo_server, TLS: the name is another's", body)
    async with tls.echo_server("--tls-client-ca", tls.file("ca.pem")) as url:
        for name, peer in peers.items():
            for title, body in client_certificates(tls, peer, url):
                await score.check(f"{name} -> echo_server, TLS: {title}", body)


# Ours as the client


async def told_by(tls, url, *options, name=None, version="TLSv1.3", **trust):
    """A peer accepts connect, and sees a WebSocket of this version with this name."""
    async with await tls.connect(f"{url}/tls", *options, **trust) as ours:
        told = json.loads(await ours.line())
        equal(told, {"version": version, "alpn": "http/1.1", "name": name}, "what the peer saw")
        await ours.write("and back\n")
        equal(await ours.line(), "and back", "line")
        ours.end_of_input()
        await tls.ends(ours, 1000)


async def fails(tls, url, *options, words, **trust):
    async with await tls.connect(url, *options, **trust) as ours:
        await tls.fails(ours, *words)


def whom_we_trust(tls, url):
    unknown, system = ("UnknownIssuer", "unknown issuer", "nknown"), {"SSL_CERT_FILE": tls.file("ca.pem")}
    yield "http/1.1 is agreed on", told_by(tls, url)
    yield "also as localhost", told_by(tls, url.replace("127.0.0.1", "localhost"))
    yield "another authority is trusted", fails(tls, f"{url}/tls", trust="other-ca", words=unknown)
    yield "only the system's authorities are trusted", fails(tls, f"{url}/tls", trust=None, words=unknown)
    yield "the system trusts the authority", told_by(tls, url, trust=None, env=system)
    yield "--insecure", told_by(tls, url, "--insecure", trust=None)
    yield "no TLS where there should be", fails(tls, url.replace("wss:", "ws:"), trust=None, words=("",))


def who_we_are(tls, url):
    """With a peer that wants certificates from ca.pem."""
    yield "our certificate", told_by(tls, url, *identity(tls, "client"), name="alice")
    other = identity(tls, "other-client")
    # The peers go without a word of TLS, when the client is through already.
    yield "our certificate is of another authority", fails(tls, f"{url}/tls", *other, words=("the connection failed",))
    yield "our certificate is missing", fails(tls, f"{url}/tls", words=("the connection failed",))


def identity(tls, name):
    return "--cert", tls.file(f"{name}.pem"), "--key", tls.file(f"{name}.key")


async def client_checks(score, tls, peers, plain_checks):
    """`plain_checks` are those that are also made without TLS; each gets a URL and the peer."""
    for name, peer in peers.items():

        async def with_peer(make, **settings):
            async with await Program.start(*peer, "server", env=tls.peer(**settings)) as theirs:
                url = await theirs.line_after("listening on ")
                for title, body in make(url, theirs):
                    await score.check(f"connect -> {name}, TLS: {title}", body)
                await theirs.stop()

        await with_peer(plain_checks, identity="server")
        await with_peer(lambda url, _: whom_we_trust(tls, url), identity="server")
        await with_peer(lambda url, _: who_we_are(tls, url), identity="server", trust="ca")
        old = "TLSv1.2"
        await with_peer(lambda url, _: [(old, told_by(tls, url, version=old))], identity="server", version=old)
        wrong = ("NotValidForName", "not valid for")
        bad = [("the name is another's", lambda url: fails(tls, url, words=wrong))]
        bad += [("--insecure, and another's name", lambda url: told_by(tls, url, "--insecure", trust=None))]
        await with_peer(lambda url, _: [(title, body(url)) for title, body in bad], identity="wrong-name")
        await score.check(f"connect -> {name}: TLS where there is none", tls_to_plain(tls, peer))


async def tls_to_plain(tls, peer):
    async with await Program.start(*peer, "server") as theirs:
        url = await theirs.line_after("listening on ")
        await fails(tls, url.replace("ws:", "wss:"), words=("",))


# Both ours


async def unix_socket(tls):
    path = tls.scratch("socket")
    async with tls.echo_server("--tls-client-ca", tls.file("ca.pem"), where=("--unix", path)):
        options = ("--unix", path, *identity(tls, "client"))
        async with await tls.connect("wss://localhost/", *options) as ours:
            await ours.write("over a Unix socket\n")
            equal(await ours.line(), "over a Unix socket", "line")
            ours.end_of_input()
            await tls.ends(ours, 1000)
        async with await tls.connect("wss://other.example/", *options) as ours:
            await tls.fails(ours, "NotValidForName", "not valid for")


# Compression


async def deflate(score, tls, peers):
    ours = deflate_checks.Ours(
        tls.examples,
        serving=("--tls-cert", tls.file("server.pem"), "--tls-key", tls.file("server.key")),
        connecting=("--ca", tls.file("ca.pem")),
        serving_peer=tls.peer(identity="server"),
        connecting_peer=tls.peer(trust="ca"),
        cases=deflate_checks.few_cases,
        label="deflate over TLS",
    )
    await deflate_checks.checks(score, ours, peers)


async def checks(score, examples, certificates, peers, compressing, plain_checks):
    with tempfile.TemporaryDirectory() as folder:
        tls = Tls(examples, certificates, folder)
        await server_checks(score, tls, peers)
        await client_checks(score, tls, peers, plain_checks)
        await tls_openssl.server_checks(score, tls)
        await tls_openssl.client_checks(score, tls)
        await tls_ends.server_checks(score, tls)
        await tls_ends.client_checks(score, tls)
        await score.check("connect -> echo_server, TLS over a Unix socket", unix_socket(tls))
        await deflate(score, tls, compressing)
