//! For how many connections are there enough open files?
//!
//! A connection more than that would take the file that a call to WeChat needs, the admin listener, or the store.

use std::borrow::Cow;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::settings::Settings;

/// Files that are open beside the clients' connections and the gateway's. Of a low limit at most the half is kept for them.
const OTHERS: u64 = 256;

/// The settings with as many connections as this process has files for. The soft limit, often 1024, is raised to the hard one
/// before; where that is not enough, it is logged.
pub(super) fn fitted(settings: &Settings) -> Cow<'_, Settings> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let asked = settings.server.max_connections;
    let most = files.map_or(asked, |files| connections(files, settings.gateway.enabled));
    if most >= asked {
        return Cow::Borrowed(settings);
    }
    warn!(
        files,
        server.max_connections = asked,
        connections = most,
        "the limit of open files (ulimit -n) is too low for server.max_connections: fewer are taken at once"
    );
    let mut fitted = settings.clone();
    fitted.server.max_connections = most;
    Cow::Owned(fitted)
}

/// How many so many files suffice for. With a gateway half of the connections may each have one to WeChat.
fn connections(files: u64, has_gateway: bool) -> usize {
    let left = files - OTHERS.min(files / 2);
    let connections = if has_gateway { left - left / 3 } else { left };
    usize::try_from(connections.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_left_for_all_else_however_few_there_are() {
        for (files, has_gateway, most) in [
            (65_536, false, 65_280),
            (65_536, true, 43_520),
            (1024, false, 768),
            (1024, true, 512),
            (128, false, 64),
            (1, false, 1),
            (0, true, 1),
        ] {
            assert_eq!(connections(files, has_gateway), most, "{files}");
        }
    }
}
