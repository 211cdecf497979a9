//! What is wrong with settings is said by name.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ws_adapter::tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use ws_adapter::tls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use ws_adapter::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ws_adapter::tls::rustls::server::WebPkiClientVerifier;
use ws_adapter::tls::rustls::version::TLS13;
use ws_adapter::tls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use ws_adapter::tls::{ClientAuth, ClientTls, PemSource, ServerTls, TlsError, default_provider};

use crate::certificates::{Ca, Identity, client, folder, providers, self_signed, server, write};
use crate::pair::Pair;

const HOST: &str = "chat.example";

#[test]
fn errors_of_files_name_the_file() {
    let ca = Ca::new("ours");
    let folder = folder("errors");
    let (certificate, key) = write(&folder, &ca.server(&[HOST]));
    let other_key = folder.join("other.key");
    fs::write(&other_key, ca.server(&[HOST]).key).unwrap();
    let missing = folder.join("missing.pem");
    let torn = folder.join("torn.pem");
    let text = fs::read_to_string(&certificate).unwrap();
    fs::write(&torn, &text[..text.len() / 2]).unwrap();
    let garbage = folder.join("garbage.pem");
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let bad_key = folder.join("bad.key");
    fs::write(&bad_key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let encrypted = folder.join("encrypted.key");
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&encrypted, sealed).unwrap();

    let check = |error: TlsError, named: &Path, expected: fn(&TlsError) -> bool| {
        assert!(expected(&error), "{error:?}");
        assert!(error.to_string().contains(&named.display().to_string()), "{error}");
    };
    for (certificate, key, named, expected) in [
        (&missing, &key, &missing, (|e| matches!(e, TlsError::Read { .. })) as fn(&TlsError) -> bool),
        (&certificate, &missing, &missing, |e| matches!(e, TlsError::Read { .. })),
        (&folder, &key, &folder, |e| matches!(e, TlsError::Read { .. })),
        (&key, &key, &key, |e| matches!(e, TlsError::NoCertificate(_))),
        (&certificate, &certificate, &certificate, |e| matches!(e, TlsError::NoKey(_))),
        (&certificate, &encrypted, &encrypted, |e| matches!(e, TlsError::NoKey(_))),
        (&certificate, &other_key, &other_key, |e| matches!(e, TlsError::KeyMismatch { .. })),
        (&certificate, &other_key, &certificate, |e| matches!(e, TlsError::KeyMismatch { .. })),
        (&torn, &key, &torn, |e| matches!(e, TlsError::Pem { .. })),
        (&garbage, &key, &garbage, |e| matches!(e, TlsError::Certificate { .. })),
        (&certificate, &bad_key, &bad_key, |e| matches!(e, TlsError::Key { .. })),
    ] {
        check(ServerTls::from_files(certificate, key).unwrap_err(), named, expected);
        let client = ClientTls::builder().root_pem(ca.pem()).identity_files(certificate, key);
        check(client.build().unwrap_err(), named, expected);
    }
    for (root, expected) in [
        (&missing, (|e| matches!(e, TlsError::Read { .. })) as fn(&TlsError) -> bool),
        (&key, |e| matches!(e, TlsError::NoCertificate(_))),
        (&torn, |e| matches!(e, TlsError::Pem { .. })),
        (&garbage, |e| matches!(e, TlsError::Certificate { .. })),
    ] {
        check(ClientTls::builder().root_file(root).build().unwrap_err(), root, expected);
        let server = ServerTls::builder().certificate_files(&certificate, &key).client_root_file(root);
        check(server.build().unwrap_err(), root, expected);
    }
}

#[test]
fn errors_of_texts_say_that_they_are_texts() {
    let Identity { certificate, key } = self_signed(HOST);
    let error = ServerTls::from_pem("", &key).unwrap_err();
    assert!(matches!(&error, TlsError::NoCertificate(PemSource::Memory)));
    assert_eq!(error.to_string(), "no certificate in the given PEM text");
    let error = ServerTls::from_pem(&certificate, "nothing").unwrap_err();
    assert!(matches!(&error, TlsError::NoKey(PemSource::Memory)));
    let error = ServerTls::from_pem(&certificate, self_signed(HOST).key).unwrap_err();
    assert!(matches!(&error, TlsError::KeyMismatch { certificate: PemSource::Memory, key: PemSource::Memory }));
    assert_eq!(
        error.to_string(),
        "the private key in the given PEM text does not fit the first certificate in the given PEM text"
    );
    assert!(error.source().is_none());
    let error = ServerTls::from_files("/nowhere/server.pem", "/nowhere/server.key").unwrap_err();
    assert!(error.source().is_some());
}

#[test]
fn the_order_of_the_certificates_counts() {
    let ca = Ca::new("ours");
    let Identity { certificate, key } = ca.server(&[HOST]);
    ServerTls::from_pem(certificate.clone() + &ca.pem(), &key).unwrap();
    let error = ServerTls::from_pem(ca.pem() + &certificate, &key).unwrap_err();
    assert!(matches!(error, TlsError::KeyMismatch { .. }));
}

#[test]
fn a_certificate_and_its_key_may_be_in_one_file() {
    let ca = Ca::new("ours");
    let folder = folder("one-file");
    let Identity { certificate, key } = ca.server(&[HOST]);
    let both = folder.join("both.pem");
    for text in [certificate.clone() + &key, key + &certificate] {
        fs::write(&both, text).unwrap();
        let client = ClientTls::builder().root_pem(ca.pem()).build().unwrap();
        Pair::connected(&client, &ServerTls::from_files(&both, &both).unwrap(), HOST).unwrap();
    }
}

#[test]
fn a_server_needs_a_certificate_and_roots_if_it_asks() {
    let Identity { certificate, key } = self_signed(HOST);
    assert!(matches!(ServerTls::builder().build().unwrap_err(), TlsError::NoServerCertificate));
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let builder = ServerTls::builder().certificate_pem(&certificate, &key);
        assert!(matches!(builder.client_auth(auth).build().unwrap_err(), TlsError::NoRoots));
    }
}

#[test]
fn hosts_become_names() {
    let client = ClientTls::builder().danger_accept_invalid_certs().build().unwrap();
    for (host, expected) in [
        ("chat.example", "chat.example"),
        ("chat_1.example", "chat_1.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[2001:db8::7]", "2001:db8::7"),
    ] {
        assert_eq!(client.name_for(host).unwrap().to_str(), expected, "{host}");
    }
    for host in
        ["", " ", "[", "[]", "[::1", "::1]", "[127.0.0.1]", "[chat.example]", "a b", "chat.example:443", "bücher"]
    {
        let error = client.name_for(host).unwrap_err();
        assert!(matches!(&error, TlsError::ServerName(name) if name == host), "{error:?}");
    }
    let overriding = ClientTls::builder().danger_accept_invalid_certs().server_name("[::1]").build().unwrap();
    assert_eq!(overriding.name_for("a b").unwrap(), ServerName::try_from("::1").unwrap());
    let wrong = ClientTls::builder().danger_accept_invalid_certs().server_name("a b").build().unwrap_err();
    assert_eq!(wrong.to_string(), "\"a b\" is neither a host name nor an IP address");
}

#[test]
fn names_of_protocols_have_1_to_255_bytes() {
    let Identity { certificate, key } = self_signed(HOST);
    let client = |alpn: Vec<Vec<u8>>| ClientTls::builder().danger_accept_invalid_certs().alpn(alpn).build().map(drop);
    let server =
        |alpn: Vec<Vec<u8>>| ServerTls::builder().certificate_pem(&certificate, &key).alpn(alpn).build().map(drop);
    for good in [vec![], vec![vec![b'x'; 255]], vec![vec![b'x'; 255]; 255]] {
        client(good.clone()).unwrap();
        server(good).unwrap();
    }
    for bad in [vec![vec![]], vec![b"h2".to_vec(), vec![]], vec![vec![b'x'; 256]], vec![vec![b'x'; 255]; 256]] {
        assert!(matches!(client(bad.clone()).unwrap_err(), TlsError::Alpn(_)));
        assert!(matches!(server(bad).unwrap_err(), TlsError::Alpn(_)));
    }
}

#[test]
fn a_provider_that_lacks_what_a_version_needs_is_refused() {
    for provider in providers() {
        let mut only_old = CryptoProvider::clone(&provider);
        only_old.cipher_suites.retain(|suite| suite.tls13().is_none());
        let only_old = Arc::new(only_old);
        let builder = ClientTls::builder().danger_accept_invalid_certs().provider(Arc::clone(&only_old));
        assert!(matches!(builder.versions(&[&TLS13]).build().unwrap_err(), TlsError::Config(_)));
        let builder = server(&only_old, &self_signed(HOST)).versions(&[&TLS13]);
        assert!(matches!(builder.build().unwrap_err(), TlsError::Config(_)));
    }
}

/// No test of this program installs a provider for the process.
#[test]
fn without_a_choice_a_provider_that_was_compiled_in_is_taken() {
    let expected = format!("{:?}", providers()[0].key_provider);
    assert_eq!(format!("{:?}", default_provider().unwrap().key_provider), expected);
    let client = ClientTls::builder().danger_accept_invalid_certs().build().unwrap();
    assert_eq!(format!("{:?}", client.config().crypto_provider().key_provider), expected);
    let Identity { certificate, key } = self_signed(HOST);
    let server = ServerTls::from_pem(certificate, key).unwrap();
    assert_eq!(format!("{:?}", server.config().crypto_provider().key_provider), expected);
    assert!(CryptoProvider::get_default().is_none());
}

#[test]
fn what_is_printed_has_no_keys_in_it() {
    let Identity { certificate, key } = self_signed(HOST);
    let line = key.lines().nth(1).unwrap();
    let client = ClientTls::builder().danger_accept_invalid_certs().identity_pem(&certificate, &key);
    let server = ServerTls::builder().certificate_pem(&certificate, &key);
    let bytes = format!("{:?}", &key.as_bytes()[30..40]);
    let bytes = bytes.trim_matches(['[', ']']);
    for text in [
        format!("{client:?}"),
        format!("{server:?}"),
        format!("{:?}", client.build().unwrap()),
        format!("{:?}", server.build().unwrap()),
    ] {
        assert!(!text.contains(line) && !text.contains(bytes), "{text}");
    }
}

/// Says no to everything, and counts.
#[derive(Debug)]
struct No(Arc<CryptoProvider>, AtomicUsize);

impl ServerCertVerifier for No {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(name.to_str(), HOST);
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn an_own_verifier_decides_about_servers_and_the_later_call_counts() {
    let ca = Ca::new("ours");
    let identity = ca.server(&[HOST]);
    for provider in providers() {
        let no = Arc::new(No(Arc::clone(&provider), AtomicUsize::new(0)));
        let server = server(&provider, &identity).build().unwrap();
        // The roots would accept.
        let refusing = client(&provider, &ca).danger_accept_invalid_certs().verifier(no.clone()).build().unwrap();
        assert_eq!(
            Pair::connected(&refusing, &server, HOST).unwrap_err().of_client(),
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
        );
        let careless = client(&provider, &ca).verifier(no.clone()).danger_accept_invalid_certs().build().unwrap();
        Pair::connected(&careless, &server, HOST).unwrap();
        assert_eq!(no.1.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn an_own_verifier_decides_about_clients() {
    let (ca, partner) = (Ca::new("ours"), Ca::new("partner"));
    let identity = ca.server(&[HOST]);
    let (ours, theirs) = (ca.client("alice"), partner.client("bob"));
    for provider in providers() {
        let mut roots = RootCertStore::empty();
        let pem = partner.pem();
        let der = ws_adapter::tls::rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
        roots.add(der).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let builder = server(&provider, &identity).client_root_pem(ca.pem());
        let server = builder.client_verifier(verifier).build().unwrap();
        let bob = client(&provider, &ca).identity_pem(&theirs.certificate, &theirs.key).build().unwrap();
        Pair::connected(&bob, &server, HOST).unwrap();
        let alice = client(&provider, &ca).identity_pem(&ours.certificate, &ours.key).build().unwrap();
        assert_eq!(
            Pair::connected(&alice, &server, HOST).unwrap_err().of_server(),
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        );
    }
}
