//! Can any bytes break the property of `reply`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::reply::holds(bytes);
});
