//! What does the public listener answer, in words for programs? The OpenAPI document, from the descriptions beside the handlers.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::{HeaderName, header},
};
use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        OpenApi, Response,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    described::{AccessToken, KeptTicket},
    drop_in, getticket, health, jssdk,
    problem::Wire,
    report,
    routes::OPENAPI,
    ticket, token,
};

/// Made once, and not before somebody asks for it.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let json = Description::openapi().to_pretty_json().expect("texts and numbers are JSON");
    (json + "\n").into()
});

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "token-relay",
        description = "The public listener. With `gateway.enabled`, every path that is not here goes to WeChat's API, and there is no 404 for it. \
            GET routes answer HEAD too; another method gets 405 with `Allow`, on the drop-in routes WeChat's code for it.",
    ),
    tags(
        (name = "relay", description = "For services. A refusal is a problem (RFC 9457)."),
        (name = "drop-in", description = "WeChat's own routes, for its SDKs. The relay key stands in place of the AppSecret, and every refusal has status 200."),
        (name = "health", description = "For whoever runs the relay. No key needed."),
    ),
    paths(
        token::read, report::report, ticket::read, jssdk::config, drop_in::token, drop_in::stable_token, getticket::of_wechat,
        getticket::of_corp, getticket::of_agent,
        drop_in::wecom::gettoken, health::alive, health::ready, document,
    ),
    components(schemas(AccessToken, KeptTicket, Wire, drop_in::GatewayRefusal)),
    modifiers(&RelayKey, &LongHead),
)]
struct Description;

struct RelayKey;

const KEY_DESCRIPTION: &str = "The key of a client, as `token-relay keygen` makes it. A client certificate may stand for it (`clients.NAME.certificate`).";

impl Modify for RelayKey {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let scheme = bearer.description(Some(KEY_DESCRIPTION)).build();
        openapi.components.get_or_insert_default().add_security_scheme("relay_key", SecurityScheme::Http(scheme));
    }
}

/// What the listener refuses before there is a request, on every route.
struct LongHead;

impl Modify for LongHead {
    fn modify(&self, openapi: &mut OpenApi) {
        let too_long = Response::new("The head of the request is longer than 16 KiB. Without a body.");
        for item in openapi.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                operation.responses.responses.insert("431".to_owned(), too_long.clone().into());
            }
        }
    }
}

/// `GET /openapi.json`
#[utoipa::path(
    get, path = OPENAPI, tag = "health", operation_id = "describe",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")),
)]
pub(super) async fn document() -> ([(HeaderName, &'static str); 2], Bytes) {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, DOCUMENT.clone())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use axum::{
        body::Body,
        extract::Request,
        http::{Method, StatusCode},
    };
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use crate::{
        account::NAME_MAX,
        http::{
            public_routes, query,
            routes::PUBLIC,
            tests::{PEER, app},
        },
        metrics::{Route, Side},
        page_url::LONGEST_URL,
    };

    fn described() -> Value {
        serde_json::from_slice(&DOCUMENT).unwrap()
    }

    #[test]
    fn every_route_is_described_and_counted_and_no_other() {
        let described: BTreeSet<_> = Description::openapi().paths.paths.into_keys().collect();
        let routes = public_routes().map(|(path, _)| path.to_owned());
        assert_eq!(described, BTreeSet::from(routes));
        let service = app(&[], Arc::default()).public();
        assert_eq!(service.side, Side::Public);
        assert!(described.iter().all(|path| service.route(path) != Route::Other));
        assert_eq!(PUBLIC.map(|(path, _)| path.to_owned()).into_iter().collect::<BTreeSet<_>>(), described);
    }

    #[tokio::test]
    async fn a_route_takes_the_methods_that_are_described_and_no_other() {
        let (service, described) = (app(&[], Arc::default()).public(), described());
        for (path, operations) in described["paths"].as_object().unwrap() {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
                let answer = service.answer(request, PEER).await;
                let is_refused = answer.status() == StatusCode::METHOD_NOT_ALLOWED || {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    // The body of another route need not be JSON, but here all are.
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    [43001, 43002].contains(&body["errcode"].as_i64().unwrap_or_default())
                };
                let is_described = operations.get(method.as_str().to_lowercase()).is_some();
                assert_ne!(is_refused, is_described, "{method} {path}");
            }
        }
    }

    #[test]
    fn the_bounds_that_are_described_are_those_of_the_code() {
        let described = described();
        for (path, parameter, bound, limit) in [
            ("/token", "wait", "maximum", query::LONGEST_WAIT),
            ("/ticket", "account", "maxLength", NAME_MAX as u64),
            ("/jssdk/config", "url", "maxLength", LONGEST_URL as u64),
        ] {
            let parameters = described["paths"][path]["get"]["parameters"].as_array().unwrap();
            let schemas = parameters.iter().filter(|of| of["name"] == parameter).map(|of| &of["schema"][bound]);
            assert_eq!(schemas.collect::<Vec<_>>(), [limit], "{parameter} of {path}");
        }
    }
}
