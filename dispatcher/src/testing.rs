//! What unit tests of this package share.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_engine::{
    AttemptEnd, AttemptEntry, AttemptResult, BreakerState, EndpointView, OpenEnvelope, Outcome,
    WorkId,
};
use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, Target,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::Lane;
use hooklane_model::resource::{Endpoint, Manifest, Strictness, parse_value};
use hooklane_model::time::UnixMillis;
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

/// The attempt number `n` at an endpoint; its event id is padded to `bytes`.
pub(crate) fn entry(
    n: u32,
    endpoint: &Arc<Endpoint>,
    terminal: bool,
    bytes: usize,
) -> AttemptEntry {
    let target = Target {
        delivery: DeliveryId(u128::from(n)),
        endpoint: endpoint.uid(),
        subscription: SubscriptionUid(7),
        attempt: 1,
        due: UnixMillis(0),
        delayed_at: UnixMillis(0),
        spills: 0,
    };
    let envelope = Envelope {
        origin: Origin::Ingest { run: 1 },
        event: EventHead {
            id: "x".repeat(bytes),
            ..EventHead::default()
        },
        position: SourcePosition::default(),
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp::default(),
        first_seen: UnixMillis(0),
        targets: vec![target],
    };
    AttemptEntry {
        work: WorkId { slot: n, seq: n },
        endpoint: endpoint.clone(),
        envelope: Rc::new(OpenEnvelope {
            envelope,
            payload: Bytes::new(),
        }),
        target,
        result: AttemptResult {
            started_at: UnixMillis(1_614_265_330_042),
            elapsed: Duration::from_millis(3),
            end: AttemptEnd::Response {
                status: 200,
                retry_after: None,
                directive: None,
            },
        },
        outcome: Outcome::Delivered,
        next_due: None,
        terminal,
    }
}
