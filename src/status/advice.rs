//! What is wrong with a credential beside its failed calls, and what should an operator do? Worded for the page and for `status`.

use super::Lease;
use crate::language::Bilingual;

/// A keeper hangs.
pub const SILENT: Bilingual = Bilingual::new("the keeper gives no sign of life", "keeper 没有心跳");
/// What to do about it.
pub const SILENT_ADVICE: Bilingual = Bilingual::new(
    "/healthz fails, so that a liveness probe restarts the relay; please report it, with the log",
    "/healthz 已返回失败，存活探针会重启中控；请带上日志反馈",
);
/// What to do where the record cannot be stored.
pub const NOT_STORED_ADVICE: Bilingual = Bilingual::new(
    "the relay works from memory: check the disk, or Redis; it needs no restart",
    "中控靠内存继续工作：检查磁盘或 Redis；不用重启",
);
/// A token ended that no call of this group had ended.
pub const ANOTHER_CALLER: Bilingual =
    Bilingual::new("another caller fetches tokens for this appid", "还有别的程序在用这个 appid 取 token");
/// What to do about it.
pub const ANOTHER_CALLER_ADVICE: Bilingual = Bilingual::new(
    "the token was found dead, and no call of this relay had ended it: find who else has the AppSecret, or reset it",
    "token 已失效，而中控没有换过它：查清还有谁有 AppSecret，或重置 AppSecret",
);
/// No call is left of the rolling day's.
pub const CALLS_SPENT: Bilingual = Bilingual::new("the day's calls are spent", "一天的取 token 次数已用完");
/// What to do about it.
pub const CALLS_SPENT_ADVICE: Bilingual = Bilingual::new(
    "none is made until those of a day ago count no more: find in the log why so many were; for a token (not a ticket) accounts.NAME.calls_per_day may be raised",
    "要等一天前的调用不再计入才会再取：查日志，看为什么取了这么多次；token（ticket 不行）可以调大 accounts.NAME.calls_per_day",
);
/// A revocation is on its way.
pub const REVOKING: Bilingual = Bilingual::new("being revoked", "正在作废");
/// What to do about it.
pub const REVOKING_ADVICE: Bilingual = Bilingual::new(
    "nothing to do: two rotations, 30 s apart; with its record not stored, when that is",
    "不用管：相隔 30 秒刷新两次；记录存不下时，等能存下再刷新",
);

/// Which relay calls.
pub const fn caller(lease: Lease) -> Bilingual {
    match lease {
        Lease::Alone | Lease::Ours => Bilingual::new("this relay", "本中控"),
        Lease::Another => Bilingual::new("another relay", "另一个中控"),
        Lease::Nobody => Bilingual::new("nobody", "无"),
    }
}
