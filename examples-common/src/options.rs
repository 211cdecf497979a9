//! Options of clients and of servers.

use ws_adapter::ws_proto::Config;
use ws_adapter::ws_proto::deflate::Deflate;
use ws_adapter::ws_proto::extension::Extensions;

/// Limits that can be given on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// The longest message that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    max_message: u64,
    /// The most frames that a message may come in
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    max_fragments: u32,
}

impl Limits {
    /// The settings of a connection with these limits.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = Config::default();
        config.limits.message = self.max_message;
        config.limits.frame = self.max_message;
        config.limits.fragments = self.max_fragments;
        config
    }
}

/// Whether to compress, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Compression {
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

impl Compression {
    /// The extensions to offer or to agree to.
    #[must_use]
    pub fn extensions(self) -> Extensions {
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
pub(crate) fn deflate_if(on: bool, settings: Deflate) -> Extensions {
    if on { Extensions::none().with(settings) } else { Extensions::none() }
}
