//! Where the cryptography comes from.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use super::TlsError;

/// The crypto provider of settings that name none.
///
/// The one that the program installed for the process ([`CryptoProvider::install_default`]); otherwise the one that was
/// compiled in, `ring` if both were. Nothing is installed by this call.
///
/// # Errors
///
/// [`TlsError::NoProvider`] if there is neither.
pub fn default_provider() -> Result<Arc<CryptoProvider>, TlsError> {
    match CryptoProvider::get_default() {
        Some(provider) => Ok(Arc::clone(provider)),
        None => compiled_in().ok_or(TlsError::NoProvider),
    }
}

/// `rustls` itself would panic when there are two, so it is never asked.
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "ring")]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    None
}
