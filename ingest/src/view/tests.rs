use hooklane_model::catalog::Disabled;
use hooklane_model::envelope::EventHead;
use hooklane_model::filter::Data;
use hooklane_model::resource::{Manifest, parse_yaml};

use super::*;

fn change_of(yaml: &str, uid: u128, generation: u64) -> Change {
    let mut documents = parse_yaml(yaml).unwrap();
    let mut manifest = documents.remove(0).manifest;
    manifest.meta_mut().uid = uid;
    manifest.meta_mut().generation = generation;
    match manifest {
        Manifest::Source(r) => Change::Source(Arc::new(r)),
        Manifest::Endpoint(r) => Change::Endpoint(Arc::new(r)),
        Manifest::Subscription(mut r) => {
            let (source, endpoint) = (SourceUid(1), EndpointUid(2));
            r.bound = Some(hooklane_model::resource::Binding { source, endpoint });
            Change::Subscription(Arc::new(r))
        }
    }
}

fn source(uid: u128, generation: u64) -> Change {
    let yaml = "apiVersion: hooklane/v1\nkind: Source\nmetadata: {name: s}\n\
                spec: {topic: shop, tenant: {fixed: acme}}";
    change_of(yaml, uid, generation)
}

fn endpoint(generation: u64) -> Change {
    let yaml = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: acme, name: e}\n\
                spec: {url: \"https://e.example/\"}";
    change_of(yaml, 2, generation)
}

fn subscription() -> Change {
    let yaml = "apiVersion: hooklane/v1\nkind: Subscription\nmetadata: {tenant: acme, name: b}\n\
                spec: {source: s, eventTypes: [\"order.*\"], endpoint: e}";
    change_of(yaml, 3, 1)
}

fn counts(view: &mut View) -> (usize, usize) {
    let head = EventHead {
        tenant: Some("acme".into()),
        event_type: "order.created".into(),
        ..EventHead::default()
    };
    let data = Data::opaque();
    let matched = view.find(SourceUid(1), &Document::new(&head, &data));
    (matched.interests.len(), matched.disabled)
}

#[test]
fn a_disabled_endpoint_is_not_matched_until_its_spec_changes() {
    let mut view = View::default();
    for change in [source(1, 1), endpoint(1), subscription()] {
        view.apply(change);
    }
    assert_eq!(counts(&mut view), (1, 0));
    let disabled = Disabled {
        reason: "gone".into(),
        at: "2026-01-01T00:00:00Z".into(),
    };
    let status = EndpointStatus {
        observed_generation: 1,
        disabled: Some(disabled),
        health: None,
    };
    view.apply(Change::Status(EndpointUid(2), Arc::new(status)));
    assert_eq!(counts(&mut view), (0, 1));
    view.apply(endpoint(2));
    assert_eq!(
        counts(&mut view),
        (1, 0),
        "the finding was about the former spec"
    );
    view.apply(endpoint(1));
    view.apply(Change::StatusGone(EndpointUid(2)));
    assert_eq!(counts(&mut view), (1, 0));
    view.apply(Change::EndpointGone(EndpointUid(2)));
    assert_eq!(counts(&mut view), (0, 1));
    view.apply(Change::SubscriptionGone(
        hooklane_model::id::SubscriptionUid(3),
    ));
    assert_eq!(counts(&mut view), (0, 0));
}

#[test]
fn topics_follow_the_sources() {
    let mut view = View::default();
    assert!(view.apply(source(1, 1)));
    assert!(view.apply(source(9, 1)));
    assert!(!view.apply(endpoint(1)));
    let uids: Vec<u128> = view.sources_of("shop").iter().map(|s| s.uid().0).collect();
    assert_eq!(uids, [1, 9]);
    view.apply(Change::SourceGone(SourceUid(1)));
    assert_eq!(view.sources_of("shop").len(), 1);
    view.apply(Change::SourceGone(SourceUid(9)));
    assert!(view.topics().is_empty());
}

#[test]
fn a_run_changes_with_the_source() {
    let run = |change| match change {
        Change::Source(source) => run_of(&source),
        other => panic!("{other:?}"),
    };
    assert_eq!(run(source(1, 1)), run(source(1, 1)));
    assert_ne!(run(source(1, 1)), run(source(1, 2)));
    assert_ne!(run(source(1, 1)), run(source(2, 1)));
}
