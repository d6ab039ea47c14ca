use super::*;
use serde_json::json;

fn endpoint(uid: u128, generation: u64) -> Vec<u8> {
    stored(
        "Endpoint",
        "erp",
        json!({"uid": Kind::Endpoint.show_uid(uid), "generation": generation}),
        json!({"url": "https://erp.example/hooks"}),
    )
}

fn stored(kind: &str, name: &str, mut metadata: Value, spec: Value) -> Vec<u8> {
    if kind != "Source" {
        metadata["tenant"] = json!("acme");
    }
    metadata["name"] = json!(name);
    let document =
        json!({"apiVersion": "hooklane/v1", "kind": kind, "metadata": metadata, "spec": spec});
    serde_json::to_vec(&document).unwrap()
}

const KEY: &[u8] = b"Endpoint/acme/erp";

fn names(applied: &Applied) -> Vec<&'static str> {
    applied.changes.iter().map(name).collect()
}

fn name(change: &Change) -> &'static str {
    match change {
        Change::Source(_) => "source",
        Change::SourceGone(_) => "source gone",
        Change::Endpoint(_) => "endpoint",
        Change::EndpointGone(_) => "endpoint gone",
        Change::Subscription(_) => "subscription",
        Change::SubscriptionGone(_) => "subscription gone",
        Change::Status(..) => "status",
        Change::Snapshot(..) => "snapshot",
        Change::Consent(_, Some(_)) => "consent",
        Change::Consent(_, None) => "consent gone",
        Change::Unverified(_, Some(_)) => "unverified",
        Change::Unverified(_, None) => "unverified gone",
        Change::StatusGone(_) => "status gone",
    }
}

#[test]
fn a_broken_record_keeps_the_last_good_value() {
    let mut catalog = Catalog::default();
    assert_eq!(
        names(&catalog.apply_config(0, KEY, Some(&endpoint(1, 1)))),
        ["endpoint"]
    );
    for broken in [
        &b"{"[..],
        b"{\"kind\":\"Endpoint\"}",
        &stored("Endpoint", "other", json!({}), json!({})),
    ] {
        let applied = catalog.apply_config(1, KEY, Some(broken));
        assert!(applied.changes.is_empty());
        assert!(!applied.problems.is_empty());
    }
    assert!(catalog.endpoint(EndpointUid(1)).is_some());
    assert_eq!(catalog.stamp().offset, 2);
}

#[test]
fn a_reused_name_is_another_endpoint() {
    let mut catalog = Catalog::default();
    catalog.apply_config(0, KEY, Some(&endpoint(1, 1)));
    assert_eq!(
        names(&catalog.apply_config(1, KEY, Some(&endpoint(1, 2)))),
        ["endpoint"]
    );
    let applied = catalog.apply_config(2, KEY, Some(&endpoint(2, 1)));
    assert_eq!(names(&applied), ["endpoint gone", "endpoint"]);
    assert!(catalog.endpoint(EndpointUid(1)).is_none());
    assert!(catalog.endpoint(EndpointUid(2)).is_some());
}

#[test]
fn deleted_is_said_once_and_remembered() {
    let mut catalog = Catalog::default();
    catalog.apply_config(0, KEY, Some(&endpoint(1, 1)));
    let mut gone: Value = serde_json::from_slice(&endpoint(1, 1)).unwrap();
    gone["metadata"]["deleted"] = json!(true);
    let gone = serde_json::to_vec(&gone).unwrap();
    assert_eq!(
        names(&catalog.apply_config(1, KEY, Some(&gone))),
        ["endpoint gone"]
    );
    assert_eq!(catalog.find(&ResourceKey::parse(KEY).unwrap()), None);
    assert!(catalog.endpoint(EndpointUid(1)).is_none());
    // A process that starts now learns it too.
    let starts: Vec<_> = catalog.all();
    assert!(
        matches!(starts[..], [Change::EndpointGone(EndpointUid(1))]),
        "{starts:?}"
    );
    assert!(names(&catalog.apply_config(2, KEY, None)).is_empty());
}

#[test]
fn a_stored_subscription_must_be_bound() {
    let mut catalog = Catalog::default();
    let spec = json!({"source": "shop", "endpoint": "erp"});
    let mut metadata = json!({"uid": Kind::Subscription.show_uid(5)});
    let key = b"Subscription/acme/orders";
    let applied = catalog.apply_config(
        0,
        key,
        Some(&stored(
            "Subscription",
            "orders",
            metadata.clone(),
            spec.clone(),
        )),
    );
    assert!(applied.changes.is_empty());
    metadata["bound"] =
        json!({"source": Kind::Source.show_uid(1), "endpoint": Kind::Endpoint.show_uid(2)});
    let applied = catalog.apply_config(
        1,
        key,
        Some(&stored("Subscription", "orders", metadata, spec)),
    );
    assert_eq!(names(&applied), ["subscription"]);
}

/// Goal: who starts from a catalog learns of nothing before what it refers to.
/// Method: many resources, the subscriptions first; that all of them come in
/// order by chance does not happen.
#[test]
fn all_names_what_is_referred_to_first() {
    let mut catalog = Catalog::default();
    for i in 1..=20 {
        let mut put = |kind: Kind, mut metadata: Value, spec: Value| {
            let name = format!("r{i}");
            metadata["uid"] = json!(kind.show_uid(i));
            let value = stored(kind.as_str(), &name, metadata, spec);
            let tenant = if kind == Kind::Source { "" } else { "acme" };
            let key = ResourceKey {
                kind,
                tenant: tenant.to_owned(),
                name,
            };
            let applied = catalog.apply_config(0, key.to_string().as_bytes(), Some(&value));
            assert!(applied.problems.is_empty(), "{applied:?}");
        };
        let bound =
            json!({"source": Kind::Source.show_uid(i), "endpoint": Kind::Endpoint.show_uid(i)});
        let refers = json!({"source": "shop", "endpoint": "erp"});
        put(Kind::Subscription, json!({"bound": bound}), refers);
        let url = json!({"url": "https://erp.example/hooks"});
        put(Kind::Endpoint, json!({}), url);
        let topic = json!({"topic": format!("t{i}"), "tenant": {"fixed": "acme"}});
        put(Kind::Source, json!({}), topic);
        let uid = EndpointUid(i).to_string();
        let value =
            br#"{"observedGeneration":1,"disabled":{"reason":"gone","at":"2026-01-01T00:00:00Z"}}"#;
        catalog.apply_status(uid.as_bytes(), Some(value));
        let key = Snapshot::key(EndpointUid(i));
        catalog.apply_status(key.as_bytes(), Some(b"{}"));
    }
    let mut order: Vec<_> = catalog.all().iter().map(name).collect();
    assert_eq!(order.len(), 100);
    order.dedup();
    let expected = ["source", "endpoint", "subscription", "status", "snapshot"];
    assert_eq!(order, expected);
}

#[test]
fn a_finding_about_an_older_spec_is_void() {
    let mut catalog = Catalog::default();
    let value = br#"{"observedGeneration":3,"disabled":{"reason":"gone","at":"2026-01-01T00:00:00Z"},"x":1}"#;
    let uid = EndpointUid(1);
    assert_eq!(
        names(&catalog.apply_status(uid.to_string().as_bytes(), Some(value))),
        ["status"]
    );
    let status = catalog.status(uid).unwrap();
    assert!(status.disabled_for(3).is_some());
    assert!(status.disabled_for(4).is_none());
    assert_eq!(
        names(&catalog.apply_status(uid.to_string().as_bytes(), None)),
        ["status gone"]
    );
}

/// Goal: whoever writes an endpoint's health cannot take the verdict on it
/// away. Method: health after a verdict, from a writer who never saw it.
#[test]
fn health_never_wipes_a_verdict() {
    let mut catalog = Catalog::default();
    let uid = EndpointUid(1);
    let verdict =
        br#"{"observedGeneration":3,"disabled":{"reason":"gone","at":"2026-01-01T00:00:00Z"}}"#;
    let health = Health {
        observed_generation: 2,
        failing_since: Some(crate::time::UnixMillis(1_700_000_000_000)),
        failed_in: 4,
        next_free: None,
    };
    let bytes = serde_json::to_vec(&health.to_json()).unwrap();
    let key = Health::key(uid);
    catalog.apply_status(uid.to_string().as_bytes(), Some(verdict));
    assert_eq!(
        names(&catalog.apply_status(key.as_bytes(), Some(&bytes))),
        ["status"]
    );
    let status = catalog.status(uid).unwrap();
    assert!(status.disabled_for(3).is_some());
    assert_eq!(status.health_for(2), Some(&health));
    assert_eq!(status.health_for(3), None, "about an older spec");
    // And the other way round.
    catalog.apply_status(uid.to_string().as_bytes(), Some(verdict));
    assert_eq!(catalog.status(uid).unwrap().health, Some(health));
    assert_eq!(
        names(&catalog.apply_status(uid.to_string().as_bytes(), None)),
        ["status"]
    );
    assert_eq!(
        names(&catalog.apply_status(key.as_bytes(), None)),
        ["status gone"]
    );
    // Nor does what is for people.
    catalog.apply_status(uid.to_string().as_bytes(), Some(verdict));
    let key = Snapshot::key(uid);
    for value in [Some(&b"{}"[..]), None] {
        let applied = catalog.apply_status(key.as_bytes(), value);
        assert_eq!(names(&applied), ["snapshot"]);
        assert!(catalog.status(uid).unwrap().disabled_for(3).is_some());
    }
    // A key of a newer release is passed over.
    let applied = catalog.apply_status(format!("{uid}/view").as_bytes(), Some(b"{}"));
    assert!(applied.problems.is_empty() && applied.changes.is_empty());
}

#[test]
fn the_epoch_is_part_of_the_stamp() {
    let mut catalog = Catalog::default();
    catalog.apply_config(4, EPOCH_KEY.as_bytes(), Some(br#"{"epoch":"00ff"}"#));
    assert_eq!(
        catalog.stamp(),
        ConfigStamp {
            epoch: 255,
            offset: 5
        }
    );
    assert!(
        !catalog
            .apply_config(5, FORMAT_KEY.as_bytes(), Some(br#"{"version":99}"#))
            .problems
            .is_empty()
    );
    assert!(
        catalog
            .apply_config(6, FORMAT_KEY.as_bytes(), Some(br#"{"version":1}"#))
            .problems
            .is_empty()
    );
}

/// A million endpoints stand in this table, which is half empty at worst: each
/// 16 bytes here are 32 bytes of an endpoint.
#[test]
fn a_name_takes_32_bytes_of_the_table() {
    assert_eq!(size_of::<(Box<str>, Entry)>(), 32);
}

/// Goal: nothing but a tombstone of its own takes a consent away. Method: all
/// other records of the status topic come after it.
#[test]
fn only_its_own_tombstone_takes_a_consent_away() {
    let mut catalog = Catalog::default();
    let uid = EndpointUid(1);
    let fingerprint = "000102030405060708090a0b0c0d0e0f";
    let consent = json!({"fingerprint": fingerprint, "method": "ping"});
    let failed = json!({
        "fingerprint": fingerprint, "method": "ping", "reason": "status", "tries": 1,
    });
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let (key, failed_key) = (Consent::key(uid), Unverified::key(uid));
    let mut apply = |key: &str, value: Option<&Value>| {
        let value = value.map(bytes);
        let applied = catalog.apply_status(key.as_bytes(), value.as_deref());
        let all = catalog.all();
        let kept = all.iter().map(name).filter(|name| *name != "status");
        (names(&applied), kept.collect::<Vec<_>>())
    };
    let both = vec!["consent", "unverified"];
    let one = vec!["consent"];
    assert_eq!(apply(&key, Some(&consent)), (one.clone(), one.clone()));
    assert_eq!(
        apply(&failed_key, Some(&failed)),
        (vec!["unverified"], both.clone())
    );
    let health = json!({"observedGeneration": 1});
    assert_eq!(apply(&Health::key(uid), Some(&health)).1, both);
    assert_eq!(apply(&uid.to_string(), None).1, both);
    assert_eq!(apply(&key, Some(&json!({}))), (vec![], both), "unreadable");
    assert_eq!(apply(&failed_key, None), (vec!["unverified gone"], one));
    assert_eq!(apply(&key, None), (vec!["consent gone"], vec![]));
}
