//! How is an nginx started that is compared with the relay?

use std::{fs, path::Path, process::Command};

/// One process with no log, whose files are in `home` and whose `http` block also holds `http`.
pub(crate) fn command(home: &Path, http: &str) -> Command {
    let place = home.display();
    let configuration = format!(
        "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr crit;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; keepalive_requests 1000000000;
          client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
          uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
          {http}
        }}"
    );
    let file = home.join("nginx.conf");
    fs::write(&file, configuration).expect("the directory is there");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file);
    command
}
