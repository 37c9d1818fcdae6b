//! Which remedy does each errcode call for, and what should the operator do? One table, after WeChat's documentation.

use std::{net::IpAddr, time::Duration};

use super::Remedy;

/// What to do about some errcodes of the token endpoints.
struct Rule {
    codes: &'static [i64],
    remedy: Remedy,
    hint: &'static str,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The codes of an IP that is not on the whitelist: the hint names the IP.
const NOT_WHITELISTED: &[i64] = &[40164, 40090, 40187, 45035];

const WHITELIST: &str = "put exactly this IP on the whitelist: 微信公众平台 (mp.weixin.qq.com) or 微信开发者平台 \
                         (developers.weixin.qq.com) → 开发 → 基本配置 → IP白名单; the relay tries every minute and needs no restart";

const RULES: &[Rule] = &[
    Rule {
        codes: &[-1, -1000],
        remedy: Remedy::Soon,
        hint: "nothing to do: WeChat is busy and the relay tries again soon",
    },
    Rule {
        codes: &[45011],
        remedy: Remedy::Wait(MINUTE),
        hint: "nothing to do: too many calls this minute; if it lasts, look for someone else who calls with this appid",
    },
    Rule {
        codes: &[45009],
        remedy: Remedy::Wait(HOUR),
        hint: "the appid's daily quota (每日调用上限) of token calls is used up: look for someone else who fetches tokens \
               with this appid; the relay never clears the quota by itself (you can, 10 times a month: 清零接口调用次数)",
    },
    Rule {
        codes: &[40001, 40125],
        remedy: Remedy::Operator(minutes(5)),
        hint: "the AppSecret is wrong or was reset: compare it with 微信公众平台 or 微信开发者平台 → 开发 → 基本配置 → \
               开发者密码(AppSecret)",
    },
    Rule {
        codes: &[40013, 41002],
        remedy: Remedy::Operator(minutes(5)),
        hint: "the appid is wrong or missing: compare it with 开发 → 基本配置 → 开发者ID(AppID)",
    },
    Rule {
        codes: &[41004],
        remedy: Remedy::Operator(minutes(5)),
        hint: "the AppSecret is missing: set the account's secret or secret_file",
    },
    Rule {
        codes: &[40002, 43001, 43002, 44002, 47001],
        remedy: Remedy::Operator(minutes(5)),
        hint: "WeChat did not understand the request: check wechat.base_url and wechat.proxy, which may alter it",
    },
    Rule { codes: NOT_WHITELISTED, remedy: Remedy::Operator(MINUTE), hint: WHITELIST },
    Rule {
        codes: &[40243],
        remedy: Remedy::Operator(minutes(5)),
        hint: "the AppSecret is frozen (已冻结): unfreeze it at 开发 → 基本配置 → 开发者密码(AppSecret)",
    },
    Rule {
        codes: &[50004, 50007, 50002, 48001, 48004, 61024],
        remedy: Remedy::Operator(minutes(10)),
        hint: "the account may not use this API, is frozen, or is of the wrong kind: see the notices (通知中心) and API \
               rights (接口权限) in WeChat's console",
    },
    Rule {
        codes: &[89501, 89502, 89503, 89504, 89505],
        remedy: Remedy::Operator(minutes(10)),
        hint: "an administrator (管理员) of the account must confirm this IP: look for the message in the administrator's \
               WeChat; each try may send another",
    },
    Rule {
        codes: &[89507],
        remedy: Remedy::Operator(HOUR),
        hint: "the administrator (管理员) refused this IP; WeChat lets it ask again after 1 hour",
    },
    Rule {
        codes: &[89506],
        remedy: Remedy::Operator(Duration::from_secs(24 * 60 * 60)),
        hint: "the administrator (管理员) refused this IP twice; WeChat lets it ask again after 24 hours",
    },
    Rule {
        codes: &[45501, 45102],
        remedy: Remedy::Wait(minutes(10)),
        hint: "WeChat blocks this call for the time being; if it lasts, see the notices (通知中心) in WeChat's console",
    },
];

/// Every other code: no tight loop, and the operator decides.
const OTHERS: Rule = Rule {
    codes: &[],
    remedy: Remedy::Operator(minutes(5)),
    hint: "look the errcode up in WeChat's table of global return codes (全局返回码)",
};

/// What `errcode` calls for at a token endpoint.
pub fn remedy(errcode: i64) -> Remedy {
    rule(errcode).remedy
}

/// What the operator should do about `errcode`, in one line. Where WeChat's text names the IP that is not on the
/// whitelist, so does the hint.
pub fn hint(errcode: i64, errmsg: &str) -> String {
    let hint = rule(errcode).hint;
    match named_ip(errmsg) {
        Some(ip) if NOT_WHITELISTED.contains(&errcode) => format!("{ip} is not on the IP whitelist: {hint}"),
        None if NOT_WHITELISTED.contains(&errcode) => {
            format!("this machine's public IP is not on the IP whitelist: {hint}")
        }
        _ => hint.to_owned(),
    }
}

fn rule(errcode: i64) -> &'static Rule {
    RULES.iter().find(|rule| rule.codes.contains(&errcode)).unwrap_or(&OTHERS)
}

/// The first address in `errmsg`, as the whitelist wants it: WeChat writes `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not
/// in whitelist rid: …`.
fn named_ip(errmsg: &str) -> Option<IpAddr> {
    errmsg
        .split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .find_map(|word| word.trim_end_matches(['.', ':']).parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(remedy(*errcode), *expected, "errcode {errcode}");
            let hint = hint(*errcode, "");
            assert!(!hint.is_empty() && !hint.contains('\n') && !hint.contains("  "), "errcode {errcode}: {hint}");
        }
        let told: usize = RULES.iter().map(|rule| rule.codes.len()).sum();
        assert_eq!(told, EXPECTED.len() - 2, "each code stands in both tables, once");
    }

    #[test]
    fn no_code_stands_in_two_rules_and_none_is_retried_in_a_tight_loop() {
        let mut codes: Vec<i64> = RULES.iter().flat_map(|rule| rule.codes).copied().collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
        for rule in RULES.iter().chain([&OTHERS]) {
            match rule.remedy {
                Remedy::Soon => {}
                Remedy::Wait(wait) | Remedy::Operator(wait) => assert!(wait >= MINUTE),
            }
        }
    }

    #[test]
    fn the_hint_of_a_refused_ip_names_exactly_that_ip_and_where_to_add_it() {
        for (errmsg, ip) in [
            ("invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 6aac005a-01bfdbee-79769285", "1.2.3.4 is"),
            ("invalid ip 2001:db8::1, not in whitelist rid: 6aac005a", "2001:db8::1 is"),
            ("invalid ip ::ffff:203.0.113.9. not in whitelist", "203.0.113.9 is"),
            ("not in whitelist rid: 6aac005a-01bfdbee-79769285", "this machine's public IP is"),
            ("invalid ip 999.1.1.1 not in whitelist", "this machine's public IP is"),
        ] {
            let hint = hint(40164, errmsg);
            assert!(hint.starts_with(ip) && hint.contains("IP白名单"), "{hint}");
        }
        assert!(!hint(40013, "invalid ip 1.2.3.4").contains("1.2.3.4"));
    }
}
