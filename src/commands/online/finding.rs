//! What was found, how is it printed, and was all of it good?

use super::{CommandError, Outcome, counted, failed, print};
use crate::issuer::{ErrorTable, IssueError};

/// What one check found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// As it should be.
    Good(String),
    /// Not so.
    Wrong {
        /// What.
        what: String,
        /// What to do.
        advice: String,
    },
}

impl Finding {
    /// A call that failed, with what its issuer's table says of it.
    pub(super) fn failed(errors: &ErrorTable, error: &IssueError) -> Self {
        Self::Wrong { what: errors.describe(error), advice: errors.hint(error).into_owned() }
    }

    pub(super) fn is_good(&self) -> bool {
        match self {
            Self::Good(_) => true,
            Self::Wrong { .. } => false,
        }
    }
}

/// How many checks there were, and how many found something wrong.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: usize,
    wrong: usize,
}

impl Report {
    /// Prints what a check found, at once.
    pub(super) fn add(&mut self, checked: &str, finding: &Finding) -> Result<(), CommandError> {
        self.checks += 1;
        self.wrong += usize::from(!finding.is_good());
        let line = match finding {
            Finding::Good(what) => format!("ok    {checked}: {what}\n"),
            Finding::Wrong { what, advice } => format!("WRONG {checked}: {what}\n      {advice}\n"),
        };
        print(&line).map_err(|error| failed(&error))
    }

    pub(super) fn outcome(&self) -> Outcome {
        let checks = counted(self.checks, "check");
        match self.wrong {
            0 => Ok(format!("# all is well: {checks}\n")),
            wrong => Err(CommandError::No(format!("# {wrong} of {checks} found something wrong\n"))),
        }
    }
}
