//! The config and status topics, and how people edit them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hooklane_model::catalog::{Change, Consent, Disabled, EndpointStatus, Health, Unverified};
use hooklane_model::envelope::ConfigStamp;
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::{
    Endpoint, Fingerprint, Manifest, RateLimit, Strictness, Verification, parse_value,
};
use serde_json::{Value, json};

/// Who the deployment says that it is.
pub(crate) const ORIGIN: &str = "hooklane.example";

/// What one process, or ingest, knows of an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// As configured; `None` once it is deleted.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// The generation that the status topic says is disabled.
    pub(crate) disabled: Option<u64>,
    /// The generation that this process itself found to be disabled.
    pub(crate) found: Option<u64>,
    /// The receiver's last consent, to whatever question.
    pub(crate) consent: Option<Arc<Consent>>,
}

impl View {
    pub(crate) fn generation(&self) -> Option<u64> {
        self.endpoint.as_ref().map(|e| e.meta.generation)
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.endpoint.as_ref().map(|e| e.meta.tenant.as_str())
    }

    pub(crate) fn is_disabled(&self) -> bool {
        let generation = self.generation();
        generation.is_some() && (self.disabled == generation || self.found == generation)
    }

    /// What its receiver is asked now, if it is.
    pub(crate) fn question(&self) -> Option<Fingerprint> {
        Fingerprint::of(self.endpoint.as_ref()?, ORIGIN)
    }

    /// The consent to what is asked now.
    fn agreed(&self) -> Option<&Consent> {
        let question = self.question()?;
        let consent = self.consent.as_deref();
        consent.filter(|consent| consent.fingerprint == question)
    }

    /// Whether its receiver must agree first, and has not.
    pub(crate) fn is_unverified(&self) -> bool {
        self.question().is_some() && self.agreed().is_none()
    }

    /// How fast it may be called.
    pub(crate) fn limit(&self) -> Option<RateLimit> {
        let own = self.endpoint.as_ref()?.spec.rate_limit;
        let allowed = self.agreed().and_then(|agreed| agreed.allowed_per_minute);
        allowed.map_or(own, |allowed| Some(RateLimit::within(own, allowed)))
    }

    /// A consent is there. One to another question, or an older one, says
    /// nothing where the present question has its answer.
    pub(crate) fn agrees(&mut self, consent: &Arc<Consent>) {
        let late = self.agreed().is_some_and(|known| {
            consent.fingerprint != known.fingerprint || consent.verified_at < known.verified_at
        });
        if !late {
            self.consent = Some(consent.clone());
        }
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Endpoint(endpoint) => self.endpoint = Some(endpoint.clone()),
            Change::EndpointGone(_) => self.endpoint = None,
            Change::Status(_, status) => {
                self.disabled = status.disabled.as_ref().map(|_| status.observed_generation);
            }
            Change::StatusGone(_) => self.disabled = None,
            Change::Consent(_, Some(consent)) => self.agrees(consent),
            Change::Consent(_, None) => self.consent = None,
            _ => {}
        }
    }
}

/// The endpoint a change is about.
pub(crate) fn uid_of(change: &Change) -> EndpointUid {
    match change {
        Change::Endpoint(endpoint) => endpoint.uid(),
        Change::EndpointGone(uid) | Change::Status(uid, _) | Change::StatusGone(uid) => *uid,
        Change::Consent(uid, _) | Change::Unverified(uid, _) => *uid,
        _ => EndpointUid(0),
    }
}

/// The log of changes, and the state after all of them.
#[derive(Default)]
pub(crate) struct Catalog {
    log: Vec<Change>,
    pub(crate) now: BTreeMap<EndpointUid, View>,
    specs: BTreeMap<EndpointUid, (Value, String)>,
    statuses: BTreeMap<EndpointUid, EndpointStatus>,
    next_uid: u128,
    /// Where endpoints ask their receivers: which do, and what people do about
    /// it.
    pub(crate) asking: Option<fastrand::Rng>,
    asks: BTreeMap<EndpointUid, Verification>,
}

impl Catalog {
    pub(crate) fn stamp(applied: usize) -> ConfigStamp {
        ConfigStamp {
            epoch: 1,
            offset: i64::try_from(applied).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    pub(crate) fn since(&self, applied: usize) -> &[Change] {
        &self.log[applied..]
    }

    fn append(&mut self, change: Change) {
        self.now.entry(uid_of(&change)).or_default().apply(&change);
        self.log.push(change);
    }

    /// A new endpoint.
    pub(crate) fn create(&mut self, rng: &mut fastrand::Rng, limited: bool, tenant: &str) {
        self.next_uid += 1;
        let uid = EndpointUid(self.next_uid);
        let concurrency = [1, 2, 4, 8, 50][rng.usize(0..5)];
        let schedule = &["1s", "5s", "30s", "1m"][..rng.usize(1..5)];
        let mut spec = json!({
            "url": "https://r.example/hook",
            "maxConcurrency": concurrency,
            "timeout": format!("{}s", rng.u32(1..9)),
            "retry": {
                "schedule": schedule,
                "jitter": 0.2,
                "maxAge": format!("{}m", rng.u32(45..90)),
            },
        });
        if limited {
            spec["rateLimit"] = some_limit(rng);
        }
        self.specs.insert(uid, (spec, tenant.to_owned()));
        if let Some(rng) = &mut self.asking {
            let method = [
                Verification::Handshake,
                Verification::Ping,
                Verification::None,
            ];
            self.asks.insert(uid, method[rng.usize(0..3)]);
        }
        self.write(uid, 1);
    }

    fn write(&mut self, uid: EndpointUid, generation: u64) {
        let (spec, tenant) = &self.specs[&uid];
        let document = json!({
            "apiVersion": "hooklane/v1",
            "kind": "Endpoint",
            "metadata": {
                "tenant": tenant, "name": format!("e{}", uid.0),
                "uid": uid.to_string(), "generation": generation,
            },
            "spec": spec,
        });
        let parsed = parse_value(document, Strictness::Write).expect("a spec made here is valid");
        let Manifest::Endpoint(mut endpoint) = parsed.0.manifest else {
            unreachable!("the document says that it is an endpoint");
        };
        endpoint.spec.verification = self.asks.get(&uid).copied().unwrap_or_default();
        self.append(Change::Endpoint(Arc::new(endpoint)));
    }

    /// Edits a spec: the next generation.
    pub(crate) fn edit(&mut self, uid: EndpointUid, edit: impl FnOnce(&mut Value)) {
        let Some(generation) = self.now.get(&uid).and_then(View::generation) else {
            return;
        };
        if let Some((spec, _)) = self.specs.get_mut(&uid) {
            edit(spec);
        }
        self.write(uid, generation + 1);
    }

    pub(crate) fn delete(&mut self, uid: EndpointUid) {
        self.specs.remove(&uid);
        self.append(Change::EndpointGone(uid));
    }

    /// The verdict's record of the status topic.
    pub(crate) fn found(&mut self, uid: EndpointUid, generation: u64, reason: &str) {
        self.set_status(uid, |status| {
            status.observed_generation = generation;
            status.disabled = Some(Disabled {
                reason: reason.to_owned(),
                at: "2026-01-01T00:00:00.000Z".to_owned(),
            });
        });
    }

    /// The health record of the status topic.
    pub(crate) fn fares(&mut self, uid: EndpointUid, health: Health) {
        self.set_status(uid, |status| status.health = Some(health));
    }

    /// The consent's record of the status topic, or its deletion.
    pub(crate) fn agrees(&mut self, uid: EndpointUid, consent: Option<Arc<Consent>>) {
        self.append(Change::Consent(uid, consent));
    }

    /// The record beside it.
    pub(crate) fn refuses(&mut self, uid: EndpointUid, unverified: Option<Arc<Unverified>>) {
        self.append(Change::Unverified(uid, unverified));
    }

    /// Two records under two keys make one status, as readers see it.
    fn set_status(&mut self, uid: EndpointUid, set: impl FnOnce(&mut EndpointStatus)) {
        let known = self.statuses.entry(uid).or_default();
        set(known);
        let status = Arc::new(known.clone());
        self.append(Change::Status(uid, status));
    }

    /// A random edit, or a deletion with or without a successor.
    pub(crate) fn churn(&mut self, rng: &mut fastrand::Rng) {
        let live: Vec<EndpointUid> = self.specs.keys().copied().collect();
        let Some(uid) = rng.choice(&live).copied() else {
            return;
        };
        let asks = self.asks.get(&uid).copied().unwrap_or_default();
        if let Some(own) = &mut self.asking
            && asks != Verification::None
            && own.u32(0..3) == 0
        {
            return match own.u32(0..4) {
                // A person has it asked again, or asked now.
                0 => self.agrees(uid, None),
                1 => self.refuses(uid, None),
                // Another URL, and maybe back again.
                n => self.edit(uid, |spec| {
                    spec["url"] = json!(format!("https://{n}.example/hook"));
                }),
            };
        }
        match rng.u32(0..12) {
            0..4 => {
                let limit = some_limit(rng);
                self.edit(uid, |spec| spec["rateLimit"] = limit);
            }
            4 => self.edit(uid, |spec| {
                spec.as_object_mut().map(|spec| spec.remove("rateLimit"));
            }),
            5..8 => self.edit(uid, |spec| {
                let paused = spec["paused"].as_bool().unwrap_or(false);
                spec["paused"] = json!(!paused);
            }),
            8 => {
                let n = rng.u32(1..9);
                self.edit(uid, |spec| spec["maxConcurrency"] = json!(n));
            }
            9 => {
                let tenant = self.specs[&uid].1.clone();
                self.delete(uid);
                let limited = rng.bool();
                self.create(rng, limited, &tenant);
            }
            // A new URL, or a resume: both are the next generation.
            _ => self.edit(uid, |spec| spec["url"] = json!("https://new.example/hook")),
        }
    }

    /// Everything works from now on: nothing paused, disabled or slow.
    pub(crate) fn calm_down(&mut self) {
        let live: Vec<EndpointUid> = self.specs.keys().copied().collect();
        for uid in live {
            self.edit(uid, |spec| {
                spec["paused"] = json!(false);
                spec["url"] = json!("https://rest.example/hook");
                spec["rateLimit"] = json!({"perSecond": 500, "burst": 50});
                spec["maxConcurrency"] = json!(20);
            });
        }
    }
}

fn some_limit(rng: &mut fastrand::Rng) -> Value {
    let burst = [1, 1, 3, 10, 40][rng.usize(0..5)];
    match rng.u32(0..5) {
        0 => json!({"perMinute": rng.u32(3..30), "burst": burst}),
        1 => json!({"perSecond": rng.u32(50..2_000), "burst": burst}),
        _ => json!({"perSecond": rng.u32(1..20), "burst": burst}),
    }
}
