//! libFuzzer's way into `decoders::footer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::footer(data));
