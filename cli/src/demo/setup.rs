//! The demo's manifests, applied as `hooklane apply` does it.

use hooklane_model::catalog::Catalog;
use hooklane_model::id::{EndpointUid, SourceUid, new_uid};
use hooklane_model::lane::lane_of;
use hooklane_model::matching::Interest;
use hooklane_model::plan::{self, Given, Plan, StartOffsets};
use hooklane_model::resource::{Document, Manifest, parse_yaml};
use hooklane_model::time::Clock;
use serde_json::{Value, json};

use super::DemoArgs;
use super::endpoints::{ROLES, Role};
use super::error::DemoError;
use super::kafka::Kafka;
use super::receiver::Receiver;
use crate::error::CliError;
use crate::{Io, secrets, store};

/// How many uids are tried to find one in a lane that is still free.
const UID_TRIES: usize = 1_000;

/// What was applied: who wants which events.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) source: SourceUid,
    /// Each subscription, and the place of its endpoint among the roles.
    pub(super) interests: Vec<(usize, Interest)>,
}

/// Writes source, endpoints and subscriptions.
///
/// # Errors
/// When Kafka refuses; the manifests themselves are right.
pub(super) fn apply(
    kafka: &Kafka,
    receiver: &Receiver,
    args: &DemoArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<Setup, DemoError> {
    let urls: Vec<String> = (0..ROLES.len()).map(|index| receiver.url(index)).collect();
    let text = manifests(&kafka.events, &urls, args.rate, args.events.is_some());
    let documents = parse_yaml(&text).map_err(|error| CliError::Files(vec![error.to_string()]))?;
    let mut keys = secrets::sealer(&kafka.cluster, io)?.ok_or(CliError::NoKeys)?;
    let mut used = Vec::new();
    let mut fresh = || spread(kafka, &mut used);
    let mut make = |catalog: &Catalog| -> Result<Plan, CliError> {
        let mut given = Given {
            now: clock.now(),
            topic_prefix: kafka.cluster.names.prefix(),
            start_offsets: &StartOffsets::new(),
            new_uid: &mut fresh,
        };
        plan::apply_sealing(catalog, documents.clone(), &mut given, &mut keys)
            .map_err(CliError::Plan)
    };
    let plan = store::write(&kafka.cluster, &mut make)?;
    let written: Vec<&Document> = plan.changes.iter().map(|change| &change.document).collect();
    Ok(read_back(&written))
}

/// A uid whose lane no endpoint has yet, while there are such: with few lanes
/// chance would put half of the endpoints into one, and nobody could see that
/// lanes do not disturb each other.
fn spread(kafka: &Kafka, used: &mut Vec<u16>) -> u128 {
    for _ in 0..UID_TRIES {
        let uid = new_uid();
        let lane = lane_of(EndpointUid(uid), kafka.lanes).0;
        if !used.contains(&lane) {
            used.push(lane);
            return uid;
        }
        if used.len() >= usize::from(kafka.lanes.get()) {
            used.clear();
        }
    }
    new_uid()
}

/// The manifests. Events of a file have types that nobody knows, so then
/// everybody takes everything of his tenant.
fn manifests(topic: &str, urls: &[String], rate: u32, all_types: bool) -> String {
    let document = |kind: &str, metadata: Value, spec: Value| {
        json!({"apiVersion": "hooklane/v1", "kind": kind, "metadata": metadata, "spec": spec})
            .to_string()
    };
    let mut documents = vec![document(
        "Source",
        json!({"name": "demo"}),
        json!({"topic": topic, "tenant": {"header": "tenant"}, "startFrom": "earliest"}),
    )];
    // Endpoints first: they get the uids that are spread over the lanes.
    for (role, url) in ROLES.iter().zip(urls) {
        let metadata = json!({"tenant": role.tenant, "name": role.name});
        documents.push(document("Endpoint", metadata, role.spec(url, rate)));
    }
    for role in &ROLES {
        let mut spec = json!({"source": "demo", "endpoint": role.name});
        if !all_types {
            spec["eventTypes"] = json!(role.types);
            if let Some(filter) = role.filter() {
                spec["filter"] = filter;
            }
        }
        let metadata = json!({"tenant": role.tenant, "name": role.name});
        documents.push(document("Subscription", metadata, spec));
    }
    documents.join("\n---\n")
}

/// What stands in the configuration, as the demo needs it.
fn read_back(written: &[&Document]) -> Setup {
    let mut setup = Setup {
        source: SourceUid(0),
        interests: Vec::new(),
    };
    for document in written {
        match &document.manifest {
            Manifest::Source(source) => setup.source = source.uid(),
            Manifest::Endpoint(_) => {}
            Manifest::Subscription(subscription) => {
                let (meta, spec) = (&subscription.meta, &subscription.spec);
                let role = Role::find(&meta.tenant, &spec.endpoint);
                let (Some(role), Some(bound)) = (role, subscription.bound) else {
                    continue;
                };
                let interest = Interest {
                    subscription: subscription.uid(),
                    endpoint: bound.endpoint,
                    source: bound.source,
                    tenant: meta.tenant.clone(),
                    event_types: spec.event_types.clone(),
                    filter: spec.filter.clone(),
                };
                setup.interests.push((role, interest));
            }
        }
    }
    setup
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hooklane_model::time::UnixMillis;
    use hooklane_secrets::{KeyId, Keyring, Sealer, SystemEntropy};

    use super::*;

    fn planned(all_types: bool) -> Setup {
        let urls = vec!["http://127.0.0.1:8080/x".to_owned(); ROLES.len()];
        let documents = parse_yaml(&manifests("events", &urls, 50, all_types)).unwrap();
        let mut next = 0;
        let mut given = Given {
            now: UnixMillis(1),
            topic_prefix: "hooklane.",
            start_offsets: &BTreeMap::new(),
            new_uid: &mut || {
                next += 1;
                next
            },
        };
        let id = KeyId::parse("k1").unwrap();
        let text = Keyring::generate(&id, &mut SystemEntropy).unwrap();
        let keyring = Keyring::parse(&text).unwrap();
        let mut keys = Sealer::new(keyring, Box::new(SystemEntropy));
        let plan =
            plan::apply_sealing(&Catalog::with_documents(), documents, &mut given, &mut keys)
                .unwrap();
        let written: Vec<&Document> = plan.changes.iter().map(|c| &c.document).collect();
        read_back(&written)
    }

    #[test]
    fn the_manifests_are_good_and_every_role_has_its_subscription() {
        for all_types in [false, true] {
            let setup = planned(all_types);
            assert_ne!(setup.source, SourceUid(0));
            let roles: Vec<usize> = setup.interests.iter().map(|(role, _)| *role).collect();
            assert_eq!(roles, [0, 1, 2, 3, 4]);
            let filters = setup.interests.iter().filter(|(_, i)| i.filter.is_some());
            assert_eq!(filters.count(), usize::from(!all_types));
        }
    }
}
