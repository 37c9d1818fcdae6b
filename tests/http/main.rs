//! The HTTP face, from outside: every row of the design's table, and what the wire can do.
// Helpers of tests are not tests to clippy; and a test may spawn and wait as it likes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod house;

mod admin;
mod bytes;
mod poll;
mod read;
mod report;
mod wire;
