//! libFuzzer's way into `decoders::digest_node`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::digest_node(data));
