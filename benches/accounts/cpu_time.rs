//! How much CPU has a process used?

use std::{
    fs,
    io::{self, Error},
    time::Duration,
};

use crate::support::process::Process;

/// The unit of the times in /proc/PID/stat: `USER_HZ` is 100 on every machine that the relay runs on.
const TICK: Duration = Duration::from_millis(10);

/// What all threads of a process have used so far, those that have ended included: user and system.
pub(crate) fn cpu_time(process: &Process) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    // The name of the program, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(|| Error::other("an odd /proc/PID/stat"))?;
    let ticks: u32 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}
