// How the peers on Node.js speak TLS: as the environment says, which is the same for both roles.
//
//    TLS_CERT, TLS_KEY   who they are: files, PEM; a server without them speaks no TLS
//    TLS_CA              whom they trust: a file; a server with it wants to see a certificate of each client
//    TLS_VERSION         the only version to speak, TLSv1.2 or TLSv1.3
import { readFileSync } from "node:fs";
import { createServer as plain } from "node:http";
import { createServer as secure } from "node:https";

const { TLS_CERT, TLS_KEY, TLS_CA, TLS_VERSION } = process.env;

export const settings = {
  ...(TLS_CERT && { cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }),
  ...(TLS_CA && { ca: readFileSync(TLS_CA), requestCert: true }),
  ...(TLS_VERSION && { minVersion: TLS_VERSION, maxVersion: TLS_VERSION }),
  ALPNProtocols: ["http/1.1"],
};

/** A server that listens on a free port, and the beginning of its URL. */
export async function listen(refused = () => {}) {
  const server = TLS_CERT ? secure(settings) : plain();
  server.on("tlsClientError", (error) => refused(error.code ?? error.message));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return [server, `${TLS_CERT ? "wss" : "ws"}://127.0.0.1:${server.address().port}`];
}

/** What a socket of TLS agreed on, and the common name in the certificate of the other side. */
export function agreed(socket) {
  return {
    version: socket.getProtocol(),
    alpn: socket.alpnProtocol || null,
    name: socket.getPeerCertificate()?.subject?.CN ?? null,
  };
}
