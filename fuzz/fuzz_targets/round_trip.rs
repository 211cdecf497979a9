#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ws_tests::bodies::round_trip(data));
