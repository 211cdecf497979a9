//! What can be wrong with the settings.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// Where certificates or a key came from, for the text of an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PemSource {
    /// The program gave the PEM text itself.
    Memory,
    /// This file.
    File(PathBuf),
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("the given PEM text"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why settings of TLS can't be used.
///
/// What goes wrong with a peer is not here: that is an error of the handshake, see [`cause`](super::cause).
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The text is not PEM (RFC 7468).
    Pem {
        /// Where it came from.
        source: PemSource,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// There is no `CERTIFICATE` in the PEM text.
    NoCertificate(PemSource),
    /// There is no private key in the PEM text; encrypted ones are not read.
    NoKey(PemSource),
    /// A certificate is malformed, or of a kind that is not supported.
    Certificate {
        /// Where it came from.
        source: PemSource,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// A private key is malformed, or of a kind that the crypto provider does not support.
    Key {
        /// Where it came from.
        source: PemSource,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// The key is not that of the first certificate.
    KeyMismatch {
        /// Where the certificate came from.
        certificate: PemSource,
        /// Where the key came from.
        key: PemSource,
    },
    /// A server was given no certificate.
    NoServerCertificate,
    /// Certificates are to be verified, and there are no roots to verify them by.
    NoRoots,
    /// The platform has no usable root certificates; what was in the way, if that is known.
    NoPlatformRoots(String),
    /// Neither a host name nor an IP address.
    ServerName(String),
    /// The name of a protocol is empty or too long, or there are too many (RFC 7301 section 3.1).
    Alpn(Vec<u8>),
    /// There is no crypto provider: the program gave none, installed none for the process, and none was compiled in.
    NoProvider,
    /// The certificate was not given in a way that can be repeated: as PEM text to
    /// [`reload`](super::ServerTls::reload), or not to these settings at all.
    NotReloadable,
    /// `rustls` does not take the settings: the crypto provider lacks something that the protocol versions need, for
    /// example.
    Config(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "can't read {}: {error}", path.display()),
            Self::Pem { source, error } => write!(f, "no valid PEM in {source}: {error}"),
            Self::NoCertificate(source) => write!(f, "no certificate in {source}"),
            Self::NoKey(source) => write!(f, "no private key in {source} (encrypted keys are not read)"),
            Self::Certificate { source, error } => write!(f, "a certificate in {source} can't be used: {error}"),
            Self::Key { source, error } => write!(f, "the private key in {source} can't be used: {error}"),
            Self::KeyMismatch { certificate, key } => {
                write!(f, "the private key in {key} does not fit the first certificate in {certificate}")
            }
            Self::NoServerCertificate => f.write_str("a server needs a certificate"),
            Self::NoRoots => f.write_str("no root certificates to verify the peer by"),
            Self::NoPlatformRoots(why) if why.is_empty() => f.write_str("the platform has no root certificates"),
            Self::NoPlatformRoots(why) => write!(f, "the platform has no root certificates: {why}"),
            Self::ServerName(name) => write!(f, "{name:?} is neither a host name nor an IP address"),
            Self::Alpn(name) => write!(f, "ALPN can't offer \"{}\" in this list", name.escape_ascii()),
            Self::NoProvider => f.write_str("no crypto provider: enable one by feature, install one or give one"),
            Self::NotReloadable => f.write_str("the certificate did not come from files that could be read again"),
            Self::Config(error) => write!(f, "the TLS settings can't be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Pem { error, .. } => Some(error),
            Self::Certificate { error, .. } | Self::Key { error, .. } | Self::Config(error) => Some(error),
            _ => None,
        }
    }
}
