//! A broker with the internal topics, a scheduler on it, and records.

use std::num::NonZeroU16;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::record::Record;
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_kafka::topics::{TopicCheck, TopicPlan, internal_topics, record_bytes_max};
use hooklane_model::envelope::{Chunk, ConfigStamp, Envelope, EventHead, Origin};
use hooklane_model::envelope::{SourcePosition, Target};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_model::topic::TopicNames;
use hooklane_retry_scheduler::{Config, Environment, SchedulerError};
use hooklane_service::clock::SystemClock;
use hooklane_service::config::{CommonConfig, Keys};
use hooklane_service::lifecycle::Shutdown;
use hooklane_service::run::ServiceContext;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const LANES: u16 = 4;

pub(crate) fn names() -> TopicNames {
    TopicNames::default()
}

pub(crate) fn now() -> UnixMillis {
    SystemClock.now()
}

pub(crate) fn broker() -> (EmbeddedBroker, ClientSettings) {
    let plan = TopicPlan {
        lanes: NonZeroU16::new(LANES).unwrap(),
        replication: 1,
        record_bytes_max: record_bytes_max(1 << 20),
    };
    let broker = EmbeddedBroker::start(&internal_topics(&names(), &plan)).unwrap();
    let settings = broker.settings("test").unwrap();
    (broker, settings)
}

/// A scheduler on a thread of this process.
pub(crate) struct Running {
    pub(crate) context: ServiceContext,
    thread: JoinHandle<Result<(), SchedulerError>>,
}

impl Running {
    pub(crate) fn start(broker: &EmbeddedBroker) -> Self {
        let mut keys = Keys::new(CommonConfig::SECTIONS)
            .given("kafka.brokers", broker.bootstrap().unwrap())
            .given("metrics.listen", "127.0.0.1:0");
        for (name, value) in EmbeddedBroker::properties() {
            keys = keys.given(&format!("kafka.properties.{name}"), value);
        }
        let common = CommonConfig::read(&mut keys);
        keys.finish().unwrap();
        let (binary, component) = ("hooklane-retry-scheduler", "retry_scheduler");
        let context = ServiceContext::new(binary, component, common, Shutdown::new()).unwrap();
        let config = Config {
            tail_memory: 1 << 20,
        };
        let environment = Environment {
            topic_check: TopicCheck::PartitionsOnly,
        };
        let inner = context.clone();
        let thread = std::thread::spawn(move || {
            hooklane_retry_scheduler::run(&inner, &config, &environment)
        });
        Self { context, thread }
    }

    /// The sum of a metric's series.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.context.metrics.render().unwrap();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    pub(crate) fn wait_for_metric(&self, name: &str, at_least: f64) {
        until(&format!("{name} >= {at_least}"), || {
            std::thread::yield_now();
            (self.metric(name) >= at_least).then_some(())
        });
    }

    pub(crate) fn stop(self) {
        self.context.shutdown().request("test");
        self.thread.join().unwrap().unwrap();
    }
}

/// Calls `turn` until it gives something; fails the test at the deadline.
pub(crate) fn until<T>(what: &str, mut turn: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = turn() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
    }
}

pub(crate) fn delivery(id: u64, due: UnixMillis) -> Bytes {
    let delayed_at = now();
    let envelope = Envelope {
        origin: Origin::Ingest { run: 1 },
        event: EventHead::default(),
        position: SourcePosition::default(),
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp::default(),
        first_seen: delayed_at,
        targets: vec![Target {
            delivery: DeliveryId(id.into()),
            endpoint: EndpointUid((id % 5).into()),
            subscription: SubscriptionUid(1),
            attempt: 4,
            due,
            delayed_at,
            spills: 1,
        }],
    };
    Bytes::from(envelope.encode(format!("payload {id}").as_bytes()))
}

/// Writes records: topic, partition, value, timestamp.
pub(crate) fn write(settings: &ClientSettings, records: &[(String, i32, Bytes, UnixMillis)]) {
    let producer = Producer::new(settings, &Profile::default(), |report| {
        assert!(report.result.is_ok(), "{report:?}");
    });
    let producer = producer.unwrap();
    for (topic, partition, value, at) in records {
        let record = Outgoing {
            topic,
            partition: Some(*partition),
            key: None,
            value: Some(value),
            headers: &[],
            timestamp: Some(i64::try_from(at.0).unwrap()),
        };
        producer.send(&record, 0).unwrap();
    }
    assert!(producer.flush(DEADLINE));
}

/// Reads a topic from its start.
pub(crate) struct Sink {
    consumer: GroupConsumer,
}

impl Sink {
    pub(crate) fn new(settings: &ClientSettings, topic: &str) -> Self {
        let mut consumer = GroupConsumer::new(settings, &format!("sink-of-{topic}")).unwrap();
        consumer.subscribe(&[topic.to_owned()]).unwrap();
        Self { consumer }
    }

    pub(crate) fn next(&mut self) -> Option<Record> {
        match self.consumer.poll(Duration::from_millis(20))? {
            Polled::Assigned(partitions) => {
                let from: Vec<_> = partitions.into_iter().map(|tp| (tp, Some(0))).collect();
                self.consumer.complete_assign(&from).unwrap();
                None
            }
            Polled::Revoked { partitions, .. } => {
                self.consumer.complete_revoke(&partitions).unwrap();
                None
            }
            Polled::Record(record) => Some(record),
            Polled::OutOfRange { .. } | Polled::Committed(_) | Polled::Error(_) => None,
        }
    }

    pub(crate) fn read(&mut self, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        until(&format!("{count} records"), || {
            records.extend(self.next());
            (records.len() >= count).then_some(())
        });
        records
    }
}
