//! Does the HTTP side answer as its documentation says, whatever a client sends? Every row of the design's table, and every
//! kind of bad client, with keepers that the test plays.
// Helpers of tests are not tests to clippy; and a test may spawn and wait as it likes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod fake_relay;

mod admin;
mod connections;
mod drop_in;
mod drop_in_hostile;
mod drop_in_random;
mod drop_in_sdks;
mod drop_in_throttle;
mod gateway;
mod gateway_healing;
mod gateway_hostile;
mod gateway_proxies;
mod gateway_random;
mod jssdk;
mod leaks;
mod openapi;
mod page;
mod poll;
mod random_bytes;
mod raw_http;
mod read;
mod reloads;
mod report;
mod ticket;
mod wecom;
mod wecom_gateway;
