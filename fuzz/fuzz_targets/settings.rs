//! libFuzzer's way into `decoders::settings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::settings(data));
