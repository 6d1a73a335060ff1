use std::fs;

use crate::client::{ask, get};
use crate::site::Site;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/page");

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_strangers_out_of_the_browser() {
    let site = Site::start("127.0.0.1:0").await;
    for path in ["/", "/app.js", "/v1/status", "/v1/nothing", "/metrics"] {
        let answer = get(site.addr, path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
    }
    assert_eq!(get(site.addr, "/v1/status").await.header("cache-control"), Some("no-store"));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_page_is_served_and_kept_by_the_browser() {
    let site = Site::start("127.0.0.1:0").await;
    let index = get(site.addr, "/").await;
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    for entry in fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = get(site.addr, &format!("/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
        assert_ne!(file.header("content-type"), Some("application/octet-stream"), "{name}");
        let tag = format!("If-None-Match: {}", file.header("etag").unwrap());
        let again = ask(site.addr, "GET", &format!("/{name}"), &[&tag]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{name}");
    }
    site.stop().await;
}

/// The policy would block it; better not to be there at all.
#[test]
fn the_page_asks_nobody_else_and_makes_no_html_of_text() {
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("http://www.w3.org/2000/svg", "");
        let never = [
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
            "style=\"",
            "<style",
            "onclick=",
            "<script>",
        ];
        for word in never {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ground_of_the_map_is_there_and_names_its_source() {
    let site = Site::start("127.0.0.1:0").await;
    let answer = get(site.addr, "/v1/basemap").await;
    let ground = answer.json();
    assert!(ground["attribution"].as_str().unwrap().contains("OpenStreetMap"));
    assert!(ground["countries"].as_array().unwrap().contains(&"NL".into()));
    let columns = ground["columns"].as_u64().unwrap();
    for row in ground["rows"].as_array().unwrap() {
        let runs: Vec<_> = row.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(runs.chunks(2).map(|run| run[1]).sum::<u64>(), columns);
    }
    site.stop().await;
}
