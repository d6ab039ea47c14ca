//! Receivers that must agree before anything is delivered to them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::{Change, Consent, Disabled, EndpointStatus, Unverified};
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::{Endpoint, Verification};
use serde_json::{Value, json};

use super::bench::*;

const UID: EndpointUid = EndpointUid(1);

/// The endpoint, which asks its receiver.
fn asking(generation: u64, url: &str, rest: Value) -> Arc<Endpoint> {
    let mut spec = rest;
    spec["url"] = json!(url);
    let mut endpoint = Endpoint::clone(&endpoint(1, generation, spec));
    endpoint.spec.verification = Verification::Handshake;
    Arc::new(endpoint)
}

const OLD: &str = "https://old.example/";
const NEW: &str = "https://new.example/";

fn bench(endpoint: Arc<Endpoint>) -> (Bench, Vec<Action>) {
    let mut bench = Bench::with(100);
    let actions = bench.configure(0, vec![Change::Endpoint(endpoint)]);
    (bench, actions)
}

fn asked(actions: &[Action]) -> Vec<(VerifyId, VerifyPass, String)> {
    let order = |action: &Action| match action {
        Action::Verify(order) => {
            let url = order.endpoint.spec.url.to_string();
            Some((order.id, order.pass.clone(), url))
        }
        _ => None,
    };
    actions.iter().filter_map(order).collect()
}

fn consents(actions: &[Action]) -> Vec<Option<Arc<Consent>>> {
    let order = |action: &Action| match action {
        Action::Consent(order) => Some(order.consent.clone()),
        _ => None,
    };
    actions.iter().filter_map(order).collect()
}

fn said(actions: &[Action]) -> Vec<Option<Arc<Unverified>>> {
    let order = |action: &Action| match action {
        Action::Unverified(order) => Some(order.unverified.clone()),
        _ => None,
    };
    actions.iter().filter_map(order).collect()
}

fn parked(actions: &[Action]) -> Vec<Option<ParkReason>> {
    delays(actions).iter().map(|order| order.parked).collect()
}

fn agrees(per_minute: Option<u32>) -> VerifyEnd {
    VerifyEnd::Consented {
        per_minute: per_minute.and_then(NonZeroU32::new),
    }
}

fn refuses(side: Side) -> VerifyEnd {
    VerifyEnd::Failed {
        reason: "no_consent",
        status: Some(200),
        side,
        retry_after: None,
    }
}

impl Bench {
    fn verified(&mut self, millis: u64, id: VerifyId, end: VerifyEnd) -> Vec<Action> {
        self.step(millis, Event::Verified { id, end })
    }

    /// From then on, when each of the next requests comes, all of which fail.
    fn asks(&mut self, mut millis: u64, times: usize) -> Vec<u64> {
        let mut at = Vec::new();
        while at.len() < times {
            let next = self.core.next_wake().expect("it is asked again");
            millis = (next.0 / 1_000_000).saturating_sub(BOOTED).max(millis) + 1;
            for (id, ..) in asked(&self.step(millis, Event::Time)) {
                at.push(millis);
                self.verified(millis, id, refuses(Side::Receiver));
            }
        }
        at
    }
}

#[test]
fn nothing_is_sent_before_the_receiver_agrees_and_then_at_its_rate() {
    let spec = json!({"rateLimit": {"perSecond": 1_000, "burst": 10}});
    let (mut bench, actions) = bench(asking(1, OLD, spec));
    let [(id, pass, _)] = &asked(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(pass.start());
    assert_eq!(bench.core.gauges().endpoints_unverified, 1);
    let actions = bench.read(10, vec![target(1, 1), target(2, 1)]);
    assert_eq!(parked(&actions), [Some(ParkReason::Unverified); 2]);
    assert!(asked(&actions).is_empty(), "one request at a time");
    let actions = bench.verified(20, *id, agrees(Some(30)));
    let [Some(consent)] = &consents(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(consent.allowed_per_minute, NonZeroU32::new(30));
    assert_eq!(consent.method, "handshake");
    assert_eq!(bench.core.gauges().endpoints_unverified, 0);
    // What the own limit had earned is void: the first after two seconds, and
    // no burst.
    let mut starts = Vec::new();
    let mut actions = bench.read(20, vec![target(3, 1), target(4, 1)]);
    for second in 1..=30 {
        for work in sends(&actions) {
            starts.push(second - 1);
            bench.finish(second * 1_000, work, status(200));
        }
        actions = bench.step(20 + second * 1_000, Event::Time);
    }
    assert_eq!(starts, [2, 4]);
    assert_eq!(parked(&bench.read(40_000, vec![target(5, 1)])), []);
}

#[test]
fn a_consent_on_record_is_enough_and_caps_the_own_limit() {
    let spec = json!({"rateLimit": {"perSecond": 100, "burst": 50}});
    let endpoint = asking(1, OLD, spec);
    let (mut first, actions) = bench(endpoint.clone());
    let (id, ..) = asked(&actions).remove(0);
    let consent = consents(&first.verified(1, id, agrees(Some(120)))).remove(0);
    let mut next = Bench::with(100);
    let known = [Change::Endpoint(endpoint), Change::Consent(UID, consent)];
    assert!(asked(&next.configure(0, known.to_vec())).is_empty());
    next.step(60_000, Event::Time);
    let targets = (1..=50).map(|id| target(id, 1)).collect();
    assert_eq!(sends(&next.read(60_000, targets)).len(), 3);
}

#[test]
fn a_late_answer_of_the_old_url_says_nothing_of_the_new_one() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({})));
    let (old, pass, _) = asked(&actions).remove(0);
    let edit = vec![Change::Endpoint(asking(2, NEW, json!({})))];
    assert!(asked(&bench.configure(1, edit)).is_empty(), "one at a time");
    assert!(!pass.start(), "while it connects it is stopped");
    let actions = bench.verified(2, old, agrees(None));
    assert_eq!(consents(&actions), []);
    let actions = [actions, bench.step(1_000, Event::Time)].concat_all();
    let (new, _, url) = asked(&actions).remove(0);
    assert_eq!(url, NEW);
    let actions = bench.read(1_001, vec![target(1, 1)]);
    assert_eq!(parked(&actions), [Some(ParkReason::Unverified)]);
    assert_eq!(consents(&bench.verified(1_002, new, agrees(None))).len(), 1);
    assert_eq!(sends(&bench.read(1_003, vec![target(2, 1)])).len(), 1);
}

/// Two lists of actions, one after the other.
trait ConcatAll {
    fn concat_all(self) -> Vec<Action>;
}

impl ConcatAll for [Vec<Action>; 2] {
    fn concat_all(self) -> Vec<Action> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn an_edit_of_anything_else_asks_nobody_again() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    bench.verified(1, id, agrees(None));
    let edit = asking(2, OLD, json!({"timeout": "3s"}));
    let actions = bench.configure(2, vec![Change::Endpoint(edit)]);
    assert!(asked(&actions).is_empty());
    assert_eq!(sends(&bench.read(3, vec![target(1, 1)])).len(), 1);
}

#[test]
fn what_a_former_owner_says_late_changes_nothing() {
    let (mut first, actions) = bench(asking(1, OLD, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    let failed = said(&first.verified(1, id, refuses(Side::Receiver))).remove(0);
    let (mut other, actions) = bench(asking(1, OLD, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    let stale = consents(&other.verified(1, id, agrees(None))).remove(0);
    let (mut bench, actions) = bench(asking(2, NEW, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    bench.verified(2, id, agrees(None));
    let late = vec![Change::Consent(UID, stale), Change::Unverified(UID, failed)];
    let actions = bench.configure(3, late);
    assert!(asked(&actions).is_empty());
    assert_eq!(said(&actions), [None], "and is deleted");
    assert_eq!(sends(&bench.read(4, vec![target(1, 1)])).len(), 1);
}

#[test]
fn a_person_has_it_asked_again() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({"maxConcurrency": 1})));
    let (id, ..) = asked(&actions).remove(0);
    let consent = consents(&bench.verified(1, id, agrees(None))).remove(0);
    // Its own record comes back, and changes nothing.
    bench.configure(2, vec![Change::Consent(UID, consent)]);
    let sent = sends(&bench.read(3, vec![target(1, 1), target(2, 1)]));
    assert_eq!(sent.len(), 1);
    let actions = bench.configure(4, vec![Change::Consent(UID, None)]);
    assert_eq!(
        parked(&actions),
        [Some(ParkReason::Unverified)],
        "the queue"
    );
    let actions = [actions, bench.step(1_000, Event::Time)].concat_all();
    assert_eq!(asked(&actions).len(), 1);
}

#[test]
fn it_is_asked_again_later_and_later_and_the_next_owner_goes_on_there() {
    let (mut first, actions) = bench(asking(1, OLD, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    let failed = said(&first.verified(0, id, refuses(Side::Receiver))).remove(0);
    assert_eq!(failed.as_ref().unwrap().tries, 1);
    let at = first.asks(0, 12);
    let mut before = 0;
    for (at, wait) in at
        .iter()
        .zip([10, 20, 40, 80, 160, 320, 600, 600, 600, 600])
    {
        let (wait, waited) = (wait * 1_000, at - before);
        assert!(
            (wait..wait * 12 / 10 + 10).contains(&waited),
            "{wait}: {waited}"
        );
        before = *at;
    }
    let mut next = Bench::with(100);
    let known = vec![
        Change::Endpoint(asking(1, OLD, json!({}))),
        Change::Unverified(UID, failed.clone()),
    ];
    // All that is known comes before the lanes.
    let lane = LANE;
    let next_offset = 0;
    next.step(
        0,
        Event::LaneRevoked {
            lane,
            deadline: at_millis(0),
        },
    );
    assert!(asked(&next.configure(0, known)).is_empty());
    let claim = Event::LaneAssigned {
        lane,
        epoch: Epoch(2),
        next: next_offset,
    };
    assert!(asked(&next.step(1, claim)).is_empty());
    assert!(next.asks(1, 1)[0] >= 10_000);
    // What a person has mended is asked at once; so is what a person asks for.
    let edit = asking(2, OLD, json!({"timeout": "3s"}));
    let actions = first.configure(at[11] + 50, vec![Change::Endpoint(edit)]);
    let (id, ..) = asked(&actions).remove(0);
    first.verified(at[11] + 51, id, refuses(Side::Receiver));
    let actions = first.configure(at[11] + 100, vec![Change::Unverified(UID, None)]);
    assert_eq!(asked(&actions).len(), 1);
}

fn at_millis(millis: u64) -> Mono {
    at(millis).mono
}

#[test]
fn a_failure_is_written_when_it_says_something_new() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({})));
    let mut id = asked(&actions).remove(0).0;
    let mut written = Vec::new();
    let mut millis = 0;
    for _ in 0..24 {
        let actions = bench.verified(millis, id, refuses(Side::Receiver));
        written.extend(said(&actions).into_iter().flatten().map(|said| said.tries));
        millis += 800_000;
        let again = bench.step(millis, Event::Time);
        id = asked(&again).remove(0).0;
    }
    assert_eq!(written, [1, 2, 3, 4, 5, 6, 7, 12, 18, 24]);
    let other = VerifyEnd::Failed {
        reason: "dns",
        status: None,
        side: Side::Network,
        retry_after: Some(Duration::from_secs(1_800)),
    };
    let said = said(&bench.verified(millis, id, other)).remove(0).unwrap();
    assert_eq!((said.reason.as_str(), said.tries), ("dns", 25));
    let wait = said.next_try.unwrap().since(at(millis).wall);
    assert_eq!(wait, Duration::from_secs(1_800), "its own word");
}

#[test]
fn who_is_not_to_be_called_is_not_asked_either() {
    let paused = || asking(2, OLD, json!({"paused": true}));
    let disabled = || EndpointStatus {
        observed_generation: 1,
        disabled: Some(Disabled {
            reason: "gone".to_owned(),
            at: "2026-01-01T00:00:00.000Z".to_owned(),
        }),
        ..EndpointStatus::default()
    };
    for stop in [
        Change::Endpoint(paused()),
        Change::Status(UID, disabled().into()),
        Change::EndpointGone(UID),
    ] {
        let (mut bench, actions) = bench(asking(1, OLD, json!({})));
        let (id, pass, _) = asked(&actions).remove(0);
        bench.configure(1, vec![stop]);
        assert!(!pass.start());
        assert_eq!(bench.core.gauges().endpoints_unverified, 0);
        let actions = bench.verified(2, id, agrees(None));
        assert!(consents(&actions).is_empty());
        assert!(asked(&bench.step(900_000, Event::Time)).is_empty());
    }
}

#[test]
fn a_deleted_endpoint_leaves_nothing_behind() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({})));
    let (id, ..) = asked(&actions).remove(0);
    bench.verified(1, id, refuses(Side::Receiver));
    let actions = bench.configure(2, vec![Change::EndpointGone(UID)]);
    assert_eq!((consents(&actions), said(&actions)), (vec![], vec![None]));
    let created = bench.configure(100, vec![Change::Endpoint(asking(1, OLD, json!({})))]);
    let (id, ..) = asked(&created).remove(0);
    bench.verified(101, id, agrees(None));
    let actions = bench.configure(102, vec![Change::EndpointGone(UID)]);
    assert_eq!(consents(&actions), [None]);
}

#[test]
fn a_lane_that_is_let_go_asks_no_more_and_a_lease_is_needed() {
    let (mut bench, actions) = bench(asking(1, OLD, json!({})));
    let (id, pass, _) = asked(&actions).remove(0);
    let (lane, deadline) = (LANE, at(5_000).mono);
    bench.step(1, Event::LaneRevoked { lane, deadline });
    assert!(!pass.start());
    assert!(consents(&bench.verified(2, id, agrees(None))).is_empty());
    bench.core.set_lease(at(0).mono);
    let claim = Event::LaneAssigned {
        lane,
        epoch: Epoch(2),
        next: 0,
    };
    assert!(asked(&bench.step(1_000, claim)).is_empty());
    bench.core.set_lease(at(9_000).mono);
    let actions = bench.step(2_000, Event::Time);
    let (id, ..) = asked(&actions).remove(0);
    bench.verified(2_001, id, VerifyEnd::NotStarted);
    assert!(asked(&bench.step(2_900, Event::Time)).is_empty());
    assert_eq!(asked(&bench.step(3_100, Event::Time)).len(), 1);
}

/// Goal: a million of them do not ask at once. Method: a thousand, each of a
/// tenant of its own, whose receivers agree at once.
#[test]
fn a_crowd_is_asked_at_a_bounded_rate() {
    let mut bench = Bench::with(100);
    let crowd = (1..=1_000).map(|uid| {
        let mut one = Endpoint::clone(&endpoint(uid, 1, spec()));
        one.spec.verification = Verification::Ping;
        one.meta.tenant = format!("t{uid}");
        Change::Endpoint(Arc::new(one))
    });
    let mut due = asked(&bench.configure(0, crowd.collect()));
    let mut counts = Vec::new();
    for turn in 1..=1_200 {
        counts.push(due.len());
        let mut next = Vec::new();
        for (id, ..) in due {
            next.extend(asked(&bench.verified(turn * 10, id, agrees(None))));
        }
        next.extend(asked(&bench.step(turn * 10, Event::Time)));
        due = next;
    }
    assert_eq!(counts.iter().max(), Some(&1));
    assert_eq!(counts.iter().sum::<usize>(), 1_000);
    assert_eq!(bench.core.gauges().endpoints_unverified, 0);
}
