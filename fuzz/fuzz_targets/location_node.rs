//! libFuzzer's way into `decoders::location_node`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::location_node(data));
