//! See [`memora_fuzz::parameters`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memora_fuzz::parameters(bytes));
