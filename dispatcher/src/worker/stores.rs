//! The records a worker reads and writes: decoding, poison, and what waits
//! for room in the client's queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use hooklane_model::catalog::{Consent, Health, Snapshot, Unverified};
use hooklane_model::envelope::{DecodeError, Envelope};
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::time::UnixMillis;

use super::log::{AttemptsLog, Batch};
use super::{Board, ReadRecord};
use crate::metrics::Metrics;
use crate::outbox::{Full, Outbox};
use crate::records;
use crate::token::{About, pack};
use hooklane_engine::{Action, Epoch, Event, Mono, Now, OpenEnvelope, StoreError, Stored};

/// What a record turned out to be.
pub(super) enum Read {
    Envelope(Rc<OpenEnvelope>),
    /// On its way to the poison topic.
    Poison,
    /// Behind a record that this release cannot read yet.
    Ignored,
}

/// A poison record on its way: where it stood.
type Place = (Lane, Epoch, i64);

/// A record to be written.
enum Store {
    Action(Action),
    /// A record of the status topic that is for people.
    Snapshot {
        key: String,
        value: Option<Vec<u8>>,
    },
    Attempts(Batch),
    Poison {
        number: u32,
        key: String,
        value: Option<bytes::Bytes>,
        note: Vec<u8>,
    },
}

pub(super) struct Stores {
    worker: u16,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    /// What is to be written, in order. Bounded by the deliveries in memory:
    /// at most two records each, one per poison record read, and what a look
    /// at the endpoints wrote.
    waiting: VecDeque<Store>,
    log: AttemptsLog,
    poison: HashMap<u32, Place>,
    next_poison: u32,
    /// Lanes that stand before a record of a newer release.
    too_new: HashSet<Lane>,
    blocked: bool,
}

impl Stores {
    pub(super) fn new(worker: u16, outbox: Outbox, metrics: Arc<Metrics>) -> Self {
        Self {
            worker,
            log: AttemptsLog::new(outbox.log_partitions()),
            outbox,
            metrics,
            waiting: VecDeque::new(),
            poison: HashMap::new(),
            next_poison: 0,
            too_new: HashSet::new(),
            blocked: false,
        }
    }

    /// Whether the client's queue was full when last tried.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether records wait to be sent or poison records to be acked.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.poison.is_empty() || self.log.is_open()
    }

    pub(super) fn lane_assigned(&mut self, lane: Lane) {
        self.too_new.remove(&lane);
    }

    /// Decodes a record. What cannot be read goes to the poison topic; what a
    /// newer release wrote stops its lane, because it is not poison.
    pub(super) fn read(&mut self, record: ReadRecord, board: &Board, now: UnixMillis) -> Read {
        if self.too_new.contains(&record.lane) {
            return Read::Ignored;
        }
        let decoded = match &record.value {
            Some(value) => Envelope::decode(value),
            None => Err(DecodeError::NotAFrame("no value")),
        };
        match decoded {
            Ok((envelope, payload)) => Read::Envelope(Rc::new(OpenEnvelope { envelope, payload })),
            Err(error @ DecodeError::Newer { .. }) => {
                tracing::error!(
                    lane = record.lane.0,
                    offset = record.offset,
                    %error,
                    "lane stopped until this release is upgraded"
                );
                self.too_new.insert(record.lane);
                board.set_too_new(record.lane);
                Read::Ignored
            }
            Err(error) => {
                self.poison(record, &error, now);
                Read::Poison
            }
        }
    }

    fn poison(&mut self, record: ReadRecord, error: &DecodeError, now: UnixMillis) {
        let topic = &self.outbox.topics().deliveries;
        let place = (record.lane.partition(), record.offset);
        tracing::warn!(%topic, partition = place.0, offset = place.1, %error, "unreadable record");
        self.metrics.poison.inc();
        let note = records::poison_note(topic, place, error.to_string(), now);
        let key = format!("{topic}/{}", place.0);
        let number = self.next_poison;
        self.next_poison = self.next_poison.wrapping_add(1);
        self.poison
            .insert(number, (record.lane, record.epoch, record.offset));
        self.waiting.push_back(Store::Poison {
            number,
            key,
            value: record.value,
            note,
        });
    }

    /// Takes an action that writes a record.
    pub(super) fn push(&mut self, action: Action, now: Mono) {
        self.metrics.deciding(&action);
        match action {
            Action::Attempted(entry) => {
                let full = self.log.add(&entry, now);
                self.waiting.extend(full.map(Store::Attempts));
            }
            other => self.waiting.push_back(Store::Action(other)),
        }
    }

    /// Takes what people are to know of an endpoint; `None` deletes it.
    pub(super) fn push_snapshot(&mut self, endpoint: EndpointUid, snapshot: Option<&Snapshot>) {
        self.waiting.push_back(Store::Snapshot {
            key: Snapshot::key(endpoint),
            value: snapshot.map(records::snapshot),
        });
    }

    /// Sends what waits, as far as the client has room; of the attempts log
    /// what is old enough.
    pub(super) fn send(&mut self, now: Now) {
        if self.log.is_ripe(now.mono) {
            self.waiting.extend(self.log.close().map(Store::Attempts));
        }
        self.send_waiting(now.wall);
    }

    /// Sends everything: its lane is let go, so nothing may be left here that
    /// a flush of the client would not find.
    pub(super) fn send_all(&mut self, now: Now) {
        self.waiting.extend(self.log.close().map(Store::Attempts));
        self.send_waiting(now.wall);
    }

    fn send_waiting(&mut self, now: UnixMillis) {
        self.blocked = false;
        while let Some(store) = self.waiting.pop_front() {
            if let Err(Full) = self.send_one(&store, now) {
                self.waiting.push_front(store);
                self.blocked = true;
                return;
            }
            if let Store::Attempts(batch) = store {
                self.log.sent(batch);
            }
        }
    }

    fn send_one(&self, store: &Store, now: UnixMillis) -> Result<(), Full> {
        let token = |about| pack(self.worker, about);
        match store {
            Store::Poison {
                number,
                key,
                value,
                note,
            } => self
                .outbox
                .poison(key, value.as_deref(), note, token(About::Poison(*number))),
            Store::Attempts(batch) => {
                let about = match batch.number() {
                    Some(number) => About::Attempts(number),
                    None => About::Nobody,
                };
                self.outbox
                    .attempts(batch.partition(), batch.value(), token(about))
            }
            Store::Snapshot { key, value } => {
                self.outbox
                    .status(key, value.as_deref(), token(About::Nobody))
            }
            Store::Action(Action::Delay(order)) => {
                let about = About::Delay(order.work);
                let key = order.target.endpoint.to_string();
                self.outbox
                    .delay(order.rung, &key, &records::delay(order), token(about))
            }
            Store::Action(Action::Bury(order)) => {
                let about = About::Dead(order.work);
                let key = order.target.endpoint.to_string();
                let bytes = if order.without_bytes {
                    &[]
                } else {
                    &order.envelope.payload[..]
                };
                self.outbox
                    .dead(&key, bytes, &records::dead_note(order, now), token(about))
            }
            Store::Action(Action::Disable(order)) => {
                let key = order.endpoint.uid().to_string();
                self.outbox.status(
                    &key,
                    Some(&records::disabled(order, now)),
                    token(About::Nobody),
                )
            }
            Store::Action(Action::Health(order)) => {
                let key = Health::key(order.endpoint);
                self.outbox
                    .status(&key, Some(&records::health(order)), token(About::Nobody))
            }
            Store::Action(Action::Consent(order)) => {
                let value = order.consent.as_deref().map(records::consent);
                let key = Consent::key(order.endpoint);
                self.outbox
                    .status(&key, value.as_deref(), token(About::Nobody))
            }
            Store::Action(Action::Unverified(order)) => {
                let value = order.unverified.as_deref().map(records::unverified);
                let key = Unverified::key(order.endpoint);
                self.outbox
                    .status(&key, value.as_deref(), token(About::Nobody))
            }
            // The worker keeps these to itself, or they are in the log.
            Store::Action(
                Action::Send(_)
                | Action::Verify(_)
                | Action::Attempted(_)
                | Action::Released { .. },
            ) => Ok(()),
        }
    }

    /// Appends the events that a report is for the core.
    pub(super) fn reported(
        &mut self,
        about: About,
        result: Result<(), StoreError>,
        events: &mut VecDeque<Event>,
    ) {
        let stored = |work, what| Event::Stored { work, what, result };
        match about {
            About::Attempts(number) => {
                let works = self.log.acked(number).into_iter();
                events.extend(works.map(|work| stored(work, Stored::Attempt)));
            }
            About::Delay(work) => events.push_back(stored(work, Stored::Delay)),
            About::Dead(work) => events.push_back(stored(work, Stored::Dead)),
            About::Poison(number) => {
                if let Some((lane, epoch, offset)) = self.poison.remove(&number) {
                    events.push_back(Event::Poisoned {
                        lane,
                        epoch,
                        offset,
                    });
                }
            }
            About::Nobody => {}
        }
    }
}
