//! How an endpoint fares, in words: from its spec, the verdict on it, and what
//! its owner saw of it lately.

use std::time::Duration;

use hooklane_model::catalog::{
    Catalog, Consent, Disabled, EndpointStatus, LastFailure, Snapshot, Unverified,
};
use hooklane_model::duration;
use hooklane_model::resource::{Endpoint, Verification};
use hooklane_model::time::UnixMillis;
use hooklane_sender::FailureReason;
use serde_json::{Value, json};

use crate::output;

/// A snapshot is written at least once a minute while there is something to
/// say; after three its owner is gone, or has too many others to write.
const STALE_AFTER: Duration = Duration::from_secs(180);

/// What is known of an endpoint at one moment.
pub(crate) struct Condition<'a> {
    endpoint: &'a Endpoint,
    status: Option<&'a EndpointStatus>,
    snapshot: Option<&'a Snapshot>,
    consent: Option<&'a Consent>,
    unverified: Option<&'a Unverified>,
    now: UnixMillis,
}

impl<'a> Condition<'a> {
    /// From everything that is stored.
    pub(crate) fn of(catalog: &'a Catalog, endpoint: &'a Endpoint, now: UnixMillis) -> Self {
        let uid = endpoint.uid();
        Self {
            endpoint,
            status: catalog.status(uid).map(|status| &**status),
            snapshot: catalog.snapshot(uid).map(|snapshot| &**snapshot),
            consent: (catalog.consent(uid).map(|consent| &**consent))
                .filter(|consent| consent.is_for(endpoint)),
            unverified: (catalog.unverified(uid).map(|unverified| &**unverified))
                .filter(|unverified| unverified.is_about(endpoint)),
            now,
        }
    }

    fn generation(&self) -> u64 {
        self.endpoint.meta.generation
    }

    fn disabled(&self) -> Option<&'a Disabled> {
        self.status?.disabled_for(self.generation())
    }

    /// Until when it is held, if it still is.
    fn held_until(&self) -> Option<UnixMillis> {
        self.snapshot?.held_until.filter(|until| *until > self.now)
    }

    fn failing_since(&self) -> Option<UnixMillis> {
        let seen = self.snapshot.and_then(|snapshot| snapshot.failing_since);
        let health = || self.status?.health_for(self.generation())?.failing_since;
        seen.or_else(health)
    }

    fn age(&self, snapshot: &Snapshot) -> Duration {
        self.now.since(snapshot.as_of.unwrap_or_default())
    }

    fn is_stale(&self, snapshot: &Snapshot) -> bool {
        self.age(snapshot) > STALE_AFTER
    }

    /// Whether its receiver must agree first, and has not.
    fn is_unverified(&self) -> bool {
        self.endpoint.spec.verification != Verification::None && self.consent.is_none()
    }

    /// Whether deliveries are to go to it: `active`, `paused`, `disabled` or
    /// `unverified`.
    fn word(&self) -> &'static str {
        match self.disabled() {
            Some(_) => "disabled",
            None if self.endpoint.spec.paused => "paused",
            None if self.is_unverified() => "unverified",
            None => "active",
        }
    }

    /// The word, and what keeps an active one, in a column.
    pub(crate) fn cell(&self) -> String {
        let word = self.word();
        if word != "active" {
            return word.to_owned();
        }
        match self.snapshot.map_or("", |snapshot| &snapshot.breaker) {
            "open" => "breaker open".to_owned(),
            "half_open" => "breaker half-open".to_owned(),
            _ if self.held_until().is_some() => "held".to_owned(),
            _ if self.failing_since().is_some() => "failing".to_owned(),
            _ => word.to_owned(),
        }
    }

    /// How many wait and since when, in two columns.
    pub(crate) fn backlog(&self) -> [String; 2] {
        let none = || "-".to_owned();
        let Some(snapshot) = self.snapshot else {
            return [none(), none()];
        };
        let stale = if self.is_stale(snapshot) {
            " (stale)"
        } else {
            ""
        };
        let oldest = snapshot.oldest.map(|oldest| output::age(self.now, oldest));
        [
            format!("{}{stale}", snapshot.waiting()),
            oldest.unwrap_or_else(none),
        ]
    }

    /// The lines about it, for people. `limit` says how fast it may be called.
    pub(crate) fn rows(&self, limit: String) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("State", self.state()),
            ("Hold", self.hold()),
            ("Breaker", self.breaker()),
            ("Limit", limit + &self.allowed()),
        ];
        if self.endpoint.spec.verification != Verification::None {
            rows.insert(1, ("Consent", self.verification()));
        }
        if let Some(last) = self.last_failure() {
            rows.push(("Last failed", self.failure(last)));
        }
        if let Some(snapshot) = self.snapshot {
            self.forecast(snapshot, &mut rows);
            rows.push(("As of", self.as_of(snapshot)));
        } else {
            let little = "nothing to report: none parked, fewer than 100 in memory";
            rows.push(("Waiting", little.to_owned()));
        }
        rows
    }

    fn state(&self) -> String {
        let word = self.word();
        if let Some(disabled) = self.disabled() {
            let why = match disabled.reason.as_str() {
                "gone" => "the receiver answered 410 Gone",
                "directive" => "the receiver answered `webhook-delivery: disable`",
                "failing" => "it did nothing but fail for all of disableAfter",
                other => other,
            };
            return format!(
                "{word} since {}: {why}; `hooklane resume`, or a change of the spec, enables it \
                 again",
                disabled.at
            );
        }
        if word == "paused" {
            return format!("{word}: its deliveries wait; `hooklane resume` ends it");
        }
        if word == "unverified" {
            return format!("{word}: its deliveries wait until its receiver agrees");
        }
        match self.status.filter(|status| status.disabled.is_some()) {
            Some(old) => format!(
                "{word} (it was disabled at generation {}, which is void now)",
                old.observed_generation
            ),
            None => word.to_owned(),
        }
    }

    /// What its receiver allows, beside its own limit.
    fn allowed(&self) -> String {
        let allowed = self.consent.and_then(|consent| consent.allowed_per_minute);
        allowed.map_or_else(String::new, |allowed| {
            format!("; its receiver allows {allowed}/min")
        })
    }

    fn verification(&self) -> String {
        let method = self.endpoint.spec.verification.as_str();
        if let Some(consent) = self.consent {
            let since = consent.verified_at.unwrap_or_default().to_rfc3339();
            return format!("{method}: agreed at {since}");
        }
        let Some(failed) = self.unverified else {
            return format!("{method}: not asked yet, or no answer yet");
        };
        let Unverified { reason, tries, .. } = failed;
        let status = failed.status.map(|status| format!(" (status {status})"));
        let status = status.unwrap_or_default();
        let since = failed.since.unwrap_or_default().to_rfc3339();
        let next = match failed.next_try.filter(|at| *at > self.now) {
            Some(at) => format!("at {}", self.ahead(at)),
            None => "soon, within 12 minutes".to_owned(),
        };
        format!("{method}: {reason}{status}; asked in vain since {since} ({tries}x), again {next}")
    }

    fn hold(&self) -> String {
        self.held_until().map_or_else(
            || "none".to_owned(),
            |until| {
                let when = self.ahead(until);
                let why = match self.last_failure() {
                    Some(ours) if ours.side.as_deref() == Some("us") => {
                        "nothing can be sent to it, by no fault of its own"
                    }
                    Some(last) if lacks_token(last) => "its token server gives no access token",
                    _ => "the receiver asked for it (429, or 503 with Retry-After)",
                };
                format!("until {when}: {why}")
            },
        )
    }

    fn breaker(&self) -> String {
        let state = self.snapshot.map_or("closed", |snapshot| &snapshot.breaker);
        let state = match state {
            "closed" if self.endpoint.spec.breaker.is_none() => "off".to_owned(),
            "open" => {
                let probe = self.snapshot.and_then(|snapshot| snapshot.next_probe);
                let probe = match probe.filter(|at| *at > self.now) {
                    Some(at) => format!("open until the next probe at {}", self.ahead(at)),
                    None => "open, a probe is due".to_owned(),
                };
                format!("{probe}: it fails altogether and is left alone")
            }
            "half_open" => "half-open: a probe shows whether it is back".to_owned(),
            other => other.to_owned(),
        };
        match self.failing_since() {
            Some(since) => {
                let age = output::age(self.now, since);
                format!(
                    "{state}; no success since {} ({age} ago)",
                    since.to_rfc3339()
                )
            }
            None => state,
        }
    }

    fn last_failure(&self) -> Option<&'a LastFailure> {
        self.snapshot?.last_failure.as_ref()
    }

    /// Whose side it was on, too: what is ours is nothing for its owner.
    fn failure(&self, last: &LastFailure) -> String {
        let what = match (last.status, &last.failure) {
            (Some(status), _) => format!("answered {status}"),
            (None, Some(failure)) => failure.clone(),
            (None, None) => "unknown".to_owned(),
        };
        let side = match last.side.as_deref() {
            Some("us") => " (on our side: see the dispatcher's log)".to_owned(),
            Some(side) => format!(" (on the {side}'s side)"),
            None => String::new(),
        };
        let at = last.at.unwrap_or_default();
        let age = output::age(self.now, at);
        format!("{what}{side}, {age} ago ({})", at.to_rfc3339())
    }

    fn forecast(&self, snapshot: &Snapshot, rows: &mut Vec<(&'static str, String)>) {
        let Snapshot {
            in_memory,
            in_flight,
            parked,
            retrying,
            ..
        } = snapshot;
        let waiting = snapshot.waiting();
        let bytes = output::size(snapshot.bytes);
        rows.push((
            "Waiting",
            format!(
                "{waiting} deliveries ({in_memory} in memory, {parked} parked, {retrying} to be \
                 retried), {in_flight} requests open, {bytes} in all"
            ),
        ));
        if let Some(oldest) = snapshot.oldest {
            let age = output::age(self.now, oldest);
            rows.push(("Oldest", format!("{age} ({})", oldest.to_rfc3339())));
        }
        if waiting == 0 {
            return;
        }
        rows.push(("Drains in", self.drain(snapshot)));
        let expiry = match snapshot.will_expire_at {
            Some(at) if at > self.now => {
                format!(
                    "at {}: the first is too old then (retry.maxAge)",
                    self.ahead(at)
                )
            }
            Some(at) => format!("since {} (retry.maxAge)", at.to_rfc3339()),
            None => "nothing, at this speed".to_owned(),
        };
        rows.push(("Will expire", expiry));
    }

    fn drain(&self, snapshot: &Snapshot) -> String {
        let Some(seconds) = snapshot.drain_seconds else {
            return "unknown: it has answered too little".to_owned();
        };
        let time = duration::format(Duration::from_secs(seconds));
        let once = match &*snapshot.breaker {
            _ if self.disabled().is_some() => ", once it is enabled",
            _ if self.endpoint.spec.paused => ", once it is resumed",
            _ if self.is_unverified() => ", once its receiver agrees",
            "open" | "half_open" => ", once it is back",
            _ if self.held_until().is_some() => ", once the hold ends",
            _ => "",
        };
        format!("{time} at its limits{once}")
    }

    fn as_of(&self, snapshot: &Snapshot) -> String {
        let at = snapshot.as_of.unwrap_or_default();
        let age = output::age(self.now, at);
        let mut text = format!("{age} ago ({})", at.to_rfc3339());
        if self.is_stale(snapshot) {
            text += ", stale: no dispatcher has written since";
        }
        if snapshot.observed_generation != self.generation() {
            text += &format!(", about generation {}", snapshot.observed_generation);
        }
        if let Some(claimed) = snapshot.claimed_at {
            text += &format!(
                "; what waits in Kafka is counted since {}",
                claimed.to_rfc3339()
            );
        }
        text
    }

    /// A time to come, and how far it is.
    fn ahead(&self, at: UnixMillis) -> String {
        format!("{} (in {})", at.to_rfc3339(), output::age(at, self.now))
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut status = self
            .status
            .map_or_else(|| json!({}), EndpointStatus::to_json);
        status["state"] = json!(self.word());
        if let Some(consent) = self.consent {
            status["verification"] = consent.to_json();
        }
        if let Some(unverified) = self.unverified {
            status["unverified"] = unverified.to_json();
        }
        if let Some(snapshot) = self.snapshot {
            status["snapshot"] = snapshot.to_json();
            status["snapshot"]["ageSeconds"] = json!(self.age(snapshot).as_secs());
            status["snapshot"]["stale"] = json!(self.is_stale(snapshot));
        }
        status
    }
}

/// Whether it was for want of an access token: then no request was made, and
/// the endpoint is held.
fn lacks_token(last: &LastFailure) -> bool {
    FailureReason::ALL
        .iter()
        .any(|reason| reason.is_lack_of_token() && last.failure.as_deref() == Some(reason.as_str()))
}
