//! Sequences of plans against a plain map.

use proptest::prelude::*;

use super::*;

/// What a person may do next, over few names so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<String>),
    Delete(Vec<&'static str>),
}

const NAMES: [&str; 6] = [
    "Source//s0",
    "Source//s1",
    "Endpoint/acme/e0",
    "Endpoint/acme/e1",
    "Subscription/acme/u0",
    "Subscription/acme/u1",
];

fn any_document() -> impl Strategy<Value = String> {
    (0..NAMES.len(), 0..3u8, 0..2u8, 0..2u8).prop_map(|(which, a, b, c)| match NAMES[which] {
        "Source//s0" => {
            source("s0", "t0").replace("topic:", &format!("id: {{fixed: v{a}}}, topic:"))
        }
        "Source//s1" => source("s1", &format!("t{b}")),
        "Endpoint/acme/e0" => endpoint("name: e0", &format!("{a}")),
        "Endpoint/acme/e1" => endpoint("name: e1", &format!("{a}")),
        "Subscription/acme/u0" => subscription("u0", &format!("s{b}"), &format!("e{c}")),
        _ => subscription("u1", &format!("s{b}"), &format!("e{c}")),
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any_document(), 1..5).prop_map(Step::Apply),
        1 => prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5).prop_map(Step::Delete),
    ]
}

/// uid, generation and spec by key.
type Live = BTreeMap<ResourceKey, (u128, u64, serde_json::Value)>;

fn live(catalog: &Catalog) -> Live {
    let documents = catalog.documents().into_iter();
    documents
        .filter(|(_, d)| !d.deleted)
        .map(|(key, d)| {
            let meta = d.manifest.meta();
            (key.clone(), (meta.uid, meta.generation, d.spec.clone()))
        })
        .collect()
}

/// No reference dangles, and names are bound to what they mean now.
fn assert_bound(catalog: &Catalog) {
    for (key, document) in catalog.documents() {
        let Manifest::Subscription(s) = &document.manifest else {
            continue;
        };
        if document.deleted {
            continue;
        }
        let bound = s.bound.unwrap();
        let find = |text: String| catalog.find(&ResourceKey::parse(text.as_bytes()).unwrap());
        let source = find(format!("Source//{}", s.spec.source));
        let endpoint = find(format!("Endpoint/acme/{}", s.spec.endpoint));
        assert_eq!(source.map(|f| f.0), Some(bound.source.0), "{key}");
        assert_eq!(endpoint.map(|f| f.0), Some(bound.endpoint.0), "{key}");
    }
}

proptest! {
    /// A plan that is written does what was asked and nothing else, and the
    /// same file again does nothing; one that is refused does nothing at all.
    #[test]
    fn what_is_asked_is_what_is_stored(steps in prop::collection::vec(any_step(), 1..20)) {
        let mut world = World::new();
        let mut ever: BTreeMap<u128, ResourceKey> = BTreeMap::new();
        for step in steps {
            world.now = world.now.after(Duration::from_secs(86_400));
            let before = live(&world.catalog);
            let mut expected = before.clone();
            match &step {
                Step::Apply(texts) => {
                    let file: String = texts.concat();
                    let Ok(_) = world.apply(&file) else {
                        prop_assert_eq!(&live(&world.catalog), &before);
                        continue;
                    };
                    for document in parse_yaml(&file).unwrap() {
                        let key = document.manifest.key();
                        let (uid, generation) = match before.get(&key) {
                            None => {
                                let (uid, _) = world.catalog.find(&key).unwrap();
                                let other = ever.insert(uid, key.clone());
                                prop_assert!(other.is_none(), "{uid} was {other:?}");
                                (uid, 1)
                            }
                            Some((uid, generation, spec)) => {
                                (*uid, generation + u64::from(*spec != document.spec))
                            }
                        };
                        expected.insert(key, (uid, generation, document.spec));
                    }
                    let again = world.apply(&file).unwrap();
                    prop_assert!(again.changes.iter().all(|c| c.action == Action::Unchanged));
                    prop_assert!(again.writes.is_empty());
                }
                Step::Delete(names) => {
                    let victims: Vec<Victim> = names.iter().map(|n| victim(n)).collect();
                    if world.delete(&victims).is_ok() {
                        names.iter().for_each(|name| {
                            expected.remove(&key(name));
                        });
                    }
                }
            }
            prop_assert_eq!(&live(&world.catalog), &expected);
            assert_bound(&world.catalog);
        }
    }
}
