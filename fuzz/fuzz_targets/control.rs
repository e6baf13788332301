//! libFuzzer's way into `decoders::control`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::control(data));
