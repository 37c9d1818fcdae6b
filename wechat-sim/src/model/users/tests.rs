use super::*;
use crate::model::IpRange;

const APP: &str = "wx0000000000000001";
const OTHER: &str = "wx0000000000000002";
const SECRET: &str = "the secret of a test";
const LOGIN: Claim<'static> = Claim { appid: Some(APP), secret: Some(SECRET), grant_type: Some("authorization_code") };
const REFRESH: Claim<'static> = Claim { appid: Some(APP), secret: None, grant_type: Some("refresh_token") };

fn ip() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model() -> Model {
    let mut model = Model::new(Rules::default(), 1);
    model.register(APP, SECRET);
    model.register(OTHER, SECRET);
    model
}

fn user(model: &mut Model, second: u64) -> UserGrant {
    let code = model.login_code(at(second), APP, Login::web("user")).unwrap();
    model.user_token(at(second), ip(), &LOGIN, Some(&code)).map_err(Refusal::errcode).ok().unwrap()
}

#[test]
fn a_code_logs_its_user_in_once() {
    let mut model = model();
    let login = Login { unionid: Some("union".into()), ..Login::mini_program("user") };
    let code = model.login_code(at(0), APP, login).unwrap();
    let mut session = |code: &str| model.session(at(1), ip(), &LOGIN, Some(code));
    let first = session(&code).ok().unwrap();
    assert_eq!((first.openid.as_str(), first.unionid.as_deref()), ("user", Some("union")));
    assert_eq!((first.session_key.len(), first.session_key.ends_with("A==")), (24, true));
    assert_eq!(session(&code).err(), Some(Refusal::UsedCode));
    assert_eq!(session("never given out").err(), Some(Refusal::InvalidCode));
}

#[test]
fn a_code_is_good_for_its_app_and_its_kind_of_login_and_for_five_minutes() {
    let mut model = model();
    let code = model.login_code(at(0), APP, Login::mini_program("user")).unwrap();
    let other = Claim { appid: Some(OTHER), ..LOGIN };
    assert_eq!(model.session(at(1), ip(), &other, Some(&code)).err(), Some(Refusal::InvalidCode));
    assert_eq!(model.user_token(at(1), ip(), &LOGIN, Some(&code)).err(), Some(Refusal::InvalidCode));
    assert_eq!(model.session(at(300), ip(), &LOGIN, Some(&code)).err(), Some(Refusal::InvalidCode));
    assert!(model.session(at(299), ip(), &LOGIN, Some(&code)).is_ok(), "it was not used up");
    assert_eq!(model.login_code(at(0), "nobody", Login::web("user")), None);
}

#[test]
fn a_login_needs_the_app_the_grant_type_the_secret_and_the_code_in_this_order() {
    let mut model = model();
    let mut errcode = |claim: Claim<'_>, code| model.session(at(0), ip(), &claim, code).err().map(Refusal::errcode);
    assert_eq!(errcode(Claim::default(), None), Some(41002));
    assert_eq!(errcode(Claim { appid: Some("nobody"), ..Claim::default() }, None), Some(40013));
    assert_eq!(errcode(Claim { grant_type: Some("client_credential"), secret: None, ..LOGIN }, None), Some(40002));
    assert_eq!(errcode(Claim { secret: None, ..LOGIN }, None), Some(41004));
    assert_eq!(errcode(Claim { secret: Some("wrong"), ..LOGIN }, None), Some(40125));
    assert_eq!(errcode(LOGIN, None), Some(41008));
    assert_eq!(errcode(LOGIN, Some("")), Some(41008));
}

#[test]
fn a_frozen_secret_and_a_foreign_ip_log_nobody_in_and_use_up_no_code() {
    let mut model = model();
    let code = model.login_code(at(0), APP, Login::mini_program("user")).unwrap();
    model.set_frozen(APP, true);
    assert_eq!(model.session(at(0), ip(), &LOGIN, Some(&code)).err(), Some(Refusal::FrozenSecret));
    model.set_frozen(APP, false);
    model.set_whitelist(APP, Some(vec!["10.9.0.0/16".parse::<IpRange>().unwrap()]));
    assert_eq!(model.session(at(0), ip(), &LOGIN, Some(&code)).err(), Some(Refusal::ForeignIp(ip())));
    model.set_whitelist(APP, None);
    assert!(model.session(at(0), ip(), &LOGIN, Some(&code)).is_ok());
}

#[test]
fn a_users_token_is_no_access_token_and_an_access_token_is_no_users_token() {
    let mut model = model();
    let grant = user(&mut model, 0);
    assert_eq!(model.user(at(1), &grant.access_token, Some("user")).map(|login| login.openid.as_str()), Ok("user"));
    assert_eq!(model.check(at(1), &grant.access_token), Err(Refusal::NotLatestToken));
    assert_eq!(model.user_token_owner(&grant.access_token), Some(APP));
    let of_the_app = model.mint(at(1), APP).unwrap().access_token;
    assert_eq!(model.user(at(1), &of_the_app, Some("user")), Err(Refusal::NotLatestToken));
    assert_eq!(model.user(at(1), &grant.refresh_token, Some("user")), Err(Refusal::NotLatestToken));
    assert_eq!(model.user(at(1), "", Some("user")), Err(Refusal::MissingToken));
    assert_eq!(model.user(at(1), &grant.access_token, None), Err(Refusal::MissingOpenid));
    assert_eq!(model.user(at(1), &grant.access_token, Some("another")), Err(Refusal::InvalidOpenid));
}

#[test]
fn a_refresh_lengthens_a_living_token_and_replaces_an_expired_one() {
    let mut model = model();
    let first = user(&mut model, 0);
    let refresh =
        |model: &mut Model, second| model.refresh_user_token(at(second), &REFRESH, Some(&first.refresh_token));
    let same = refresh(&mut model, 7000).ok().unwrap();
    assert_eq!((same.access_token == first.access_token, same.left), (true, at(7200)));
    assert!(model.user(at(14_199), &first.access_token, Some("user")).is_ok());
    assert_eq!(model.user(at(14_200), &first.access_token, Some("user")), Err(Refusal::ExpiredToken));
    let next = refresh(&mut model, 14_200).ok().unwrap();
    assert_ne!(next.access_token, first.access_token);
    assert_eq!(next.refresh_token, first.refresh_token);
    assert_eq!(model.user(at(14_200), &first.access_token, Some("user")), Err(Refusal::NotLatestToken));
    assert!(model.user(at(14_200), &next.access_token, Some("user")).is_ok());
    assert_eq!(refresh(&mut model, 30 * 24 * 3600).err(), Some(Refusal::ExpiredRefreshToken));
}

#[test]
fn a_refresh_needs_its_own_app_and_token_and_no_secret() {
    let mut model = model();
    let grant = user(&mut model, 0);
    let mut errcode =
        |claim: &Claim<'_>, token| model.refresh_user_token(at(1), claim, token).err().map(Refusal::errcode);
    assert_eq!(errcode(&Claim::default(), None), Some(41002));
    assert_eq!(errcode(&LOGIN, Some(&grant.refresh_token)), Some(40002));
    assert_eq!(errcode(&REFRESH, None), Some(41003));
    assert_eq!(errcode(&REFRESH, Some(&grant.access_token)), Some(40030));
    assert_eq!(errcode(&Claim { appid: Some(OTHER), ..REFRESH }, Some(&grant.refresh_token)), Some(40030));
    assert_eq!(errcode(&REFRESH, Some(&grant.refresh_token)), None);
}

#[test]
fn no_debug_output_shows_a_users_token() {
    let mut model = model();
    let (grant, shown) = (user(&mut model, 0), format!("{model:?}"));
    assert!(!shown.contains(&grant.access_token) && !shown.contains(&grant.refresh_token));
}
