//! See [`memora_fuzz::pickle`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memora_fuzz::pickle(bytes));
