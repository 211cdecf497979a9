//! The crypto provider of the process, in a program of its own.
#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]

use std::sync::Arc;

use ws_adapter::tls::rustls::crypto::CryptoProvider;
use ws_adapter::tls::{ClientTls, default_provider};

#[test]
fn a_provider_that_was_installed_goes_before_those_compiled_in() {
    let compiled_in = default_provider().unwrap();
    let mut own = CryptoProvider::clone(&compiled_in);
    own.cipher_suites.truncate(1);
    own.install_default().unwrap();

    let installed = CryptoProvider::get_default().unwrap();
    assert!(Arc::ptr_eq(&default_provider().unwrap(), installed));
    let client = ClientTls::builder().danger_accept_invalid_certs();
    assert!(Arc::ptr_eq(client.build().unwrap().config().crypto_provider(), installed));

    // The one that settings name goes before both.
    let named = ClientTls::builder().danger_accept_invalid_certs().provider(Arc::clone(&compiled_in));
    assert!(Arc::ptr_eq(named.build().unwrap().config().crypto_provider(), &compiled_in));
}
