//! See [`memora_fuzz::rq_job`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memora_fuzz::rq_job(bytes));
