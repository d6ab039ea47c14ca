//! The records of the status topic: what the pipeline found out.

use std::collections::HashMap;
use std::sync::Arc;

use super::status::StatusKey;
use super::{Applied, Catalog, Change, Consent, EndpointStatus, Health, Snapshot, Unverified};
use crate::fields::Problem;
use crate::id::EndpointUid;

impl Catalog {
    /// Applies a record of the status topic; `None` is a tombstone.
    pub fn apply_status(&mut self, key: &[u8], value: Option<&[u8]>) -> Applied {
        let (uid, applied) = match StatusKey::parse(key) {
            Some(StatusKey::Verdict(uid)) => (uid, self.apply_verdict(uid, value)),
            Some(StatusKey::Health(uid)) => (uid, self.apply_health(uid, value)),
            Some(StatusKey::Snapshot(uid)) => return self.apply_snapshot(key, uid, value),
            Some(StatusKey::Consent(uid)) => return self.apply_consent(key, uid, value),
            Some(StatusKey::Unverified(uid)) => return self.apply_unverified(key, uid, value),
            Some(StatusKey::Other(uid, part)) => {
                let note = Problem {
                    path: uid.to_string(),
                    reason: format!("`{part}` is a status this release does not know"),
                };
                return Applied {
                    notes: vec![note],
                    ..Applied::default()
                };
            }
            None => {
                let reason = "not a key of the status topic (ep_<32 hex digits>)";
                return Applied::problem(key, reason);
            }
        };
        match applied {
            Ok(None) => Applied::default(),
            Ok(Some(status)) if *status == EndpointStatus::default() => {
                self.statuses.remove(&uid);
                Applied {
                    changes: vec![Change::StatusGone(uid)],
                    ..Applied::default()
                }
            }
            Ok(Some(status)) => {
                self.statuses.insert(uid, status.clone());
                Applied {
                    changes: vec![Change::Status(uid, status)],
                    ..Applied::default()
                }
            }
            Err(reason) => Applied::problem(key, reason),
        }
    }

    fn apply_snapshot(&mut self, key: &[u8], uid: EndpointUid, value: Option<&[u8]>) -> Applied {
        let changes = vec![Change::Snapshot(uid, value.is_some())];
        let mut applied = Applied {
            changes,
            ..Applied::default()
        };
        let Some(value) = value else {
            self.snapshots.remove(&uid);
            return applied;
        };
        let read = self.keep_documents.then(|| Snapshot::from_json(value));
        let read = read.transpose().unwrap_or_else(|reason| {
            applied.problems = Applied::problem(key, reason).problems;
            None
        });
        self.snapshots.insert(uid, read.map(Arc::new));
        applied
    }

    fn apply_consent(&mut self, key: &[u8], uid: EndpointUid, value: Option<&[u8]>) -> Applied {
        let read = value.map(Consent::from_json).transpose();
        let consent = match read {
            Ok(read) => read.map(Arc::new),
            Err(reason) => return Applied::problem(key, reason),
        };
        keep(&mut self.consents, uid, consent.clone());
        Applied::change(Change::Consent(uid, consent))
    }

    fn apply_unverified(&mut self, key: &[u8], uid: EndpointUid, value: Option<&[u8]>) -> Applied {
        let read = value.map(Unverified::from_json).transpose();
        let unverified = match read {
            Ok(read) => read.map(Arc::new),
            Err(reason) => return Applied::problem(key, reason),
        };
        keep(&mut self.unverified, uid, unverified.clone());
        Applied::change(Change::Unverified(uid, unverified))
    }

    /// The status with a new verdict; `None` when there was nothing to take
    /// away.
    fn apply_verdict(
        &self,
        uid: EndpointUid,
        value: Option<&[u8]>,
    ) -> Result<Option<Arc<EndpointStatus>>, String> {
        let known = self.statuses.get(&uid);
        let Some(value) = value else {
            let kept = known.map(|status| EndpointStatus {
                health: status.health,
                ..EndpointStatus::default()
            });
            return Ok(kept.map(Arc::new));
        };
        let verdict = EndpointStatus::from_json(value)?;
        let health = known.and_then(|status| status.health);
        Ok(Some(Arc::new(EndpointStatus { health, ..verdict })))
    }

    /// The status with a new health; `None` when there was nothing to take
    /// away.
    fn apply_health(
        &self,
        uid: EndpointUid,
        value: Option<&[u8]>,
    ) -> Result<Option<Arc<EndpointStatus>>, String> {
        let known = self.statuses.get(&uid);
        let health = value.map(Health::from_json).transpose()?;
        if health.is_none() && known.is_none() {
            return Ok(None);
        }
        let verdict = known.map(|status| (**status).clone()).unwrap_or_default();
        Ok(Some(Arc::new(EndpointStatus { health, ..verdict })))
    }
}

/// Keeps what stands in a record, or forgets what stood there.
fn keep<T>(kept: &mut HashMap<EndpointUid, Arc<T>>, uid: EndpointUid, value: Option<Arc<T>>) {
    match value {
        Some(value) => kept.insert(uid, value),
        None => kept.remove(&uid),
    };
}
