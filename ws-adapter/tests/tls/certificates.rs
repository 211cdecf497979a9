//! Certificates that live as long as a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use ws_adapter::tls::rustls::crypto::CryptoProvider;
#[cfg(feature = "aws-lc-rs")]
use ws_adapter::tls::rustls::crypto::aws_lc_rs;
#[cfg(feature = "ring")]
use ws_adapter::tls::rustls::crypto::ring;
use ws_adapter::tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder};

/// Every crypto provider that was compiled in.
pub(crate) fn providers() -> Vec<Arc<CryptoProvider>> {
    vec![
        #[cfg(feature = "ring")]
        Arc::new(ring::default_provider()),
        #[cfg(feature = "aws-lc-rs")]
        Arc::new(aws_lc_rs::default_provider()),
    ]
}

/// A certificate chain and its key, as PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority that issues certificates.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name), KeyPair::generate().unwrap()).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// An authority below this one.
    pub(crate) fn authority(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(Self::params(name), KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, false)
    }

    pub(crate) fn expired(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, true)
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, false)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, expired: bool) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        if expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate that nobody issued.
pub(crate) fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_string()]).unwrap().self_signed(&key).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A client that trusts `ca`.
pub(crate) fn client(provider: &Arc<CryptoProvider>, ca: &Ca) -> ClientTlsBuilder {
    ClientTls::builder().provider(Arc::clone(provider)).root_pem(ca.pem())
}

pub(crate) fn server(provider: &Arc<CryptoProvider>, identity: &Identity) -> ServerTlsBuilder {
    ServerTls::builder().provider(Arc::clone(provider)).certificate_pem(&identity.certificate, &identity.key)
}

/// An empty folder that belongs to the test of this name.
pub(crate) fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls").join(test);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Writes an identity into a folder: the paths of the certificate and of the key.
pub(crate) fn write(folder: &Path, identity: &Identity) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(&certificate, &identity.certificate).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    (certificate, key)
}
