//! Whatever is sent to what changes something: it is refused in words, or it was meant.

use serde_json::Value;

use crate::client::{get, send};
use crate::site::Site;

const JSON: [&str; 1] = ["Content-Type: application/json"];
const FORM: [&str; 1] = ["Content-Type: application/x-www-form-urlencoded"];

/// What takes a body, with one that it would take.
const ASKED: [(&str, &str); 13] = [
    ("/v1/triggers/test", r#"{"insurer":"boreal","product":"home"}"#),
    ("/v1/quarantine/retry", r#"{"reason":"no_time","device":"car-01","limit":5}"#),
    ("/v1/quarantine/drop", r#"{"all":true,"before":7}"#),
    ("/v1/customers/nobody/erase", r#"{"confirm":"nobody"}"#),
    (
        "/v1/customers/nobody/consents/give",
        r#"{"insurer":"alpina","purpose":"travel","wording":"1"}"#,
    ),
    ("/v1/customers/nobody/consents/withdraw", r#"{"insurer":"alpina","purpose":"travel"}"#),
    ("/v1/customers/nobody/link", r#"{"days":7}"#),
    ("/v1/devices", r#"{"devices":[{"id":"a b","kind":"car","owner":"nobody"}]}"#),
    ("/v1/devices/nobody/transfer", r#"{"to":"nobody"}"#),
    ("/v1/registry", r#"{"file":"[[insurer]]\nid = 7"}"#),
    (
        "/v1/registry",
        r#"{"file":"[[fleet]]\nprefix = 'x-'\nkind = 'car'\ncount = 4000000000\ndigits = 70000\ninsurer = 'alpina'\nproducts = []\nsince = '2020-01-01T00:00:00Z'\nwording = '1'"}"#,
    ),
    ("/v1/webhooks/alpina/resend", r#"{"positions":[17],"all":false}"#),
    ("/me/consent", "token=a.1.b&insurer=alpina&purpose=travel&decision=give"),
];

/// The same, cut short or bent, and what is nothing like it.
fn bent(body: &str) -> Vec<String> {
    let mut bent: Vec<String> =
        [0, 1, 2, 3].map(|part| body[..body.len() * part / 4].into()).into();
    bent.push(body.replace(':', ":-9e999,"));
    bent.push(body.replace("\":\"", "\":\"\\u0000"));
    bent.push(body.replace(['"', '='], "%00"));
    bent.push(body.replace('{', "{\"\":{},"));
    bent.extend(["null", "[]", "{}", "\"", "\u{feff}{}", "&&=&%zz"].map(str::to_owned));
    bent.push("[".repeat(100_000));
    bent.push("{\"a\":".repeat(100_000));
    bent
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_refused_in_words_and_the_server_goes_on() {
    let site = Site::start("127.0.0.1:0").await;
    for (path, body) in ASKED {
        for body in bent(body) {
            let headers = if path == "/me/consent" { FORM } else { JSON };
            let answer = send(site.addr, "POST", path, &headers, &body).await;
            let shown: String = body.chars().take(80).collect();
            assert!((200..500).contains(&answer.status), "{path} {shown}: {answer:?}");
            if answer.status >= 400 {
                let said: Value = serde_json::from_str(&answer.body)
                    .unwrap_or_else(|_| panic!("{path} {shown}: {answer:?}"));
                assert!(said["error"].is_string() && said["advice"].is_string(), "{said}");
            }
        }
    }
    assert_eq!(get(site.addr, "/healthz").await.status, 200);
    site.stop().await;
}
