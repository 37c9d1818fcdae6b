//! How does a page that is open follow what changes? By server-sent events, at most one a second.
//!
//! Each listener compares once a second what it has shown with how things are, and is sent what differs. It costs nothing
//! while no page is open, and a slow reader only its own updates.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::{
    super::{AppState, listener::ADMIN_CONNECTIONS, problem::Problem},
    View,
    account::Account,
    sheet::{Head, Row, Sheet},
};

/// Pages that may follow at once: half of the admin listener's connections, so that probes and scrapers have the rest.
const LISTENERS: usize = ADMIN_CONNECTIONS / 2;
/// At most one update in this time.
const PACE: Duration = Duration::from_secs(1);
/// A sign of life where nothing changes. An event, for a page does not see a comment; after three missing ones it says that the
/// connection is lost. It also finds those who have left: a connection is known to be gone when it is written to.
const BEAT: Duration = Duration::from_secs(4);
/// When a browser connects again.
const RETRY: Duration = Duration::from_secs(1);

/// Permits for open event streams.
#[derive(Debug, Clone)]
pub(crate) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LISTENERS)))
    }
}

/// `GET /events`
pub(crate) async fn events(
    State(state): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    listeners: Listeners,
) -> Result<Response, Problem> {
    let view = View::of(query.as_deref(), &headers)?;
    let permit = listeners.0.try_acquire_owned().map_err(|_| too_many())?;
    let feed = Feed { state, view, shown: None, _permit: permit };
    let updates = unfold(feed, async |mut feed| {
        let update = feed.next().await?;
        Some((Ok::<_, Infallible>(update), feed))
    });
    let beat = KeepAlive::new().interval(BEAT).event(Event::default().event("beat").data("alive"));
    let mut response = Sse::new(updates).keep_alive(beat).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect the events
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn too_many() -> Problem {
    let reason = "too many status pages follow already";
    Problem::Unavailable { retry_in: BEAT, reason: reason.into(), trouble: None }
}

/// The event stream of one listener.
struct Feed {
    state: Arc<AppState>,
    view: View,
    shown: Option<Sheet>,
    _permit: OwnedSemaphorePermit,
}

/// What has changed.
#[derive(Serialize)]
struct Update<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'s Head>,
    /// The names of all accounts that are shown, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'s str>>,
    rows: Vec<Row>,
}

impl Feed {
    /// The next update; `None` when the relay stops, so that no page holds it up.
    async fn next(&mut self) -> Option<Event> {
        let shutdown = self.state.shutdown.clone();
        let change = async {
            loop {
                if self.shown.is_some() {
                    sleep(PACE).await;
                }
                if let Some(event) = self.update() {
                    return event;
                }
            }
        };
        shutdown.run_until_cancelled(change).await
    }

    fn update(&mut self) -> Option<Event> {
        let sheet = Sheet::of(&self.state, &self.view);
        let update = changes(self.shown.as_ref(), &sheet, &self.view);
        let json = update.map(|update| serde_json::to_string(&update).expect("texts and numbers are JSON"));
        self.shown = Some(sheet);
        json.map(|json| Event::default().retry(RETRY).data(json))
    }
}

fn changes<'s>(before: Option<&Sheet>, sheet: &'s Sheet, view: &View) -> Option<Update<'s>> {
    let names = |accounts: &'s [Account]| accounts.iter().map(Account::name).collect::<Vec<_>>();
    let Some(before) = before else {
        let rows = sheet.accounts.iter().map(|account| Row::of(account, view.language)).collect();
        return Some(Update { head: Some(&sheet.head), order: Some(names(&sheet.accounts)), rows });
    };
    let by_name = before.accounts.iter().map(|account| (account.name(), account));
    let by_name = by_name.collect::<std::collections::BTreeMap<_, _>>();
    let is_new = |account: &&Account| !by_name.get(account.name()).is_some_and(|before| account.looks_like(before));
    let rows: Vec<_> = sheet.accounts.iter().filter(is_new).map(|account| Row::of(account, view.language)).collect();
    let is_same_order = before.accounts.iter().map(Account::name).eq(sheet.accounts.iter().map(Account::name));
    let update = Update {
        head: (before.head != sheet.head).then_some(&sheet.head),
        order: (!is_same_order).then(|| names(&sheet.accounts)),
        rows,
    };
    (update.head.is_some() || update.order.is_some() || !update.rows.is_empty()).then_some(update)
}
