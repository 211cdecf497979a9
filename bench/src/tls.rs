//! TLS for all alike: version 1.3, one cipher suite, full handshakes, a certificate made on the spot.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use ws_tokio::tls::ClientTls;

/// The name in the certificate.
pub const NAME: &str = "localhost";

fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// What every server uses.
///
/// # Errors
///
/// When there can be no certificate.
pub fn server() -> Result<Arc<ServerConfig>, String> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![NAME.to_owned()]).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key));
    config.map(Arc::new).map_err(|error| error.to_string())
}

/// What the load uses. It trusts anybody and resumes nothing.
///
/// # Errors
///
/// When these settings don't fit together.
pub fn client() -> Result<Arc<ClientConfig>, String> {
    let tls = ClientTls::builder().provider(provider()).versions(&[&TLS13]).danger_accept_invalid_certs().build();
    let mut config = ClientConfig::clone(tls.map_err(|error| error.to_string())?.config());
    config.resumption = Resumption::disabled();
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}
