//! libFuzzer's way into `decoders::wal_records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::decoders::wal_records(data));
