//! libFuzzer's way into `decoders::chapter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::chapter(data));
