//! A broker with all topics, a configuration written record by record, and an
//! ingest that runs in a thread until it is told to stop.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hooklane_ingest::{Config, IngestError};
use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::record::Record;
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_kafka::topics::{TopicCheck, TopicPlan, internal_topics, record_bytes_max};
use hooklane_model::envelope::Envelope;
use hooklane_model::id::{EndpointUid, SourceUid, SubscriptionUid};
use hooklane_model::record::{NOTE_HEADER, PoisonNote};
use hooklane_model::topic::TopicNames;
use hooklane_service::config::{
    CommonConfig, KafkaSection, LogFormat, LogSection, MetricsSection, SecretMap, ShutdownSection,
};
use hooklane_service::lifecycle::Shutdown;
use hooklane_service::run::ServiceContext;
use serde_json::{Value, json};

pub(crate) const LANES: u16 = 4;
/// Long enough for a slow machine; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Fixture {
    pub(crate) broker: EmbeddedBroker,
    names: TopicNames,
    producer: Producer,
    deliveries: Reader,
    poison: Reader,
    pub(crate) config: Config,
}

/// One record of a lane, read back.
pub(crate) struct Stored {
    pub(crate) lane: i32,
    pub(crate) envelope: Envelope,
    pub(crate) payload: Vec<u8>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let names = TopicNames::default();
        let plan = TopicPlan {
            lanes: NonZeroU16::new(LANES).unwrap(),
            replication: 1,
            record_bytes_max: record_bytes_max(1 << 20),
        };
        let broker = EmbeddedBroker::start(&internal_topics(&names, &plan)).unwrap();
        broker.create_topic("shop", 2).unwrap();
        let settings = broker.settings("test").unwrap();
        let producer = Producer::new(&settings, &Profile::default(), |report| {
            report.result.unwrap();
        });
        let deliveries = Reader::new(&settings, &names.deliveries());
        let poison = Reader::new(&settings, &names.poison());
        Self {
            broker,
            names,
            producer: producer.unwrap(),
            deliveries,
            poison,
            config: Config::default(),
        }
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, headers: &[(&str, &str)], value: &[u8]) {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        self.put(topic, partition, None, &headers, Some(value));
    }

    fn put(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        headers: &[(&str, &[u8])],
        value: Option<&[u8]>,
    ) {
        let partition = Some(partition);
        let record = Outgoing {
            topic,
            partition,
            key,
            value,
            headers,
            timestamp: None,
        };
        self.producer.send(&record, 0).unwrap();
        assert!(self.producer.flush(PATIENCE));
    }

    /// Writes a resource as `hooklane apply` does.
    pub(crate) fn resource(&self, kind: &str, metadata: &Value, spec: &Value) {
        let tenant = metadata["tenant"].as_str().unwrap_or_default();
        let key = format!("{kind}/{tenant}/{}", metadata["name"].as_str().unwrap());
        let document =
            json!({"apiVersion": "hooklane/v1", "kind": kind, "metadata": metadata, "spec": spec});
        let value = document.to_string();
        self.put(
            &self.names.config(),
            0,
            Some(key.as_bytes()),
            &[],
            Some(value.as_bytes()),
        );
    }

    pub(crate) fn source(&self, start_offsets: Option<Value>, mut spec: Value) {
        spec["topic"] = json!("shop");
        let mut metadata =
            json!({"name": "shop", "uid": SourceUid(1).to_string(), "generation": 1});
        if let Some(offsets) = start_offsets {
            metadata["startOffsets"] = offsets;
        }
        self.resource("Source", &metadata, &spec);
    }

    pub(crate) fn endpoint(&self, n: u128) {
        let metadata = json!({
            "tenant": "acme", "name": format!("e{n}"),
            "uid": EndpointUid(n).to_string(), "generation": 1,
        });
        self.resource("Endpoint", &metadata, &json!({"url": "https://e.example/"}));
    }

    /// Subscription `n` to endpoint `n`.
    pub(crate) fn subscription(&self, n: u128, event_types: &[&str], filter: Option<Value>) {
        let metadata = json!({
            "tenant": "acme", "name": format!("s{n}"),
            "uid": SubscriptionUid(n).to_string(), "generation": 1,
            "bound": {"source": SourceUid(1).to_string(), "endpoint": EndpointUid(n).to_string()},
        });
        let mut spec =
            json!({"source": "shop", "eventTypes": event_types, "endpoint": format!("e{n}")});
        if let Some(filter) = filter {
            spec["filter"] = filter;
        }
        self.resource("Subscription", &metadata, &spec);
    }

    pub(crate) fn status(&self, endpoint: u128, status: &Value) {
        let key = EndpointUid(endpoint).to_string();
        let value = status.to_string();
        self.put(
            &self.names.status(),
            0,
            Some(key.as_bytes()),
            &[],
            Some(value.as_bytes()),
        );
    }

    /// Starts ingest and waits until it is ready.
    pub(crate) fn start(&self) -> Running {
        let kafka = KafkaSection {
            brokers: self.broker.bootstrap().unwrap(),
            topic_prefix: self.names.prefix().to_owned(),
            client_id: None,
            properties: SecretMap::new(EmbeddedBroker::properties()),
        };
        let common = CommonConfig {
            kafka,
            metrics: MetricsSection {
                listen: ([127, 0, 0, 1], 0).into(),
            },
            log: LogSection {
                level: "info".into(),
                format: LogFormat::Auto,
            },
            shutdown: ShutdownSection {
                deadline: Duration::from_secs(20),
            },
        };
        let shutdown = Shutdown::new();
        let context = ServiceContext::new("hooklane-ingest", "ingest", common, shutdown.clone());
        let context = Arc::new(context.unwrap());
        let (inside, config) = (context.clone(), self.config.clone());
        let thread = std::thread::spawn(move || {
            hooklane_ingest::run(&inside, &config, TopicCheck::PartitionsOnly)
        });
        let running = Running {
            context,
            shutdown,
            thread,
        };
        until("ingest is ready", || {
            running.context.probes.missing().is_empty()
        });
        running
    }

    /// The next `count` records of the lanes.
    pub(crate) fn stored(&mut self, count: usize) -> Vec<Stored> {
        let records = self.deliveries.take(count);
        let read = records.into_iter().map(|record| {
            let (envelope, payload) = Envelope::decode(&record.value.unwrap()).unwrap();
            Stored {
                lane: record.partition,
                envelope,
                payload: payload.to_vec(),
            }
        });
        read.collect()
    }

    /// The next `count` records of the poison topic.
    pub(crate) fn poison(&mut self, count: usize) -> Vec<(PoisonNote, Vec<u8>)> {
        let records = self.poison.take(count);
        let read = records.into_iter().map(|record| {
            let note = serde_json::from_slice(record.header(NOTE_HEADER).unwrap()).unwrap();
            (note, record.value.unwrap_or_default().to_vec())
        });
        read.collect()
    }

    /// What the group of ingest has committed for each partition of `shop`.
    pub(crate) fn committed(&self) -> BTreeMap<i32, Option<i64>> {
        use hooklane_kafka::record::TopicPartition;
        let settings = self.broker.settings("look").unwrap();
        let look = GroupConsumer::new(&settings, "hooklane.ingest").unwrap();
        let partitions = [
            TopicPartition::new("shop", 0),
            TopicPartition::new("shop", 1),
        ];
        let found = look.committed(&partitions, PATIENCE).unwrap();
        found
            .into_iter()
            .map(|(tp, offset)| (tp.partition, offset))
            .collect()
    }
}

pub(crate) struct Running {
    context: Arc<ServiceContext>,
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), IngestError>>,
}

impl Running {
    pub(crate) fn stop(self) {
        self.shutdown.request("the test is over");
        self.thread.join().unwrap().unwrap();
    }

    /// The value of one series, by its name and labels as exported.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.context.metrics.render().unwrap();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no series {series} in\n{text}"))
    }

    pub(crate) fn until_metric(&self, series: &str, value: f64) {
        until(series, || (self.metric(series) - value).abs() < 0.5);
    }
}

/// Waits for a condition, at most as long as patience lasts.
pub(crate) fn until(what: &str, mut met: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Reads all partitions of a topic from their beginning.
struct Reader(GroupConsumer);

impl Reader {
    fn new(settings: &ClientSettings, topic: &str) -> Self {
        let mut consumer = GroupConsumer::new(settings, &format!("test-{topic}")).unwrap();
        consumer.subscribe(&[topic.to_owned()]).unwrap();
        Self(consumer)
    }

    fn take(&mut self, count: usize) -> Vec<Record> {
        let (mut records, end) = (Vec::new(), Instant::now() + PATIENCE);
        while records.len() < count {
            assert!(
                Instant::now() < end,
                "{} of {count} records came",
                records.len()
            );
            match self.0.poll(Duration::from_millis(20)) {
                Some(Polled::Record(record)) => records.push(record),
                Some(Polled::Assigned(partitions)) => {
                    let all: Vec<_> = partitions.into_iter().map(|tp| (tp, Some(0))).collect();
                    self.0.complete_assign(&all).unwrap();
                }
                Some(Polled::Revoked { partitions, .. }) => {
                    self.0.complete_revoke(&partitions).unwrap();
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
        records
    }
}
