//! Do the requests that real SDKs send get a token? Each is recorded from the SDK itself, pointed at a socket, with its version.
//! Those of `EASYWECHAT_6` are put together from its source and that of Symfony's HTTP client.

use test_support::client;
use token_relay::registry::Reported;

use crate::{
    drop_in::{DropIn, assert_token},
    fake_relay::KEY,
};

/// `WxMpServiceImpl` and `WxMaServiceImpl` send the same.
const WXJAVA_4_7_0: [&str; 3] = [
    "GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
     Host: 127.0.0.1:18999\r\n\
     Connection: Keep-Alive\r\n\
     User-Agent: Apache-HttpClient/4.5.13 (Java/17.0.15)\r\n\
     Accept-Encoding: gzip,deflate\r\n\r\n",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Content-Length: LENGTH\r\n\
     Content-Type: application/json; charset=UTF-8\r\n\
     Host: 127.0.0.1:18999\r\n\
     Connection: Keep-Alive\r\n\
     User-Agent: Apache-HttpClient/4.5.13 (Java/17.0.15)\r\n\
     Accept-Encoding: gzip,deflate\r\n\r\n\
     {\"grant_type\":\"client_credential\",\"appid\":\"wxmain\",\"secret\":\"KEY\",\"force_refresh\":false}",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Content-Length: LENGTH\r\n\
     Content-Type: application/json; charset=UTF-8\r\n\
     Host: 127.0.0.1:18999\r\n\
     Connection: Keep-Alive\r\n\
     User-Agent: Apache-HttpClient/4.5.13 (Java/17.0.15)\r\n\
     Accept-Encoding: gzip,deflate\r\n\r\n\
     {\"grant_type\":\"client_credential\",\"appid\":\"wxmain\",\"secret\":\"KEY\",\"force_refresh\":true}",
];

/// `DefaultAccessToken`, and `StableAccessToken` with `GetAccessToken` and `GetAccessTokenDirectly(ctx, true)`.
const SILENCEPER_2_1_7: [&str; 3] = [
    "GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
     Host: 127.0.0.1:18999\r\n\
     User-Agent: Go-http-client/1.1\r\n\
     Accept-Encoding: gzip\r\n\r\n",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Host: 127.0.0.1:18999\r\n\
     User-Agent: Go-http-client/1.1\r\n\
     Content-Length: LENGTH\r\n\
     Content-Type: application/json;charset=utf-8\r\n\
     Accept-Encoding: gzip\r\n\r\n\
     {\"appid\":\"wxmain\",\"force_refresh\":false,\"grant_type\":\"client_credential\",\"secret\":\"KEY\"}\n",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Host: 127.0.0.1:18999\r\n\
     User-Agent: Go-http-client/1.1\r\n\
     Content-Length: LENGTH\r\n\
     Content-Type: application/json;charset=utf-8\r\n\
     Accept-Encoding: gzip\r\n\r\n\
     {\"appid\":\"wxmain\",\"force_refresh\":true,\"grant_type\":\"client_credential\",\"secret\":\"KEY\"}\n",
];

const WECHATPY_1_8_18: [&str; 1] =
    ["GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
      Host: 127.0.0.1:18999\r\n\
      User-Agent: python-requests/2.34.2\r\n\
      Accept-Encoding: gzip, deflate\r\n\
      Accept: */*\r\n\
      Connection: keep-alive\r\n\r\n"];

const CO_WECHAT_API_3_11_0: [&str; 1] =
    ["GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
      Host: 127.0.0.1:18999\r\n\
      Connection: keep-alive\r\n\r\n"];

/// Without and with `use_stable_access_token`.
const NODE_EASYWECHAT_3_6_2: [&str; 2] = [
    "GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
     Accept: application/json, text/plain, */*\r\n\
     User-Agent: axios/1.21.1\r\n\
     Accept-Encoding: gzip, compress, deflate, br\r\n\
     Host: 127.0.0.1:18999\r\n\
     Connection: keep-alive\r\n\r\n",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Accept: application/json, text/plain, */*\r\n\
     Content-Type: application/json\r\n\
     User-Agent: axios/1.21.1\r\n\
     Content-Length: LENGTH\r\n\
     Accept-Encoding: gzip, compress, deflate, br\r\n\
     Host: 127.0.0.1:18999\r\n\
     Connection: keep-alive\r\n\r\n\
     {\"grant_type\":\"client_credential\",\"appid\":\"wxmain\",\"secret\":\"KEY\",\"force_refresh\":false}",
];

/// The second reaches the relay only by a host alias: its URL is fixed.
const EASYWECHAT_6: [&str; 2] = [
    "GET /cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=KEY HTTP/1.1\r\n\
     Host: relay\r\n\
     User-Agent: easywechat-sdk/6\r\n\
     Accept: */*\r\n\
     Accept-Encoding: gzip\r\n\r\n",
    "POST /cgi-bin/stable_token HTTP/1.1\r\n\
     Host: api.weixin.qq.com\r\n\
     Content-Type: application/json\r\n\
     User-Agent: easywechat-sdk/6\r\n\
     Accept: */*\r\n\
     Accept-Encoding: gzip\r\n\
     Content-Length: LENGTH\r\n\r\n\
     {\"grant_type\":\"client_credential\",\"appid\":\"wxmain\",\"secret\":\"KEY\",\"force_refresh\":false}",
];

/// The request as the SDK sends it with this key. The connection is closed after the answer, for the test reads to its end.
fn with_key(recorded: &str) -> String {
    let request = recorded.replace("KEY", KEY);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.replace("LENGTH", &body.len().to_string());
    let head = head.replace("Connection: keep-alive", "").replace("Connection: Keep-Alive", "");
    format!("{}\r\nConnection: close\r\n\r\n{body}", head.replace("\r\n\r\n", "\r\n").trim_end())
}

#[tokio::test]
async fn every_request_that_an_sdk_sends_gets_a_token_as_the_sdk_wants_it() {
    let relay = DropIn::serving("75_token").await;
    relay.fake.keeper("main", |_| Reported::Settled);
    let recorded: [&[&str]; 6] = [
        &WXJAVA_4_7_0,
        &SILENCEPER_2_1_7,
        &WECHATPY_1_8_18,
        &CO_WECHAT_API_3_11_0,
        &NODE_EASYWECHAT_3_6_2,
        &EASYWECHAT_6,
    ];
    for request in recorded.into_iter().flatten().map(|recorded| with_key(recorded)) {
        let answer = client::send(relay.served.address, request.as_bytes()).await.unwrap();
        assert_token(&answer, "75_token");
        // co-wechat-api returns raw bytes unless this stands in the header, and all read the body as it is.
        assert!(answer.header("content-type").unwrap().contains("application/json"), "{request}");
        assert_eq!(answer.header("content-encoding"), None, "{request}");
    }
}
