//! What do processes use while nothing is due?

use std::{io, time::Duration};

use token_relay::clock::{Clock, SystemClock};
use tokio::time::sleep;

use crate::{cpu_time::cpu_time, setup::Setup, support::process::Process};

/// For so long it is measured.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
/// What a start leaves to be done is done by then.
pub(crate) const SETTLE: Duration = Duration::from_secs(15);

/// The CPU of each process while nothing is due, in percent of a core.
pub(crate) async fn cpu_of<const N: usize>(setup: &Setup, processes: [&Process; N]) -> io::Result<[f64; N]> {
    let (calls, began, before) = (setup.calls(), SystemClock.boot_now(), times(processes)?);
    sleep(WINDOW).await;
    let (after, wall) = (times(processes)?, SystemClock.boot_now().since(began));
    let calls = setup.calls() - calls;
    if calls > 0 {
        println!("NOT AT REST: {calls} calls of WeChat were made meanwhile");
    }
    let mut percents = [0.0; N];
    for (percent, (after, before)) in percents.iter_mut().zip(after.into_iter().zip(before)) {
        *percent = after.saturating_sub(before).as_secs_f64() / wall.as_secs_f64() * 100.0;
    }
    Ok(percents)
}

fn times<const N: usize>(processes: [&Process; N]) -> io::Result<[Duration; N]> {
    let mut times = [Duration::ZERO; N];
    for (time, process) in times.iter_mut().zip(processes) {
        *time = cpu_time(process)?;
    }
    Ok(times)
}
