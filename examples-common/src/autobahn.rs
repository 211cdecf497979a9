//! A client for all cases of an Autobahn fuzzing server.

use std::error::Error;

use ws_adapter::Network;
use ws_adapter::ws_proto::Message;

use crate::ClientOptions;
use crate::echo::echo;

/// Runs every case of an Autobahn fuzzing server, and has it write its report.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// The fuzzing server: ws://host:port, or wss:// for TLS
    url: String,
    /// The name in the report; by default that of the library
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How to ask for WebSockets.
    #[command(flatten)]
    pub client: ClientOptions,
}

impl Options {
    /// Where the number of cases is told.
    #[must_use]
    pub fn count(&self) -> String {
        format!("{}/getCaseCount", self.server())
    }

    /// Where a case is run. The name in the report is that of `library`, by default.
    #[must_use]
    pub fn case(&self, library: &str, case: u32) -> String {
        format!("{}/runCase?case={case}&agent={}", self.server(), self.agent(library))
    }

    /// Where the report is asked for.
    #[must_use]
    pub fn report(&self, library: &str) -> String {
        format!("{}/updateReports?agent={}", self.server(), self.agent(library))
    }

    fn server(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    fn agent<'a>(&'a self, library: &'a str) -> &'a str {
        self.agent.as_deref().unwrap_or(library)
    }
}

/// The number of cases, if a message is one.
///
/// # Errors
/// If it is not: the server is not a fuzzing server.
pub fn count(message: Option<Message>) -> Result<u32, &'static str> {
    let count = message.and_then(|message| message.as_text()?.parse().ok());
    count.ok_or("the server did not say how many cases it has")
}

/// Runs the program.
///
/// # Errors
/// If the server can't be reached, or is no fuzzing server.
pub async fn run<R: Network>(options: &Options, library: &str) -> Result<(), Box<dyn Error>> {
    let connect = async |url: String| -> Result<_, Box<dyn Error>> {
        Ok(options.client.connector::<R>(&url)?.connect().await?.0)
    };
    let mut ws = connect(options.count()).await?;
    let count = count(ws.recv().await)?;
    ws.close(1000, "").await?;
    for case in 1..=count {
        match connect(options.case(library, case)).await {
            Ok(ws) => echo(ws).await,
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let mut ws = connect(options.report(library)).await?;
    while ws.recv().await.is_some() {}
    println!("{count} cases");
    Ok(())
}
