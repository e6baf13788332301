//! libFuzzer's way into `decoders::identity`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::identity(data));
