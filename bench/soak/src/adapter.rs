//! What a run needs of an adapter, and which there are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ClientConfig;
use ws_adapter::tls::{ClientTls, ServerTls};
use ws_adapter::ws_proto::Config;

use crate::engine;
use crate::threads;
use crate::visits::{Manner, Place, Random};

/// All adapters of this build.
pub const NAMES: [&str; 3] = ["ws-tokio", "ws-async-std", "ws-blocking"];

/// Servers that echo, and a client.
pub trait Adapter: Send + Sync {
    /// Where the servers are.
    fn places(&self) -> &Places;

    /// Connections that the servers know of.
    fn connections(&self) -> usize;

    /// Tasks of the runtime; 0 if it does not count them.
    fn tasks(&self) -> usize {
        0
    }

    /// Descriptors that servers make when they first need them, and keep.
    fn descriptors(&self) -> usize {
        0
    }

    /// A visit by the adapter's own client.
    ///
    /// # Errors
    /// If a polite visitor was not served as it should be.
    fn visit(&self, place: Place, manner: Manner, random: &mut Random) -> Result<(), String>;
}

/// Where the servers are, and whom their clients trust.
pub struct Places {
    pub tcp: SocketAddr,
    pub tls: SocketAddr,
    pub unix: PathBuf,
    /// Answers with rubbish.
    pub rubbish: SocketAddr,
    pub trust: Arc<ClientConfig>,
}

/// Starts the servers of that adapter.
pub fn start(name: &str) -> Result<Box<dyn Adapter>, String> {
    let settings = Settings::new()?;
    match name {
        "ws-tokio" => engine::tokio(settings),
        "ws-async-std" => engine::async_std(settings),
        "ws-blocking" => threads::blocking(settings),
        _ => Err("no such adapter".to_owned()),
    }
}

/// The same for all.
pub struct Settings {
    pub config: Arc<Config>,
    pub server: ServerTls,
    pub client: ClientTls,
    pub unix: PathBuf,
}

impl Settings {
    fn new() -> Result<Self, String> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|error| error.to_string())?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let server = ServerTls::from_pem(&certificate, key).map_err(|error| error.to_string())?;
        let client = ClientTls::builder().root_pem(certificate).build().map_err(|error| error.to_string())?;
        let mut config = Config::default();
        // Short, so that the silent and the deaf are gone before the run ends.
        config.timers.handshake = Some(Duration::from_secs(2));
        config.timers.keepalive = Some(Duration::from_secs(1));
        config.timers.pong = Some(Duration::from_secs(2));
        config.timers.close = Some(Duration::from_secs(1));
        config.timers.write_stall = Some(Duration::from_secs(2));
        let unix = std::env::temp_dir().join(format!("ws-soak-{}.sock", std::process::id()));
        Ok(Self { config: Arc::new(config), server, client, unix })
    }
}
