//! One file per account in a directory of its own.
