//! libFuzzer's way into `decoders::signed_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::signed_text(data));
