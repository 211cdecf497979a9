#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ws_tests::compression::deflate_round_trip(data));
