use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::envelope::EventHead;
use crate::filter::{Data, naive_matches};

const SOURCE: SourceUid = SourceUid(1);

fn interest(uid: u128, tenant: &str, types: &[&str], filter: Option<&Value>) -> Interest {
    Interest {
        subscription: SubscriptionUid(uid),
        endpoint: EndpointUid(uid + 100),
        source: SOURCE,
        tenant: tenant.to_owned(),
        event_types: types
            .iter()
            .map(|t| EventTypePattern::parse(t).unwrap())
            .collect(),
        filter: filter.map(|f| Filter::parse(f).unwrap()),
    }
}

fn head(tenant: Option<&str>, event_type: &str) -> EventHead {
    EventHead {
        tenant: tenant.map(str::to_owned),
        event_type: event_type.to_owned(),
        ..EventHead::default()
    }
}

fn find(index: &mut InterestIndex, head: &EventHead, data: &Value) -> (Vec<u128>, usize) {
    let bytes = data.to_string();
    let data = Data::json(bytes.as_bytes());
    let found = index.find(SOURCE, &Document::new(head, &data));
    (
        found.interests.iter().map(|i| i.subscription.0).collect(),
        found.candidates,
    )
}

/// The point of the index: of a thousand subscriptions that differ in one
/// value, the one that has the event's is looked at, also when all of them
/// share a less selective equality.
#[test]
fn only_the_most_selective_candidates_are_looked_at() {
    // The selective field comes once before and once after the other one.
    for own in ["account", "customer"] {
        let mut index = InterestIndex::default();
        for n in 0..1000u128 {
            let filter = json!({"data": {"country": ["DE"], own: [format!("c{n}")]}});
            index.insert(interest(n, "acme", &["order.*"], Some(&filter)));
        }
        let event = json!({"country": "DE", own: "c7"});
        let (found, candidates) = find(&mut index, &head(Some("acme"), "order.created"), &event);
        assert_eq!(found, [7]);
        assert!(candidates <= 3, "{candidates} candidates");
        let (found, candidates) = find(&mut index, &head(Some("other"), "order.created"), &event);
        assert_eq!((found.len(), candidates), (0, 0));
        let (found, _) = find(&mut index, &head(None, "order.created"), &event);
        assert_eq!(found, [7], "an event without a tenant concerns all of them");
    }
}

#[test]
fn the_payload_is_not_parsed_for_those_who_do_not_look() {
    let mut index = InterestIndex::default();
    index.insert(interest(1, "acme", &["order.*"], None));
    index.insert(interest(
        2,
        "acme",
        &["user.*"],
        Some(&json!({"data": {"a": [1]}})),
    ));
    for (event_type, parsed) in [("order.created", false), ("user.created", true)] {
        let (head, data) = (head(Some("acme"), event_type), Data::json(b"{}"));
        index.find(SOURCE, &Document::new(&head, &data));
        assert_eq!(data.was_asked_for(), parsed, "{event_type}");
    }
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut index = InterestIndex::default();
    let filter = json!({"data": {"a": {"b": ["x", 1, "x"]}}, "region": ["eu"]});
    let types = ["a.*", "a.b", "*"];
    index.insert(interest(99, "acme", &["z"], None));
    find(&mut index, &head(Some("acme"), "z"), &json!({}));
    find(&mut index, &head(None, "z"), &json!({}));
    let alone = format!("{:?}", index.sources);
    for _ in 0..2 {
        for n in 0..20 {
            index.insert(interest(n, "acme", &types, Some(&filter)));
            find(
                &mut index,
                &head(Some("acme"), "a.b"),
                &json!({"a": {"b": "x"}}),
            );
            find(&mut index, &head(None, "a.b"), &json!({"a": {"b": "x"}}));
        }
        assert_eq!(index.len(), 21);
        for n in 0..20 {
            assert!(index.remove(SubscriptionUid(n)).is_some());
        }
        assert_eq!(format!("{:?}", index.sources), alone);
        assert_eq!(index.interests.len(), 21, "slots are used again");
    }
    index.remove(SubscriptionUid(99));
    assert!(index.sources.is_empty() && index.is_empty());
    assert!(index.remove(SubscriptionUid(3)).is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u128, &'static str, Vec<&'static str>, Option<Value>),
    Remove(u128),
    Event(Option<&'static str>, &'static str, Value),
}

fn step() -> impl Strategy<Value = Step> {
    let tenant = || prop::sample::select(vec!["acme", "bolt"]);
    let pattern = prop::sample::select(vec!["*", "a.*", "a.b.*", "a.b", "a.b.c", "c"]);
    let event_type = prop::sample::select(vec!["", "a", "a.b", "a.b.c", "a.", "c", "c.d"]);
    let small = || {
        prop::sample::select(vec![
            json!(1),
            json!(2.0),
            json!("x"),
            json!("y"),
            json!(null),
        ])
    };
    let condition = prop_oneof![
        3 => small(),
        1 => Just(json!({"numeric": [">", 1]})),
        1 => Just(json!({"exists": false})),
    ];
    let leaf = || {
        prop::collection::vec(condition.clone(), 1..3)
            .prop_map(Value::from)
            .boxed()
    };
    let field = || prop::sample::select(vec!["f", "g", "h"]).prop_map(str::to_owned);
    let data = prop::collection::btree_map(field(), leaf(), 1..3);
    let deep = (field(), field(), leaf()).prop_map(|(a, b, leaf)| json!({a: {b: leaf}}));
    let filter = prop_oneof![
        3 => data.prop_map(|fields| json!({"data": fields})),
        1 => deep.clone().prop_map(|fields| json!({"data": fields})),
        1 => Just(json!({"region": ["eu", "us"]})),
        1 => deep.prop_map(|fields| json!({"$or": [{"data": fields}, {"region": ["eu"]}]})),
    ];
    let value = small().prop_recursive(2, 8, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(field(), inner, 0..3).prop_map(|m| json!(m)),
        ]
    });
    let types = prop::collection::vec(pattern, 1..3);
    prop_oneof![
        3 => (0u128..12, tenant(), types, prop::option::of(filter))
            .prop_map(|(uid, tenant, types, filter)| Step::Insert(uid, tenant, types, filter)),
        1 => (0u128..12).prop_map(Step::Remove),
        4 => (prop::option::weighted(0.8, tenant()), event_type, value)
            .prop_map(|(tenant, event_type, value)| Step::Event(tenant, event_type, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever was added, replaced and removed before, an event finds those
    /// that the plainest evaluation of each subscription finds.
    #[test]
    fn agrees_with_asking_everybody(steps in prop::collection::vec(step(), 1..60)) {
        let mut index = InterestIndex::default();
        let mut model: BTreeMap<u128, (Interest, Option<Value>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(uid, tenant, types, filter) => {
                    let interest = interest(uid, tenant, &types, filter.as_ref());
                    index.insert(interest.clone());
                    model.insert(uid, (interest, filter));
                }
                Step::Remove(uid) => {
                    let removed = index.remove(SubscriptionUid(uid)).is_some();
                    prop_assert_eq!(removed, model.remove(&uid).is_some());
                }
                Step::Event(tenant, event_type, value) => {
                    let mut head = head(tenant, event_type);
                    head.attributes.push(("region".to_owned(), "eu".to_owned()));
                    let bytes = value.to_string();
                    let data = Data::json(bytes.as_bytes());
                    let document = Document::new(&head, &data);
                    let expected: Vec<u128> = model
                        .iter()
                        .filter(|(_, (interest, pattern))| {
                            tenant.is_none_or(|t| t == interest.tenant)
                                && interest.event_types.iter().any(|p| p.matches(event_type))
                                && pattern.as_ref().is_none_or(|p| naive_matches(p, &document))
                        })
                        .map(|(uid, _)| *uid)
                        .collect();
                    let (found, candidates) = find(&mut index, &head, &value);
                    prop_assert!(candidates >= found.len());
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
    }
}
