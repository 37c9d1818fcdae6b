//! What do the accounts cost one relay with its state in files?

use std::io;

use tokio::time::sleep;

use crate::{
    at_rest::{self, SETTLE},
    relay::Relay,
    report,
    setup::Setup,
};

pub(crate) async fn measure(setup: &Setup) -> io::Result<()> {
    let first = if setup.accounts > 1 { Some(memory_with_one_account(setup).await?) } else { None };
    let relay = start(setup, setup.accounts).await?;
    report::start_on_files(setup.accounts, relay.served_in, relay.start_cpu);
    sleep(SETTLE).await;
    let all = relay.process.kib("VmRSS")?;
    report::memory(setup.accounts, first, all);
    let [cpu] = at_rest::cpu_of(setup, [&relay.process]).await?;
    report::cpu_on_files(setup.accounts, cpu);
    relay.process.stop()
}

async fn memory_with_one_account(setup: &Setup) -> io::Result<u32> {
    let relay = start(setup, 1).await?;
    sleep(SETTLE).await;
    let memory = relay.process.kib("VmRSS")?;
    relay.process.stop()?;
    Ok(memory)
}

async fn start(setup: &Setup, accounts: usize) -> io::Result<Relay> {
    let state = setup.home().join(format!("state-{accounts}"));
    Relay::start(setup, accounts, &format!("file:{}", state.display())).await
}
