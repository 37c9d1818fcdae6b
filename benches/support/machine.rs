//! On which machine is it measured, and in what company?

use std::{fs, io};

/// Prints the processor, the kernel, and what else the machine does.
pub(crate) fn describe() -> io::Result<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("{}, Linux {}", model.trim_start_matches(['\t', ' ', ':']), kernel.trim());
    println!("load before: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    Ok(())
}

/// Whether a target was met.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
