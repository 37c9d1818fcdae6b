//! Does the page of errcodes say of each what the relay does?

use std::time::Duration;

use token_relay::issuer::{ErrorTable, IssueError, Remedy, wechat, wecom};

use crate::page::Page;

/// A page, and how it words a pace in the column "the relay tries again".
struct Wording {
    path: &'static str,
    /// Of the tables of WeChat's codes, of those of its tickets, and of WeCom's two.
    headings: [&'static str; 4],
    soon: &'static str,
    paces: [(u64, &'static [&'static str]); 5],
}

const ENGLISH: Wording = Wording {
    path: "docs/ERRCODES.md",
    headings: ["errcode", "errcode of a ticket", "errcode of WeCom", "errcode of a ticket of WeCom"],
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
    headings: ["errcode", "取 ticket 的 errcode", "企业微信的 errcode", "企业微信取 ticket 的 errcode"],
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
    let tables = [
        (&wechat::ERRORS, 34, 0),
        (&wechat::TICKET_ERRORS, 22, 1),
        (&wecom::ERRORS, 17, 2),
        (&wecom::TICKET_ERRORS, 16, 3),
    ];
    for (errors, least, table) in tables {
        let known = known(errors);
        assert!(known.len() >= least, "only {known:?}");
        for wording in [ENGLISH, CHINESE] {
            let page = Page::at(wording.path);
            let rows = page.table(wording.headings[table]);
            for code in &known {
                let names = |cell: &str| cell.split([',', '、']).any(|word| word.trim() == code.to_string());
                let row = rows.iter().find(|row| names(row[0]));
                let row = row.unwrap_or_else(|| panic!("{} lacks {code}", wording.path));
                assert!(wording.says(row[2], remedy(errors, *code)), "{}: {code} in {row:?}", wording.path);
            }
        }
    }
}
