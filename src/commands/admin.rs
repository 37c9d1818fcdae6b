//! How is the relay that runs here asked, on its admin listener?

use std::{fmt::Display, net::SocketAddr, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::{Builder, Runtime};

use super::{CommandError, failed};
use crate::settings::Layers;

/// Of one request. The relay answers within 10 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The admin listener of the relay that runs with these settings. Asked without a proxy.
pub(super) struct Admin {
    client: Client,
    address: SocketAddr,
}

impl Admin {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// `server.admin_listen` is empty, or does not say where it listens.
    #[expect(clippy::disallowed_methods, reason = "it asks the relay that runs here, and not WeChat")]
    pub(super) fn of(layers: &Layers) -> Result<Self, CommandError> {
        let Some(address) = layers.own_admin_address()? else {
            return Err(CommandError::Failed(
                "the relay has no admin listener: server.admin_listen is empty".to_owned(),
            ));
        };
        crate::tls::install_provider();
        // it asks plain http: a missing bundle of certificates is no error
        let client = Client::builder().no_proxy().tls_certs_only([]).timeout(REQUEST_TIMEOUT).build();
        Ok(Self { client: client.map_err(|error| failed(&error))?, address })
    }

    /// Asks `POST` for a path of these segments.
    pub(super) fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.client.post(self.url(segments))
    }

    /// The body of `GET /status`.
    ///
    /// # Errors
    /// Any answer but 200, or none within 15 s.
    pub(super) async fn status(&self) -> Result<String, CommandError> {
        let answer = self.send(self.client.get(self.url(&["status"]))).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.failed(format!("GET /status was answered {}", answer.status())));
        }
        answer.text().await.map_err(|error| self.failed(flat(error)))
    }

    /// # Errors
    /// There was no answer within 15 s.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, CommandError> {
        request.send().await.map_err(|error| self.failed(flat(error)))
    }

    /// A failure of the relay that was asked: its address says which one.
    pub(super) fn failed(&self, reason: impl Display) -> CommandError {
        CommandError::Failed(format!("{}: {reason}", self.address))
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = Url::parse(&format!("http://{}", self.address)).expect("a socket address is a host of a URL");
        url.path_segments_mut().expect("http has a path").extend(segments);
        url
    }
}

/// The deepest cause: what the system said.
fn flat(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The async runtime of one command.
pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))
}
