//! What is sent.

use super::*;

#[test]
fn what_is_sent_can_be_decoded() {
    let mut rng = Rng(11);
    for takeover in [true, false] {
        for shared_compressor in [true, false] {
            let settings = Deflate { shared_compressor, ..Deflate::default() };
            let mut encoder = encoder(&settings, 15, takeover);
            let mut decoder = decoder();
            for len in [0, 1, 5, 100, 16_384, 100_000, 3, 0, 300_000, 1000] {
                let text = mixed(&mut rng, len);
                let message = encode(&mut *encoder, &text);
                assert_eq!(decode(&mut *decoder, &message).unwrap(), text);
            }
        }
    }
}
