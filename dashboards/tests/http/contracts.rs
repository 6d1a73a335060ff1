//! The OpenAPI document is about this server.

use serde_json::Value;

use crate::client::{ask, get};
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_in_the_ways_that_are_described_and_no_other() {
    let site = Site::start("127.0.0.1:0").await;
    let document = get(site.addr, "/openapi.json").await.json();
    for (path, described) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{number}", "1").replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            // A stream never ends.
            if (path.as_str(), method) == ("/v1/stream", "GET") {
                continue;
            }
            let json = ["Content-Type: application/json"];
            let answer = ask(site.addr, method, &asked, &json).await;
            let described = described.get(method.to_lowercase()).is_some();
            assert_eq!(answer.status != 405, described, "{method} {path}: {answer:?}");
        }
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_open_to_whoever_may_ask_anything() {
    let site = Site::start("127.0.0.1:0").await;
    let alpina = ["Authorization: Bearer alpina-token"];
    for path in ["/openapi.json", "/asyncapi.json"] {
        assert!(ask(site.addr, "GET", path, &alpina).await.json()["info"]["title"].is_string());
    }
    let topics = get(site.addr, "/asyncapi.json").await.json();
    assert_eq!(topics["asyncapi"], "3.0.0");
    for kind in ["trigger", "privacy", "test", "event"] {
        let name = format!("urn:datanaut:schema:{kind}:1");
        let answer = ask(site.addr, "GET", &format!("/schemas/{name}"), &alpina).await;
        assert_eq!(answer.header("content-type"), Some("application/schema+json"));
        let schema: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(schema["$id"], name.as_str());
    }
    get(site.addr, "/schemas/urn:datanaut:schema:trigger:99").await.refusal(404);
    site.stop().await;
}
