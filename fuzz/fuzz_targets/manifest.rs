//! libFuzzer's way into `decoders::manifest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::manifest(data));
