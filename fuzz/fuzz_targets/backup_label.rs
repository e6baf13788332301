//! libFuzzer's way into `decoders::backup_label`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::backup_label(data));
