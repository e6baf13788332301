//! libFuzzer's way into `decoders::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::names(data));
