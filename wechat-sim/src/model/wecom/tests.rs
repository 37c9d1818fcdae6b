use super::*;
use crate::model::Platform;

const CORP: &str = "ww0000000000000001";
const SECRET: &str = "the secret of an agent";
const AGENT: &str = "ww0000000000000001/1000002";

fn ip() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model() -> Model {
    let mut model = Model::new(Rules::default(), 1);
    model.register_agent(CORP, "1000002", SECRET);
    model.register_agent(CORP, "1000003", "another secret");
    model
}

fn token(model: &mut Model, second: u64) -> String {
    let grant = model.agent_token(at(second), ip(), Some(CORP), Some(SECRET)).unwrap();
    assert_eq!(grant.left, at(7200), "a repeat has the whole life");
    grant.access_token
}

#[test]
fn an_agent_has_the_same_token_while_it_lives_and_no_overlap_after() {
    let mut model = model();
    let first = token(&mut model, 0);
    assert_eq!(token(&mut model, 7199), first);
    assert_eq!(model.check_agent(at(7199), &first), Ok(AGENT));
    assert_eq!(model.check_agent(at(7200), &first), Err(Refusal::ExpiredToken));
    let second = token(&mut model, 7200);
    assert_ne!(second, first);
    assert_eq!(model.check_agent(at(7200), &first), Err(Refusal::ExpiredToken), "and is remembered as expired");
    assert_eq!((model.agent_mints(AGENT), model.living_agent(at(7200), AGENT).unwrap().left), (2, at(7200)));
}

#[test]
fn each_agent_has_its_own_token() {
    let mut model = model();
    let first = token(&mut model, 0);
    let other = model.agent_token(at(0), ip(), Some(CORP), Some("another secret")).unwrap().access_token;
    assert_ne!(first, other);
    assert!(model.revoke(at(1), &other));
    assert!(model.alive(at(1), &first) && !model.alive(at(1), &other));
}

#[test]
fn a_revoked_token_is_dead_at_once_and_the_next_call_gets_another() {
    let mut model = model();
    let first = token(&mut model, 0);
    assert!(model.revoke_agent(at(1), AGENT) && !model.revoke_agent(at(1), AGENT));
    assert_eq!(model.check_agent(at(1), &first), Err(Refusal::MalformedToken));
    let second = token(&mut model, 1);
    assert_ne!(second, first);
    assert_eq!(model.check_agent(at(1), &first), Err(Refusal::MalformedToken));
    assert_eq!(model.alive_for(at(2), &second), Some(at(7199)));
    assert!(!model.revoke_agent(at(1), "ww0000000000000001/none") && !model.revoke_agent(at(1), "nobody"));
}

#[test]
fn the_length_of_a_token_shows_its_platform_alive_or_dead() {
    let mut model = model();
    model.register("wx1", SECRET);
    let of_wechat = model.mint(at(0), "wx1").unwrap().access_token;
    let of_wecom = token(&mut model, 0);
    for _ in 0..100 {
        assert_eq!(Platform::of_token(&model.mint(at(0), "wx1").unwrap().access_token), Platform::WeChat);
    }
    assert_eq!(model.caller(at(0), &of_wecom), Ok(AGENT));
    assert_eq!(model.check(at(0), &of_wecom), Err(Refusal::NotLatestToken));
    assert_eq!(model.check_agent(at(0), &of_wechat), Err(Refusal::MalformedToken));
    let never = model.counterfeit_agent_token().access_token;
    assert_eq!(model.caller(at(0), &never), Err(Refusal::MalformedToken));
    assert_eq!(model.caller(at(0), "75_never"), Err(Refusal::NotLatestToken));
}

#[test]
fn a_wrong_secret_is_40001_and_several_ban_the_caller_for_an_hour() {
    let mut model = model();
    let ask = |model: &mut Model, second, ip, secret| {
        model.agent_token(at(second), ip, Some(CORP), secret).err().map(Refusal::errcode)
    };
    for second in 0..5 {
        assert_eq!(ask(&mut model, second, ip(), Some("wrong")), Some(40001));
    }
    assert_eq!(ask(&mut model, 5, ip(), Some(SECRET)), Some(45009));
    assert_eq!(model.banned_for(at(5), ip()), Some(at(3599)));
    assert_eq!(ask(&mut model, 5, "10.0.0.2".parse().unwrap(), Some(SECRET)), None, "another caller");
    assert_eq!(ask(&mut model, 3603, ip(), Some(SECRET)), Some(45009));
    assert_eq!(ask(&mut model, 3604, ip(), Some(SECRET)), None);
    assert_eq!(ask(&mut model, 3604, ip(), Some("wrong")), Some(40001), "the count begins anew");
    assert_eq!(model.wrong_secrets(at(3604)), [(ip(), 1)].into());
}

#[test]
fn few_wrong_secrets_are_forgotten_after_an_hour_and_a_ban_can_be_lifted() {
    let mut model = model();
    let ask = |model: &mut Model, second| model.agent_token(at(second), ip(), Some(CORP), Some("wrong")).err();
    assert_eq!([0; 4].map(|second| ask(&mut model, second)), [Some(Refusal::WrongCorpSecret); 4]);
    assert_eq!(ask(&mut model, 3600), Some(Refusal::WrongCorpSecret));
    assert_eq!(model.banned_for(at(3600), ip()), None);
    assert_eq!([3600; 4].map(|second| ask(&mut model, second)), [Some(Refusal::WrongCorpSecret); 4]);
    assert!(model.banned_for(at(3600), ip()).is_some());
    model.lift_bans();
    assert_eq!(model.banned_for(at(3600), ip()), None);
    token(&mut model, 3600);
}

#[test]
fn a_call_needs_the_corp_and_then_the_secret() {
    let mut model = model();
    let mut errcode = |corpid, secret| model.agent_token(at(0), ip(), corpid, secret).err().map(Refusal::errcode);
    assert_eq!(errcode(None, None), Some(41002));
    assert_eq!(errcode(Some("ww2"), None), Some(40013));
    assert_eq!(errcode(Some(CORP), Some("")), Some(41004));
    assert_eq!(model.wrong_secrets(at(0)), [].into());
}

#[test]
fn a_corp_has_one_ticket_for_all_agents_and_each_agent_one_of_its_own() {
    let mut model = model();
    let first = token(&mut model, 0);
    let other = model.agent_token(at(0), ip(), Some(CORP), Some("another secret")).unwrap().access_token;
    let mut ticket = |token: &str, kind| model.wecom_ticket(at(0), token, kind).unwrap().access_token;
    let corp = ticket(&first, WecomTicket::Corp);
    assert_eq!(ticket(&other, WecomTicket::Corp), corp);
    let agent = ticket(&first, WecomTicket::Agent);
    assert_ne!(agent, corp);
    assert_ne!(ticket(&other, WecomTicket::Agent), agent);
    assert!(model.revoke_agent(at(1), AGENT));
    assert_eq!(model.wecom_ticket(at(1), &first, WecomTicket::Corp), Err(Refusal::MalformedToken));
    assert_eq!(model.ticket_alive_for(at(1), &agent), Some(at(7199)), "it outlives its token");
    assert!(model.revoke_ticket(&agent) && model.revoke_ticket(&corp) && !model.revoke_ticket(&corp));
}

#[test]
fn tickets_are_metered_by_agent_and_by_corp() {
    let mut model = model();
    (model.rules_mut().wecom_corp_tickets_per_hour, model.rules_mut().wecom_agent_tickets_per_hour) = (3, 2);
    let first = token(&mut model, 0);
    let other = model.agent_token(at(0), ip(), Some(CORP), Some("another secret")).unwrap().access_token;
    let mut errcode =
        |second, token: &str, kind| model.wecom_ticket(at(second), token, kind).err().map(Refusal::errcode);
    assert_eq!([0, 1, 2].map(|second| errcode(second, &first, WecomTicket::Corp)), [None, None, Some(45009)]);
    assert_eq!([3, 4].map(|second| errcode(second, &other, WecomTicket::Corp)), [None, Some(45009)]);
    assert_eq!([5, 6, 7].map(|second| errcode(second, &first, WecomTicket::Agent)), [None, None, Some(45009)]);
    assert_eq!(errcode(3600, &first, WecomTicket::Corp), None);
}

#[test]
fn another_secret_takes_the_place_of_the_first_and_the_token_lives_on() {
    let mut model = model();
    let first = token(&mut model, 0);
    model.register_agent(CORP, "1000002", "a new secret");
    assert_eq!(model.agent_token(at(1), ip(), Some(CORP), Some(SECRET)), Err(Refusal::WrongCorpSecret));
    assert_eq!(model.agent_token(at(1), ip(), Some(CORP), Some("a new secret")).unwrap().access_token, first);
    assert_eq!(model.agent_of_secret(CORP, "a new secret"), Some(AGENT));
}

#[test]
fn no_debug_output_shows_a_token_or_a_secret() {
    let mut model = model();
    let token = token(&mut model, 0);
    let shown = format!("{model:?}");
    assert!(!shown.contains(&token) && !shown.contains(SECRET));
}
