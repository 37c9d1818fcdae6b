//! What is around an SDK whose host is built in? A hosts file in which the name of WeChat's host is the relay's, in a mount namespace of
//! its own, and a private CA that has signed for this name. The relay sees the same hosts file.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

use tempfile::TempDir;
use test_support::{Authority, Certificate, Setup, TlsClient};
use wechat_sim::Sim;

use crate::RELAY;

const HOST: &str = "api.weixin.qq.com";

/// Puts the file `$0` in the place of the hosts file, for this command alone.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

/// The alias of one relay.
pub(crate) struct Alias {
    files: TempDir,
    certificate: Certificate,
    address: SocketAddr,
    /// Trusts the private CA.
    pub(crate) client: TlsClient,
}

impl Alias {
    /// On a loopback address of its own, at the port of https; or why there is none.
    pub(crate) fn new() -> Result<Self, String> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 1 + high % 254, low, NEXT.fetch_add(1, Relaxed));
        let address = SocketAddr::from((ip, 443));
        let bound = TcpListener::bind(address);
        bound.map_err(|error| format!("the port of https cannot be had for an alias of {HOST}: {error}"))?;
        let ca = Authority::new("private CA");
        let certificate = ca.sign_with(&[HOST, "localhost"], HOST);
        let alias = Self { files: TempDir::new().unwrap(), certificate, address, client: TlsClient::new(&ca, None) };
        fs::write(alias.hosts(), format!("127.0.0.1 localhost\n{ip} {HOST}\n")).unwrap();
        let command = alias.within(&["true"]);
        match Command::new(&command[0]).args(&command[1..]).output() {
            Ok(output) if output.status.success() => Ok(alias),
            Ok(output) => Err(format!("no hosts file of its own: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("no hosts file of its own: unshare: {error}")),
        }
    }

    fn hosts(&self) -> String {
        self.file("hosts")
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// The command with which a program is run where the alias counts.
    pub(crate) fn within(&self, program: &[&str]) -> Vec<String> {
        let hosts = self.hosts();
        let command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", WITH_HOSTS, &hosts];
        command.into_iter().chain(program.iter().copied()).map(str::to_owned).collect()
    }

    /// How the runtimes of Python's requests, Go, and Node.js are told of the CA.
    pub(crate) fn trust(&self) -> [(&'static str, String); 3] {
        ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"].map(|variable| (variable, self.ca()))
    }

    fn ca(&self) -> String {
        self.certificate.write_ca(self.files.path())
    }

    /// A relay that is what the name leads to, for its WeChat has the same name: only `wechat.resolve` leads past the alias.
    pub(crate) async fn setup(&self, lifetime: u64, overlap: u64) -> Setup {
        let sim = Sim::builder().lifetime(Duration::from_secs(lifetime)).overlap(Duration::from_secs(overlap));
        let sim = sim.tls(self.certificate.identity()).start().await.unwrap();
        let base_url = format!("https://{HOST}:{}", sim.addr().port());
        let mut setup = Setup::around(RELAY, sim);
        setup.run_within(self.within(&[]));
        let (cert, key) = (self.file("cert.pem"), self.file("key.pem"));
        fs::write(&cert, self.certificate.chain()).unwrap();
        fs::write(&key, self.certificate.key()).unwrap();
        for (setting, value) in [
            ("refresh.overlap", format!("{overlap}s")),
            ("server.listen", self.address.to_string()),
            ("server.tls.cert_file", cert),
            ("server.tls.key_file", key),
            ("wechat.base_url", base_url),
            ("wechat.resolve", format!("{HOST}=127.0.0.1")),
        ] {
            setup.set(setting, &value);
        }
        setup.env("SSL_CERT_FILE", &self.ca());
        setup.account("main", "token");
        setup
    }
}
