use super::{RegistryError, RegistryFile};
use crate::registry::{Product, Registry};

const FILE: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"

    [[customer]]
    id = "anna"
    name = "Anna"
    language = "nl"
    time_zone = "Europe/Amsterdam"

    [[customer]]
    id = "bram"
    name = "Bram"

    [[device]]
    id = "car-1"
    kind = "car"
    token = "secret"
    owner = [
        { customer = "anna", from = "2025-01-01T00:00:00Z", to = "2025-06-01T00:00:00Z" },
        { customer = "bram", from = "2025-06-01T00:00:00Z" },
    ]

    [[consent]]
    customer = "anna"
    insurer = "alpina"
    purpose = "travel"
    given = "2025-01-01T00:00:00Z"
    withdrawn = "2025-05-01T00:00:00Z"
    wording = "travel-1"
"#;

fn registry(text: &str) -> Registry {
    let mut registry = Registry::default();
    RegistryFile::parse(text).unwrap().into_iter().for_each(|entry| registry.apply(entry));
    registry
}

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[test]
fn a_device_follows_its_owners() {
    let registry = registry(FILE);
    let car = registry.device("car-1").unwrap();
    let owner = |time| car.owner_at(ms(time)).and_then(|number| registry.customer(number));
    assert_eq!(owner("2024-12-31T23:59:59Z"), None);
    assert_eq!(&*owner("2025-05-31T23:59:59Z").unwrap().id, "anna");
    assert_eq!(&*owner("2025-06-01T00:00:00Z").unwrap().id, "bram");
    assert_eq!(car.device.token_sha256.as_ref().map(String::len), Some(64));
}

#[test]
fn data_is_kept_only_if_consent_held_then_and_holds_now() {
    let registry = registry(FILE);
    let (march, april, may) =
        (ms("2025-03-01T00:00:00Z"), ms("2025-04-01T00:00:00Z"), ms("2025-05-02T00:00:00Z"));
    assert!(registry.may_keep(0, march, april));
    assert!(!registry.may_keep(0, march, may), "withdrawn since");
    assert!(!registry.may_keep(0, may, may), "withdrawn before");
    assert!(!registry.may_keep(1, march, april), "never given");
    assert!(registry.may_tell(0, "alpina", Product::Travel, march, april));
    assert!(!registry.may_tell(0, "alpina", Product::Home, march, april));
    assert!(!registry.may_tell(0, "other", Product::Travel, march, april));
}

#[test]
fn a_fleet_is_many_alike() {
    let registry = registry(
        r#"
        [[insurer]]
        id = "alpina"
        name = "Alpina"
        [[fleet]]
        prefix = "car-"
        kind = "car"
        first = 1
        count = 12
        insurer = "alpina"
        products = ["travel"]
        since = "2026-01-01T00:00:00Z"
        home = "NL"
        wording = "demo-1"
        "#,
    );
    let car = registry.device("car-12").unwrap();
    let now = ms("2026-02-01T00:00:00Z");
    let owner = car.owner_at(now).unwrap();
    assert!(registry.may_keep(owner, now, now));
    assert_eq!(registry.policies(owner, Product::Travel, now).count(), 1);
    assert!(registry.device("car-13").is_none());
}

#[track_caller]
fn check(text: &str, expect: &str) {
    let error = RegistryFile::parse(text).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_geofence_is_a_customers_or_everybodys() {
    let fences = r#"
        [[geofence]]
        customer = "anna"
        name = "home"
        kind = "home"
        circle = { lat = 52.09, lon = 5.12, radius_m = 150 }
        [[geofence]]
        name = "museum"
        kind = "venue"
        polygon = [[52.36, 4.88], [52.36, 4.89], [52.37, 4.89]]
        from = "2026-01-01T00:00:00Z"
    "#;
    let registry = registry(&format!("{FILE}{fences}"));
    let owners: Vec<_> = registry.geofences().map(|area| area.customer).collect();
    assert_eq!(owners, [None, Some(0)]);
    assert_eq!(registry.geofences_of(0).count(), 1);
    let refused = |from: &str, to: &str| {
        let text = format!("{FILE}{}", fences.replacen(from, to, 1));
        RegistryFile::parse(&text).unwrap_err().to_string()
    };
    assert!(refused("\"anna\"", "\"nobody\"").contains("customer \"nobody\""));
    assert!(refused("radius_m = 150", "radius_m = 1").contains("\"home\": a radius of 1 m"));
    assert!(refused("polygon", "# polygon").contains("\"museum\" has no shape"));
    assert!(refused("name = \"museum\"", "name = \"\"").contains("no usable name"));
}

#[test]
fn a_wrong_file_is_refused_by_name() {
    check("[[insurer]]\nid = \"a\"\nname = \"A\"\ncolour = 1", "colour");
    check("[[insurer]]\nid = \"a/b\"\nname = \"A\"", "insurer/a/b");
    check(
        "[[device]]\nid = \"d\"\nkind = \"car\"\nowner = [{ customer = \"x\", from = \"2025-01-01T00:00:00Z\" }]",
        "customer \"x\"",
    );
    check(
        "[[customer]]\nid = \"a\"\nname = \"\"\n[[customer]]\nid = \"a\"\nname = \"\"",
        "customer/a twice",
    );
    check("[[device]]\nid = \"d\"\nkind = \"boat\"", "boat");
    check(
        "[[insurer]]\nid = \"a\"\nname = \"\"\n[[device]]\nid = \"a\"\nkind = \"car\"",
        "line 5: the registry gives a device and an insurer the same id \"a\"",
    );
}

#[test]
fn a_fleet_that_no_machine_holds_is_refused_before_it_is_made() {
    let fleet = |count: u32, digits: usize| {
        format!(
            "[[fleet]]\nprefix = \"car-\"\nkind = \"car\"\ncount = {count}\ndigits = {digits}\n\
             insurer = \"alpina\"\nproducts = [\"travel\"]\nsince = \"2020-01-01T00:00:00Z\"\nwording = \"1\"\n"
        )
    };
    check(&fleet(u32::MAX, 2), "\"car-\" makes more than 1000000 devices");
    check(&(fleet(1, 2) + &fleet(1_000_000, 2)), "several files");
    check(&fleet(1, 70_000), "\"car-\" has more than 10 digits");
}

#[test]
fn what_is_added_logs_in_as_nobody_who_is_there() {
    let registry = registry(FILE);
    let beside = |text| RegistryFile::parse_beside(text, &registry);
    for (text, line) in [
        ("[[insurer]]\nname = \"\"\nid = \"car-1\"", Some(3)),
        ("[[device]]\nid = \"alpina\"\nkind = \"car\"", Some(2)),
    ] {
        let error = beside(text).unwrap_err();
        assert!(matches!(error, RegistryError::SharedId { line: at, .. } if at == line), "{error}");
    }
    assert!(beside("[[customer]]\nid = \"alpina\"\nname = \"\"").is_ok(), "has no login");
}
