//! apply, diff, get, describe and delete.

use std::time::Duration;

use hooklane_kafka::producer::Outgoing;
use serde_json::{Value, json};

use crate::support::{World, outgoing, without_uids};

const SHOP: &str = "apiVersion: hooklane/v1
kind: Source
metadata: {name: shop}
spec: {topic: shop.events, tenant: {header: tenant}, startFrom: latest}
";
pub(crate) const ERP: &str = "apiVersion: hooklane/v1
kind: Endpoint
metadata: {tenant: acme, name: erp}
spec: {url: 'https://erp.example/hooks', rateLimit: {perSecond: 50, burst: 100}, signing: {scheme: none}}
";
const ORDERS: &str = "apiVersion: hooklane/v1
kind: Subscription
metadata: {tenant: acme, name: orders}
spec: {source: shop, endpoint: erp, eventTypes: ['order.*', 'refund']}
";

fn three() -> String {
    format!("{ORDERS}---\n{SHOP}---\n{ERP}")
}

/// A world with [`three`] applied, and the source's topic.
pub(crate) fn applied() -> World {
    let world = World::new();
    world.broker.create_topic("shop.events", 3).unwrap();
    for partition in [1, 1, 2] {
        world.store(&outgoing("shop.events", partition, b"{}"));
    }
    let out = world.apply(&three()).quiet(0);
    assert_eq!(
        out,
        "Subscription acme/orders created\nSource shop created\nEndpoint acme/erp created\n"
    );
    world
}

pub(crate) fn json_of(world: &World, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&world.run(&args).quiet(0)).unwrap()
}

#[test]
fn what_was_applied_is_shown_and_applied_again_unchanged() {
    let world = applied();
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(
        world.run(&["get", "sources"]).quiet(0),
        "NAME   TOPIC         FORMAT   TENANT          AGE\n\
         shop   shop.events   auto     header tenant   5m\n"
    );
    assert_eq!(
        world.run(&["get", "ep", "--tenant", "acme"]).quiet(0),
        "TENANT   NAME   URL                         RATE   STATE    WAITING   OLDEST   AGE\n\
         acme     erp    https://erp.example/hooks   50/s   active   -         -        5m\n"
    );
    assert_eq!(
        world.run(&["get", "sub", "orders", "-A"]).quiet(0),
        "TENANT   NAME     SOURCE   EVENT TYPES      FILTER   ENDPOINT   AGE\n\
         acme     orders   shop     order.*,refund   -        erp        5m\n"
    );
    assert_eq!(
        world.run(&["get", "endpoints", "-o", "name"]).quiet(0),
        "endpoint/acme/erp\n"
    );
    assert_eq!(
        world.run(&["get", "source", "-o", "name"]).quiet(0),
        "source/shop\n"
    );
    let list = json_of(&world, &["get", "sources"]);
    assert_eq!(list["kind"], "List");
    assert_eq!(
        list["items"][0]["metadata"]["startOffsets"],
        json!({"0": 0, "1": 2, "2": 1}),
        "the ends when it was applied"
    );
    for kind in ["sources", "endpoints", "subscriptions"] {
        let shown = world.run(&["get", kind, "-o", "yaml"]).quiet(0);
        let out = world.apply(&shown).quiet(0);
        assert!(out.ends_with("unchanged\n"), "{shown}{out}");
    }
    let before = json_of(&world, &["get", "endpoint", "erp"]);
    let unchanged = world.apply(&three()).quiet(0);
    assert_eq!(
        unchanged,
        "Subscription acme/orders unchanged\nSource shop unchanged\nEndpoint acme/erp unchanged\n"
    );
    assert_eq!(json_of(&world, &["get", "endpoint", "erp"]), before);
}

#[test]
fn a_change_is_shown_before_it_is_made() {
    let world = applied();
    let changed = ERP.replace("50", "60");
    let diff = ["diff", "-f", "-"];
    assert_eq!(
        world.run_with_input(&diff, &changed).quiet(1),
        "--- Endpoint acme/erp (generation 1)\n\
         +++ Endpoint acme/erp (file)\n \
         rateLimit:\n   burst: 100\n-  perSecond: 50\n+  perSecond: 60\n \
         signing:\n   scheme: none\n url: https://erp.example/hooks\n"
    );
    let data = world.run_with_input(&["diff", "-f", "-", "-o", "json"], &changed);
    let data: Value = serde_json::from_str(&data.quiet(1)).unwrap();
    assert_eq!(data["changes"].as_array().unwrap().len(), 1, "{data}");
    let change = &data["changes"][0];
    assert_eq!(
        (&change["kind"], &change["name"], &change["action"]),
        (&json!("Endpoint"), &json!("erp"), &json!("configured"))
    );
    assert_eq!(change["before"]["rateLimit"]["perSecond"], 50);
    assert_eq!(change["after"]["rateLimit"]["perSecond"], 60);
    let dry = world.run_with_input(&["apply", "--dry-run", "-f", "-"], &changed);
    assert_eq!(dry.quiet(0), "Endpoint acme/erp configured (dry run)\n");
    assert_eq!(
        json_of(&world, &["get", "ep", "erp"])["metadata"]["generation"],
        1
    );

    world.clock.advance(Duration::from_secs(60));
    assert_eq!(
        world.apply(&changed).quiet(0),
        "Endpoint acme/erp configured\n"
    );
    let metadata = json_of(&world, &["get", "ep", "erp"])["metadata"].clone();
    assert_eq!(metadata["generation"], 2);
    assert_eq!(metadata["createdAt"], "2026-01-02T03:04:05.000Z");
    assert_eq!(metadata["updatedAt"], "2026-01-02T03:05:05.000Z");
    assert_eq!(world.run_with_input(&diff, &changed).quiet(0), "");
    let new = world.run_with_input(
        &diff,
        &changed
            .replace("erp,", "x,")
            .replace("name: erp", "name: x"),
    );
    assert_eq!(new.code, 1);
    assert!(
        new.out
            .starts_with("--- Endpoint acme/x (does not exist)\n+++ Endpoint acme/x (file)\n+"),
        "{}",
        new.out
    );
}

#[test]
fn who_looked_at_an_older_generation_is_told_so() {
    let world = applied();
    let old = ERP.replace("name: erp", "name: erp, generation: 1");
    world.apply(&old.replace("50", "60")).quiet(0);
    assert_eq!(
        world.apply(&old.replace("50", "70")).refused(4),
        "error: nothing was done\n\
         Endpoint acme/erp: metadata.generation: 1 is expected, and it is 2: somebody changed it; \
         look at it and apply again\n"
    );
}

#[test]
fn what_is_referred_to_is_deleted_with_its_referrers() {
    let world = applied();
    assert_eq!(
        world
            .run(&["delete", "ep", "erp", "--tenant", "acme"])
            .refused(4),
        "error: nothing was done\n\
         Endpoint acme/erp: Subscription acme/orders refers to it; delete that first, or both \
         together\n"
    );
    let both = format!("{ERP}---\n{ORDERS}");
    let dry = world.run_with_input(&["delete", "--dry-run", "-f", "-"], &both);
    assert_eq!(
        dry.quiet(0),
        "Endpoint acme/erp deleted (dry run)\nSubscription acme/orders deleted (dry run)\n"
    );
    let deleted = world.run_with_input(&["delete", "-f", "-"], &both);
    assert_eq!(
        deleted.quiet(0),
        "Endpoint acme/erp deleted\nSubscription acme/orders deleted\n"
    );
    let none = world.run(&["get", "endpoints"]);
    assert_eq!((none.code, &*none.err), (0, "nothing found\n"));
    for args in [
        &["get", "ep", "erp", "--tenant", "acme"][..],
        &["describe", "ep", "erp", "--tenant", "acme"],
    ] {
        let said = world.run(args).refused(3);
        assert_eq!(said, "error: Endpoint acme/erp does not exist\n");
    }
    assert_eq!(
        world
            .run(&["delete", "endpoint", "erp", "--tenant", "acme"])
            .refused(3),
        "error: nothing was done\nEndpoint acme/erp: does not exist\n"
    );
    assert_eq!(
        world.run(&["delete", "src", "shop"]).quiet(0),
        "Source shop deleted\n"
    );
    // The name is free, and its next bearer another one.
    assert_eq!(world.apply(ERP).quiet(0), "Endpoint acme/erp created\n");
}

/// Goal: an endpoint is paused, resumed and enabled again without a file.
#[test]
fn an_endpoint_is_paused_and_resumed() {
    let world = applied();
    let erp = ["erp", "--tenant", "acme"];
    let run = |words: &[&str]| world.run(&[words, &erp].concat());
    let state = || json_of(&world, &["get", "ep", "erp"])["status"]["state"].clone();
    for (words, said, then) in [
        (&["resume"][..], "is neither paused nor disabled", "active"),
        (&["pause", "endpoint"], "paused", "paused"),
        (&["pause"], "is paused already", "paused"),
        (&["resume", "ep"], "resumed", "active"),
    ] {
        let said = format!("Endpoint acme/erp {said}\n");
        assert_eq!((run(words).quiet(0), state()), (said, json!(then)));
    }
    let uid = json_of(&world, &["get", "ep", "erp"])["metadata"]["uid"].clone();
    let status = json!({
        "observedGeneration": 3,
        "disabled": {"reason": "gone", "at": "2026-01-02T04:00:00Z"},
    });
    let topic = world.names.status();
    world.store(&Outgoing {
        key: Some(uid.as_str().unwrap().as_bytes()),
        ..outgoing(&topic, 0, status.to_string().as_bytes())
    });
    assert_eq!(state(), "disabled");
    run(&["pause"]).refused(4);
    assert_eq!(run(&["resume"]).quiet(0), "Endpoint acme/erp resumed\n");
    assert_eq!(state(), "active");
    assert_eq!(
        world.run(&["resume", "nix", "--tenant", "acme"]).refused(3),
        "error: Endpoint acme/nix does not exist\n"
    );
    world.run(&["resume", "source", "shop"]).refused(2);
    world.run(&["resume", "erp"]).refused(2);
}

/// A finding counts only for the spec that it is about.
#[test]
fn describe_tells_what_the_pipeline_found_out() {
    let world = applied();
    let uid = json_of(&world, &["get", "ep", "erp"])["metadata"]["uid"].clone();
    let status = json!({
        "observedGeneration": 1,
        "disabled": {"reason": "gone", "at": "2026-01-02T04:00:00Z"},
    });
    let topic = world.names.status();
    world.store(&Outgoing {
        key: Some(uid.as_str().unwrap().as_bytes()),
        ..outgoing(&topic, 0, status.to_string().as_bytes())
    });
    let describe = ["describe", "endpoint", "erp", "--tenant", "acme"];
    assert_eq!(
        without_uids(&world.run(&describe).quiet(0)),
        "Kind:        Endpoint\n\
         Tenant:      acme\n\
         Name:        erp\n\
         Uid:         ep_*\n\
         Generation:  1\n\
         Created:     2026-01-02T03:04:05.000Z\n\
         Updated:     2026-01-02T03:04:05.000Z\n\
         State:       disabled since 2026-01-02T04:00:00Z: the receiver answered 410 Gone; \
         `hooklane resume`, or a change of the spec, enables it again\n\
         Hold:        none\n\
         Breaker:     closed\n\
         Limit:       50/s, bursts of 100, 8 requests at a time\n\
         Waiting:     nothing to report: none parked, fewer than 100 in memory\n\
         Spec:\n  rateLimit:\n    burst: 100\n    perSecond: 50\n  signing:\n    scheme: none\n  url: https://erp.example/hooks\n\
         Subscriptions:\n  Subscription acme/orders: order.*,refund from source shop\n"
    );
    assert_eq!(
        json_of(&world, &["get", "ep", "erp"])["status"],
        json!({
            "state": "disabled",
            "observedGeneration": 1,
            "disabled": {"reason": "gone", "at": "2026-01-02T04:00:00Z"},
        })
    );
    world.apply(&ERP.replace("/hooks", "/new")).quiet(0);
    let shown = world.run(&describe).quiet(0);
    assert!(
        shown
            .contains("State:       active (it was disabled at generation 1, which is void now)\n"),
        "{shown}"
    );
    let source = without_uids(&world.run(&["describe", "src", "shop"]).quiet(0));
    assert!(
        source.contains("Starts at:   0:0 1:2 2:1\n")
            && source.ends_with(
                "Subscriptions:\n  Subscription acme/orders: order.*,refund to endpoint erp\n"
            ),
        "{source}"
    );
    let tenant = ["--tenant", "acme"];
    let orders = [&["describe", "sub", "orders"][..], &tenant].concat();
    assert!(world.run(&orders).quiet(0).contains("eventTypes:"));
}

#[test]
fn a_topic_that_does_not_exist_yet_is_read_from_its_first_event() {
    let world = World::new();
    let ran = world.apply(SHOP);
    assert_eq!((ran.code, &*ran.out), (0, "Source shop created\n"));
    assert_eq!(
        ran.err,
        "warning: topic shop.events does not exist yet; once it does, it is read from its first \
         event\n"
    );
    let shown = json_of(&world, &["get", "src", "shop"]);
    assert_eq!(shown["metadata"]["startOffsets"], json!({}));
}

#[test]
fn what_cannot_be_read_is_not_written_over() {
    let world = applied();
    let topic = world.names.config();
    world.store(&Outgoing {
        key: Some(b"Endpoint/acme/odd"),
        ..outgoing(&topic, 0, br#"{"apiVersion": "hooklane/v9"}"#)
    });
    let odd = ERP.replace("name: erp", "name: odd");
    let said = world.apply(&odd).refused(1);
    assert!(
        said.contains(
            "error: nothing was done, for what is stored cannot be read by this release\n\
             Endpoint/acme/odd: "
        ),
        "{said}"
    );
    let list = world.run(&["get", "ep"]);
    assert_eq!(list.code, 0);
    assert!(list.out.contains("erp") && !list.out.contains("odd"));
    assert!(
        list.err
            .starts_with("warning: cannot be read and is left out: Endpoint/acme/odd: "),
        "{}",
        list.err
    );
}
