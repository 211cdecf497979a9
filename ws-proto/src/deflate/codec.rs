//! What was agreed, as a codec: makes the two transforms of a connection.

use std::boxed::Box;

use super::compress::Compress;
use super::inflate::Decompress;
use super::{Agreed, Direction};
use crate::extension::{Codec, Decoder, Encoder, RSV1, Scope};
use crate::version::Role;

impl Codec for Agreed {
    /// RFC 7692 section 6: RSV1 is the "per-message compressed" bit.
    fn reserved_bits(&self) -> u8 {
        RSV1
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn decoder(&self, role: Role) -> Box<dyn Decoder> {
        let Direction { window_bits, takeover } = self.sent_by(role.peer());
        Box::new(Decompress::new(window_bits, takeover))
    }

    fn encoder(&self, role: Role) -> Box<dyn Encoder> {
        let Direction { window_bits, takeover } = self.sent_by(role);
        Box::new(Compress::new(&self.settings, window_bits, takeover))
    }
}
