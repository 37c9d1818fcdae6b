//! Can any bytes break the property of `head`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::head::holds(bytes);
});
