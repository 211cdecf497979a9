//! The roots of the platform. They are read once per process, from where the environment says: each case is a process.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ws_adapter::tls::rustls::crypto::CryptoProvider;
use ws_adapter::tls::{ClientTls, ServerTls, TlsError};

use crate::certificates::{Ca, folder};
use crate::pair::Pair;

const CASE: &str = "TLS_TEST_CASE";
const FOLDER: &str = "TLS_TEST_FOLDER";

/// Runs the test below in a process of its own.
fn run(case: &str, folder: &Path, roots: &Path) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "platform_roots::a_case", "--nocapture"]);
    command.env(CASE, case).env(FOLDER, folder).env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {text}");
    assert!(text.contains("1 passed"), "{case}: {text}");
}

#[test]
fn the_roots_of_the_platform_are_trusted_unless_there_are_others() {
    let folder = folder("platform-roots");
    for (name, ca) in [("platform", Ca::new("platform")), ("own", Ca::new("own"))] {
        let identity = ca.server(&["localhost"]);
        std::fs::write(folder.join(name).with_extension("ca"), ca.pem()).unwrap();
        std::fs::write(folder.join(name).with_extension("pem"), identity.certificate + &identity.key).unwrap();
    }
    std::fs::write(folder.join("empty"), "").unwrap();
    run("trusted", &folder, &folder.join("platform.ca"));
    run("missing", &folder, &folder.join("missing.ca"));
    run("empty", &folder, &folder.join("empty"));
    run("shared", &folder, &folder.join("platform.ca"));
}

/// Does nothing unless the test above runs it.
#[test]
fn a_case() {
    let (Ok(case), Some(folder)) = (std::env::var(CASE), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    match case.as_str() {
        "trusted" => trusted(folder),
        "missing" => missing(folder),
        "shared" => shared(folder),
        "empty" => {
            let error = ClientTls::new().unwrap_err();
            assert!(matches!(&error, TlsError::NoPlatformRoots(_)), "{error:?}");
            // Who trusts others does not care.
            ClientTls::builder().root_file(folder.join("own.ca")).build().unwrap();
            ClientTls::builder().danger_accept_invalid_certs().build().unwrap();
        }
        other => panic!("no case {other}"),
    }
}

fn accepts(client: &ClientTls, folder: &Path, server: &str) -> bool {
    let file = folder.join(server).with_extension("pem");
    let server = ServerTls::from_files(&file, &file).unwrap();
    Pair::connected(client, &server, "localhost").is_ok()
}

fn trusted(folder: &Path) {
    let own = folder.join("own.ca");
    let default = ClientTls::new().unwrap();
    assert!(accepts(&default, folder, "platform") && !accepts(&default, folder, "own"));
    let only_own = ClientTls::builder().root_file(&own).build().unwrap();
    assert!(!accepts(&only_own, folder, "platform") && accepts(&only_own, folder, "own"));
    let both = ClientTls::builder().root_file(&own).platform_roots(true).build().unwrap();
    assert!(accepts(&both, folder, "platform") && accepts(&both, folder, "own"));
    let neither = ClientTls::builder().platform_roots(false).build().unwrap_err();
    assert!(matches!(neither, TlsError::NoRoots));

    // They are not read again.
    std::fs::rename(folder.join("platform.ca"), folder.join("gone.ca")).unwrap();
    assert!(accepts(&ClientTls::new().unwrap(), folder, "platform"));
    std::fs::rename(folder.join("gone.ca"), folder.join("platform.ca")).unwrap();
}

fn missing(folder: &Path) {
    let error = ClientTls::new().unwrap_err();
    assert!(matches!(&error, TlsError::NoPlatformRoots(_)), "{error:?}");
    assert!(error.to_string().contains("missing.ca"), "{error}");

    // A failure is not kept.
    std::fs::copy(folder.join("platform.ca"), folder.join("missing.ca")).unwrap();
    assert!(accepts(&ClientTls::new().unwrap(), folder, "platform"));
    std::fs::remove_file(folder.join("missing.ca")).unwrap();
}

fn shared(folder: &Path) {
    let file = folder.join("platform.pem");
    let server = ServerTls::from_files(&file, &file).unwrap();
    for resumed in [false, true] {
        let pair = Pair::connected(&ClientTls::new().unwrap(), &server, "localhost").unwrap();
        assert_eq!(pair.client_info().resumed(), resumed);
    }

    // A provider that is installed later is not missed.
    let before = ClientTls::new().unwrap();
    CryptoProvider::clone(before.config().crypto_provider()).install_default().unwrap();
    let after = ClientTls::new().unwrap();
    assert!(Arc::ptr_eq(after.config().crypto_provider(), CryptoProvider::get_default().unwrap()));
    assert!(Arc::ptr_eq(after.config(), ClientTls::new().unwrap().config()));
}
