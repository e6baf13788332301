//! libFuzzer's way into `decoders::frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::frame(data));
