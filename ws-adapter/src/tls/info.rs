//! What a connection agreed on.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ClientConnection, CommonState, HandshakeKind, ProtocolVersion, ServerConnection};

/// What the two ends of a TLS connection agreed on, and who the peer is.
///
/// A copy of the facts as they were when the handshake was over. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    peer_certificates: Arc<[CertificateDer<'static>]>,
    protocol_version: ProtocolVersion,
    cipher_suite: CipherSuite,
    alpn: Option<Arc<[u8]>>,
    server_name: Option<Arc<str>>,
    resumed: bool,
}

impl TlsInfo {
    /// The facts about a connection to a server; `None` before the handshake is over.
    #[must_use]
    pub fn of_client(connection: &ClientConnection) -> Option<Self> {
        Self::new(connection, None)
    }

    /// The facts about a connection from a client; `None` before the handshake is over.
    #[must_use]
    pub fn of_server(connection: &ServerConnection) -> Option<Self> {
        Self::new(connection, connection.server_name())
    }

    fn new(common: &CommonState, server_name: Option<&str>) -> Option<Self> {
        if common.is_handshaking() {
            return None;
        }
        Some(Self {
            peer_certificates: common.peer_certificates().unwrap_or_default().into(),
            protocol_version: common.protocol_version()?,
            cipher_suite: common.negotiated_cipher_suite()?.suite(),
            alpn: common.alpn_protocol().map(Arc::from),
            server_name: server_name.map(Arc::from),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The certificates that the peer showed, its own first, as DER.
    ///
    /// They have been verified, unless verification was switched off. Empty for a client that showed none. If the
    /// session was [resumed](Self::resumed), these are those of the first connection.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// TLS 1.2 or 1.3.
    #[must_use]
    pub fn protocol_version(&self) -> ProtocolVersion {
        self.protocol_version
    }

    /// The cipher suite, named as in the registry of IANA.
    #[must_use]
    pub fn cipher_suite(&self) -> CipherSuite {
        self.cipher_suite
    }

    /// The protocol that was agreed on by ALPN (RFC 7301); `None` if one side did not ask for that.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// On a server, the host name that the client asked for (SNI, RFC 6066 section 3), in lower case; clients send
    /// none for IP addresses. On a client, `None`.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether an earlier session was resumed: no certificates were exchanged or verified this time (RFC 8446
    /// section 2.2).
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }
}
