//! Can any bytes break the property of `record`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::record::holds(bytes);
});
