//! What the example programs share.

use std::fmt::Write;
use std::io;

use ws_tokio::Config;
use ws_tokio::deflate::Deflate;
use ws_tokio::extension::Extensions;

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

/// Whether to compress, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
#[allow(dead_code)]
pub(crate) struct Compression {
    /// Compress messages with permessage-deflate, if the other side agrees
    #[arg(long)]
    deflate: bool,
    /// With --deflate: the largest window, both ways, as a power of two: 8 to 15
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(8..=15), requires = "deflate")]
    deflate_window: Option<u8>,
    /// With --deflate: compress each message by itself, both ways
    #[arg(long, requires = "deflate")]
    deflate_no_takeover: bool,
    /// With --deflate: send shorter messages as they are
    #[arg(long, value_name = "BYTES", requires = "deflate")]
    deflate_min: Option<usize>,
}

#[allow(dead_code)]
impl Compression {
    pub(crate) fn extensions(self) -> Extensions {
        let mut settings = Deflate::default();
        if let Some(bits) = self.deflate_window {
            settings.send_window_bits = bits;
            settings.receive_window_bits = bits;
        }
        if self.deflate_no_takeover {
            settings.send_takeover = false;
            settings.receive_takeover = false;
        }
        if let Some(bytes) = self.deflate_min {
            settings.min_size = bytes;
        }
        deflate_if(self.deflate, settings)
    }
}

/// `permessage-deflate` with these settings, or nothing.
#[allow(dead_code)]
pub(crate) fn deflate_if(on: bool, settings: Deflate) -> Extensions {
    if on { Extensions::none().with(settings) } else { Extensions::none() }
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
