//! libFuzzer's way into `decoders::relation_list`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::relation_list(data));
