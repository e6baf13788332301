//! libFuzzer's way into `decoders::page`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::page(data));
