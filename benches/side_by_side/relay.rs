//! How is the relay started that is measured?

use std::{net::SocketAddr, path::Path, process::Command};

use wechat_sim::Sim;

/// The one that this bench was built with.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_token-relay");
pub(crate) const APPID: &str = "wx0000000000000001";
pub(crate) const SECRET: &str = "a-secret-of-no-real-account";
pub(crate) const KEY: &str = "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// As it is shipped, with nothing set but where things are.
pub(crate) fn command(address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    command_of(BUILT, address, sim, home)
}

/// The same of another program.
pub(crate) fn command_of(program: &str, address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    let mut command = Command::new(program);
    let settings: [(&str, &str); 9] = [
        ("SERVER__LISTEN", &address.to_string()),
        ("SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ("WECHAT__BASE_URL", &sim.base_url()),
        ("WECHAT__FALLBACK_BASE_URL", ""),
        ("STATE__URL", &format!("file:{}", home.join("state").display())),
        ("LOG__FORMAT", "json"),
        ("ACCOUNTS__MAIN__APPID", APPID),
        ("ACCOUNTS__MAIN__SECRET", SECRET),
        ("CLIENTS__BENCH__KEY", KEY),
    ];
    command.env_clear().envs(settings.map(|(key, value)| (format!("TOKEN_RELAY__{key}"), value.to_owned())));
    command
}
