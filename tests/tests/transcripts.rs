//! The scripts of `tests/vectors`, against the core and against its two halves.

use std::path::Path;

use ws_proto::Connection;
use ws_tests::endpoint::{Driven, Endpoint, Halves};
use ws_tests::entropy::counting;
use ws_tests::run::{cuts, play};
use ws_tests::transcript::{Transcript, parse};

fn scripts() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "txt")) {
        let name = file.file_name().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(file).unwrap();
        all.extend(parse(&name, &text).unwrap());
    }
    assert!(all.len() > 250, "only {} scripts were found", all.len());
    all
}

fn check<E: Endpoint>() {
    let mut faults = Vec::new();
    for script in scripts() {
        for cut in cuts(&script) {
            let mut subject = Driven::<E>::new(script.role, script.config.clone(), counting());
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
