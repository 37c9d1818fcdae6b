//! How is each fact worded on the page, in either language?
//!
//! What an errcode calls for stands in the issuers' tables, the names of numbers beside the facts (`status/facts.rs`), what else
//! an operator should know in `status/advice.rs`; all other words of the page are here.

use std::time::Duration;

use super::{super::SettingsStatus, account::Credential, notice::Notice};
use crate::{
    clock::WallTime,
    credential::CredentialKind,
    language::{Bilingual, Language},
    recent::{Entry, Happening},
    status::{
        Readiness, State,
        advice::{
            ANOTHER_CALLER, ANOTHER_CALLER_ADVICE, CALLS_SPENT, CALLS_SPENT_ADVICE, NOT_STORED_ADVICE, REVOKING,
            REVOKING_ADVICE, SILENT, SILENT_ADVICE,
        },
    },
};

mod failures;

pub(super) use failures::{failure, store_trouble};

const fn both(english: &'static str, chinese: &'static str) -> Bilingual {
    Bilingual::new(english, chinese)
}

/// What is wrong with the settings: a title and what to do, for each.
pub(super) fn settings(language: Language, settings: &SettingsStatus) -> Vec<(String, String)> {
    let refused = settings.trouble.as_ref().map(|trouble| {
        let advice = both(
            "The relay goes on with the settings that it has. Correct the file: it is read again by itself.",
            "中控沿用原来的配置。把文件改对即可，它会自己重新读取。",
        );
        (both("The changed settings cannot be used", "改过的配置不能用"), format!("{trouble}. {}", advice.to(language)))
    });
    let fixed = (!settings.needs_restart.is_empty()).then(|| {
        let title = both("Changed settings wait for a restart", "有配置要重启才生效");
        (title, settings.needs_restart.join(", "))
    });
    [refused, fixed].into_iter().flatten().map(|(title, advice)| (title.to(language).to_owned(), advice)).collect()
}

/// From this long before its end on, a certificate is spoken of. So does the alert in `deploy/`.
const CERTIFICATE_ENDS: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// That the certificate of the public listener ends soon, or has ended: a title and what to do.
pub(super) fn certificate(language: Language, ends_at: Option<WallTime>, now: WallTime) -> Option<(String, String)> {
    let ends_at = ends_at.filter(|end| end.is_within(CERTIFICATE_ENDS, now))?;
    let title = if ends_at > now {
        both("The certificate of the public listener ends soon", "业务端口的证书快到期了")
    } else {
        both("The certificate of the public listener has ended", "业务端口的证书已过期")
    };
    let advice = both(
        "replace server.tls.cert_file and key_file: the relay takes the new ones by itself",
        "替换 server.tls.cert_file 和 key_file，中控会自己换上新的",
    );
    Some((title.to(language).to_owned(), format!("{ends_at}: {}", advice.to(language))))
}

pub(super) const YES: Bilingual = both("yes", "是");
pub(super) const NO: Bilingual = both("no", "否");
pub(super) const NONE: Bilingual = both("none", "无");
pub(super) const DUE: Bilingual = both("due", "待刷新");
pub(super) const SERVED: [Bilingual; 4] = [
    both("not served", "无可用凭据"),
    both("waiting for you", "需要处理"),
    both("recovering", "自动重试中"),
    both("fine", "正常"),
];
pub(super) const SERVED_HINTS: [Bilingual; 4] = [
    both("clients get no token or ticket", "客户端取不到 token 或 ticket"),
    both("served, but only you can mend what is wrong", "仍在发放，但问题只有你能解决"),
    both("the relay goes on by itself", "中控会自己恢复"),
    both("nothing to do", "不用管"),
];
pub(super) const WHAT_TO_DO: Bilingual = both("What to do", "现在要做的");
pub(super) const SEARCH: Bilingual = both("Search accounts", "搜索账号");
pub(super) const NO_MATCH: Bilingual = both("No account has this in its name.", "没有名称包含这些字的账号。");
pub(super) const LIVE: Bilingual = both("live", "实时");
pub(super) const CONNECTING: Bilingual = both("connecting", "连接中");
pub(super) const LOST: Bilingual = both(
    "The connection to the relay is lost: it may have stopped. What you see is the state of",
    "与中控的连接已断开，中控可能已停止。当前显示的状态截至",
);
pub(super) const WITHOUT_SCRIPT: Bilingual =
    both("Without a script this page is loaded anew every 10 s.", "未启用脚本，本页每 10 秒重新加载。");
pub(super) const VERSION: Bilingual = both("version", "版本");
pub(super) const UP: Bilingual = both("up", "已运行");
pub(super) const AS_OF: Bilingual = both("as of", "截至");
pub(super) const ACCOUNT: Bilingual = both("Account", "账号");
pub(super) const LIFE: Bilingual = both("Token lives for", "token 剩余寿命");
pub(super) const RENEWAL: Bilingual = both("Renewal in", "距刷新");
pub(super) const OF_LATE: Bilingual = both("Last 20", "最近 20 次");
pub(super) const CALLS: Bilingual = both("Calls today", "今日调用");
pub(super) const LEASE: Bilingual = both("Caller", "调用方");
pub(super) const STATE: Bilingual = both("State", "状态");
pub(super) const UNITS: Bilingual = both("d,h,min,s", "天,小时,分,秒");

/// How the relay stands as a whole.
pub(super) const fn readiness(readiness: Readiness) -> Bilingual {
    match readiness {
        Readiness::Ready => both("ready", "就绪"),
        Readiness::Degraded => both("degraded", "部分可用"),
        Readiness::Unready => both("unready", "不可用"),
    }
}

/// How a credential stands. The English words are those of `GET /status`.
pub(super) const fn state(state: State) -> Bilingual {
    match state {
        State::Fresh => both("fresh", "正常"),
        State::Due => both("due", "待刷新"),
        State::Expired => both("expired", "已过期"),
        State::None => NONE,
    }
}

/// Why a line stands where it does, in a few words.
pub(super) fn brief(language: Language, worst: &Credential) -> String {
    let status = worst.status();
    let of_what = match worst.kind() {
        CredentialKind::AccessToken => "",
        CredentialKind::Ticket(kind) => kind.label(),
    };
    let why = match (&status.trouble, &status.store_trouble) {
        _ if worst.is_silent => SILENT.to(language).to_owned(),
        _ if status.has_spent_calls() => CALLS_SPENT.to(language).to_owned(),
        (Some(trouble), _) => failures::brief(language, &trouble.error),
        (None, Some(trouble)) => store_trouble(language, trouble),
        (None, None) if status.ended_by_others_at.is_some() => ANOTHER_CALLER.to(language).to_owned(),
        (None, None) if status.rotations_to_revoke > 0 => REVOKING.to(language).to_owned(),
        (None, None) => return String::new(),
    };
    if of_what.is_empty() { why } else { format!("{of_what}: {why}") }
}

/// The two texts of a line above the accounts: what is wrong, and what to do.
pub(super) fn notice(language: Language, notice: Notice<'_>) -> (String, String) {
    let of = |title: Bilingual, advice: Bilingual| (title.to(language).to_owned(), advice.to(language).to_owned());
    match notice {
        Notice::Silent => of(SILENT, SILENT_ADVICE),
        Notice::CallsSpent => of(CALLS_SPENT, CALLS_SPENT_ADVICE),
        Notice::AnotherCaller => of(ANOTHER_CALLER, ANOTHER_CALLER_ADVICE),
        Notice::Revoking => of(REVOKING, REVOKING_ADVICE),
        Notice::NotStored(trouble) => (store_trouble(language, trouble), NOT_STORED_ADVICE.to(language).to_owned()),
        // without the issuer's own text, so that accounts with the same failure share a line
        Notice::Failing(failure) => {
            let title = failures::kind(language, &failure.error);
            (title, failure.errors.hint_in(language, &failure.error).into_owned())
        }
    }
}

/// The names of those concerned, and how many more there are.
pub(super) fn names(language: Language, names: &[&str], more: usize) -> String {
    let (names, separator) = match language {
        Language::English => (names.join(", "), ", "),
        Language::Chinese => (names.join("、"), "、"),
    };
    match (more, language) {
        (0, _) => names,
        (more, Language::English) => format!("{names}{separator}and {more} more"),
        (more, Language::Chinese) => format!("{names} 等，另有 {more} 个"),
    }
}

/// That not all accounts are shown.
pub(super) fn unseen(language: Language, unseen: usize) -> String {
    match language {
        Language::English => format!("{unseen} more accounts are not shown: search for them by name."),
        Language::Chinese => format!("另有 {unseen} 个账号未显示，可按名称搜索。"),
    }
}

/// An entry of a history.
pub(super) fn happening(language: Language, entry: &Entry) -> String {
    let text = match entry.what {
        Happening::Rotated => both("renewed", "已刷新"),
        Happening::Followed => both("renewed by another relay", "由另一个中控刷新"),
        Happening::EndedByOthers => both("found dead: another caller", "发现已失效：还有别的程序在取 token"),
        Happening::NotSent => both("not sent", "未能发出"),
        Happening::Unknown => both("outcome unknown", "结果未知"),
        Happening::Refused(errcode) => return times(format!("errcode {errcode}"), entry.times),
    };
    times(text.to(language).to_owned(), entry.times)
}

fn times(text: String, times: u32) -> String {
    if times > 1 { format!("{text} ×{times}") } else { text }
}

/// Seconds as people say them: the two largest units, and from ten minutes on no seconds. The script does the same.
pub(super) fn duration(language: Language, seconds: u64) -> String {
    let mut units = UNITS.to(language).split(',');
    let [d, h, min, s] = [(); 4].map(|()| units.next().unwrap_or_default());
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} {s}"),
        (0, 0, minutes @ 0..10, seconds) => format!("{minutes} {min} {seconds} {s}"),
        (0, 0, minutes, _) => format!("{minutes} {min}"),
        (0, hours, minutes, _) => format!("{hours} {h} {minutes} {min}"),
        (days, hours, _, _) => format!("{days} {d} {hours} {h}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_its_two_largest_units() {
        let said = |language| [0, 59, 61, 599, 600, 7199, 90_000].map(|seconds| duration(language, seconds));
        let english = ["0 s", "59 s", "1 min 1 s", "9 min 59 s", "10 min", "1 h 59 min", "1 d 1 h"];
        assert_eq!(said(Language::English), english);
        let chinese = ["0 秒", "59 秒", "1 分 1 秒", "9 分 59 秒", "10 分", "1 小时 59 分", "1 天 1 小时"];
        assert_eq!(said(Language::Chinese), chinese);
    }

    #[test]
    fn a_certificate_is_spoken_of_from_two_weeks_before_its_end_on() {
        let title = |days: i64| {
            let [now, end] = [0, days * 86_400_000].map(|ms| WallTime::from_millis(1_800_000_000_000 + ms));
            certificate(Language::English, Some(end), now).map(|(title, _)| title)
        };
        assert_eq!(title(15), None);
        assert!(title(14).unwrap().ends_with("ends soon"));
        assert!(title(-1).unwrap().ends_with("has ended"));
        assert_eq!(certificate(Language::Chinese, None, WallTime::from_millis(0)), None);
    }

    #[test]
    fn many_names_are_cut_and_the_rest_is_counted() {
        let all = ["a", "b"];
        assert_eq!(names(Language::English, &all, 0), "a, b");
        assert_eq!(names(Language::English, &all, 3), "a, b, and 3 more");
        assert_eq!(names(Language::Chinese, &all, 3), "a、b 等，另有 3 个");
    }

    #[test]
    fn failures_in_a_row_are_counted() {
        let at = WallTime::from_millis(0);
        let entry = |what, times| happening(Language::English, &Entry { at, what, times });
        assert_eq!(entry(Happening::Refused(40164), 1), "errcode 40164");
        assert_eq!(entry(Happening::NotSent, 12), "not sent ×12");
    }
}
