//! See [`memora_fuzz::session_text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memora_fuzz::session_text(bytes));
