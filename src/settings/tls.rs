//! Do the files of `[server.tls]` make a server that speaks TLS?

use secrecy::{ExposeSecret, SecretString};

use super::entry::{Entry, Table};
use super::{ServerTls, SettingsError};
use crate::tls::TlsFile;

/// The section's name.
pub(super) const TLS: &str = "server.tls";

/// `None` where no file is named.
pub(super) fn tls(table: &Table<'_>) -> Result<Option<ServerTls>, SettingsError> {
    let [certificate, key, client_ca] = ["cert_file", "key_file", "client_ca_file"].map(|name| table.entry(name));
    let (chain, secret, roots) = (text(&certificate)?, text(&key)?, text(&client_ca)?);
    let (chain, secret) = match (chain, secret) {
        (Some(chain), Some(secret)) => (chain, secret),
        (Some(_), None) => return Err(key.error("is missing: the certificate in server.tls.cert_file needs its key")),
        (None, Some(_)) => {
            return Err(certificate.error("is missing: the key in server.tls.key_file needs its certificate"));
        }
        (None, None) if roots.is_some() => {
            return Err(client_ca.error("needs server.tls.cert_file and server.tls.key_file"));
        }
        (None, None) => return Ok(None),
    };
    let roots = roots.as_ref().map(ExposeSecret::expose_secret);
    let server = ServerTls::from_pem(chain.expose_secret(), secret.expose_secret(), roots);
    let server = server.map_err(|error| match error.file() {
        TlsFile::Certificate => certificate.error(error.to_string()),
        TlsFile::Key => key.error(error.to_string()),
        TlsFile::ClientCa => client_ca.error(error.to_string()),
    })?;
    Ok(Some(server))
}

/// What is in the file that a key names.
fn text(entry: &Entry<'_>) -> Result<Option<SecretString>, SettingsError> {
    entry.optional_text()?.map(|path| entry.secret_file(path.as_ref())).transpose()
}
