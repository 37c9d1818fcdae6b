//! Can any bytes break the property of `settings`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::settings::holds(bytes);
});
