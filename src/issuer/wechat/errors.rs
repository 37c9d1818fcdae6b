//! What do WeChat's errcodes call for, at its token endpoints and where tickets are fetched? A table each, after WeChat's
//! documentation.

use std::time::Duration;

use crate::{
    issuer::{
        ErrorTable, Hint, Remedy, Rule,
        errors::{CERTIFICATE, HOUR, MINUTE, minutes},
    },
    language::Bilingual,
};

/// What WeChat's errors mean where a token is fetched. The paths are those of WeChat's consoles in 2026: an official account (公众号, 服务号) is
/// kept in 微信开发者平台, a mini program (小程序) in 微信公众平台.
pub static ERRORS: ErrorTable = TABLE;

/// What WeChat's errors mean where a ticket is fetched: with an access token, so 40001 speaks of that one.
pub static TICKET_ERRORS: ErrorTable = ErrorTable { rules: TICKET_RULES, ..TABLE };

const TABLE: ErrorTable = ErrorTable {
    issuer: Bilingual::new("WeChat", "微信"),
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
        "look the errcode up in WeChat's table of global return codes (全局返回码)",
        "在微信的全局返回码中查这个 errcode",
    )),
};
const NOT_SENT: Bilingual = Bilingual::new(
    "the relay cannot connect: check DNS, the firewall, wechat.base_url and wechat.proxy",
    "中控连不上微信：检查 DNS、防火墙、wechat.base_url 和 wechat.proxy",
);
const UNKNOWN: Bilingual = Bilingual::new(
    "nothing to do: the relay goes on by itself; if it lasts, check the network path and WeChat's status",
    "不用管：中控会自己继续；一直出现就检查网络链路和微信的状态",
);

const BUSY: Rule = Rule {
    codes: &[-1, -1000],
    remedy: Remedy::Soon,
    hint: Hint::Text(Bilingual::new(
        "nothing to do: WeChat is busy and the relay tries again soon",
        "不用管：微信系统繁忙，中控很快会再试",
    )),
};
const TOO_FAST: Rule = Rule {
    codes: &[45011],
    remedy: Remedy::Wait(MINUTE),
    hint: Hint::Text(Bilingual::new(
        "nothing to do: too many calls this minute; if it lasts, look for someone else who calls with this appid",
        "不用管：这一分钟内调用太频繁；一直出现就查还有谁在用这个 appid 调用",
    )),
};
const NOT_UNDERSTOOD: Hint = Hint::Text(Bilingual::new(
    "WeChat did not understand the request: check wechat.base_url and wechat.proxy, which may alter it",
    "微信看不懂这个请求：检查 wechat.base_url 和 wechat.proxy，请求可能在途中被改动",
));
const WHITELIST: Rule = Rule {
    // the guide of 服务号 names 61004 where others get 40164
    codes: &[40164, 61004, 40090, 40187, 45035],
    remedy: Remedy::Operator(MINUTE),
    hint: Hint::Whitelist(Bilingual::new(
        "put exactly this IP on the whitelist: 微信开发者平台 (developers.weixin.qq.com) → 我的业务 → 公众号/服务号 → \
         基础信息 → 开发信息 → IP白名单; of a 小程序: 微信公众平台 (mp.weixin.qq.com) → 开发管理 → 开发设置 → 开发者ID → \
         IP白名单; the relay tries every minute and needs no restart",
        "把这个 IP 原样加入白名单：微信开发者平台（developers.weixin.qq.com）→ 我的业务 → 公众号/服务号 → 基础信息 → 开发信息 → IP白名单；小程序：微信公众平台（mp.weixin.qq.com）→ 开发管理 → 开发设置 → 开发者ID → IP白名单；中控每分钟会再试，不用重启",
    )),
};
const NO_RIGHT: Rule = Rule {
    codes: &[50004, 50007, 50002, 48001, 48004, 61024],
    remedy: Remedy::Operator(minutes(10)),
    hint: Hint::Text(Bilingual::new(
        "the account may not use this API, is frozen, or is of the wrong kind: see the notices (通知中心) and API \
         rights (接口权限) in WeChat's console",
        "账号没有这个接口的权限、被冻结或类型不对：看微信控制台的通知中心和接口权限",
    )),
};
const BLOCKED: Rule = Rule {
    codes: &[45501, 45102],
    remedy: Remedy::Wait(minutes(10)),
    hint: Hint::Text(Bilingual::new(
        "WeChat blocks this call for the time being; if it lasts, see the notices (通知中心) in WeChat's console",
        "微信暂时限制了这个调用；一直出现就看微信控制台的通知中心",
    )),
};

const TICKET_RULES: &[Rule] = &[
    BUSY,
    Rule {
        codes: &[40001, 40014, 42001],
        remedy: Remedy::Soon,
        hint: Hint::Text(Bilingual::new(
            "nothing to do: the access token of the call was refused, and is checked and replaced; if it lasts, look for \
             someone else who fetches tokens with this appid",
            "不用管：这次用的 access_token 被拒绝，中控会去核实并更换；一直出现就查还有谁在用这个 appid 取 token",
        )),
    },
    TOO_FAST,
    Rule {
        codes: &[45009],
        remedy: Remedy::Wait(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the appid's daily quota (每日调用上限) of ticket calls is used up: look for someone else who fetches tickets \
             with this appid; the relay never clears the quota by itself (you can, 10 times a month: 清零接口调用次数)",
            "这个 appid 当天取 ticket 的次数用完：查清还有谁在用这个 appid 取 ticket；中控从不自动清零，是否清零由你决定（清零接口调用次数，每月 10 次）",
        )),
    },
    Rule { codes: &[40097, 41001, 43001], remedy: Remedy::Operator(minutes(5)), hint: NOT_UNDERSTOOD },
    WHITELIST,
    NO_RIGHT,
    BLOCKED,
];

const RULES: &[Rule] = &[
    BUSY,
    TOO_FAST,
    Rule {
        codes: &[45009],
        remedy: Remedy::Wait(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the appid's daily quota (每日调用上限) of token calls is used up: look for someone else who fetches tokens \
             with this appid; the relay never clears the quota by itself (you can, 10 times a month: 清零接口调用次数)",
            "这个 appid 当天取 token 的次数用完：查清还有谁在用这个 appid 取 token；中控从不自动清零，是否清零由你决定（清零接口调用次数，每月 10 次）",
        )),
    },
    Rule {
        codes: &[40001, 40125],
        remedy: Remedy::Operator(minutes(5)),
        hint: Hint::Text(Bilingual::new(
            "the AppSecret is wrong or was reset: compare it with 微信开发者平台 (developers.weixin.qq.com) → 我的业务 → \
             公众号/服务号 → 基础信息 → 开发密钥; of a 小程序: 微信公众平台 (mp.weixin.qq.com) → 开发管理 → 开发设置 → 开发者ID",
            "AppSecret 不对或被重置：与 微信开发者平台（developers.weixin.qq.com）→ 我的业务 → 公众号/服务号 → 基础信息 → 开发密钥 核对；小程序：微信公众平台（mp.weixin.qq.com）→ 开发管理 → 开发设置 → 开发者ID",
        )),
    },
    Rule {
        codes: &[40013, 41002],
        remedy: Remedy::Operator(minutes(5)),
        hint: Hint::Text(Bilingual::new(
            "the appid is wrong or missing: compare it with 微信开发者平台 (developers.weixin.qq.com) → 我的业务 → \
             公众号/服务号 → 基础信息; of a 小程序: 微信公众平台 (mp.weixin.qq.com) → 开发管理 → 开发设置 → 开发者ID",
            "appid 不对或缺少：与 微信开发者平台（developers.weixin.qq.com）→ 我的业务 → 公众号/服务号 → 基础信息 核对；小程序：微信公众平台（mp.weixin.qq.com）→ 开发管理 → 开发设置 → 开发者ID",
        )),
    },
    Rule {
        codes: &[41004],
        remedy: Remedy::Operator(minutes(5)),
        hint: Hint::Text(Bilingual::new(
            "the AppSecret is missing: set the account's secret or secret_file",
            "缺少 AppSecret：配置该账号的 secret 或 secret_file",
        )),
    },
    Rule { codes: &[40002, 43001, 43002, 44002, 47001], remedy: Remedy::Operator(minutes(5)), hint: NOT_UNDERSTOOD },
    WHITELIST,
    Rule {
        codes: &[40243],
        remedy: Remedy::Operator(minutes(5)),
        hint: Hint::Text(Bilingual::new(
            "the AppSecret is frozen (已冻结): unfreeze it at 微信开发者平台 (developers.weixin.qq.com) → 我的业务 → \
             公众号/服务号 → 基础信息 → 开发密钥; it takes about 10 minutes",
            "AppSecret 已冻结：去 微信开发者平台（developers.weixin.qq.com）→ 我的业务 → 公众号/服务号 → 基础信息 → 开发密钥 解冻，约 10 分钟生效",
        )),
    },
    NO_RIGHT,
    Rule {
        codes: &[89501, 89502, 89503, 89504, 89505],
        remedy: Remedy::Operator(minutes(10)),
        hint: Hint::Text(Bilingual::new(
            "an administrator (管理员) of the account must confirm this IP: look for the message in the administrator's \
             WeChat; each try may send another",
            "要账号的管理员确认这个 IP：看管理员微信里的消息；每试一次可能再发一条",
        )),
    },
    Rule {
        codes: &[89507],
        remedy: Remedy::Operator(HOUR),
        hint: Hint::Text(Bilingual::new(
            "the administrator (管理员) refused this IP; WeChat lets it ask again after 1 hour",
            "管理员拒绝了这个 IP；1 小时后微信才允许再次申请",
        )),
    },
    Rule {
        codes: &[89506],
        remedy: Remedy::Operator(Duration::from_secs(24 * 60 * 60)),
        hint: Hint::Text(Bilingual::new(
            "the administrator (管理员) refused this IP twice; WeChat lets it ask again after 24 hours",
            "管理员两次拒绝了这个 IP；24 小时后微信才允许再次申请",
        )),
    },
    BLOCKED,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{issuer::IssueError, language::Language};

    fn refused(errcode: i64) -> IssueError {
        IssueError::Refused { errcode, errmsg: "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist".to_owned() }
    }

    /// WECHAT.md's table, written down a second time.
    const EXPECTED: &[(i64, Remedy)] = &[
        (-1, Remedy::Soon),
        (-1000, Remedy::Soon),
        (45011, Remedy::Wait(Duration::from_secs(60))),
        (45009, Remedy::Wait(Duration::from_secs(3600))),
        (45501, Remedy::Wait(Duration::from_secs(600))),
        (45102, Remedy::Wait(Duration::from_secs(600))),
        (40001, Remedy::Operator(Duration::from_secs(300))),
        (40125, Remedy::Operator(Duration::from_secs(300))),
        (40013, Remedy::Operator(Duration::from_secs(300))),
        (41002, Remedy::Operator(Duration::from_secs(300))),
        (41004, Remedy::Operator(Duration::from_secs(300))),
        (40002, Remedy::Operator(Duration::from_secs(300))),
        (43001, Remedy::Operator(Duration::from_secs(300))),
        (43002, Remedy::Operator(Duration::from_secs(300))),
        (44002, Remedy::Operator(Duration::from_secs(300))),
        (47001, Remedy::Operator(Duration::from_secs(300))),
        (40243, Remedy::Operator(Duration::from_secs(300))),
        (40164, Remedy::Operator(Duration::from_secs(60))),
        (61004, Remedy::Operator(Duration::from_secs(60))),
        (40090, Remedy::Operator(Duration::from_secs(60))),
        (40187, Remedy::Operator(Duration::from_secs(60))),
        (45035, Remedy::Operator(Duration::from_secs(60))),
        (50004, Remedy::Operator(Duration::from_secs(600))),
        (50007, Remedy::Operator(Duration::from_secs(600))),
        (50002, Remedy::Operator(Duration::from_secs(600))),
        (48001, Remedy::Operator(Duration::from_secs(600))),
        (48004, Remedy::Operator(Duration::from_secs(600))),
        (61024, Remedy::Operator(Duration::from_secs(600))),
        (89501, Remedy::Operator(Duration::from_secs(600))),
        (89502, Remedy::Operator(Duration::from_secs(600))),
        (89503, Remedy::Operator(Duration::from_secs(600))),
        (89504, Remedy::Operator(Duration::from_secs(600))),
        (89505, Remedy::Operator(Duration::from_secs(600))),
        (89507, Remedy::Operator(Duration::from_secs(3600))),
        (89506, Remedy::Operator(Duration::from_secs(86400))),
        (12345, Remedy::Operator(Duration::from_secs(300))),
        (i64::MIN, Remedy::Operator(Duration::from_secs(300))),
    ];

    #[test]
    fn every_errcode_of_the_table_has_its_remedy_and_a_hint_of_one_line() {
        for (errcode, expected) in EXPECTED {
            assert_eq!(ERRORS.remedy(&refused(*errcode)), *expected, "errcode {errcode}");
            for hint in Language::ALL.map(|language| ERRORS.hint_in(language, &refused(*errcode))) {
                assert!(!hint.is_empty() && !hint.contains('\n') && !hint.contains("  "), "errcode {errcode}: {hint}");
            }
        }
        let told: usize = RULES.iter().map(|rule| rule.codes.len()).sum();
        assert_eq!(told, EXPECTED.len() - 2, "each code stands in both tables, once");
    }

    #[test]
    fn no_code_stands_in_two_rules_and_none_is_retried_in_a_tight_loop() {
        for table in [&ERRORS, &TICKET_ERRORS] {
            let mut codes: Vec<i64> = table.rules.iter().flat_map(|rule| rule.codes).copied().collect();
            codes.sort_unstable();
            assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
            for rule in table.rules.iter().chain([&table.others]) {
                match rule.remedy {
                    Remedy::Soon => {}
                    Remedy::Wait(wait) | Remedy::Operator(wait) => assert!(wait >= MINUTE),
                }
            }
        }
    }

    #[test]
    fn where_a_ticket_is_fetched_a_bad_token_calls_for_another_try_and_where_a_token_is_fetched_for_the_operator() {
        for errcode in crate::issuer::wechat::BAD_TOKEN {
            assert_eq!(TICKET_ERRORS.remedy(&refused(errcode)), Remedy::Soon, "{errcode}");
            assert_eq!(ERRORS.remedy(&refused(errcode)), Remedy::Operator(minutes(5)), "{errcode}");
        }
        assert!(TICKET_ERRORS.hint(&refused(40164)).starts_with("1.2.3.4 is not on the IP whitelist: "));
        assert_eq!(TICKET_ERRORS.remedy(&refused(45009)), Remedy::Wait(HOUR));
        assert_eq!(TICKET_ERRORS.remedy(&refused(48001)), Remedy::Operator(minutes(10)));
    }

    #[test]
    fn the_hint_of_a_refused_ip_names_exactly_that_ip_and_where_each_kind_of_account_adds_it() {
        for errcode in [40164, 61004, 40090, 40187, 45035] {
            let hint = ERRORS.hint(&refused(errcode));
            assert!(
                hint.starts_with("1.2.3.4 is not on the IP whitelist: put exactly this IP on the whitelist"),
                "{hint}"
            );
            assert!(hint.contains("公众号/服务号 → 基础信息 → 开发信息 → IP白名单"), "{hint}");
            assert!(hint.contains("开发管理 → 开发设置 → 开发者ID → IP白名单"), "{hint}");
        }
        assert!(!ERRORS.hint(&refused(40013)).contains("1.2.3.4"));
        let chinese = ERRORS.hint_in(Language::Chinese, &refused(40164));
        assert!(chinese.starts_with("1.2.3.4 不在 IP 白名单中：把这个 IP 原样加入白名单"), "{chinese}");
        assert!(chinese.contains("公众号/服务号 → 基础信息 → 开发信息 → IP白名单"), "{chinese}");
    }

    #[test]
    fn no_hint_names_a_place_that_the_consoles_no_longer_have() {
        for rule in RULES {
            let (Hint::Text(text) | Hint::Whitelist(text)) = rule.hint;
            for text in Language::ALL.map(|language| text.to(language)) {
                assert!(!text.contains("基本配置") && !text.contains("开发者密码"), "{text}");
            }
        }
    }
}
