//! What a report costs, and what it is answered (I5).

use super::*;

#[test]
fn readers_see_the_new_token_before_a_report_is_answered() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.reply_token("two", 7200);
    let published = rig.log.iter().rposition(|line| line == "publish two").unwrap();
    let answered = rig.log.iter().rposition(|line| line == "answer 1 Superseded").unwrap();
    assert!(published < answered, "{:?}", rig.log);
}
