//! See [`memora_fuzz::cookies`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memora_fuzz::cookies(bytes));
