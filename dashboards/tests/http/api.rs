use dashboards::BrokerState;
use deliver::influx::{InfluxReport, InfluxState};
use ingest::Clock;
use journal::{EndpointState, Letter, Progress};
use serde_json::json;

use crate::client::{ask, get, send, wait_for};
use crate::site::Site;
use crate::{MINUTE_MS, drive_into_germany};

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_that_devices_can_publish() {
    let site = Site::start("127.0.0.1:0").await;
    assert_eq!(get(site.addr, "/healthz").await.status, 200);
    assert_eq!(get(site.addr, "/readyz").await.json(), json!({ "ready": true }));

    let reason = "waiting for the journal".to_owned();
    site.broker.send_replace(BrokerState::Closed { reason });
    let ready = get(site.addr, "/readyz").await;
    assert_eq!(ready.status, 503);
    let hindrance = &ready.json()["hindrances"][0];
    assert_eq!(hindrance["what"], "broker");
    assert_eq!(hindrance["error"], "waiting for the journal");
    assert!(hindrance["advice"].is_string());
    assert_eq!(get(site.addr, "/healthz").await.status, 200);
    assert_eq!(get(site.addr, "/v1/status").await.json()["broker"]["state"], "closed");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_write_is_named_and_keeps_nobody_from_publishing() {
    let site = Site::start("127.0.0.1:0").await;
    let advice = "give a token that may write to bucket `cars`".to_owned();
    site.influx.send_replace(InfluxReport {
        state: InfluxState::Denied { error: "401: unauthorized access".to_owned(), advice },
        points_written: 7,
        waiting_since_ms: Some(Clock::system().now_ms() - 5_000),
        ..InfluxReport::default()
    });
    let ready = get(site.addr, "/readyz").await;
    assert_eq!(ready.status, 200);
    let delayed = &ready.json()["delayed"][0];
    assert_eq!(delayed["what"], "influx");
    assert_eq!(delayed["error"], "401: unauthorized access");
    assert!(delayed["advice"].as_str().unwrap().contains("`cars`"));
    let status = get(site.addr, "/v1/status").await.json();
    assert_eq!(
        (&status["influx"]["state"], &status["influx"]["points_written"]),
        (&json!("denied"), &json!(7))
    );
    let metrics = get(site.addr, "/metrics").await.body;
    assert!(metrics.contains("datanaut_influx_points_written_total 7\n"));
    assert!(metrics.contains("datanaut_influx_writing 0\n"));
    let behind =
        metrics.lines().find_map(|line| line.strip_prefix("datanaut_influx_behind_seconds "));
    assert!(behind.unwrap().parse::<f64>().unwrap() >= 5.0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_accounts_for_every_reading() {
    let site = Site::start("127.0.0.1:0").await;
    let now_ms = Clock::system().now_ms();
    let reading = json!({ "ts": now_ms, "indoor_c": 20, "colour": "red" }).to_string();
    site.publish("telemetry/thermostat/home-01", &reading).await;
    site.publish("telemetry/thermostat/home-01", &reading).await;
    site.publish("telemetry/thermostat/home-01", "no reading").await;
    site.publish("telemetry/thermostat/stranger", &reading).await;

    let status = wait_for(site.addr, "/v1/status", |json| json["counts"]["messages"] == 4).await;
    let counts = &status["counts"];
    assert_eq!(counts["received"], 4);
    assert_eq!(counts["stored"], 1);
    assert_eq!(counts["duplicate"], 1);
    assert_eq!(counts["quarantined"], json!({ "not_decodable": 1 }));
    assert_eq!(counts["refused"], json!({ "unknown_device": 1 }));
    assert_eq!(status["balanced"], true);
    assert_eq!(status["ready"], true);
    assert_eq!(status["mqtt"], "127.0.0.1:1883");
    let devices = json!({ "registered": 120, "heard": 1,
        "by_kind": { "car": 0, "product": 0, "thermostat": 1, "tracker": 0 } });
    assert_eq!(status["devices"], devices);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_comes_in_pages_without_gap_or_overlap() {
    let site = Site::start("127.0.0.1:0").await;
    let ts = "2024-01-02T03:04:05.678Z";
    for number in [3, 1, 0, 2] {
        let reading =
            json!({ "ts": ts, "seq": number, "lat": 52.5, "lon": 5.25, "tyre": "winter" });
        site.publish(&format!("telemetry/car/car-0{number}"), &reading.to_string()).await;
    }
    let first = wait_for(site.addr, "/v1/fleet?limit=3", |json| json["heard"] == 4).await;
    let expected = json!({ "device": "car-00", "kind": "car", "ts": ts, "seq": 0,
        "lat": 52.5, "lon": 5.25, "tyre": "winter" });
    assert_eq!(first["devices"][0], expected);
    assert_eq!(first["devices"].as_array().unwrap().len(), 3);
    assert_eq!(first["next"], "car-02");
    let second = get(site.addr, "/v1/fleet?limit=3&after=car-02").await.json();
    assert_eq!(second["devices"].as_array().unwrap().len(), 1);
    assert_eq!(second["devices"][0]["device"], "car-03");
    assert_eq!(second["next"], json!(null));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_are_found_by_time_in_either_form() {
    let site = Site::start("127.0.0.1:0").await;
    let start_ms = Clock::system().now_ms() / 1_000 * 1_000 - 13 * 60 * MINUTE_MS;
    // Far enough apart that the history is read in several slices.
    for step in 0..7 {
        let reading = json!({ "ts": start_ms + step * 130 * MINUTE_MS, "fuel_pct": 50 + step });
        site.publish("telemetry/car/car-05", &reading.to_string()).await;
    }
    let all = "/v1/devices/car-05/readings";
    let readings = get(site.addr, all).await.json();
    let fuel: Vec<_> =
        readings.as_array().unwrap().iter().map(|reading| reading["fuel_pct"].as_f64()).collect();
    assert_eq!(fuel, (50..57).map(|pct| Some(f64::from(pct))).collect::<Vec<_>>());

    let second = readings[1]["ts"].as_str().unwrap();
    let fourth_ms = start_ms + 3 * 130 * MINUTE_MS;
    let part = get(site.addr, &format!("{all}?from={second}&to={fourth_ms}")).await.json();
    assert_eq!(part, json!([readings[1], readings[2]]));
    let two = get(site.addr, &format!("{all}?from={start_ms}&limit=2")).await.json();
    assert_eq!(two, json!([readings[0], readings[1]]));
    assert_eq!(get(site.addr, "/v1/devices/car-06/readings").await.json(), json!([]));

    let refuse = async |query: &str| get(site.addr, &format!("{all}?{query}")).await.refusal(400);
    assert_eq!(refuse("from=2&to=1").await, "from is not before to");
    assert_eq!(refuse("from=yesterday").await, "from is \"yesterday\"");
    assert_eq!(refuse("from=0&to=99999999999").await, "from and to are more than 31 days apart");
    assert_eq!(refuse("limit=10001").await, "limit is 10001");
    assert!(refuse("limit=many").await.starts_with("limit: "));
    assert!(refuse("since=0").await.contains("since"));
    let stranger = get(site.addr, "/v1/devices/stranger/readings").await;
    assert_eq!(stranger.refusal(404), "there is no device \"stranger\"");
    assert!(!get(site.addr, "/v1/devices/%ff/readings").await.refusal(404).is_empty());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_is_an_event_of_the_device_and_a_trigger_for_its_insurer() {
    let site = Site::start("127.0.0.1:0").await;
    for car in ["car-01", "car-02", "car-03"] {
        drive_into_germany(&site, car).await;
    }
    let events = get(site.addr, "/v1/devices/car-02/events").await.json();
    let event = &events[0];
    assert_eq!(event["event"], "border_crossed");
    assert_eq!((&event["from"], &event["to"]), (&json!("NL"), &json!("DE")));
    assert_eq!((&event["revision"], &event["withdrawn"]), (&json!(0), &json!(false)));
    assert!((6.0..7.5).contains(&event["lon"].as_f64().unwrap()), "{event}");

    let newest = get(site.addr, "/v1/triggers?limit=2").await.json();
    assert_eq!(newest["more"], true);
    let trigger = &newest["triggers"][0];
    assert_eq!(trigger["insurer_name"], "Alpina <Travel>");
    assert_eq!(trigger["message"]["specversion"], "1.0");
    assert_eq!(trigger["message"]["data"]["place"]["to"]["country"], "DE");

    let sequences = async |query: &str| -> Vec<u64> {
        let path = format!("/v1/triggers?insurer=alpina&product=travel{query}");
        let answer = get(site.addr, &path).await.json();
        let of = |trigger: &serde_json::Value| {
            trigger["message"]["sequence"].as_str().unwrap().parse().unwrap()
        };
        answer["triggers"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(sequences("").await, [1, 2, 3]);
    assert_eq!(sequences("&after=1").await, [2, 3]);
    assert_eq!(sequences("&after=1&limit=1").await, [2]);
    assert!(sequences("&after=3").await.is_empty());

    let refuse = async |query: &str, status| {
        get(site.addr, &format!("/v1/triggers?{query}")).await.refusal(status)
    };
    refuse("insurer=alpina", 400).await;
    refuse("after=1", 400).await;
    refuse("insurer=alpina&product=travel&after=soon", 400).await;
    assert_eq!(
        refuse("insurer=nobody&product=travel", 404).await,
        "there is no insurer \"nobody\""
    );
    // A name that is none has no empty answer, which would mean that there is nothing to hear.
    assert_eq!(refuse("insurer=alpina&product=cars", 400).await, "there is no product \"cars\"");
    let metrics = get(site.addr, "/metrics").await.body;
    assert!(metrics.contains("datanaut_requests_refused_total{reason=\"unknown_product\"} 1"));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_trigger_gets_it_when_it_comes() {
    let site = Site::start("127.0.0.1:0").await;
    let path = "/v1/triggers?insurer=alpina&product=travel";
    assert_eq!(get(site.addr, path).await.json()["newest"], 0);
    let waiting =
        tokio::spawn(get(site.addr, "/v1/triggers?insurer=alpina&product=travel&wait=8s"));
    drive_into_germany(&site, "car-01").await;
    let answer = waiting.await.unwrap().json();
    assert_eq!((&answer["more"], &answer["newest"]), (&json!(false), &json!(1)));
    assert_eq!(answer["triggers"][0]["message"]["sequence"], "00000000000000000001");
    // Nothing more comes: the answer is empty, and says up to where it is known.
    let nothing = get(site.addr, &format!("{path}&after=1&wait=1")).await.json();
    assert_eq!((&nothing["triggers"], &nothing["newest"]), (&json!([]), &json!(1)));
    get(site.addr, &format!("{path}&wait=1h")).await.refusal(400);
    get(site.addr, "/v1/triggers?wait=5").await.refusal(400);
    // The shutdown does not wait for who waits.
    let waiting = tokio::spawn(get(site.addr, "/v1/triggers?insurer=boreal&product=travel&wait=9"));
    // Others' triggers are not what it waits for.
    drive_into_germany(&site, "car-02").await;
    site.stop().await;
    waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insurers_token_opens_its_own_triggers_and_nothing_else() {
    let site = Site::start("127.0.0.1:0").await;
    drive_into_germany(&site, "car-01").await;
    let token = "Authorization: Bearer alpina-token";
    let with = async |path: &str, header: &str| ask(site.addr, "GET", path, &[header]).await;
    let own = with("/v1/triggers?product=travel", token).await.json();
    assert_eq!(own["triggers"].as_array().unwrap().len(), 1);
    assert_eq!(with("/v1/triggers?insurer=alpina&product=travel", token).await.status, 200);
    let others = with("/v1/triggers?insurer=boreal&product=travel", token).await;
    assert_eq!(others.refusal(403), "the token is another insurer's");
    // The newest of all are everybody's.
    with("/v1/triggers", token).await.refusal(400);
    for path in ["/v1/fleet", "/v1/quarantine", "/v1/stream", "/", "/v1/devices/car-01/events"] {
        with(path, token).await.refusal(403);
    }
    let wrong = with("/v1/triggers?product=travel", "Authorization: Bearer guess").await;
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    wrong.refusal(401);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_sent_again_and_an_endpoint_that_was_gone_resumed() {
    let site = Site::start("127.0.0.1:0").await;
    drive_into_germany(&site, "car-01").await;
    let position = site.journal.reader().last_position().unwrap();
    let dead =
        Letter { position, attempts: 10, next_ms: None, error: "it answered 500".to_owned() };
    let state = EndpointState {
        url: "https://alpina.example/hook".to_owned(),
        failures: 1,
        gone_since_ms: Some(5),
        ..EndpointState::default()
    };
    let progress =
        Progress { cursor: Some(0), state: Some(state), letters: vec![dead], settled: Vec::new() };
    site.journal.record_webhook("alpina".into(), progress).await.unwrap();

    let shown = async || get(site.addr, "/v1/webhooks").await.json()[0].clone();
    let gone = shown().await;
    assert_eq!(
        (&gone["state"], &gone["dead"], &gone["unsent"]),
        (&json!("gone"), &json!(1), &json!(1))
    );
    let letters = get(site.addr, "/v1/webhooks/alpina/dead").await.json();
    assert_eq!(letters[0]["position"], position);
    assert_eq!(letters[0]["sequence"], "00000000000000000001");

    let change = async |path: &str, body: &str| {
        send(site.addr, "POST", path, &["Content-Type: application/json"], body).await
    };
    change("/v1/webhooks/alpina/resend", "{}").await.refusal(400);
    change("/v1/webhooks/nobody/resend", "{\"all\":true}").await.refusal(404);
    let foreign = send(site.addr, "POST", "/v1/webhooks/alpina/resume", &[], "").await;
    foreign.refusal(403);
    let resent = change("/v1/webhooks/alpina/resend", "{\"all\":true}").await.json();
    assert_eq!(resent, json!({ "resent": 1, "more": false }));
    change("/v1/webhooks/alpina/resume", "").await.json();
    let taking = shown().await;
    assert_eq!((&taking["state"], &taking["dead"]), (&json!("taking"), &json!(0)));
    assert_eq!(taking["waiting"], 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_shows_what_was_sent_and_what_to_do() {
    let site = Site::start("127.0.0.1:0").await;
    site.publish("telemetry/car/car-01", r#"{"speed_mps":1}"#).await;
    site.publish("telemetry/car/car-01", "<script>alert(1)</script>").await;
    let rows = get(site.addr, "/v1/quarantine?limit=2").await.json();
    let newest = &rows[0];
    assert_eq!(newest["reason"], "not_decodable");
    assert_eq!(newest["payload_text"], "<script>alert(1)</script>");
    assert_eq!(newest["payload_bytes"], 25);
    assert_eq!(newest["device"], "car-01");
    assert_eq!(newest["topic"], "telemetry/car/car-01");
    assert_eq!(rows[1]["reason"], "no_time");
    assert!(rows[1]["advice"].as_str().unwrap().contains("RFC 3339"));
    get(site.addr, "/v1/quarantine?limit=501").await.refusal(400);

    let count = async |query: &str| {
        let rows = get(site.addr, &format!("/v1/quarantine?{query}")).await.json();
        rows.as_array().unwrap().len()
    };
    assert_eq!(count("reason=no_time").await, 1);
    assert_eq!(count("device=car-01").await, 2);
    assert_eq!(count("device=car-02").await, 0);
    assert_eq!(count("before=2").await, 1);
    get(site.addr, "/v1/quarantine?reason=odd").await.refusal(400);
    get(site.addr, "/v1/quarantine?device=odd").await.refusal(404);
    let long = format!("not JSON: {}", "x".repeat(2_000));
    site.publish("telemetry/car/car-01", &long).await;
    assert_eq!(get(site.addr, "/v1/quarantine/3").await.json()["payload_text"], long);
    get(site.addr, "/v1/quarantine/4").await.refusal(404);
    get(site.addr, "/v1/quarantine/x").await.refusal(404);
    site.stop().await;
}

const JSON: &str = "Content-Type: application/json";

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_is_cleared_row_by_row_and_by_filter() {
    let site = Site::start("127.0.0.1:0").await;
    let now_ms = Clock::system().now_ms();
    // Known to the brokers by another topic by now.
    let rejected = |car: &str| (car.to_owned(), format!(r#"{{"ts":{now_ms},"speed_mps":1}}"#));
    for (car, payload) in ["car-01", "car-02", "car-03"].map(rejected) {
        site.quarantine(&format!("plant/{car}"), &car, &payload).await;
    }
    site.publish("telemetry/car/car-01", r#"{"speed_mps":1}"#).await;
    site.publish("telemetry/car/car-02", "bad").await;

    let send = async |method: &str, path: &str, body: &str| {
        send(site.addr, method, path, &[JSON], body).await
    };
    let one = send("POST", "/v1/quarantine/1/retry", "").await.json();
    assert_eq!(one, json!({ "number": 1, "outcome": "gone" }));
    let stays = send("POST", "/v1/quarantine/4/retry", "").await.json();
    assert_eq!((&stays["outcome"], &stays["reason"]), (&json!("stays"), &json!("no_time")));
    send("POST", "/v1/quarantine/1/retry", "").await.refusal(404);
    let dropped = send("DELETE", "/v1/quarantine/4", "").await.json();
    assert_eq!(dropped, json!({ "number": 4, "outcome": "gone" }));

    for unclear in ["{}", r#"{"all":true,"reason":"no_time"}"#, "", r#"{"al":true}"#] {
        send("POST", "/v1/quarantine/drop", unclear).await.refusal(400);
    }
    let page = send("POST", "/v1/quarantine/retry", r#"{"all":true,"limit":2}"#).await.json();
    assert_eq!(page["next"], 3, "{page}");
    let rest = send("POST", "/v1/quarantine/retry", r#"{"all":true,"before":3}"#).await.json();
    assert_eq!(rest, json!({ "rows": [{ "number": 2, "outcome": "gone" }], "next": null }));
    let left = get(site.addr, "/v1/quarantine").await.json();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    let drop = send("POST", "/v1/quarantine/drop", r#"{"reason":"not_decodable"}"#).await.json();
    assert_eq!(drop["rows"][0]["outcome"], "gone");

    let status = wait_for(site.addr, "/v1/status", |json| json["counts"]["dropped"] == 2).await;
    let counts = &status["counts"];
    assert_eq!((&counts["received"], &counts["stored"]), (&json!(5), &json!(3)), "{counts}");
    assert_eq!(counts["quarantined"], json!({ "no_time": 1, "not_decodable": 1 }));
    assert_eq!(status["balanced"], true);
    let metrics = get(site.addr, "/metrics").await.body;
    assert!(metrics.contains("readings_quarantined_total{reason=\"unknown_topic\"} 3\n"));
    assert!(metrics.contains("readings_retried_total{reason=\"unknown_topic\"} 3\n"));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_web_site_can_clear_the_quarantine() {
    let site = Site::start("127.0.0.1:0").await;
    site.publish("telemetry/car/car-01", "bad").await;
    let own = format!("Origin: http://{}", site.addr);
    let form = "Content-Type: text/plain";
    for headers in [
        &[][..],
        &[form],
        &[JSON, "Origin: http://evil.example"],
        &[JSON, "Origin: null"],
        &[JSON, "Sec-Fetch-Site: cross-site"],
        &[JSON, "Sec-Fetch-Site: same-site"],
    ] {
        for (method, path) in [
            ("DELETE", "/v1/quarantine/1"),
            ("POST", "/v1/quarantine/1/retry"),
            ("POST", "/v1/quarantine/drop"),
        ] {
            let refused = send(site.addr, method, path, headers, r#"{"all":true}"#).await;
            refused.refusal(403);
        }
    }
    assert_eq!(get(site.addr, "/v1/quarantine/1").await.status, 200);
    let asked = ask(site.addr, "OPTIONS", "/v1/quarantine/1", &["Origin: http://evil.example"]);
    assert!(asked.await.header("access-control-allow-origin").is_none());
    let here = [JSON, &own, "Sec-Fetch-Site: same-origin"];
    assert_eq!(send(site.addr, "DELETE", "/v1/quarantine/1", &here, "").await.status, 200);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_so() {
    let site = Site::start("127.0.0.1:0").await;
    assert_eq!(get(site.addr, "/v1/nothing").await.refusal(404), "there is nothing at /v1/nothing");
    get(site.addr, "/v1").await.refusal(404);
    get(site.addr, "/../Cargo.toml").await.refusal(404);
    let posted = ask(site.addr, "POST", "/v1/fleet", &["Content-Length: 0"]).await;
    assert_eq!(posted.header("allow"), Some("GET,HEAD"));
    posted.refusal(405);
    ask(site.addr, "DELETE", "/v1/nothing", &[]).await.refusal(405);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_site_cannot_reach_in_under_its_own_name() {
    let site = Site::start("127.0.0.1:0").await;
    let foreign = ask(site.addr, "GET", "/v1/fleet", &["Host: evil.example"]).await;
    foreign.refusal(421);
    assert!(foreign.header("access-control-allow-origin").is_none());
    assert_eq!(ask(site.addr, "GET", "/v1/fleet", &["Host: localhost:1"]).await.status, 200);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insurer_learns_the_names_behind_its_own_policies_only() {
    let site = Site::start("127.0.0.1:0").await;
    let alpina = ["Authorization: Bearer alpina-token"];
    let own = ask(site.addr, "GET", "/v1/subjects?policy=car-01-travel", &alpina).await.json();
    assert_eq!(
        (own["insurer"].as_str(), own["product"].as_str()),
        (Some("alpina"), Some("travel"))
    );
    assert_eq!(own["subjects"][0]["key_version"], 1);
    drive_into_germany(&site, "car-01").await;
    let told = "/v1/triggers?product=travel";
    let told = ask(site.addr, "GET", told, &alpina).await.json();
    assert_eq!(told["triggers"][0]["message"]["subject"], own["subjects"][0]["subject"]);

    // Another's policy is as unknown as one that there is not.
    for policy in ["tracker-01-travel", "no-such"] {
        let path = format!("/v1/subjects?policy={policy}");
        let error = ask(site.addr, "GET", &path, &alpina).await.refusal(404);
        assert_eq!(error, format!("there is no policy \"{policy}\""));
    }
    let others = get(site.addr, "/v1/subjects?policy=tracker-01-travel").await.json();
    assert_eq!(others["insurer"], "boreal");
    get(site.addr, "/v1/subjects").await.refusal(400);

    let json = ["Content-Type: application/json"];
    let rotate = "/v1/subjects/rotate";
    ask(site.addr, "POST", rotate, &[alpina[0], json[0]]).await.refusal(403);
    ask(site.addr, "POST", rotate, &[]).await.refusal(403);
    assert_eq!(ask(site.addr, "POST", rotate, &json).await.json(), json!({ "key_version": 2 }));
    let now = ask(site.addr, "GET", "/v1/subjects?policy=car-01-travel", &alpina).await.json();
    assert_eq!(now["subjects"][0], own["subjects"][0]);
    assert_ne!(now["subjects"][1]["subject"], own["subjects"][0]["subject"]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_by_operators_to_insurers_that_there_are() {
    let site = Site::start("127.0.0.1:0").await;
    let json = ["Content-Type: application/json"];
    let post = |body: &'static str| send(site.addr, "POST", "/v1/triggers/test", &json, body);
    let sent = post(r#"{"insurer": "boreal", "product": "home"}"#).await.json();
    assert_eq!(sent["topic"], "triggers/boreal/home/test");
    let told = get(site.addr, "/v1/triggers?insurer=boreal&product=home").await.json();
    let (shown, message) = (&told["triggers"][0], &told["triggers"][0]["message"]);
    assert_eq!(
        (shown["status"].as_str(), shown["outcome"].as_str()),
        (Some("test"), Some("released"))
    );
    assert_eq!((&message["id"], &message["sequence"]), (&sent["id"], &sent["sequence"]));
    assert_eq!(
        (&message["type"], &message["data"]["test"]),
        (&json!("io.datanaut.trigger.test"), &json!(true))
    );
    post(r#"{"insurer": "nobody", "product": "home"}"#).await.refusal(404);
    post(r#"{"insurer": "boreal", "product": "weather"}"#).await.refusal(400);
    let alpina = ["Authorization: Bearer alpina-token", "Content-Type: application/json"];
    ask(site.addr, "POST", "/v1/triggers/test", &alpina).await.refusal(403);
    site.stop().await;
}
