//! Can any bytes break the property of `drop_in`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::drop_in::holds(bytes);
});
