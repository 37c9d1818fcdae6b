//! What do WeCom's errcodes call for, at `gettoken` and where tickets are fetched? A table each, after WeCom's global error codes
//! (全局错误码).

use crate::{
    issuer::{
        ErrorTable, Hint, Remedy, Rule,
        errors::{CERTIFICATE, HOUR, MINUTE, minutes},
    },
    language::Bilingual,
};

/// What WeCom's errors mean where a token is fetched. The paths are those of its administration pages (管理后台, work.weixin.qq.com) in 2026.
pub static ERRORS: ErrorTable = TABLE;

/// What WeCom's errors mean where a ticket is fetched. No secret goes with the call, so nothing of it is banned.
pub static TICKET_ERRORS: ErrorTable = ErrorTable { rules: TICKET_RULES, ..TABLE };

const TABLE: ErrorTable = ErrorTable {
    issuer: Bilingual::new("WeCom", "企业微信"),
    rules: RULES,
    others: OTHERS,
    not_sent: NOT_SENT,
    certificate: CERTIFICATE,
    unknown: UNKNOWN,
};

const OTHERS: Rule = Rule {
    codes: &[],
    remedy: Remedy::Operator(minutes(5)),
    hint: Hint::Text(Bilingual::new(
        "look the errcode up at open.work.weixin.qq.com/devtool/query",
        "在 open.work.weixin.qq.com/devtool/query 查这个 errcode",
    )),
};
const NOT_SENT: Bilingual = Bilingual::new(
    "the relay cannot connect: check DNS, the firewall, wecom.base_url and wechat.proxy",
    "中控连不上企业微信：检查 DNS、防火墙、wecom.base_url 和 wechat.proxy",
);
const UNKNOWN: Bilingual = Bilingual::new(
    "nothing to do: the relay goes on by itself; if it lasts, check the network path and WeCom's status",
    "不用管：中控会自己继续；一直出现就检查网络链路和企业微信的状态",
);

const BUSY: Rule = Rule {
    codes: &[-1],
    remedy: Remedy::Soon,
    hint: Hint::Text(Bilingual::new(
        "nothing to do: WeCom is busy and the relay tries again soon",
        "不用管：企业微信系统繁忙，中控很快会再试",
    )),
};
const TOO_MANY_AT_ONCE: Rule = Rule {
    codes: &[45033],
    remedy: Remedy::Wait(MINUTE),
    hint: Hint::Text(Bilingual::new(
        "nothing to do: too many calls at once; if it lasts, look for someone else who calls with this corpid",
        "不用管：同时的调用太多；一直出现就查还有谁在用这个 corpid 调用",
    )),
};
const TRUSTED_IPS: Rule = Rule {
    codes: &[60020],
    remedy: Remedy::Operator(MINUTE),
    hint: Hint::Whitelist(Bilingual::new(
        "put exactly this IP on the list: work.weixin.qq.com → 应用管理 → the agent (应用) → 企业可信IP; the relay tries \
         every minute and needs no restart",
        "把这个 IP 原样加进去：work.weixin.qq.com → 应用管理 → 该应用 → 企业可信IP；中控每分钟会再试，不用重启",
    )),
};
const NO_RIGHT: Rule = Rule {
    codes: &[40056, 301_002, 48002, 48004, 48006, 50003, 84085],
    remedy: Remedy::Operator(minutes(10)),
    hint: Hint::Text(Bilingual::new(
        "the agent (应用) is disabled, was removed, or may not use this API: see work.weixin.qq.com → 应用管理",
        "应用已停用、已删除，或没有这个接口的权限：看 work.weixin.qq.com → 应用管理",
    )),
};

const TICKET_RULES: &[Rule] = &[
    BUSY,
    Rule {
        codes: &[40014, 42001],
        remedy: Remedy::Soon,
        hint: Hint::Text(Bilingual::new(
            "nothing to do: the access token of the call was refused, and is checked and replaced",
            "不用管：所用的 access_token 被拒绝，中控会去核实并更换",
        )),
    },
    Rule {
        codes: &[45009],
        remedy: Remedy::Wait(minutes(10)),
        hint: Hint::Text(Bilingual::new(
            "too many calls for this ticket within an hour (100 of an agent, 400 of a corp): look for someone else who fetches it; \
             the ticket jsapi is the same for all agents of a corp, so keep it on few accounts",
            "一小时内取这个 ticket 的次数太多（一个应用 100 次，整个企业 400 次）：查清还有谁在取；jsapi 在同一企业的所有应用中是同一个，只在少数账号上保管",
        )),
    },
    TOO_MANY_AT_ONCE,
    Rule {
        codes: &[40058, 41001, 43001],
        remedy: Remedy::Operator(minutes(5)),
        hint: Hint::Text(Bilingual::new(
            "WeCom did not understand the request: check wecom.base_url and wechat.proxy, which may alter it",
            "企业微信看不懂这个请求：检查 wecom.base_url 和 wechat.proxy，请求可能在途中被改动",
        )),
    },
    TRUSTED_IPS,
    NO_RIGHT,
];

// Several wrong secrets within an hour ban the caller's address, for all corps and agents behind it. So whatever only another
// setting mends is tried once an hour; one that was changed is tried at once (`SecretMark`).
const RULES: &[Rule] = &[
    BUSY,
    Rule {
        codes: &[40001, 40091],
        remedy: Remedy::Operator(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the agent's secret is wrong or was reset: compare it with work.weixin.qq.com → 应用管理 → the agent (应用) → \
             Secret; WeCom bans an address for an hour after several wrong secrets, so the relay tries it once an hour, and \
             another one as soon as it is set",
            "应用的 Secret 不对或被重置：与 work.weixin.qq.com → 应用管理 → 该应用 → Secret 核对；一小时内错几次，企业微信就封禁来源地址一小时，所以中控每小时只试一次，换了 Secret 则立即就试",
        )),
    },
    Rule {
        codes: &[40013, 41002, 2_000_002],
        remedy: Remedy::Operator(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the corpid is wrong or missing: compare it with work.weixin.qq.com → 我的企业 → 企业信息 → 企业ID; the relay \
             tries it once an hour, and another one as soon as it is set",
            "corpid 不对或缺少：与 work.weixin.qq.com → 我的企业 → 企业信息 → 企业ID 核对；中控每小时试一次，换了 corpid 则立即就试",
        )),
    },
    Rule {
        codes: &[41004, 41024],
        remedy: Remedy::Operator(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the agent's secret is missing: set the account's secret or secret_file",
            "缺少应用的 Secret：配置该账号的 secret 或 secret_file",
        )),
    },
    Rule {
        // a rate as well as a ban: an hour would be long for the one, and few refused calls do not matter to the other
        codes: &[45009],
        remedy: Remedy::Wait(minutes(10)),
        hint: Hint::Text(Bilingual::new(
            "too many calls, or this address is banned for an hour because too many wrong secrets came from it, of anyone \
             behind it; look for another service that calls gettoken in a loop",
            "调用太多，或者这个出口地址因为 Secret 多次错误被封禁一小时（同一地址上任何人的错误都算）；查清还有谁在循环调用 gettoken",
        )),
    },
    TOO_MANY_AT_ONCE,
    TRUSTED_IPS,
    NO_RIGHT,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{issuer::IssueError, language::Language};

    fn refused(errcode: i64) -> IssueError {
        let errmsg = "not allow to access from your ip, hint: [1642406569024700231269230], from ip: 1.2.3.4, more info at \
                      https://open.work.weixin.qq.com/devtool/query?e=60020";
        IssueError::Refused { errcode, errmsg: errmsg.to_owned() }
    }

    /// The rules, written down a second time.
    const EXPECTED: &[(i64, Remedy)] = &[
        (-1, Remedy::Soon),
        (40001, Remedy::Operator(Duration::from_secs(3600))),
        (40091, Remedy::Operator(Duration::from_secs(3600))),
        (40013, Remedy::Operator(Duration::from_secs(3600))),
        (41002, Remedy::Operator(Duration::from_secs(3600))),
        (2_000_002, Remedy::Operator(Duration::from_secs(3600))),
        (41004, Remedy::Operator(Duration::from_secs(3600))),
        (41024, Remedy::Operator(Duration::from_secs(3600))),
        (45009, Remedy::Wait(Duration::from_secs(600))),
        (45033, Remedy::Wait(Duration::from_secs(60))),
        (60020, Remedy::Operator(Duration::from_secs(60))),
        (40056, Remedy::Operator(Duration::from_secs(600))),
        (301_002, Remedy::Operator(Duration::from_secs(600))),
        (48002, Remedy::Operator(Duration::from_secs(600))),
        (48004, Remedy::Operator(Duration::from_secs(600))),
        (48006, Remedy::Operator(Duration::from_secs(600))),
        (50003, Remedy::Operator(Duration::from_secs(600))),
        (84085, Remedy::Operator(Duration::from_secs(600))),
        (12345, Remedy::Operator(Duration::from_secs(300))),
    ];

    #[test]
    fn every_errcode_of_the_table_has_its_remedy_once_and_a_hint_of_one_line() {
        for (errcode, expected) in EXPECTED {
            assert_eq!(ERRORS.remedy(&refused(*errcode)), *expected, "errcode {errcode}");
            for hint in Language::ALL.map(|language| ERRORS.hint_in(language, &refused(*errcode))) {
                assert!(!hint.is_empty() && !hint.contains('\n') && !hint.contains("  "), "errcode {errcode}: {hint}");
            }
        }
        let mut codes: Vec<i64> = RULES.iter().flat_map(|rule| rule.codes).copied().collect();
        assert_eq!(codes.len(), EXPECTED.len() - 1, "each code stands in both tables");
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_hint_of_a_refused_ip_names_exactly_that_ip() {
        let hint = ERRORS.hint(&refused(60020));
        assert!(hint.starts_with("1.2.3.4 is not on the IP whitelist: put exactly this IP on the list: "), "{hint}");
        let another_should_try = |errcode| ERRORS.calls_before_another(&refused(errcode)).is_some();
        assert!(another_should_try(60020) && !another_should_try(45009));
    }
}
