//! How does a connection to one server begin?

use redis::{AsyncConnectionConfig, Cmd, ServerError, Value, aio::MultiplexedConnection};
use secrecy::ExposeSecret;

use super::{address::Address, errors};

/// A connection to one server, before anything else is asked of it.
pub(super) struct Session<'a> {
    address: &'a Address,
    connection: MultiplexedConnection,
}

impl<'a> Session<'a> {
    /// Connects, logs in and selects the database. Without a limit of its own.
    ///
    /// # Errors
    ///
    /// Why not, in words for the operator.
    pub(super) async fn open(address: &'a Address) -> Result<Self, String> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = address.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(|error| errors::no_connection(address, &error))?;
        let mut session = Self { address, connection };
        if let Some(login) = &address.way.login {
            let mut auth = Cmd::new();
            auth.arg("AUTH").arg(login.user.as_deref()).arg(login.password.expose_secret());
            session.ask(&auth).await?;
        }
        if address.way.database != 0 {
            session.ask(Cmd::new().arg("SELECT").arg(address.way.database)).await?;
        }
        Ok(session)
    }

    /// The reply to a command, a refusal as an error.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, String> {
        self.try_ask(command).await?.map_err(|refused| errors::refusal(self.address, &refused))
    }

    /// The same, with the refusal itself.
    pub(super) async fn try_ask(&mut self, command: &Cmd) -> Result<Result<Value, ServerError>, String> {
        match self.connection.send_packed_command(command).await {
            Ok(Value::ServerError(refused)) => Ok(Err(refused)),
            Ok(reply) => Ok(Ok(reply)),
            Err(lost) => Err(errors::connection_lost(self.address, &lost)),
        }
    }

    pub(super) fn into_connection(self) -> MultiplexedConnection {
        self.connection
    }
}
