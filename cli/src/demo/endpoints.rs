//! The cast: five endpoints of two tenants, and how each behaves.
//!
//! One place says what an endpoint is called, what it subscribes to and what
//! the receiver answers in its name, so that view, manifests and receiver
//! cannot disagree.

use std::time::Duration;

use serde_json::{Value, json};

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// 200, at once.
    Healthy,
    /// 200, after a while.
    Slow,
    /// 500 to every third request.
    Flaky,
    /// 429 with Retry-After now and then, and limited on our side, too.
    Limited,
    /// Refuses connections.
    Dead,
}

/// How long the slow one takes.
pub(super) const SLOW: Duration = Duration::from_millis(300);
/// The limited one has enough for the first time after this, and again so
/// long after each time.
pub(super) const ENOUGH: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(8)];
/// What it then asks for, in seconds.
pub(super) const RETRY_AFTER: u64 = 2;

/// One endpoint of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    pub(super) tenant: &'static str,
    pub(super) name: &'static str,
    pub(super) behaviour: Behaviour,
    /// What it shows up as.
    pub(super) word: &'static str,
    /// Types it wants of the sample events.
    pub(super) types: &'static [&'static str],
}

/// The tenants.
pub(super) const TENANTS: [&str; 2] = ["acme", "globex"];

/// All of them, in the order they are shown.
pub(super) const ROLES: [Role; 5] = [
    Role {
        tenant: "acme",
        name: "erp",
        behaviour: Behaviour::Healthy,
        word: "healthy",
        types: &["order.*", "payment.*"],
    },
    Role {
        tenant: "acme",
        name: "crm",
        behaviour: Behaviour::Slow,
        word: "slow",
        types: &["user.*"],
    },
    Role {
        tenant: "globex",
        name: "billing",
        behaviour: Behaviour::Flaky,
        word: "flaky",
        types: &["payment.*"],
    },
    Role {
        tenant: "globex",
        name: "partner",
        behaviour: Behaviour::Limited,
        word: "rate-limited",
        types: &["order.*"],
    },
    Role {
        tenant: "acme",
        name: "fraud",
        behaviour: Behaviour::Dead,
        word: "dead",
        types: &["order.*"],
    },
];

impl Role {
    /// `tenant/name`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }

    /// Position of the endpoint among [`ROLES`].
    pub(super) fn find(tenant: &str, name: &str) -> Option<usize> {
        ROLES
            .iter()
            .position(|role| role.tenant == tenant && role.name == name)
    }

    /// Which payloads it wants: only the fraud check is choosy.
    pub(super) fn filter(&self) -> Option<Value> {
        let large = || json!({"data": {"total": [{"numeric": [">", 400]}]}});
        (self.behaviour == Behaviour::Dead).then(large)
    }

    /// The endpoint's spec. `rate` is how many events a second there are.
    pub(super) fn spec(&self, url: &str, rate: u32) -> Value {
        let mut spec = json!({
            "url": url,
            "timeout": "5s",
            "maxConcurrency": 32,
            // The first wait is longer than the dispatcher keeps in memory
            // here, so it takes the way over the delay topics.
            "retry": {"schedule": ["5s", "1s", "1s", "2s", "2s", "2s", "2s"], "jitter": 0.2},
        });
        match self.behaviour {
            Behaviour::Dead => {
                // Short, so that dead letters appear while one watches.
                spec["retry"]["schedule"] = json!(["1s", "2s"]);
                // An open breaker would park them instead, which is right
                // for a receiver that comes back; this one never does.
                spec["breaker"] = json!("none");
            }
            Behaviour::Limited => {
                // Half as much again as the sixth of the events it wants, so
                // that it can make up for what waited.
                let per_second = (rate / 4).max(2);
                spec["rateLimit"] = json!({"perSecond": per_second, "burst": per_second});
            }
            Behaviour::Healthy | Behaviour::Slow | Behaviour::Flaky => {}
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_back() {
        for (index, role) in ROLES.iter().enumerate() {
            assert_eq!(Role::find(role.tenant, role.name), Some(index));
            assert!(TENANTS.contains(&role.tenant));
        }
        assert_eq!(Role::find("acme", "billing"), None);
    }
}
