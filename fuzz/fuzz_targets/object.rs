//! libFuzzer's way into `decoders::object`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::object(data));
