//! Who accepts whom, and what is agreed on.

use std::io::{self, Read};
use std::sync::Arc;

use ws_adapter::tls::rustls::pki_types::pem::PemObject;
use ws_adapter::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ws_adapter::tls::rustls::server::ResolvesServerCertUsingSni;
use ws_adapter::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use ws_adapter::tls::rustls::version::{TLS12, TLS13};
use ws_adapter::tls::rustls::{
    AlertDescription, CertificateError, CipherSuite, Error, PeerMisbehaved, ProtocolVersion, RootCertStore,
    ServerConfig,
};
use ws_adapter::tls::{ClientAuth, ClientTls, ServerTls, cause, is_truncated};

use crate::certificates::{Ca, client, providers, self_signed, server};
use crate::pair::Pair;

const HOST: &str = "chat.example";

fn is_wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

fn is_expired(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
}

#[test]
fn a_server_of_the_own_authority_is_accepted_in_both_versions() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
            let client = client(&provider, &ca).versions(&[version]).build().unwrap();
            let server = server(&provider, &identity).build().unwrap();
            let mut pair = Pair::connected(&client, &server, HOST).unwrap();
            pair.talk();

            let info = pair.client_info();
            assert_eq!(info.protocol_version(), number);
            assert_eq!(info.alpn(), Some(&b"http/1.1"[..]));
            assert_eq!(info.server_name(), None);
            assert!(!info.resumed());
            let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            assert_eq!(info.peer_certificates(), [der]);

            let theirs = pair.server_info();
            assert_eq!(theirs.protocol_version(), number);
            assert_eq!(theirs.cipher_suite(), info.cipher_suite());
            assert_eq!(theirs.alpn(), Some(&b"http/1.1"[..]));
            assert_eq!(theirs.server_name(), Some(HOST));
            assert!(theirs.peer_certificates().is_empty());
            let of_tls13 = info.cipher_suite() == CipherSuite::TLS13_AES_256_GCM_SHA384
                || info.cipher_suite() == CipherSuite::TLS13_AES_128_GCM_SHA256
                || info.cipher_suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
            assert_eq!(of_tls13, number == ProtocolVersion::TLSv1_3);
        }
    }
}

#[test]
fn both_versions_are_on_and_the_newer_one_is_taken() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let client = client(&provider, &ca);
        let both = client.build().unwrap();
        let only_new = server(&provider, &identity).versions(&[&TLS13]).build().unwrap();
        let only_old = server(&provider, &identity).versions(&[&TLS12]).build().unwrap();
        let any = server(&provider, &identity).build().unwrap();
        for (server, expected) in [
            (&any, ProtocolVersion::TLSv1_3),
            (&only_new, ProtocolVersion::TLSv1_3),
            (&only_old, ProtocolVersion::TLSv1_2),
        ] {
            let pair = Pair::connected(&both, server, HOST).unwrap();
            assert_eq!(pair.server_info().protocol_version(), expected);
        }
        let old = crate::certificates::client(&provider, &ca).versions(&[&TLS12]).build().unwrap();
        let failure = Pair::connected(&old, &only_new, HOST).unwrap_err();
        assert!(matches!(failure.of_server(), Error::PeerIncompatible(_)));
    }
}

#[test]
fn threat_089_certificates_that_do_not_prove_the_host_are_refused() {
    let ca = Ca::new("ours");
    let stranger = Ca::new("theirs");
    for provider in providers() {
        let client = client(&provider, &ca).build().unwrap();
        let refused = |identity, host| {
            let server = server(&provider, &identity).build().unwrap();
            Pair::connected(&client, &server, host).unwrap_err().of_client()
        };
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(refused(stranger.server(&[HOST]), HOST), unknown);
        assert_eq!(refused(self_signed(HOST), HOST), unknown);
        assert!(is_expired(&refused(ca.expired(&[HOST]), HOST)));
        assert!(matches!(
            refused(ca.client(HOST), HOST),
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
            )
        ));
        for (names, host) in [
            (&["other.example"][..], HOST),
            (&["sub.chat.example"], HOST),
            (&["*.chat.example"], HOST),
            (&["*.example"], "a.chat.example"),
            (&["127.0.0.2"], "127.0.0.1"),
            (&["::2"], "[::1]"),
            // What a name resolves to proves nothing.
            (&["127.0.0.1"], "localhost"),
            (&["localhost"], "127.0.0.1"),
        ] {
            let error = refused(ca.server(names), host);
            assert!(is_wrong_name(&error), "{names:?} for {host}: {error:?}");
        }
    }
}

#[test]
fn names_and_addresses_of_the_certificate_are_accepted() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST, "*.rooms.example", "localhost", "127.0.0.1", "::1"]);
    for provider in providers() {
        let client = client(&provider, &ca).build().unwrap();
        let server = server(&provider, &identity).build().unwrap();
        for (host, asked_for) in [
            (HOST, Some(HOST)),
            ("CHAT.Example", Some(HOST)),
            // The root of the DNS is not part of the name (RFC 6066 section 3).
            ("chat.example.", Some(HOST)),
            ("a.rooms.example", Some("a.rooms.example")),
            ("localhost", Some("localhost")),
            ("127.0.0.1", None),
            ("::1", None),
            ("[::1]", None),
            ("[0:0:0:0:0:0:0:1]", None),
        ] {
            let pair = Pair::connected(&client, &server, host).unwrap();
            assert_eq!(pair.server_info().server_name(), asked_for, "{host}");
        }
    }
}

#[test]
fn another_server_name_takes_the_place_of_the_host() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let server = server(&provider, &identity).build().unwrap();
        let overriding = client(&provider, &ca).server_name(HOST).build().unwrap();
        let pair = Pair::connected(&overriding, &server, "10.0.0.1").unwrap();
        assert_eq!(pair.server_info().server_name(), Some(HOST));

        let wrong = client(&provider, &ca).server_name("other.example").build().unwrap();
        assert!(is_wrong_name(&Pair::connected(&wrong, &server, HOST).unwrap_err().of_client()));
    }
}

#[test]
fn a_certificate_that_is_its_own_root_is_accepted() {
    let identity = self_signed(HOST);
    for provider in providers() {
        let builder = ClientTls::builder().provider(Arc::clone(&provider));
        let client = builder.root_pem(&identity.certificate).build().unwrap();
        let server = server(&provider, &identity).build().unwrap();
        Pair::connected(&client, &server, HOST).unwrap().talk();
    }
}

#[test]
fn a_chain_over_an_authority_in_between_is_accepted() {
    let ca = Ca::new("ours");
    let below = ca.authority("below");
    let mut identity = below.server(&[HOST]);
    for provider in providers() {
        let client = client(&provider, &ca).build().unwrap();
        let incomplete = server(&provider, &identity).build().unwrap();
        assert_eq!(
            Pair::connected(&client, &incomplete, HOST).unwrap_err().of_client(),
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        );
    }
    identity.certificate.push_str(&below.pem());
    for provider in providers() {
        let client = client(&provider, &ca).build().unwrap();
        let complete = server(&provider, &identity).build().unwrap();
        let pair = Pair::connected(&client, &complete, HOST).unwrap();
        assert_eq!(pair.client_info().peer_certificates().len(), 2);
    }
}

#[test]
fn without_verification_every_certificate_is_accepted() {
    let ca = Ca::new("ours");
    for provider in providers() {
        for version in [&TLS12, &TLS13] {
            let builder = client(&provider, &ca).versions(&[version]);
            let careless = builder.danger_accept_invalid_certs().build().unwrap();
            for identity in [self_signed(HOST), ca.expired(&[HOST]), ca.server(&["other.example"])] {
                let server = server(&provider, &identity).build().unwrap();
                Pair::connected(&careless, &server, HOST).unwrap().talk();
                Pair::connected(&careless, &server, "127.0.0.1").unwrap();
            }
        }
    }
}

/// So a program that knows the certificate may compare it, and nobody else can show it.
#[test]
fn without_verification_the_key_must_still_be_that_of_the_certificate() {
    let (shown, owned) = (self_signed(HOST), self_signed(HOST));
    for provider in providers() {
        let der = CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(owned.key.as_bytes()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![der], key)));
        let liar = ServerTls::builder().provider(Arc::clone(&provider)).resolver(resolver).build().unwrap();
        for version in [&TLS12, &TLS13] {
            let builder = ClientTls::builder().provider(Arc::clone(&provider)).versions(&[version]);
            let careless = builder.danger_accept_invalid_certs().build().unwrap();
            let error = Pair::connected(&careless, &liar, HOST).unwrap_err().of_client();
            assert_eq!(error, Error::InvalidCertificate(CertificateError::BadSignature));
        }
    }
}

#[test]
fn client_certificates_are_required_or_optional_and_always_verified() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("theirs"));
    let identity = ca.server(&[HOST]);
    let (good, bad) = (ca.client("alice"), stranger.client("mallory"));
    for provider in providers() {
        for version in [&TLS12, &TLS13] {
            let client = || client(&provider, &ca).versions(&[version]);
            let absent = client().build().unwrap();
            let good_client = client().identity_pem(&good.certificate, &good.key).build().unwrap();
            let bad_client = client().identity_pem(&bad.certificate, &bad.key).build().unwrap();
            let server = || server(&provider, &identity).client_root_pem(ca.pem());
            // The default of a server that has roots for clients.
            let asking = server().build().unwrap();
            let required = server().client_auth(ClientAuth::Required).build().unwrap();
            let optional = server().client_auth(ClientAuth::Optional).build().unwrap();

            for server in [&asking, &required, &optional] {
                let mut pair = Pair::connected(&good_client, server, HOST).unwrap();
                pair.talk();
                let der = CertificateDer::from_pem_slice(good.certificate.as_bytes()).unwrap();
                assert_eq!(pair.server_info().peer_certificates(), [der]);
                assert_eq!(
                    Pair::connected(&bad_client, server, HOST).unwrap_err().of_server(),
                    Error::InvalidCertificate(CertificateError::UnknownIssuer)
                );
            }
            for server in [&asking, &required] {
                let refused = Pair::connected(&absent, server, HOST).unwrap_err();
                assert_eq!(refused.of_server(), Error::NoCertificatesPresented);
            }
            let pair = Pair::connected(&absent, &optional, HOST).unwrap();
            assert!(pair.server_info().peer_certificates().is_empty());
        }
    }
}

#[test]
fn a_server_that_does_not_ask_sees_no_client_certificate() {
    let ca = Ca::new("ours");
    let (identity, alice) = (ca.server(&[HOST]), ca.client("alice"));
    for provider in providers() {
        let client = client(&provider, &ca).identity_pem(&alice.certificate, &alice.key).build().unwrap();
        let server = server(&provider, &identity).build().unwrap();
        assert!(Pair::connected(&client, &server, HOST).unwrap().server_info().peer_certificates().is_empty());
    }
}

#[test]
fn protocols_are_agreed_on_or_refused() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let connect = |offered: &[&str], spoken: &[&str]| {
            let client = client(&provider, &ca).alpn(offered.iter().copied()).build().unwrap();
            let server = server(&provider, &identity).alpn(spoken.iter().copied()).build().unwrap();
            Pair::connected(&client, &server, HOST)
        };
        for (offered, spoken, agreed) in [
            (&["http/1.1"][..], &["http/1.1"][..], Some("http/1.1")),
            (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
            (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
            // The server's order counts.
            (&["h2", "http/1.1"], &["http/1.1", "h2"], Some("http/1.1")),
            (&[], &["http/1.1"], None),
            (&["http/1.1"], &[], None),
            (&[], &[], None),
        ] {
            let pair = connect(offered, spoken).unwrap();
            assert_eq!(pair.client_info().alpn(), agreed.map(str::as_bytes), "{offered:?} {spoken:?}");
            assert_eq!(pair.server_info().alpn(), agreed.map(str::as_bytes), "{offered:?} {spoken:?}");
        }
        let failure = connect(&["h2"], &["http/1.1"]).unwrap_err();
        assert_eq!(failure.client, Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
        assert_eq!(failure.of_server(), Error::NoApplicationProtocol);
    }
}

/// The answer of a server is readable in TLS 1.2, so it can be changed on the way.
#[test]
fn a_server_that_picks_a_protocol_that_was_not_offered_is_refused() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let client = client(&provider, &ca).versions(&[&TLS12]).build().unwrap();
        let server = server(&provider, &identity).build().unwrap();
        let mut pair = Pair::new(&client, &server, HOST);
        let mut flight = pair.first_flight();
        let at = flight.windows(8).position(|bytes| bytes == b"http/1.1").unwrap();
        flight[at + 7] = b'9';
        assert_eq!(
            pair.client_receives(&flight).unwrap_err(),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)
        );
    }
}

#[test]
fn a_later_connection_resumes_the_session_and_knows_the_peer() {
    let ca = Ca::new("ours");
    let (identity, alice) = (ca.server(&[HOST]), ca.client("alice"));
    for provider in providers() {
        for version in [&TLS12, &TLS13] {
            let builder = client(&provider, &ca).versions(&[version]);
            let client = builder.identity_pem(&alice.certificate, &alice.key).build().unwrap();
            let server = server(&provider, &identity).client_root_pem(ca.pem()).build().unwrap();
            let first = Pair::connected(&client, &server, HOST).unwrap();
            let again = Pair::connected(&client.clone(), &server.clone(), HOST).unwrap();
            assert!(!first.client_info().resumed() && !first.server_info().resumed());
            assert!(again.client_info().resumed() && again.server_info().resumed());
            assert_eq!(again.client_info().peer_certificates(), first.client_info().peer_certificates());
            assert_eq!(again.server_info().peer_certificates(), first.server_info().peer_certificates());
            assert_eq!(again.server_info().peer_certificates().len(), 1);
        }
    }
}

#[test]
fn a_resolver_chooses_by_the_name_that_is_asked_for() {
    let ca = Ca::new("ours");
    for provider in providers() {
        let mut by_name = ResolvesServerCertUsingSni::new();
        for name in ["a.example", "b.example"] {
            let identity = ca.server(&[name]);
            let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            by_name.add(name, CertifiedKey::from_der(vec![der], key, &provider).unwrap()).unwrap();
        }
        let builder = ServerTls::builder().provider(Arc::clone(&provider));
        let server = builder.resolver(Arc::new(by_name)).build().unwrap();
        let client = client(&provider, &ca).build().unwrap();
        Pair::connected(&client, &server, "a.example").unwrap();
        Pair::connected(&client, &server, "b.example").unwrap();
        Pair::connected(&client, &server, "c.example").unwrap_err();
    }
}

#[test]
fn configurations_of_rustls_are_used_as_they_are() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
        let mut config = ws_adapter::tls::rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_sni = false;
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let pair = Pair::connected(&config.into(), &server.into(), HOST).unwrap();
        assert_eq!(pair.server_info().server_name(), None);
        assert_eq!(pair.client_info().alpn(), None);
    }
}

#[test]
fn threat_102_an_end_without_close_notify_is_told_apart() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let client = client(&provider, &ca).build().unwrap();
        let server = server(&provider, &identity).build().unwrap();

        let mut cut = Pair::connected(&client, &server, HOST).unwrap();
        assert_eq!(cut.client.read_tls(&mut io::empty()).unwrap(), 0);
        cut.client.process_new_packets().unwrap();
        let error = cut.client.reader().read(&mut [0; 16]).unwrap_err();
        assert!(is_truncated(&error));
        assert_eq!(cause(&error), None);

        let mut ended = Pair::connected(&client, &server, HOST).unwrap();
        ended.server.send_close_notify();
        ended.run().unwrap();
        assert_eq!(ended.client.reader().read(&mut [0; 16]).unwrap(), 0);
    }
    assert!(!is_truncated(&io::ErrorKind::ConnectionReset.into()));
}

#[test]
fn the_cause_of_a_failed_handshake_is_found_in_the_error_of_the_stream() {
    let refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(cause(&io::Error::new(io::ErrorKind::InvalidData, refused.clone())), Some(&refused));
    assert_eq!(cause(&io::Error::other("full")), None);
    assert_eq!(cause(&io::ErrorKind::ConnectionReset.into()), None);
}

/// Bytes of something else than TLS are refused at once.
#[test]
fn threat_103_what_is_no_tls_is_an_error() {
    let identity = self_signed(HOST);
    for provider in providers() {
        let client = ClientTls::builder().provider(Arc::clone(&provider)).danger_accept_invalid_certs();
        let mut pair = Pair::new(&client.build().unwrap(), &server(&provider, &identity).build().unwrap(), HOST);
        pair.client_receives(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
        pair.server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n"[..]).unwrap();
        pair.server.process_new_packets().unwrap_err();
    }
}
