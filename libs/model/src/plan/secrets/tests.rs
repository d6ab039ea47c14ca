use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::catalog::Catalog;
use crate::plan::{
    Action, Given, Plan, PlanError, Rotation, StartOffsets, Victim, apply, apply_sealing, delete,
    rekey, rotate,
};
use crate::resource::parse_yaml;

mod handles;
mod rotation;
mod tls;

const T0: UnixMillis = UnixMillis(1_700_000_000_000);
const CLEAR: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Seals by remembering: the text is a handle and the number of the sealing.
#[derive(Default)]
struct Book {
    values: BTreeMap<String, (u128, Vec<u8>)>,
    made: usize,
    key: &'static str,
}

impl Sealing for Book {
    fn holds(&self, place: &SecretPlace<'_>, sealed: &str, clear: &Secret) -> bool {
        let known = self.values.get(sealed_version(sealed).unwrap());
        known.is_some_and(|(uid, value)| *uid == place.endpoint.0 && *value == clear.expose())
    }

    fn seal(&mut self, place: &SecretPlace<'_>, clear: &Secret) -> Result<String, String> {
        let version = format!("{:032x}", self.values.len());
        let value = (place.endpoint.0, clear.expose().to_vec());
        self.values.insert(version.clone(), value);
        Ok(format!("hks1.k{}.{version}.AA.BB", self.key))
    }

    fn make(&mut self, _place: &SecretPlace<'_>) -> Result<Secret, String> {
        self.made += 1;
        Ok(Secret::from(OTHER.to_owned()))
    }
}

struct World {
    catalog: Catalog,
    book: Book,
    offset: i64,
    now: UnixMillis,
}

impl World {
    fn new() -> Self {
        Self {
            catalog: Catalog::with_documents(),
            book: Book::default(),
            offset: 0,
            now: T0,
        }
    }

    fn plan<T>(&mut self, make: impl FnOnce(&Catalog, &mut Given<'_>, &mut Book) -> T) -> T {
        let mut uid = 100 + u128::from(self.offset.unsigned_abs());
        let mut new_uid = || {
            uid += 1;
            uid
        };
        let mut given = Given {
            now: self.now,
            topic_prefix: "hooklane.",
            start_offsets: &StartOffsets::new(),
            new_uid: &mut new_uid,
        };
        make(&self.catalog, &mut given, &mut self.book)
    }

    fn write(&mut self, plan: &Plan) {
        for (key, value) in &plan.writes {
            let applied = self
                .catalog
                .apply_config(self.offset, key.as_bytes(), value.as_deref());
            assert!(applied.problems.is_empty(), "{:?}", applied.problems);
            self.offset += 1;
        }
    }

    fn apply(&mut self, yaml: &str) -> Result<Plan, PlanError> {
        let documents = parse_yaml(yaml).unwrap();
        let plan =
            self.plan(|catalog, given, book| apply_sealing(catalog, documents, given, book))?;
        self.write(&plan);
        Ok(plan)
    }

    fn stored(&self) -> (Value, u64) {
        let documents = self.catalog.documents();
        let document = documents[0].1;
        (document.spec.clone(), document.manifest.meta().generation)
    }
}

fn endpoint(signing: &str) -> String {
    format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: 'https://erp.example/', signing: {signing}}}"
    )
}

fn standard(secrets: &str) -> String {
    endpoint(&format!("{{scheme: standard, secrets: [{secrets}]}}"))
}

fn actions(plan: &Plan) -> Vec<Action> {
    plan.changes.iter().map(|c| c.action).collect()
}

#[test]
fn a_secret_in_clear_is_stored_sealed_and_known_again() {
    let mut world = World::new();
    let file = standard(&format!("{{value: {CLEAR}}}"));
    let plan = world.apply(&file).unwrap();
    let written = plan.writes.iter().filter_map(|(_, value)| value.as_ref());
    let written: String = written.map(|v| String::from_utf8_lossy(v)).collect();
    assert!(!written.contains("MfKQ9r8G"), "{written}");
    let (spec, _) = world.stored();
    let stored = &spec["signing"]["secrets"][0];
    assert_eq!(stored["createdAt"], T0.to_rfc3339());
    assert!(stored["sealed"].as_str().unwrap().starts_with("hks1."));

    world.now = T0.after(Duration::from_secs(60));
    let again = world.apply(&file).unwrap();
    assert_eq!(actions(&again), [Action::Unchanged]);
    assert!(again.writes.is_empty());
    assert_eq!(world.book.values.len(), 1, "nothing was sealed again");

    let other = world
        .apply(&standard(&format!("{{value: '{OTHER}'}}")))
        .unwrap();
    assert_eq!(actions(&other), [Action::Update]);
    assert_eq!(world.stored().1, 2);
}

#[test]
fn what_people_see_can_be_applied_and_keeps_the_secrets() {
    let mut world = World::new();
    world
        .apply(&standard(&format!(
            "{{value: {CLEAR}}}, {{value: '{OTHER}', expiresAt: '2027-01-01T00:00:00Z'}}"
        )))
        .unwrap();
    let shown = world.catalog.documents()[0].1.to_shown();
    let text = shown.to_string();
    assert!(!text.contains(".AA.BB") && !text.contains("MfKQ"), "{text}");
    let plan = world.apply(&text).unwrap();
    assert_eq!(actions(&plan), [Action::Unchanged]);
    // One taken out is gone, the other stays what it was.
    let (before, _) = world.stored();
    let mut less = shown;
    less["spec"]["signing"]["secrets"]
        .as_array_mut()
        .unwrap()
        .remove(1);
    less["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("generation");
    world.apply(&less.to_string()).unwrap();
    let (after, _) = world.stored();
    assert_eq!(
        after["signing"]["secrets"],
        json!([before["signing"]["secrets"][0]])
    );
}

#[test]
fn a_handle_of_another_endpoint_names_nothing() {
    let mut world = World::new();
    world
        .apply(&standard(&format!("{{value: {CLEAR}}}")))
        .unwrap();
    let sealed = world.stored().0["signing"]["secrets"][0]["sealed"].to_string();
    let thief = standard(&format!("{{sealed: {sealed}}}")).replace("name: erp", "name: zoo");
    let error = world.apply(&thief).unwrap_err().to_string();
    assert!(
        error.contains("Endpoint acme/zoo: spec.signing.secrets[0]: names no secret"),
        "{error}"
    );
    // Nor does a value in the wrong field, and it is not repeated.
    let error = world.apply(&standard(&format!("{{sealed: {CLEAR}}}")));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("names no secret") && !error.contains("MfKQ"),
        "{error}"
    );
}

#[test]
fn one_is_made_where_none_is_given_and_then_kept() {
    let mut world = World::new();
    let file = endpoint("{scheme: standard}");
    world.apply(&file).unwrap();
    let (first, _) = world.stored();
    assert_eq!(first["signing"]["secrets"].as_array().unwrap().len(), 1);
    let again = world.apply(&file).unwrap();
    assert_eq!(actions(&again), [Action::Unchanged]);
    // Changing something else does not make another one.
    world.apply(&file.replace("example/", "example/x")).unwrap();
    assert_eq!(world.stored().0["signing"], first["signing"]);
    assert_eq!(world.book.made, 1);
}

#[test]
fn without_keys_only_what_is_stored_can_stay() {
    let mut world = World::new();
    world.apply(&endpoint("{scheme: standard}")).unwrap();
    let shown = world.catalog.documents()[0].1.to_shown().to_string();
    let plain = |world: &mut World, yaml: &str| {
        let documents = parse_yaml(yaml).unwrap();
        world.plan(|catalog, given, _| apply(catalog, documents, given))
    };
    let plan = plain(&mut world, &shown).unwrap();
    assert_eq!(actions(&plan), [Action::Unchanged]);
    for yaml in [
        standard(&format!("{{value: {CLEAR}}}")),
        endpoint("{scheme: standard}").replace("erp", "new"),
    ] {
        let error = plain(&mut world, &yaml).unwrap_err().to_string();
        assert!(error.contains("HOOKLANE__SECRETS__KEK_FILE"), "{error}");
        assert!(!error.contains("MfKQ"), "{error}");
    }
}

#[test]
fn a_deletion_leaves_no_sealed_secret_behind() {
    let mut world = World::new();
    world.apply(&endpoint("{scheme: standard}")).unwrap();
    let victims = [Victim::named(world.catalog.documents()[0].0.clone())];
    let plan = world
        .plan(|catalog, given, _| delete(catalog, &victims, given))
        .unwrap();
    let value = plan.writes[0].1.as_ref().unwrap();
    let text = String::from_utf8_lossy(value);
    assert!(text.contains("\"deleted\":true"), "{text}");
    assert!(!text.contains("hks1"), "{text}");
    world.write(&plan);
}

#[test]
fn a_record_with_a_secret_in_clear_is_not_read() {
    let mut world = World::new();
    let value = parse_yaml(&standard(&format!("{{value: {CLEAR}}}"))).unwrap()[0].to_json();
    let mut value = value;
    value["metadata"]["uid"] = json!(EndpointUid(7).to_string());
    value["metadata"]["generation"] = json!(1);
    let value = value.to_string().into_bytes();
    let applied = world
        .catalog
        .apply_config(0, b"Endpoint/acme/erp", Some(&value));
    let problem = applied.problems[0].to_string();
    assert!(applied.changes.is_empty());
    assert!(
        problem.contains("spec.signing.secrets[0].value: is a secret in clear"),
        "{problem}"
    );
    assert!(!problem.contains("MfKQ"), "{problem}");
}

#[test]
fn no_debug_output_shows_a_secret() {
    let document = &parse_yaml(&standard(&format!("{{value: {CLEAR}}}"))).unwrap()[0];
    let shown = format!("{document:?} {:#?} {}", document, document.to_shown());
    assert!(!shown.contains("MfKQ"), "{shown}");
}

#[test]
fn requests_are_signed_unless_the_manifest_says_otherwise() {
    let silent = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: acme, name: erp}\n\
                  spec: {url: 'https://erp.example/'}";
    let mut world = World::new();
    let documents = || parse_yaml(silent).unwrap();
    let error = world
        .plan(|catalog, given, _| apply(catalog, documents(), given))
        .unwrap_err()
        .to_string();
    for part in ["{scheme: none}", "HOOKLANE__SECRETS__KEK_FILE"] {
        assert!(error.contains(part), "{error}");
    }
    world.apply(silent).unwrap();
    let (spec, _) = world.stored();
    assert_eq!(spec["signing"]["scheme"], "standard");
    assert_eq!(spec["signing"]["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(actions(&world.apply(silent).unwrap()), [Action::Unchanged]);
    // The scheme is the default one as well where secrets alone are given.
    let plan = world.apply(&endpoint(&format!("{{secrets: [{{value: {CLEAR}}}]}}")));
    assert_eq!(actions(&plan.unwrap()), [Action::Update]);
    assert_eq!(world.book.made, 1);
    // Who says so is not signed, and what is stored stays what it says.
    world.apply(&endpoint("{scheme: none}")).unwrap();
    assert_eq!(world.stored().0["signing"], json!({"scheme": "none"}));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let places = [
        json!({"scheme": CLEAR}),
        json!({"secrets": CLEAR}),
        json!({"secrets": "short-but-secret"}),
        json!({"secrets": [CLEAR]}),
        json!({"secrets": [{CLEAR: 1}]}),
        json!({"secrets": [{"sealed": [CLEAR]}]}),
        json!({"secrets": [{"value": [CLEAR]}]}),
        json!({"secrets": [{"value": {"text": CLEAR}}]}),
        json!({"secrets": [{"value": CLEAR, "vlaue": CLEAR}]}),
        json!({"secrets": [{"value": format!("{CLEAR}!")}]}),
        json!({"secrets": [{"value": CLEAR, "expiresAt": CLEAR}]}),
        json!({"secrets": [{"valueFrom": CLEAR}]}),
        json!({"secrets": [{"valueFrom": {CLEAR: CLEAR}}]}),
        json!({"header": CLEAR, "secrets": [{"value": CLEAR}]}),
        json!({CLEAR: CLEAR}),
        json!(CLEAR),
    ];
    for signing in places {
        let error = parse_yaml(&endpoint(&signing.to_string())).unwrap_err();
        let said = format!("{error} {error:?}");
        let shown = said.contains("MfKQ9r8G") || said.contains("short-but");
        assert!(!shown, "{signing}: {said}");
    }
}
