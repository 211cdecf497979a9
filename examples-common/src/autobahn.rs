//! A client for all cases of an Autobahn fuzzing server.

use std::error::Error;

use ws_adapter::ws_proto::Version;
use ws_adapter::ws_proto::http::Target;
use ws_adapter::{Connector, Network, Runtime};

use crate::echo::echo;
use crate::{Compression, Limits, TlsFiles};

/// Runs every case of an Autobahn fuzzing server, and has it write its report.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// The fuzzing server: ws://host:port, or wss:// for TLS
    url: String,
    /// The name in the report; by default that of the library
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The version of the protocol: hixie-75, hixie-76, hybi-01 to hybi-08, or 13
    #[arg(long, value_name = "V", default_value = "13")]
    version: Version,
    #[command(flatten)]
    tls: TlsFiles,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    compression: Compression,
}

impl Options {
    /// The name in the report.
    #[must_use]
    pub fn agent<'a>(&'a self, library: &'a str) -> &'a str {
        self.agent.as_deref().unwrap_or(library)
    }

    /// A connector to a path of the server.
    ///
    /// # Errors
    /// If the options are not possible here.
    pub fn connector<R: Runtime>(&self, path: &str) -> Result<Connector<R>, Box<dyn Error>> {
        let url = self.url.trim_end_matches('/');
        let target = Target::parse(&format!("{url}/{path}"))?;
        let secure = target.is_secure();
        let mut connector = Connector::to(target).version(self.version);
        if secure {
            connector = connector.tls(self.tls.settings()?);
        }
        Ok(connector.config(self.limits.config()).extensions(self.compression.extensions()))
    }
}

/// Runs the program.
///
/// # Errors
/// If the server can't be reached, or is no fuzzing server.
pub async fn run<R: Network>(options: &Options, library: &str) -> Result<(), Box<dyn Error>> {
    let agent = options.agent(library);
    let connect =
        async |path: String| -> Result<_, Box<dyn Error>> { Ok(options.connector::<R>(&path)?.connect().await?.0) };
    let mut ws = connect("getCaseCount".to_owned()).await?;
    let count: u32 = ws.recv().await.and_then(|m| m.as_text()?.parse().ok()).ok_or(NO_COUNT)?;
    ws.close(1000, "").await?;
    for case in 1..=count {
        match connect(format!("runCase?case={case}&agent={agent}")).await {
            Ok(ws) => echo(ws).await,
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let mut ws = connect(format!("updateReports?agent={agent}")).await?;
    while ws.recv().await.is_some() {}
    println!("{count} cases");
    Ok(())
}

/// What is told of a server that does not answer as a fuzzing server does.
pub const NO_COUNT: &str = "the server did not say how many cases it has";
