//! What `describe` and `get` say of an endpoint's condition, to the letter.

use std::time::Duration;

use hooklane_kafka::producer::Outgoing;
use serde_json::{Value, json};

use crate::resources::{ERP, applied, json_of};
use crate::support::{World, outgoing};

const DESCRIBE: [&str; 5] = ["describe", "endpoint", "erp", "--tenant", "acme"];

/// Stores a record about the only endpoint, or deletes it.
fn tell(world: &World, part: &str, value: Option<&Value>) {
    let uid = json_of(world, &["get", "ep", "erp"])["metadata"]["uid"].clone();
    let key = format!("{}{part}", uid.as_str().unwrap());
    let (topic, value) = (world.names.status(), value.map(Value::to_string));
    world.store(&Outgoing {
        key: Some(key.as_bytes()),
        value: value.as_ref().map(String::as_bytes),
        ..outgoing(&topic, 0, b"")
    });
}

/// Held by its receiver for an hour, with a backlog too long for some of it.
fn held() -> Value {
    json!({
        "observedGeneration": 1,
        "asOf": "2026-01-02T03:04:01.000Z",
        "claimedAt": "2026-01-02T01:00:00.000Z",
        "lane": 7,
        "inMemory": 12,
        "inFlight": 3,
        "parked": 120_000,
        "retrying": 22,
        "bytes": 131_072_000,
        "oldest": "2026-01-02T02:30:00.000Z",
        "drainSeconds": 2_401,
        "willExpireAt": "2026-01-05T02:30:00.000Z",
        "heldUntil": "2026-01-02T04:04:05.000Z",
        "breaker": "closed",
    })
}

/// The lines of `describe` from State to Spec.
fn condition(world: &World) -> String {
    let shown = world.run(&DESCRIBE).quiet(0);
    let (start, end) = (shown.find("State:"), shown.find("Spec:"));
    shown[start.unwrap()..end.unwrap()].to_owned()
}

/// The line of `get endpoints`, its columns separated by bars.
fn line(world: &World) -> String {
    let table = world.run(&["get", "endpoints"]).quiet(0);
    let cells = table.lines().nth(1).unwrap().split("   ");
    let cells: Vec<&str> = cells
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    cells[4..].join("|")
}

#[test]
fn a_held_endpoint_with_a_backlog() {
    let world = applied();
    tell(&world, "/snapshot", Some(&held()));
    assert_eq!(
        condition(&world),
        "State:       active\n\
         Hold:        until 2026-01-02T04:04:05.000Z (in 60m): the receiver asked for it (429, or \
         503 with Retry-After)\n\
         Breaker:     closed\n\
         Limit:       50/s, bursts of 100, 8 requests at a time\n\
         Waiting:     120034 deliveries (12 in memory, 120000 parked, 22 to be retried), \
         3 requests open, 125.0 MiB in all\n\
         Oldest:      34m (2026-01-02T02:30:00.000Z)\n\
         Drains in:   40m1s at its limits, once the hold ends\n\
         Will expire: at 2026-01-05T02:30:00.000Z (in 2d): the first is too old then \
         (retry.maxAge)\n\
         As of:       4s ago (2026-01-02T03:04:01.000Z); what waits in Kafka is counted since \
         2026-01-02T01:00:00.000Z\n"
    );
    assert_eq!(line(&world), "held|120034|34m|0s");
    let mut expected = held();
    expected["ageSeconds"] = json!(4);
    expected["stale"] = json!(false);
    let expected = json!({"state": "active", "snapshot": expected});
    for command in [&DESCRIBE[..], &["get", "ep", "erp"]] {
        assert_eq!(json_of(&world, command)["status"], expected);
    }
    let yaml = world.run(&[&DESCRIBE[..], &["-o", "yaml"]].concat());
    let yaml = yaml.quiet(0);
    let status = &yaml[yaml.find("status:").unwrap()..];
    assert_eq!(
        &status[..status.find("subscriptions:").unwrap_or(status.len())],
        "status:\n\
         \x20 snapshot:\n\
         \x20   ageSeconds: 4\n\
         \x20   asOf: 2026-01-02T03:04:01.000Z\n\
         \x20   breaker: closed\n\
         \x20   bytes: 131072000\n\
         \x20   claimedAt: 2026-01-02T01:00:00.000Z\n\
         \x20   drainSeconds: 2401\n\
         \x20   heldUntil: 2026-01-02T04:04:05.000Z\n\
         \x20   inFlight: 3\n\
         \x20   inMemory: 12\n\
         \x20   lane: 7\n\
         \x20   observedGeneration: 1\n\
         \x20   oldest: 2026-01-02T02:30:00.000Z\n\
         \x20   parked: 120000\n\
         \x20   retrying: 22\n\
         \x20   stale: false\n\
         \x20   willExpireAt: 2026-01-05T02:30:00.000Z\n\
         \x20 state: active\n"
    );
}

/// Goal: what is old is shown as old, and a hold that has passed as over.
#[test]
fn a_snapshot_that_nobody_renews_is_stale() {
    let world = applied();
    tell(&world, "/snapshot", Some(&held()));
    world.clock.advance(Duration::from_secs(2 * 3_600));
    let shown = condition(&world);
    assert!(shown.contains("\nHold:        none\n"), "{shown}");
    assert!(
        shown.contains(
            "\nAs of:       2h ago (2026-01-02T03:04:01.000Z), stale: no dispatcher has written \
             since; "
        ),
        "{shown}"
    );
    assert_eq!(line(&world), "active|120034 (stale)|2h|2h");
    let status = json_of(&world, &DESCRIBE)["status"].clone();
    assert_eq!(status["snapshot"]["stale"], json!(true));
    // It is deleted: nothing is left to say.
    tell(&world, "/snapshot", None);
    let shown = condition(&world);
    assert!(
        shown.ends_with("Waiting:     nothing to report: none parked, fewer than 100 in memory\n"),
        "{shown}"
    );
    assert_eq!(line(&world), "active|-|-|2h");
}

#[test]
fn a_breaker_tells_what_it_waits_for() {
    let world = applied();
    let mut snapshot = held();
    snapshot["heldUntil"].take();
    snapshot["drainSeconds"].take();
    snapshot["breaker"] = json!("open");
    snapshot["nextProbe"] = json!("2026-01-02T03:04:20.000Z");
    snapshot["failingSince"] = json!("2026-01-02T02:54:05.000Z");
    let mut breaker = |state: &str| {
        snapshot["breaker"] = json!(state);
        tell(&world, "/snapshot", Some(&snapshot));
        let shown = condition(&world);
        let lines = ["Breaker", "Drains in"].map(|name| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
            line[13..].to_owned()
        });
        (lines.join(" | "), line(&world))
    };
    let failing = "no success since 2026-01-02T02:54:05.000Z (10m ago)";
    let unknown = "unknown: it has answered too little";
    assert_eq!(
        breaker("open"),
        (
            format!(
                "open until the next probe at 2026-01-02T03:04:20.000Z (in 15s): it fails \
                 altogether and is left alone; {failing} | {unknown}"
            ),
            "breaker open|120034|34m|0s".to_owned()
        )
    );
    assert_eq!(
        breaker("half_open"),
        (
            format!("half-open: a probe shows whether it is back; {failing} | {unknown}"),
            "breaker half-open|120034|34m|0s".to_owned()
        )
    );
    assert_eq!(
        breaker("closed"),
        (
            format!("closed; {failing} | {unknown}"),
            "failing|120034|34m|0s".to_owned()
        )
    );
    world.clock.advance(Duration::from_secs(60));
    let (shown, _) = breaker("open");
    assert!(shown.starts_with("open, a probe is due: "), "{shown}");
}

/// Goal: what the last attempt met with is there to read, and what is our own
/// fault is not called the receiver's wish.
#[test]
fn the_last_failure_says_whose_it_is() {
    let world = applied();
    let shown = |failure: Value| {
        let mut snapshot = held();
        snapshot["lastFailure"] = failure;
        snapshot["lastFailure"]["at"] = json!("2026-01-02T03:03:05.000Z");
        tell(&world, "/snapshot", Some(&snapshot));
        let shown = condition(&world);
        ["Hold", "Last failed"].map(|name| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
            line[13..].to_owned()
        })
    };
    let until = "until 2026-01-02T04:04:05.000Z (in 60m): ";
    let asked = format!("{until}the receiver asked for it (429, or 503 with Retry-After)");
    let at = "60s ago (2026-01-02T03:03:05.000Z)";
    assert_eq!(
        shown(json!({"failure": "secret_unavailable", "side": "us"})),
        [
            format!("{until}nothing can be sent to it, by no fault of its own"),
            format!("secret_unavailable (on our side: see the dispatcher's log), {at}")
        ]
    );
    assert_eq!(
        shown(json!({"failure": "token_refused", "side": "receiver"})),
        [
            format!("{until}its token server gives no access token"),
            format!("token_refused (on the receiver's side), {at}")
        ]
    );
    assert_eq!(
        shown(json!({"status": 429})),
        [asked.clone(), format!("answered 429, {at}")]
    );
    assert_eq!(
        shown(json!({"failure": "unreachable", "side": "network"})),
        [asked, format!("unreachable (on the network's side), {at}")]
    );
}

/// Goal: what a person or a verdict decided comes before what was seen, and a
/// snapshot about an older spec says so.
#[test]
fn paused_and_disabled_come_first() {
    let world = applied();
    world.run(&["pause", "erp", "--tenant", "acme"]).quiet(0);
    tell(&world, "/snapshot", Some(&held()));
    let shown = condition(&world);
    for part in [
        "State:       paused: its deliveries wait; `hooklane resume` ends it\n",
        "Drains in:   40m1s at its limits, once it is resumed\n",
        ", about generation 1; ",
    ] {
        assert!(shown.contains(part), "{part}{shown}");
    }
    assert_eq!(line(&world), "paused|120034|34m|0s");
    let verdict = json!({
        "observedGeneration": 2,
        "disabled": {"reason": "failing", "at": "2026-01-02T03:00:00Z"},
    });
    tell(&world, "", Some(&verdict));
    let shown = condition(&world);
    assert!(
        shown.starts_with(
            "State:       disabled since 2026-01-02T03:00:00Z: it did nothing but fail for all \
             of disableAfter; "
        ),
        "{shown}"
    );
    assert_eq!(line(&world), "disabled|120034|34m|0s");
    world.apply(&ERP.replace("/hooks", "/new")).quiet(0);
    assert!(condition(&world).starts_with("State:       active (it was disabled at generation 2,"));
}

const ASKING: &str = "apiVersion: hooklane/v1
kind: Endpoint
metadata: {tenant: acme, name: erp}
spec: {url: 'https://erp.acme.example/hooks', verification: challenge, signing: {scheme: none}}
";

/// What `describe` says in one of its lines.
fn said(world: &World, name: &str) -> String {
    let all = condition(world);
    let line = all.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {all}"))
        .trim()
        .to_owned()
}

/// Goal: who looks sees that nothing is sent, why, and what changes that.
/// Method: the records that a dispatcher writes, one after the other.
#[test]
fn an_endpoint_whose_receiver_has_not_agreed() {
    let world = World::new();
    world.apply(ASKING).quiet(0);
    assert_eq!(
        said(&world, "State:"),
        "unverified: its deliveries wait until its receiver agrees"
    );
    assert_eq!(
        said(&world, "Consent:"),
        "challenge: not asked yet, or no answer yet"
    );
    let fingerprint = "9de6b082f45548234c9f860daa052bcc";
    let failed = json!({
        "fingerprint": fingerprint, "method": "challenge", "reason": "status", "status": 404,
        "tries": 3, "since": "2026-01-02T03:00:00.000Z", "failedAt": "2026-01-02T03:04:00.000Z",
        "nextTry": "2026-01-02T03:04:45.000Z",
    });
    tell(&world, "/unverified", Some(&failed));
    assert_eq!(
        said(&world, "Consent:"),
        "challenge: status (status 404); asked in vain since 2026-01-02T03:00:00.000Z (3x), \
         again at 2026-01-02T03:04:45.000Z (in 40s)"
    );
    assert!(line(&world).starts_with("unverified|"), "{}", line(&world));
    // Of another question, it says nothing.
    let mut other = json!({"fingerprint": "0".repeat(32), "method": "challenge"});
    tell(&world, "/verification", Some(&other));
    assert!(line(&world).starts_with("unverified|"));
    other["fingerprint"] = json!(fingerprint);
    other["verifiedAt"] = json!("2026-01-02T03:04:00.000Z");
    other["allowedPerMinute"] = json!(120);
    tell(&world, "/verification", Some(&other));
    tell(&world, "/unverified", None);
    assert_eq!(said(&world, "State:"), "active");
    assert_eq!(
        said(&world, "Consent:"),
        "challenge: agreed at 2026-01-02T03:04:00.000Z"
    );
    assert_eq!(
        said(&world, "Limit:"),
        "8 requests at a time; its receiver allows 120/min"
    );
    let status = &json_of(&world, &["get", "ep", "erp"])["status"];
    assert_eq!(status["verification"]["allowedPerMinute"], json!(120));
    assert_eq!(status.get("unverified"), None);
    // A person wants it asked again.
    let asked = world.run(&["verify", "erp", "--tenant", "acme"]).quiet(0);
    assert!(asked.contains("is asked again (challenge)"), "{asked}");
    assert!(line(&world).starts_with("unverified|"));
}

#[test]
fn who_asks_nobody_is_not_asked_again() {
    let world = applied();
    let ran = world.run(&["verify", "erp", "--tenant", "acme"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("verification: none"), "{ran:?}");
}
