use std::collections::BTreeMap;

use super::*;
use crate::catalog::Change;
use crate::resource::parse_yaml;

mod property;
mod refused;
mod switch;

const T0: UnixMillis = UnixMillis(1_700_000_000_000);

/// The config topic as one writer sees it.
struct World {
    catalog: Catalog,
    offset: i64,
    now: UnixMillis,
    uids: u128,
    ends: StartOffsets,
}

impl World {
    fn new() -> Self {
        Self {
            catalog: Catalog::with_documents(),
            offset: 0,
            now: T0,
            uids: 0,
            ends: StartOffsets::new(),
        }
    }

    fn plan(
        &mut self,
        make: impl FnOnce(&Catalog, &mut Given<'_>) -> Result<Plan, PlanError>,
    ) -> Result<Plan, PlanError> {
        let mut new_uid = || {
            self.uids += 1;
            self.uids
        };
        let mut given = Given {
            now: self.now,
            topic_prefix: "hooklane.",
            start_offsets: &self.ends,
            new_uid: &mut new_uid,
        };
        make(&self.catalog, &mut given)
    }

    fn write(&mut self, plan: &Plan) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, value) in &plan.writes {
            let applied = self
                .catalog
                .apply_config(self.offset, key.as_bytes(), value.as_deref());
            assert!(applied.problems.is_empty(), "{key}: {:?}", applied.problems);
            assert!(applied.notes.is_empty(), "{key}: {:?}", applied.notes);
            changes.extend(applied.changes);
            self.offset += 1;
        }
        changes
    }

    fn apply(&mut self, text: &str) -> Result<Plan, PlanError> {
        let documents = parse_yaml(text).unwrap();
        let plan = self.plan(|catalog, given| apply(catalog, documents, given))?;
        self.write(&plan);
        Ok(plan)
    }

    fn delete(&mut self, victims: &[Victim]) -> Result<Plan, PlanError> {
        let plan = self.plan(|catalog, given| delete(catalog, victims, given))?;
        self.write(&plan);
        Ok(plan)
    }

    fn stored(&self, name: &str) -> &Document {
        self.catalog.document(&key(name)).unwrap()
    }
}

/// A key as the config topic has it.
fn key(text: &str) -> ResourceKey {
    ResourceKey::parse(text.as_bytes()).unwrap()
}

fn victim(text: &str) -> Victim {
    Victim::named(key(text))
}

fn manifest(kind: &str, metadata: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: hooklane/v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
    )
}

fn source(name: &str, topic: &str) -> String {
    let spec = format!("topic: {topic}, tenant: {{shared: true}}");
    manifest("Source", &format!("name: {name}"), &spec)
}

fn endpoint(metadata: &str, path: &str) -> String {
    let spec = format!("url: 'https://erp.example/{path}', signing: {{scheme: none}}");
    manifest("Endpoint", &format!("tenant: acme, {metadata}"), &spec)
}

fn subscription(name: &str, source: &str, endpoint: &str) -> String {
    let spec = format!("source: {source}, endpoint: {endpoint}");
    manifest(
        "Subscription",
        &format!("tenant: acme, name: {name}"),
        &spec,
    )
}

fn three() -> String {
    // What refers comes first, as it may in a file.
    subscription("orders", "shop", "erp")
        + &source("shop", "shop.events")
        + &endpoint("name: erp", "a")
}

fn actions(plan: &Plan) -> Vec<Action> {
    plan.changes.iter().map(|c| c.action).collect()
}

fn keys(plan: &Plan) -> Vec<&str> {
    plan.writes.iter().map(|(k, _)| &**k).collect()
}

#[test]
fn the_first_write_makes_the_topic_a_config_topic() {
    let mut world = World::new();
    world
        .ends
        .insert("shop.events".into(), BTreeMap::from([(0, 7), (1, 0)]));
    let plan = world.apply(&three()).unwrap();
    assert_eq!(actions(&plan), [Action::Create; 3]);
    assert_eq!(
        keys(&plan),
        [
            "hooklane/epoch",
            "hooklane/format",
            "Source//shop",
            "Endpoint/acme/erp",
            "Subscription/acme/orders"
        ]
    );
    assert_ne!(world.catalog.stamp().epoch, 0);
    let meta = world.stored("Endpoint/acme/erp").manifest.meta().clone();
    assert_eq!(
        (meta.generation, meta.created_at, meta.updated_at),
        (1, T0, T0)
    );
    let Manifest::Source(shop) = &world.stored("Source//shop").manifest else {
        panic!()
    };
    assert_eq!(shop.start_offsets, Some(BTreeMap::from([(0, 7), (1, 0)])));
    let Manifest::Subscription(orders) = &world.stored("Subscription/acme/orders").manifest else {
        panic!()
    };
    let bound = orders.bound.unwrap();
    assert_eq!(
        (bound.source.0, bound.endpoint.0),
        (shop.meta.uid, meta.uid)
    );

    let again = world.apply(&three()).unwrap();
    assert_eq!(actions(&again), [Action::Unchanged; 3]);
    assert!(again.writes.is_empty());
}

#[test]
fn a_change_of_the_spec_is_a_generation() {
    let mut world = World::new();
    world.apply(&three()).unwrap();
    let uid = world.stored("Endpoint/acme/erp").manifest.meta().uid;
    world.now = T0.after(Duration::from_secs(60));
    let plan = world.apply(&endpoint("name: erp", "b")).unwrap();
    assert_eq!(actions(&plan), [Action::Update]);
    assert_eq!(keys(&plan), ["Endpoint/acme/erp"]);
    let meta = world.stored("Endpoint/acme/erp").manifest.meta();
    assert_eq!((meta.uid, meta.generation), (uid, 2));
    assert_eq!((meta.created_at, meta.updated_at), (T0, world.now));
}

#[test]
fn a_used_name_is_given_another_uid() {
    let mut world = World::new();
    world.apply(&endpoint("name: erp", "a")).unwrap();
    let uid = world.stored("Endpoint/acme/erp").manifest.meta().uid;
    world.delete(&[victim("Endpoint/acme/erp")]).unwrap();
    assert!(world.stored("Endpoint/acme/erp").deleted);
    let plan = world.apply(&endpoint("name: erp", "a")).unwrap();
    assert_eq!(actions(&plan), [Action::Create]);
    let meta = world.stored("Endpoint/acme/erp").manifest.meta();
    assert_ne!(meta.uid, uid);
    assert_eq!(meta.generation, 1);
}

#[test]
fn a_source_starts_where_its_spec_says() {
    let mut world = World::new();
    let from = |name: &str, start: &str| {
        source(name, name).replace("topic:", &format!("startFrom: {start}, topic:"))
    };
    let file = from("early", "earliest") + &from("late", "latest");
    let documents = parse_yaml(&file).unwrap();
    assert_eq!(topics_to_resolve(&world.catalog, &documents), ["late"]);
    for topic in ["early", "late"] {
        world.ends.insert(topic.into(), BTreeMap::from([(0, 9)]));
    }
    world.apply(&file).unwrap();
    assert!(topics_to_resolve(&world.catalog, &documents).is_empty());
    // An edit of the source does not move it.
    world.ends.insert("late".into(), BTreeMap::from([(0, 50)]));
    world
        .apply(&from("late", "latest").replace("topic:", "format: json, topic:"))
        .unwrap();
    for (name, expected) in [("early", None), ("late", Some(9))] {
        let Manifest::Source(source) = &world.stored(&format!("Source//{name}")).manifest else {
            panic!()
        };
        let start = source.start_offsets.as_ref().map(|o| o[&0]);
        assert_eq!(start, expected, "{name}");
    }
}

#[test]
fn what_is_referred_to_goes_only_with_its_referrers() {
    let mut world = World::new();
    world
        .apply(&(three() + &subscription("more", "shop", "erp")))
        .unwrap();
    let error = world
        .delete(&[victim("Endpoint/acme/erp"), victim("Source//gone")])
        .unwrap_err();
    let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "Source gone: does not exist",
            "Endpoint acme/erp: Subscription acme/more refers to it; delete that first, or both \
             together",
            "Endpoint acme/erp: Subscription acme/orders refers to it; delete that first, or both \
             together",
        ]
    );
    let both = [victim("Source//shop"), victim("Subscription/acme/more")];
    assert_eq!(
        world.delete(&both).unwrap_err().kind(),
        ProblemKind::Conflict
    );
    let all = [
        victim("Source//shop"),
        victim("Subscription/acme/more"),
        victim("Endpoint/acme/erp"),
        victim("Subscription/acme/orders"),
        victim("Subscription/acme/orders"),
    ];
    let plan = world.delete(&all).unwrap();
    assert_eq!(actions(&plan), [Action::Delete; 4]);
    assert_eq!(
        keys(&plan),
        [
            "Subscription/acme/more",
            "Subscription/acme/orders",
            "Endpoint/acme/erp",
            "Source//shop"
        ]
    );
    assert!(world.catalog.find(&key("Source//shop")).is_none());
    let gone = world.delete(&all[..1]).unwrap_err();
    assert_eq!(gone.kind(), ProblemKind::NotFound);
}

#[test]
fn a_deletion_may_name_what_it_means() {
    let mut world = World::new();
    world.apply(&endpoint("name: erp", "a")).unwrap();
    let mut wanted = victim("Endpoint/acme/erp");
    wanted.generation = 3;
    let error = world.delete(&[wanted.clone()]).unwrap_err();
    assert_eq!(error.kind(), ProblemKind::Conflict);
    wanted.generation = 1;
    world.delete(&[wanted]).unwrap();
}

#[test]
fn what_was_deleted_long_ago_is_pruned_by_the_next_write() {
    let mut world = World::new();
    world
        .apply(&(endpoint("name: old", "a") + &endpoint("name: reused", "a")))
        .unwrap();
    world
        .delete(&[victim("Endpoint/acme/old"), victim("Endpoint/acme/reused")])
        .unwrap();
    world.now = T0.after(DELETED_KEPT);
    let plan = world.apply(&endpoint("name: x", "a")).unwrap();
    assert_eq!(keys(&plan), ["Endpoint/acme/x"], "not a moment too early");
    world.now = T0.after(DELETED_KEPT + Duration::from_millis(1));
    assert!(
        world
            .apply(&endpoint("name: x", "a"))
            .unwrap()
            .writes
            .is_empty()
    );
    let plan = world.apply(&endpoint("name: reused", "b")).unwrap();
    assert_eq!(keys(&plan), ["Endpoint/acme/reused", "Endpoint/acme/old"]);
    assert_eq!(plan.writes[1].1, None);
    assert!(world.catalog.document(&key("Endpoint/acme/old")).is_none());
}
