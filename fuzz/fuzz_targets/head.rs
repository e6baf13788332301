//! libFuzzer's way into `decoders::head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::head(data));
