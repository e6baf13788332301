//! libFuzzer's way into `decoders::records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::records(data));
