//! libFuzzer's way into `decoders::history`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::history(data));
