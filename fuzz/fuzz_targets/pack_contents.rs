//! libFuzzer's way into `decoders::pack_contents`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::pack_contents(data));
