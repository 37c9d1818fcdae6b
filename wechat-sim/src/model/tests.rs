use super::*;

const APP: &str = "wx0000000000000001";
const SECRET: &str = "the secret of a test";
const CLAIM: Claim<'static> = Claim { appid: Some(APP), secret: Some(SECRET), grant_type: Some("client_credential") };

fn ip() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model() -> Model {
    let mut model = Model::new(Rules::default(), 1);
    model.register(APP, SECRET);
    model
}

#[test]
fn every_rotating_call_mints_a_token_that_looks_real() {
    let mut model = model();
    let mut seen = std::collections::BTreeSet::new();
    for second in 0..100 {
        let grant = model.token(at(second), ip(), &CLAIM).unwrap();
        assert!((136..=157).contains(&grant.access_token.len()));
        assert!(grant.access_token.starts_with("75_") && token_format::is_well_formed(&grant.access_token));
        assert_eq!(grant.left, at(7200));
        assert!(seen.insert(grant.access_token));
    }
    assert_eq!(model.mints(APP, Kind::Rotating), 100);
}

#[test]
fn the_previous_token_works_for_the_overlap_and_no_longer() {
    let mut model = model();
    let old = model.mint(at(0), APP).unwrap().access_token;
    let new = model.mint(at(1000), APP).unwrap().access_token;
    assert_eq!(model.alive_for(at(1000), &old), Some(at(300)));
    assert_eq!(model.check(at(1299), &old), Ok(APP));
    assert_eq!(model.check(at(1300), &old), Err(Refusal::NotLatestToken));
    assert_eq!(model.check(at(8199), &new), Ok(APP));
    assert_eq!(model.check(at(8200), &new), Err(Refusal::ExpiredToken));
}

#[test]
fn a_second_mint_within_the_overlap_kills_the_oldest_at_once() {
    let mut model = model();
    let [a, b, c] = [0, 100, 200].map(|second| model.mint(at(second), APP).unwrap().access_token);
    assert!(!model.alive(at(200), &a));
    assert_eq!(model.alive_for(at(200), &b), Some(at(300)));
    assert!(model.alive(at(200), &c));
    assert_eq!(model.living(at(200), APP, Kind::Rotating).len(), 2);
}

#[test]
fn a_rotation_never_lengthens_a_life() {
    let mut model = model();
    let old = model.mint(at(0), APP).unwrap().access_token;
    model.mint(at(7100), APP).unwrap();
    assert_eq!(model.alive_for(at(7100), &old), Some(at(100)));
    assert_eq!(model.check(at(7200), &old), Err(Refusal::ExpiredToken));
    model.mint(at(7300), APP).unwrap();
    assert_eq!(model.check(at(7300), &old), Err(Refusal::ExpiredToken), "and is remembered as expired");
}

#[test]
fn a_sticky_token_stays_until_the_last_overlap_and_tells_what_is_left() {
    let mut model = model();
    let first = model.stable_token(at(0), ip(), &CLAIM, false).unwrap();
    let same = model.stable_token(at(6900), ip(), &CLAIM, false).unwrap();
    assert_eq!((same.access_token == first.access_token, same.left), (true, at(300)));
    let next = model.stable_token(at(6901), ip(), &CLAIM, false).unwrap();
    assert_ne!(next.access_token, first.access_token);
    assert_eq!(next.left, at(7200));
    assert_eq!(model.alive_for(at(6901), &first.access_token), Some(at(299)));
}

#[test]
fn a_forced_refresh_comes_at_most_every_thirty_seconds_and_twenty_times_a_day() {
    let mut model = model();
    let mut token = model.stable_token(at(0), ip(), &CLAIM, true).unwrap().access_token;
    let mut force = |second| {
        let new = model.stable_token(at(second), ip(), &CLAIM, true).unwrap().access_token;
        std::mem::replace(&mut token, new.clone()) != new
    };
    assert!(force(10), "the first token was not a forced refresh");
    assert!(!force(39));
    assert!(force(40));
    assert_eq!((1..=30).filter(|n| force(40 + n * 30)).count(), 18);
    assert!(force(86_400), "a new day");
}

#[test]
fn two_forced_refreshes_kill_a_leaked_token() {
    let mut model = model();
    let leaked = model.hold(at(0), APP, false).unwrap().access_token;
    model.hold(at(1), APP, true);
    assert!(model.alive(at(1), &leaked));
    model.hold(at(31), APP, true);
    assert!(!model.alive(at(31), &leaked));
}

#[test]
fn the_two_kinds_do_not_disturb_each_other() {
    let mut model = model();
    let sticky = model.hold(at(0), APP, false).unwrap().access_token;
    let rotating = model.mint(at(1), APP).unwrap().access_token;
    model.mint(at(2), APP);
    model.rotate(at(3), APP, Kind::Sticky);
    model.rotate(at(4), APP, Kind::Sticky);
    assert!(model.alive(at(4), &rotating));
    assert!(!model.alive(at(4), &sticky));
}

#[test]
fn a_revoked_sticky_token_is_handed_out_until_it_is_forced() {
    let mut model = model();
    let token = model.hold(at(0), APP, false).unwrap().access_token;
    assert!(model.revoke(at(1), &token));
    assert_eq!(model.check(at(1), &token), Err(Refusal::NotLatestToken));
    assert_eq!(model.hold(at(2), APP, false).unwrap().access_token, token);
    assert_ne!(model.hold(at(2), APP, true).unwrap().access_token, token);
    assert!(!model.revoke(at(3), "never minted"));
}

#[test]
fn the_daily_quota_ends_with_45009_and_comes_back_the_next_day() {
    let mut model = model();
    model.rules_mut().quota = 3;
    for second in 0..3 {
        model.token(at(second), ip(), &CLAIM).unwrap();
    }
    assert_eq!(model.token(at(4), ip(), &CLAIM), Err(Refusal::DailyQuota));
    assert!(model.stable_token(at(4), ip(), &CLAIM, false).is_ok(), "the quotas are apart");
    assert_eq!(model.spent(at(4), APP, Kind::Rotating), 3);
    assert!(model.token(at(86_400), ip(), &CLAIM).is_ok());
    assert!(model.leave_quota(at(86_401), APP, Kind::Rotating, 1));
    assert!(model.token(at(86_402), ip(), &CLAIM).is_ok());
    assert_eq!(model.token(at(86_403), ip(), &CLAIM), Err(Refusal::DailyQuota));
}

#[test]
fn the_minute_limit_ends_with_45011_and_heals_in_the_next_minute() {
    let mut model = model();
    model.rules_mut().per_minute = Some(1);
    assert!(model.token(at(0), ip(), &CLAIM).is_ok());
    assert_eq!(model.token(at(59), ip(), &CLAIM), Err(Refusal::MinuteLimit));
    assert!(model.token(at(60), ip(), &CLAIM).is_ok());
}

#[test]
fn the_appid_is_checked_before_the_grant_type_and_that_before_the_secret() {
    let mut model = model();
    let mut refusal = |claim: Claim<'_>| model.token(at(0), ip(), &claim).unwrap_err().errcode();
    assert_eq!(refusal(Claim { appid: None, ..Claim::default() }), 41002);
    assert_eq!(refusal(Claim { appid: Some(""), ..CLAIM }), 41002);
    assert_eq!(refusal(Claim { appid: Some("wx"), secret: None, grant_type: Some("no") }), 40013);
    assert_eq!(refusal(Claim { appid: Some(APP), secret: None, grant_type: Some("no") }), 40002);
    assert_eq!(refusal(Claim { secret: None, ..CLAIM }), 41004);
    assert_eq!(refusal(Claim { secret: Some("wrong"), ..CLAIM }), 40125);
    assert_eq!(model.mints(APP, Kind::Rotating), 0);
}

#[test]
fn a_reset_secret_gets_40001_and_the_tokens_live_on() {
    let mut model = model();
    let token = model.token(at(0), ip(), &CLAIM).unwrap().access_token;
    model.register(APP, "the new secret");
    assert_eq!(model.token(at(1), ip(), &CLAIM).unwrap_err().errcode(), 40001);
    let wrong = Claim { secret: Some("neither"), ..CLAIM };
    assert_eq!(model.token(at(1), ip(), &wrong).unwrap_err().errcode(), 40125);
    assert!(model.alive(at(1), &token));
    assert!(model.token(at(1), ip(), &Claim { secret: Some("the new secret"), ..CLAIM }).is_ok());
}

#[test]
fn a_frozen_secret_and_a_foreign_ip_are_refused() {
    let mut model = model();
    assert!(model.set_frozen(APP, true));
    assert_eq!(model.token(at(0), ip(), &CLAIM).unwrap_err().errcode(), 40243);
    model.set_frozen(APP, false);
    model.set_whitelist(APP, Some(vec!["10.0.1.0/24".parse().unwrap()]));
    assert_eq!(model.token(at(0), ip(), &CLAIM), Err(Refusal::ForeignIp(ip())));
    assert!(model.token(at(0), "10.0.1.9".parse().unwrap(), &CLAIM).is_ok());
    model.set_whitelist(APP, None);
    assert!(model.token(at(1), ip(), &CLAIM).is_ok());
}

#[test]
fn a_bad_token_is_refused_with_the_code_of_its_kind() {
    let model = model();
    assert_eq!(model.check(at(0), ""), Err(Refusal::MissingToken));
    assert_eq!(model.check(at(0), "with a space"), Err(Refusal::MalformedToken));
    assert_eq!(model.check(at(0), &"x".repeat(513)), Err(Refusal::MalformedToken));
    assert_eq!(model.check(at(0), "75_never_minted"), Err(Refusal::NotLatestToken));
}

#[test]
fn a_ticket_stays_the_same_and_always_tells_its_whole_life() {
    let mut model = model();
    let token = model.mint(at(0), APP).unwrap().access_token;
    let first = model.ticket(at(0), &token, TicketKind::Jsapi).unwrap();
    assert_eq!(model.ticket(at(7000), &token, TicketKind::Jsapi).unwrap(), first);
    assert_ne!(model.ticket(at(1), &token, TicketKind::WxCard).unwrap(), first);
    let token = model.mint(at(7200), APP).unwrap().access_token;
    assert_ne!(model.ticket(at(7200), &token, TicketKind::Jsapi).unwrap(), first);
    assert!(model.ticket(at(7200), "75_bad", TicketKind::Jsapi).is_err());
}

#[test]
fn no_debug_output_shows_a_token_or_a_secret() {
    let mut model = model();
    let grant = model.mint(at(0), APP).unwrap();
    let shown = format!("{model:?} {grant:?}");
    assert!(!shown.contains(&grant.access_token) && !shown.contains(SECRET));
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    assert_eq!(model().mint(at(0), APP), model().mint(at(9), APP));
}

#[test]
fn in_any_run_of_calls_two_tokens_live_at_most_and_no_life_grows() {
    let mut rng = Rng::with_seed(5);
    let (mut model, mut now) = (model(), at(0));
    let mut promised = BTreeMap::<String, Duration>::new();
    for _ in 0..5000 {
        now += Duration::from_millis(rng.u64(0..600_000));
        let grant = match rng.u8(0..4) {
            0 => model.mint(now, APP),
            1 => model.rotate(now, APP, Kind::Sticky),
            _ => model.hold(now, APP, rng.bool()),
        };
        let grant = grant.unwrap();
        promised.entry(grant.access_token).or_insert(now + grant.left);
        for kind in [Kind::Rotating, Kind::Sticky] {
            let living = model.living(now, APP, kind);
            assert!(living.len() <= 2);
            assert!(living.iter().skip(1).all(|older| older.left <= model.rules().overlap));
        }
        for (token, end) in &mut promised {
            let new = model.alive_for(now, token).map_or(now, |left| now + left);
            assert!(new <= *end || *end <= now && new == now, "a life grew, or a dead token rose");
            *end = new.min(*end);
        }
        promised.retain(|_, end| now.saturating_sub(*end) < at(3600));
    }
}
