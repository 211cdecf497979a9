//! Certificates in files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

/// An empty folder for one test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let name = format!("examples{}-{test}", crate::SUFFIX);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// An authority that issues certificates.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, self.0.pem()).unwrap();
        path
    }

    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate and its key, as PEM.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    /// The files with the certificate and the key.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        let paths = [folder.join(format!("{name}.pem")), folder.join(format!("{name}.key"))];
        fs::write(&paths[0], &self.certificate).unwrap();
        fs::write(&paths[1], &self.key).unwrap();
        paths
    }
}

/// What most tests need. Identities are the files with the certificate and the key.
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) other_ca: PathBuf,
    pub(crate) server: [PathBuf; 2],
    pub(crate) client: [PathBuf; 2],
    /// From the other authority.
    pub(crate) other_client: [PathBuf; 2],
}

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let folder = folder(test);
        let (ca, other) = (Ca::new("The authority"), Ca::new("Another authority"));
        Self {
            ca: ca.write(&folder, "ca.pem"),
            other_ca: other.write(&folder, "other-ca.pem"),
            server: ca.server(&["localhost", "127.0.0.1"]).write(&folder, "server"),
            client: ca.client("somebody").write(&folder, "client"),
            other_client: other.client("somebody").write(&folder, "other-client"),
        }
    }
}
