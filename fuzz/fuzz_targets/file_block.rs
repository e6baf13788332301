//! libFuzzer's way into `decoders::file_block`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::file_block(data));
