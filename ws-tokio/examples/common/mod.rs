//! What the example programs share.

use std::fmt::Write;
use std::io;

use ws_tokio::Config;

/// Limits that can be given on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
#[allow(dead_code)]
pub(crate) struct Limits {
    /// The longest message that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    pub(crate) max_message: u64,
    /// The most frames that a message may come in
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    pub(crate) max_fragments: u32,
}

#[allow(dead_code)]
impl Limits {
    pub(crate) fn config(self) -> Config {
        let mut config = Config::default();
        config.limits.message = self.max_message;
        config.limits.frame = self.max_message;
        config.limits.fragments = self.max_fragments;
        config
    }
}

/// Resolves when the system wants the program to end. That is heard of from this call on, not only once the future is
/// polled: whoever is told that a server listens may end it at once.
#[allow(dead_code)]
pub(crate) fn end_signal() -> io::Result<impl Future<Output = io::Result<()>>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
            }
        })
    }
    #[cfg(not(unix))]
    Ok(tokio::signal::ctrl_c())
}

/// Text of a peer, safe to print on a terminal: one line, without control characters.
#[allow(dead_code)]
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => safe.push(c),
            // Also what changes the direction of the text.
            c if c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(safe, "{}", c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}
