//! How does the relay that runs here stand? Asked once, or again and again.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use tokio::{signal::ctrl_c, time::sleep};

use super::{
    CommandError, Outcome,
    admin::{Admin, runtime},
    print, unless_broken,
};
use crate::{settings::Layers, status::Readiness};

mod remarks;
mod seen;
mod table;

use seen::Seen;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Clears a terminal, and writes from its top left corner on.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What is printed of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusView {
    /// A table, the credentials that are not served first, and below it what to do.
    Table,
    /// The JSON of `GET /status`, in one line.
    Json,
}

/// Asks `GET /status` on the admin listener: once, or every 2 s until Ctrl-C.
///
/// # Errors
/// No admin listener, any answer but 200, none within 15 s; [`CommandError::No`] where no account is served.
pub fn status(
    config: Option<&Path>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    view: StatusView,
    watch: bool,
) -> Outcome {
    let (layers, broken) = Layers::read_what_can_be(config, env);
    let admin = Admin::of(&layers)?;
    let seen = runtime()?.block_on(async {
        if !watch {
            return look(&admin, view).await;
        }
        tokio::select! {
            failed = follow(&admin, view) => Err(failed),
            _asked = ctrl_c() => Ok(String::new()),
        }
    });
    unless_broken(seen, broken)
}

async fn look(admin: &Admin, view: StatusView) -> Outcome {
    let json = admin.status().await?;
    let seen: Seen = serde_json::from_str(&json).map_err(|error| {
        admin.failed(format!("GET /status was not answered as a relay of this version does: {error}"))
    })?;
    let text = match view {
        StatusView::Table => table::page(&seen),
        StatusView::Json => format!("{}\n", json.trim_end()),
    };
    match seen.status {
        Readiness::Ready | Readiness::Degraded => Ok(text),
        Readiness::Unready => Err(CommandError::No(text)),
    }
}

/// Until nobody reads what it prints. A relay that does not answer may be starting again.
async fn follow(admin: &Admin, view: StatusView) -> CommandError {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let seen = look(admin, view).await;
        let printed = match &seen {
            Ok(text) | Err(CommandError::No(text)) => print(&format!("{clear}{text}")),
            Err(error) => print(clear).and_then(|()| writeln!(io::stderr(), "token-relay: {error}")),
        };
        if let Err(error) = printed {
            return super::failed(&error);
        }
        sleep(LOOK_EVERY).await;
    }
}
