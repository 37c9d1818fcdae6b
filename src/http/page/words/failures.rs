//! What went wrong, in the language of the page? In English as everywhere else; in Chinese worded here.

use humantime::format_duration;

use crate::{
    issuer::{Cause, IssueError, ReplyDefect},
    language::Language,
    status::{Failure, StoreTrouble},
};

/// A failed call with all that is known of it.
pub(in super::super) fn failure(language: Language, failure: &Failure) -> String {
    match (language, &failure.error) {
        (Language::English, error) => failure.errors.describe(error),
        (Language::Chinese, error @ IssueError::Refused { .. }) => {
            format!("{}返回 {}", failure.errors.issuer.chinese, brief(language, error))
        }
        (Language::Chinese, error) => brief(language, error),
    }
}

/// The same without the issuer's name, for a line.
pub(super) fn brief(language: Language, error: &IssueError) -> String {
    match (language, error) {
        (Language::English, error) => error.to_string(),
        (Language::Chinese, IssueError::Refused { errcode, errmsg }) => format!("errcode {errcode}：{errmsg}"),
        (Language::Chinese, IssueError::NotSent { cause: why } | IssueError::Unknown { cause: why }) => {
            format!("{}：{}", kind(language, error), cause(why))
        }
    }
}

/// Which kind of failure it is: the same of all accounts that fail for one reason.
pub(super) fn kind(language: Language, error: &IssueError) -> String {
    match (language, error) {
        (_, IssueError::Refused { errcode, .. }) => format!("errcode {errcode}"),
        (Language::English, IssueError::NotSent { .. }) => "not sent".to_owned(),
        (Language::English, IssueError::Unknown { .. }) => "outcome unknown".to_owned(),
        (Language::Chinese, IssueError::NotSent { .. }) => "未能发出".to_owned(),
        (Language::Chinese, IssueError::Unknown { .. }) => "结果未知".to_owned(),
    }
}

/// Why a record is not stored.
pub(in super::super) fn store_trouble(language: Language, trouble: &StoreTrouble) -> String {
    match (language, trouble) {
        (Language::English, StoreTrouble::Store(reason)) => format!("the record cannot be stored: {reason}"),
        (Language::English, trouble) => trouble.to_string(),
        (Language::Chinese, StoreTrouble::Store(reason)) => format!("记录无法保存：{reason}"),
        (Language::Chinese, StoreTrouble::Changed) => "已保存的记录被别人改过".to_owned(),
        (Language::Chinese, StoreTrouble::AnothersRecord) => {
            "已保存的记录属于别的 base_url、appid 或 endpoint：等没有人再写它时接管".to_owned()
        }
        (Language::Chinese, StoreTrouble::Foreign) => {
            "已保存的不是 token-relay 的记录：中控不会覆盖它，删掉之前没有中控会调用".to_owned()
        }
        (Language::Chinese, StoreTrouble::Newer(layout)) => {
            format!("记录由更新版本的 token-relay 写入（布局 {layout}）：中控不会覆盖它，删掉之前没有中控会调用")
        }
    }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::NoAccessToken => "账号没有可用的 access_token".to_owned(),
        Cause::Relay => "应答的是一台中控，不是平台".to_owned(),
        Cause::NoConnection(time) => format!("{} 内没有连上", format_duration(*time)),
        Cause::NoReply(time) => format!("{} 内没有收到完整的回复", format_duration(*time)),
        Cause::Network { host, detail } | Cause::Certificate { host, detail } => format!("{host}：{detail}"),
        Cause::TooLarge { host, status } => format!("{host}：HTTP {status}，回复太长"),
        Cause::Unreadable { status, defect: bad } => format!("HTTP {status}：{}", defect(*bad)),
        Cause::TooShort(life) => {
            format!("新 token 只有 {} 的寿命，短于对前一个的承诺", format_duration(*life))
        }
        Cause::BothHosts { first, fallback } => format!("{}；{}", self::cause(first), self::cause(fallback)),
        Cause::Worded(text) => text.clone(),
    }
}

fn defect(defect: ReplyDefect) -> String {
    match defect {
        ReplyDefect::NotJson(length) => format!("回复不是 JSON 对象（{length} 字节）"),
        ReplyDefect::Errcode => "回复里的 errcode 不是数字".to_owned(),
        ReplyDefect::NoCredential => "回复里既没有可用的凭据，也没有 errcode".to_owned(),
        ReplyDefect::Life => "回复里的 expires_in 不是正整数".to_owned(),
        ReplyDefect::NoAnswer => "回复里既没有探测所问的内容，也没有 errcode".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::WallTime, issuer::wechat::ERRORS};

    #[test]
    fn a_failure_is_said_with_its_cause_in_either_language() {
        let said = |error| {
            let told = Failure { error, errors: &ERRORS, at: WallTime::from_millis(0), repeated: 1 };
            Language::ALL.map(|language| failure(language, &told))
        };
        let refused = IssueError::Refused { errcode: 40164, errmsg: "invalid ip 1.2.3.4".to_owned() };
        assert_eq!(
            said(refused),
            ["WeChat answered errcode 40164: invalid ip 1.2.3.4", "微信返回 errcode 40164：invalid ip 1.2.3.4"]
        );
        let cause = Cause::BothHosts {
            first: Box::new(Cause::NoConnection(Duration::from_secs(3))),
            fallback: Box::new(Cause::Network { host: "b".to_owned(), detail: "refused".to_owned() }),
        };
        let english = "not sent: no connection within 3s; b: refused";
        assert_eq!(said(IssueError::NotSent { cause }), [english, "未能发出：3s 内没有连上；b：refused"]);
        let cause = Cause::Unreadable { status: 502, defect: ReplyDefect::NotJson(12) };
        let english = "outcome unknown: HTTP 502: the reply is not a JSON object (12 bytes)";
        let chinese = "结果未知：HTTP 502：回复不是 JSON 对象（12 字节）";
        assert_eq!(said(IssueError::Unknown { cause }), [english, chinese]);
    }
}
