//! The scripts of `tests/vectors`, against the core and against its two halves.

use ws_proto::Connection;
use ws_tests::endpoint::{Driven, Endpoint, Halves};
use ws_tests::entropy::counting;
use ws_tests::run::{cuts, play};
use ws_tests::transcript::scripts;

fn check<E: Endpoint>() {
    let mut faults = Vec::new();
    for script in scripts() {
        for cut in cuts(&script) {
            let mut subject = Driven::<E>::open(script.role, script.negotiated(), script.config.clone(), counting());
            if let Err(fault) = play(&script, cut, &mut subject) {
                faults.push(fault);
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{} scripts failed\n{}", faults.len(), faults.join("\n\n"));
}

#[test]
fn transcripts_against_a_connection_with_every_split() {
    check::<Connection>();
}

#[test]
fn transcripts_against_the_two_halves_with_every_split() {
    check::<Halves>();
}
