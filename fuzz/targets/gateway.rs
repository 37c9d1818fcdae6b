//! Can any bytes break the property of `gateway`?

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::gateway::holds(bytes);
});
