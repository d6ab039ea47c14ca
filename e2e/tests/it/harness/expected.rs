//! What receivers must have got, worked out from the events without the
//! pipeline's matching, and compared with what they got.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hooklane_model::id::{DeliveryId, SubscriptionUid};
use hooklane_test_support::{Receiver, Request, wait_until};

use super::Pipeline;
use super::events::{EVENT_SOURCE, Event};

/// A subscription as the test understands it.
pub(crate) struct Wants {
    tenant: String,
    name: String,
    path: String,
    wants: Box<dyn Fn(&Event) -> bool>,
}

impl Wants {
    /// The subscription `name` of a tenant takes, to a path, the tenant's
    /// events that `wants` says.
    pub(crate) fn new(
        (tenant, name): (&str, &str),
        path: &str,
        wants: impl Fn(&Event) -> bool + 'static,
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
            wants: Box::new(wants),
        }
    }
}

/// Deliveries by `webhook-id`: path and body.
pub(crate) struct Expected(HashMap<String, (String, Vec<u8>)>);

impl Pipeline {
    /// The deliveries that these events make.
    pub(crate) fn expect<'a>(
        &self,
        subscriptions: &[Wants],
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Expected {
        let uids: Vec<SubscriptionUid> = subscriptions
            .iter()
            .map(|s| {
                let stored = self.get("subscription", &s.tenant, &s.name);
                stored["metadata"]["uid"].as_str().unwrap().parse().unwrap()
            })
            .collect();
        let mut all = HashMap::new();
        for event in events {
            for (subscription, uid) in subscriptions.iter().zip(&uids) {
                if subscription.tenant == event.tenant && (subscription.wants)(event) {
                    let id = DeliveryId::derive(&event.tenant, EVENT_SOURCE, &event.id, *uid);
                    let what = (subscription.path.clone(), event.payload.clone());
                    assert!(all.insert(id.to_string(), what).is_none(), "an event twice");
                }
            }
        }
        Expected(all)
    }
}

/// Whether a request asks the receiver for its consent, and delivers nothing.
pub(crate) fn is_question(request: &Request) -> bool {
    request.method == "OPTIONS" || request.webhook_id().starts_with("vrf_")
}

/// What came with a 2xx, by `webhook-id`.
#[derive(Default)]
pub(crate) struct Tally {
    /// Requests looked at.
    looked_at: usize,
    delivered: HashMap<String, Vec<Got>>,
}

/// One delivery that a receiver took.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    path: String,
    body: Vec<u8>,
}

impl Tally {
    /// Looks at what came since the last time.
    pub(crate) fn update(&mut self, receiver: &Receiver) {
        let new: Vec<Request> = receiver.read(|all| all[self.looked_at..].to_vec());
        self.looked_at += new.len();
        let deliveries = new.into_iter().filter(|request| !is_question(request));
        for request in deliveries {
            if request
                .status
                .is_some_and(|status| (200..300).contains(&status))
            {
                let seconds = request.header("webhook-timestamp").unwrap_or_default();
                assert!(
                    seconds.parse::<u64>().is_ok(),
                    "webhook-timestamp is {seconds:?}"
                );
                let id = request.webhook_id().to_owned();
                let path = request.route().to_owned();
                let got = Got {
                    at: request.at,
                    path,
                    body: request.body,
                };
                self.delivered.entry(id).or_default().push(got);
            }
        }
    }

    /// Different deliveries that came.
    pub(crate) fn distinct(&self) -> usize {
        self.delivered.len()
    }

    /// When a delivery came, once or more often.
    pub(crate) fn times(&self, id: &str) -> &[Got] {
        self.delivered.get(id).map_or(&[], Vec::as_slice)
    }

    /// Deliveries that came more than once: id and times.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = (&str, &[Got])> {
        let all = self.delivered.iter();
        all.filter(|(_, got)| got.len() > 1)
            .map(|(id, got)| (id.as_str(), got.as_slice()))
    }

    /// Deliveries beyond the first of each id.
    pub(crate) fn repeats(&self) -> usize {
        self.delivered.values().map(|got| got.len() - 1).sum()
    }
}

impl Expected {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Waits until all of it was delivered.
    pub(crate) fn wait(&self, receiver: &Receiver, deadline: Duration) -> Tally {
        let mut tally = Tally::default();
        let all = wait_until("all deliveries", deadline, || {
            tally.update(receiver);
            tally.distinct() >= self.len() && self.missing(&tally).is_empty()
        });
        if let Err(error) = all {
            let missing = self.missing(&tally);
            let (count, some) = (missing.len(), &missing[..missing.len().min(5)]);
            panic!(
                "{error}: {count} of {} are missing, such as {some:?}",
                self.len()
            );
        }
        tally
    }

    fn missing(&self, tally: &Tally) -> Vec<&str> {
        self.ids()
            .filter(|id| !tally.delivered.contains_key(*id))
            .collect()
    }

    /// Nothing came that was not expected, and all that came, came to its
    /// path and with its bytes, also when it came again.
    pub(crate) fn check(&self, tally: &Tally) {
        for (id, all) in &tally.delivered {
            let Some((path, body)) = self.0.get(id) else {
                panic!("{id} came and was not expected: {all:?}");
            };
            for got in all {
                assert_eq!(&got.path, path, "{id}");
                assert!(got.body == *body, "{id} came with other bytes: {got:?}");
            }
        }
    }

    /// All of it came, and everything exactly once.
    pub(crate) fn check_once(&self, receiver: &Receiver) {
        let mut tally = Tally::default();
        tally.update(receiver);
        self.check(&tally);
        let missing = self.missing(&tally);
        assert!(missing.is_empty(), "{missing:?} did not come");
        let repeated: Vec<_> = tally.repeated().take(5).collect();
        assert!(
            repeated.is_empty(),
            "{} repeats: {repeated:?}",
            tally.repeats()
        );
    }
}
