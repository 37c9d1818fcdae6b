//! What a process finds that takes over the record of another one (I7, I8), and what a broken store leaves.

use super::*;
