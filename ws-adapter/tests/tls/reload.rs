//! A new certificate without a new server.

use std::fs;
use std::sync::Arc;

use ws_adapter::tls::rustls::ProtocolVersion;
use ws_adapter::tls::rustls::version::{TLS12, TLS13};
use ws_adapter::tls::{ServerTls, TlsError};

use crate::certificates::{Ca, client, folder, providers, server, write};
use crate::pair::Pair;

const HOST: &str = "chat.example";

/// The certificate that a server shows to a client who was never there.
fn shown(ca: &Ca, server: &ServerTls) -> Vec<u8> {
    let client = client(server.config().crypto_provider(), ca).build().unwrap();
    let pair = Pair::connected(&client, server, HOST).unwrap();
    pair.client_info().peer_certificates()[0].to_vec()
}

#[test]
fn a_reload_is_seen_by_new_connections_of_all_clones_and_old_ones_go_on() {
    let ca = Ca::new("ours");
    let folder = folder("reload");
    for provider in providers() {
        for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
            let (certificate, key) = write(&folder, &ca.server(&[HOST]));
            let builder = ServerTls::builder().provider(Arc::clone(&provider)).versions(&[version]);
            let server = builder.certificate_files(certificate, key).build().unwrap();
            let clone = server.clone();
            let client = client(&provider, &ca).build().unwrap();
            let mut old = Pair::connected(&client, &clone, HOST).unwrap();
            assert_eq!(old.client_info().protocol_version(), number);
            let before = shown(&ca, &clone);

            write(&folder, &ca.server(&[HOST]));
            assert_eq!(shown(&ca, &clone), before);
            server.reload().unwrap();
            let after = shown(&ca, &clone);
            assert_ne!(after, before);
            assert_eq!(shown(&ca, &server), after);
            old.talk();
            assert_eq!(old.client_info().peer_certificates()[0].to_vec(), before);
        }
    }
}

#[test]
fn a_bad_reload_leaves_the_certificate_in_use() {
    let ca = Ca::new("ours");
    let folder = folder("bad-reload");
    for provider in providers() {
        let (first, second) = (ca.server(&[HOST]), ca.server(&[HOST]));
        let (certificate, key) = write(&folder, &first);
        let builder = ServerTls::builder().provider(Arc::clone(&provider));
        let server = builder.certificate_files(&certificate, &key).build().unwrap();
        let before = shown(&ca, &server);

        // Half of a renewal.
        fs::write(&certificate, &second.certificate).unwrap();
        let error = server.reload().unwrap_err();
        assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error:?}");
        assert_eq!(shown(&ca, &server), before);

        fs::write(&certificate, "").unwrap();
        assert!(matches!(server.reload().unwrap_err(), TlsError::NoCertificate(_)));
        fs::remove_file(&certificate).unwrap();
        assert!(matches!(server.reload().unwrap_err(), TlsError::Read { .. }));
        assert_eq!(shown(&ca, &server), before);

        // The other half.
        write(&folder, &second);
        server.reload().unwrap();
        assert_ne!(shown(&ca, &server), before);
    }
}

#[test]
fn texts_can_be_reloaded_and_files_come_back() {
    let ca = Ca::new("ours");
    let folder = folder("reload-pem");
    for provider in providers() {
        let (certificate, key) = write(&folder, &ca.server(&[HOST]));
        let builder = ServerTls::builder().provider(Arc::clone(&provider));
        let of_files = builder.certificate_files(certificate, key).build().unwrap();
        let of_text = server(&provider, &ca.server(&[HOST])).build().unwrap();
        let (other, another) = (ca.server(&[HOST]), ca.server(&[HOST]));
        for server in [&of_files, &of_text] {
            let before = shown(&ca, server);
            let error = server.reload_pem(&other.certificate, &another.key).unwrap_err();
            assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error:?}");
            assert_eq!(shown(&ca, server), before);
            server.reload_pem(&other.certificate, &other.key).unwrap();
            assert_ne!(shown(&ca, server), before);
        }
        let text = shown(&ca, &of_files);
        of_files.reload().unwrap();
        assert_ne!(shown(&ca, &of_files), text);
        assert!(matches!(of_text.reload().unwrap_err(), TlsError::NotReloadable));
    }
}

#[test]
fn certificates_of_a_configuration_can_not_be_reloaded() {
    let ca = Ca::new("ours");
    for provider in providers() {
        let identity = ca.server(&[HOST]);
        let server = ServerTls::from(Arc::clone(server(&provider, &identity).build().unwrap().config()));
        assert!(matches!(server.reload().unwrap_err(), TlsError::NotReloadable));
        let error = server.reload_pem(&identity.certificate, &identity.key).unwrap_err();
        assert!(matches!(error, TlsError::NotReloadable));
    }
}
