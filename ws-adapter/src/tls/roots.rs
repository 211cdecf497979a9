//! The root certificates that the platform trusts.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

use super::TlsError;

/// Read once per process, when first wanted: it takes some milliseconds. A failure is not kept.
static PLATFORM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// How many complaints of the platform an error repeats.
const COMPLAINTS: usize = 3;

pub(super) fn platform() -> Result<Arc<RootCertStore>, TlsError> {
    match PLATFORM.get() {
        Some(roots) => Ok(Arc::clone(roots)),
        None => {
            let roots = load()?;
            Ok(Arc::clone(PLATFORM.get_or_init(|| Arc::new(roots))))
        }
    }
}

/// Some platforms have certificates that `rustls` can't read, or files that this process may not read: as long as
/// something is left, that only means fewer roots.
fn load() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let mut why = String::new();
    for error in found.errors.iter().take(COMPLAINTS) {
        let gap = if why.is_empty() { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(why, "{gap}{error}");
    }
    Err(TlsError::NoPlatformRoots(why))
}
