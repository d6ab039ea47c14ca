//! What unit tests of this package share.

use std::sync::Arc;

use hooklane_engine::{BreakerState, EndpointView};
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::{Endpoint, Manifest, Strictness, parse_value};
use serde_json::json;

pub(crate) fn endpoint(uid: u128) -> Arc<Endpoint> {
    let document = json!({
        "apiVersion": "hooklane/v1",
        "kind": "Endpoint",
        "metadata": {
            "tenant": "acme", "name": format!("e{uid}"),
            "uid": EndpointUid(uid).to_string(), "generation": 3,
        },
        "spec": {"url": "https://r.example/"},
    });
    match parse_value(document, Strictness::Write).unwrap().0.manifest {
        Manifest::Endpoint(endpoint) => Arc::new(endpoint),
        other => panic!("{other:?}"),
    }
}

/// An endpoint with so much waiting, and nothing else to say.
pub(crate) fn view_in(lane: Lane, uid: u128, in_memory: u64) -> EndpointView {
    EndpointView {
        endpoint: endpoint(uid),
        lane,
        in_memory,
        in_flight: 0,
        parked: 0,
        retrying: 0,
        bytes: in_memory * 1_000,
        oldest: None,
        drain: None,
        will_expire_at: None,
        held_until: None,
        breaker: BreakerState::Closed,
        next_probe: None,
        failing_since: None,
    }
}
