//! The accounting itself, by distinct delivery id. Pure: it is fed with the
//! records of the topics, whole, in any order.
//!
//! matched = delivered + dead + expired + pending closes when every delivery
//! that ingest matched is in exactly one of the four. One that is in none is
//! lost; one with two different ends is a conflict, and so counted in both.
//! A delivery that waits and has ended is ended: a repeat of it may wait.
//!
//! Memory: about 40 bytes a delivery.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use hooklane_kafka::record::{Record, TopicPartition};
use hooklane_model::envelope::{Envelope, Origin};
use hooklane_model::id::DeliveryId;
use hooklane_model::ladder::Rung;
use hooklane_model::record::{DeadNote, NOTE_HEADER};
use hooklane_model::topic::TopicNames;
use serde_json::{Value, json};

/// How many ids of each sort of trouble are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// What is known of one delivery.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    matched: bool,
    waits: bool,
    dead: bool,
    expired: bool,
    /// Attempts that the receiver answered with a 2xx.
    delivered: u32,
}

impl Entry {
    fn ends(self) -> usize {
        [self.delivered > 0, self.dead, self.expired]
            .into_iter()
            .filter(|end| *end)
            .count()
    }
}

/// What is known of all deliveries.
#[derive(Debug)]
pub struct Ledger {
    deliveries: String,
    delays: Vec<String>,
    attempts_topic: String,
    dead_topic: String,
    /// Where the groups go on reading; what is not listed is read from its
    /// beginning.
    committed: BTreeMap<TopicPartition, i64>,
    entries: HashMap<u128, Entry>,
    attempts: u64,
    unreadable: u64,
}

/// The account of all deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Deliveries that ingest matched.
    pub matched: u64,
    /// Of these, those that a receiver has.
    pub delivered: u64,
    /// Of these, those that were given up.
    pub dead: u64,
    /// Of these, those that became too old.
    pub expired: u64,
    /// Of these, those that wait and have not ended.
    pub pending: u64,
    /// Of these, those of which nothing is known; the first ids.
    pub lost: Vec<String>,
    /// How many are lost.
    pub lost_count: u64,
    /// Of these, those with more than one end: id and ends, the first ones.
    pub conflicts: Vec<String>,
    /// How many have more than one end.
    pub conflict_count: u64,
    /// Attempts made, whatever they came to.
    pub attempts: u64,
    /// Deliveries to a receiver that had the delivery already.
    pub repeats: u64,
    /// Deliveries that ended or wait and stand in no record of ingest: it was
    /// removed by retention, or they were sent again by a person.
    pub unmatched: u64,
    /// Records that are not what their topic holds.
    pub unreadable: u64,
}

impl Ledger {
    /// An empty ledger of the topics `names`, read by groups that have
    /// committed these offsets.
    #[must_use]
    pub fn new(names: &TopicNames, committed: BTreeMap<TopicPartition, i64>) -> Self {
        Self {
            deliveries: names.deliveries(),
            delays: Rung::ALL.iter().map(|rung| names.delay(*rung)).collect(),
            attempts_topic: names.attempts(),
            dead_topic: names.dead(),
            committed,
            entries: HashMap::new(),
            attempts: 0,
            unreadable: 0,
        }
    }

    /// Enters one record; one of another topic says nothing.
    pub fn add(&mut self, record: &Record) {
        let topic = &*record.topic;
        let read = if topic == self.deliveries || self.delays.iter().any(|delay| delay == topic) {
            self.add_envelope(record)
        } else if topic == self.attempts_topic {
            self.add_attempts(record.value.as_ref())
        } else if topic == self.dead_topic {
            self.add_dead(record.header(NOTE_HEADER))
        } else {
            Some(())
        };
        self.unreadable += u64::from(read.is_none());
    }

    fn add_envelope(&mut self, record: &Record) -> Option<()> {
        let (envelope, _) = Envelope::decode(record.value.as_ref()?).ok()?;
        let from = self.committed.get(&record.topic_partition());
        let waits = from.is_none_or(|from| record.offset >= *from);
        let matched =
            *record.topic == *self.deliveries && matches!(envelope.origin, Origin::Ingest { .. });
        for target in &envelope.targets {
            let entry = self.entries.entry(target.delivery.0).or_default();
            entry.matched |= matched;
            entry.waits |= waits;
        }
        Some(())
    }

    fn add_attempts(&mut self, value: Option<&Bytes>) -> Option<()> {
        let attempts: Vec<Value> = serde_json::from_slice(value?).ok()?;
        for attempt in attempts {
            let id: DeliveryId = attempt["delivery"].as_str()?.parse().ok()?;
            let outcome = attempt["outcome"].as_str()?;
            self.attempts += 1;
            let entry = self.entries.entry(id.0).or_default();
            entry.delivered += u32::from(outcome == "delivered");
        }
        Some(())
    }

    fn add_dead(&mut self, note: Option<&Bytes>) -> Option<()> {
        let note: DeadNote = serde_json::from_slice(note?).ok()?;
        let id: DeliveryId = note.delivery.parse().ok()?;
        let (dead, expired) = match note.kind.as_str() {
            "dead" => (true, false),
            "expired" => (false, true),
            _ => return None,
        };
        let entry = self.entries.entry(id.0).or_default();
        entry.dead |= dead;
        entry.expired |= expired;
        Some(())
    }

    /// The account of all that was entered.
    #[must_use]
    pub fn close(self) -> Account {
        let mut account = Account {
            attempts: self.attempts,
            unreadable: self.unreadable,
            ..Account::default()
        };
        // In order, so that two runs name the same ids.
        let entries: BTreeMap<u128, Entry> = self.entries.into_iter().collect();
        for (id, entry) in entries {
            account.repeats += u64::from(entry.delivered.saturating_sub(1));
            if entry.matched {
                account.add(DeliveryId(id), entry);
            } else if entry.waits || entry.ends() > 0 {
                account.unmatched += 1;
            }
        }
        account
    }
}

impl Account {
    fn add(&mut self, id: DeliveryId, entry: Entry) {
        let ends = entry.ends();
        self.matched += 1;
        self.delivered += u64::from(entry.delivered > 0);
        self.dead += u64::from(entry.dead);
        self.expired += u64::from(entry.expired);
        match (ends, entry.waits) {
            (0, true) => self.pending += 1,
            (0, false) => {
                self.lost_count += 1;
                if self.lost.len() < NAMED_MAX {
                    self.lost.push(id.to_string());
                }
            }
            (1, _) => {}
            _ => {
                self.conflict_count += 1;
                if self.conflicts.len() < NAMED_MAX {
                    let names = [
                        (entry.delivered > 0, "delivered"),
                        (entry.dead, "dead"),
                        (entry.expired, "expired"),
                    ];
                    let names: Vec<&str> = names
                        .iter()
                        .filter_map(|(is, name)| is.then_some(*name))
                        .collect();
                    self.conflicts.push(format!("{id} {}", names.join("+")));
                }
            }
        }
    }

    /// Whether every matched delivery is accounted for exactly once.
    #[must_use]
    pub fn closes(&self) -> bool {
        let sum = self.delivered + self.dead + self.expired + self.pending;
        self.lost_count == 0 && self.conflict_count == 0 && self.matched == sum
    }

    /// The account for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "closes": self.closes(),
            "matched": self.matched,
            "delivered": self.delivered,
            "dead": self.dead,
            "expired": self.expired,
            "pending": self.pending,
            "lost": self.lost,
            "lostCount": self.lost_count,
            "conflicts": self.conflicts,
            "conflictCount": self.conflict_count,
            "attempts": self.attempts,
            "repeats": self.repeats,
            "unmatched": self.unmatched,
            "unreadable": self.unreadable,
        })
    }
}

#[cfg(test)]
mod tests;
