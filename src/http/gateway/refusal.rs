//! What is answered where the gateway does not pass a reply on?

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use crate::{
    http::drop_in,
    issuer::Platform,
    metrics::{GatewayRefusal, Refusal},
};

/// What the routes of SDKs refuse for the same reason: in their words.
fn of_the_routes(platform: Platform, refusal: Refusal) -> (StatusCode, i64, &'static str) {
    let (errcode, errmsg) = drop_in::in_words_of(platform, refusal);
    (StatusCode::OK, errcode, errmsg)
}

/// The one mapping of the gateway's refusals. Status 200 where an SDK is to read an errcode, as WeChat does it; another one where no
/// SDK that works sends such a request, or where nothing was wrong with it.
pub(super) fn reply(platform: Platform, refusal: GatewayRefusal, rid: &str) -> Response {
    use GatewayRefusal as Why;
    let (status, errcode, errmsg) = match refusal {
        Why::Malformed => (StatusCode::BAD_REQUEST, -1, "bad request"),
        Why::Misspelt => (StatusCode::OK, 40097, "invalid args"),
        Why::NotGet => (StatusCode::OK, 43001, "require GET method"),
        Why::Forbidden | Why::UnknownKey | Why::NotAllowed => (StatusCode::OK, 48001, "api unauthorized"),
        Why::MissingToken => of_the_routes(platform, Refusal::NoAccessToken),
        Why::UnknownToken => of_the_routes(platform, Refusal::UnknownAccessToken),
        Why::NoAppid => (StatusCode::OK, 41002, "appid missing"),
        Why::UnknownAppid => (StatusCode::OK, 40013, "invalid appid"),
        Why::NoSecret => (StatusCode::OK, 41004, "appsecret missing"),
        Why::WrongKey => (StatusCode::OK, 40125, "invalid appsecret"),
        Why::TooManyWrongKeys | Why::TooManyRequests => of_the_routes(platform, Refusal::TooManyRequests),
        Why::NoLivingToken => (StatusCode::SERVICE_UNAVAILABLE, -1, "no living token"),
        Why::TooBusy => (StatusCode::SERVICE_UNAVAILABLE, -1, "too many requests at once"),
        Why::BodyStalled => (StatusCode::REQUEST_TIMEOUT, -1, "the body stalled"),
        Why::BodyCut => (StatusCode::BAD_REQUEST, -1, "the body was cut"),
        Why::NoConnection => (StatusCode::BAD_GATEWAY, -1, "no connection to the platform"),
        Why::BadReply => (StatusCode::BAD_GATEWAY, -1, "no readable reply from the platform"),
        Why::NoReply => (StatusCode::GATEWAY_TIMEOUT, -1, "no reply from the platform in time"),
    };
    let mut response = drop_in::errcode(errcode, errmsg, rid);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if matches!(refusal, Why::Malformed | Why::BodyStalled | Why::BodyCut | Why::NoReply) {
        // What would follow need not be the next request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn each_platform_is_answered_in_its_own_codes_and_what_no_sdk_reads_by_its_status() {
        use GatewayRefusal as Why;
        let told = async |platform, refusal| {
            let response = reply(platform, refusal, "rid");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 1000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            (status, body["errcode"].as_i64().unwrap())
        };
        let [wechat, wecom] = [Platform::WeChat, Platform::WeCom];
        assert_eq!(
            [told(wechat, Why::TooManyRequests).await, told(wecom, Why::TooManyRequests).await],
            [(200, 45011), (200, 45009)]
        );
        assert_eq!(
            [told(wechat, Why::TooManyWrongKeys).await, told(wecom, Why::TooManyWrongKeys).await],
            [(200, 45011), (200, 45009)]
        );
        assert_eq!(
            [told(wechat, Why::UnknownToken).await, told(wecom, Why::UnknownToken).await],
            [(200, 40001), (200, 40014)]
        );
        for (refusal, status) in [
            (Why::Malformed, 400),
            (Why::NoLivingToken, 503),
            (Why::TooBusy, 503),
            (Why::BodyStalled, 408),
            (Why::BodyCut, 400),
            (Why::NoConnection, 502),
            (Why::BadReply, 502),
            (Why::NoReply, 504),
        ] {
            assert_eq!(told(wechat, refusal).await, (status, -1), "{refusal:?}");
        }
    }
}
