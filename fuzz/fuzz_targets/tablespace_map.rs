//! libFuzzer's way into `decoders::tablespace_map`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::tablespace_map(data));
