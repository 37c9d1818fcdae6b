//! Does the page of errcodes say of each what the relay does?

use std::time::Duration;

use token_relay::issuer::{
    ErrorTable, IssueError, Remedy,
    wechat::{ERRORS, TICKET_ERRORS},
};

use crate::page::Page;

/// A page, and how it words a pace in the column "the relay tries again".
struct Wording {
    path: &'static str,
    heading: &'static str,
    /// Of the table of tickets.
    ticket_heading: &'static str,
    soon: &'static str,
    paces: [(u64, &'static [&'static str]); 5],
}

const ENGLISH: Wording = Wording {
    path: "docs/ERRCODES.md",
    heading: "errcode",
    ticket_heading: "errcode of a ticket",
    soon: "doubling to 60 s",
    paces: [
        (60, &["every minute", "after 60 s"]),
        (300, &["every 5 minutes"]),
        (600, &["every 10 minutes"]),
        (3600, &["every hour", ", 1 h"]),
        (86400, &["after 24 h"]),
    ],
};

const CHINESE: Wording = Wording {
    path: "docs/ERRCODES.zh-CN.md",
    heading: "errcode",
    ticket_heading: "取 ticket 的 errcode",
    soon: "最长 60 秒",
    paces: [
        (60, &["每分钟", "60 秒后"]),
        (300, &["每 5 分钟"]),
        (600, &["每 10 分钟"]),
        (3600, &["每小时", "、1 小时后"]),
        (86400, &["24 小时后"]),
    ],
};

impl Wording {
    /// Whether `cell` says when the relay tries again.
    fn says(&self, cell: &str, remedy: Remedy) -> bool {
        let every = |pace: Duration| {
            let words = self.paces.iter().find(|(seconds, _)| *seconds == pace.as_secs());
            words.unwrap_or_else(|| panic!("no wording for {pace:?}")).1.iter().any(|word| cell.contains(word))
        };
        match remedy {
            Remedy::Soon => cell.contains(self.soon),
            Remedy::Wait(pace) | Remedy::Operator(pace) => every(pace),
        }
    }
}

/// The errcodes of which the relay knows more than of any other number.
fn known(errors: &ErrorTable) -> Vec<i64> {
    errors.rules.iter().flat_map(|rule| rule.codes).copied().collect()
}

fn remedy(errors: &ErrorTable, errcode: i64) -> Remedy {
    errors.remedy(&IssueError::Refused { errcode, errmsg: String::new() })
}

#[test]
fn every_errcode_that_the_relay_knows_is_on_the_page_with_its_pace() {
    assert!(known(&ERRORS).len() >= 34 && known(&TICKET_ERRORS).len() >= 22, "only {:?}", known(&ERRORS));
    for wording in [ENGLISH, CHINESE] {
        let page = Page::at(wording.path);
        for (errors, heading) in [(&ERRORS, wording.heading), (&TICKET_ERRORS, wording.ticket_heading)] {
            let rows = page.table(heading);
            for code in known(errors) {
                let names = |cell: &str| cell.split([',', '、']).any(|word| word.trim() == code.to_string());
                let row = rows.iter().find(|row| names(row[0]));
                let row = row.unwrap_or_else(|| panic!("{} lacks {code} below {heading}", wording.path));
                assert!(wording.says(row[2], remedy(errors, code)), "{}: {code} in {row:?}", wording.path);
            }
        }
    }
}
