//! P1: where each delivery is, as a fresh owner would find it.

use hooklane_engine::{DeadReason, Mono};
use hooklane_model::envelope::Envelope;
use hooklane_model::id::{DeliveryId, EndpointUid};

use super::Oracle;
use crate::failure::Rule;

/// The life of one delivery.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) endpoint: EndpointUid,
    pub(crate) first_seen: Mono,
    /// Records at or above the committed offset of a lane, or in a delay
    /// topic: what would bring it back.
    copies: u32,
    /// Receivers that answered 2xx.
    pub(crate) received: u32,
    delivered: u32,
    dead: u32,
    /// Failed answers that may have spent an attempt, and that have.
    pub(crate) spent: u16,
    pub(crate) surely_spent: u16,
    /// In a calm world: not before.
    pub(crate) not_before: Mono,
}

impl Oracle {
    pub(crate) fn matched(&mut self, id: DeliveryId, endpoint: EndpointUid, now: Mono) {
        self.matched += 1;
        let life = Life {
            endpoint,
            first_seen: now,
            copies: 0,
            received: 0,
            delivered: 0,
            dead: 0,
            spent: 0,
            surely_spent: 0,
            not_before: Mono(0),
        };
        self.lives.insert(id, life);
    }

    /// A durable record holds these deliveries from now on.
    pub(crate) fn kept(&mut self, envelope: &Envelope) {
        for target in &envelope.targets {
            // What is not here any more has ended and been forgotten.
            if let Some(life) = self.lives.get_mut(&target.delivery) {
                life.copies += 1;
            }
        }
    }

    /// A durable record does not bring these deliveries back any more.
    pub(crate) fn passed(&mut self, envelope: &Envelope, by: &str) {
        for target in &envelope.targets {
            let id = target.delivery;
            let Some(life) = self.lives.get_mut(&id) else {
                continue;
            };
            let Some(copies) = life.copies.checked_sub(1) else {
                continue;
            };
            life.copies = copies;
            let ended = life.delivered + life.dead > 0;
            let endpoint = life.endpoint;
            if copies > 0 {
                continue;
            }
            if ended {
                self.forget(id);
            } else {
                let what = format!("{by} passed it, and it is in no durable place");
                self.broken(Rule::Lost, (Some(id), Some(endpoint)), what);
            }
        }
    }

    /// Ended, and nothing brings it back: what still happens is a repeat.
    fn forget(&mut self, id: DeliveryId) {
        if let Some(life) = self.lives.remove(&id) {
            if life.delivered > 0 {
                self.delivered += 1;
            } else {
                self.dead += 1;
            }
        }
    }

    /// A terminal entry of the attempts topic is durable.
    pub(crate) fn recorded_attempt(&mut self, id: DeliveryId, delivered: bool) {
        if !delivered {
            // The dead letter beside it decides.
            return;
        }
        let Some(life) = self.lives.get_mut(&id) else {
            return;
        };
        life.delivered += 1;
        let endpoint = life.endpoint;
        let (received, ended) = (life.received, life.delivered + life.dead);
        self.once(id, endpoint, ended);
        if received == 0 {
            let what = "recorded as delivered, and no receiver has it".to_owned();
            self.broken(Rule::Phantom, (Some(id), Some(endpoint)), what);
        }
    }

    /// A terminal record is durable.
    pub(crate) fn recorded_dead(&mut self, id: DeliveryId, reason: DeadReason) {
        let Some(life) = self.lives.get_mut(&id) else {
            return;
        };
        life.dead += 1;
        let (endpoint, first_seen) = (life.endpoint, life.first_seen);
        let ended = life.delivered + life.dead;
        self.once(id, endpoint, ended);
        if reason == DeadReason::Expired
            && let Some(since) = self.resting_since
            && since.since(first_seen) < super::rest::FRESH
            && !self.long_holds.contains(&endpoint)
        {
            let what =
                format!("expired, although it was fresh when its endpoint recovered {since:?}");
            self.broken(Rule::Recovery, (Some(id), Some(endpoint)), what);
        }
    }

    fn once(&mut self, id: DeliveryId, endpoint: EndpointUid, ended: u32) {
        if self.calm && ended > 1 {
            let what = format!("ended {ended} times without a fault");
            self.broken(Rule::EndedTwice, (Some(id), Some(endpoint)), what);
        }
    }
}
