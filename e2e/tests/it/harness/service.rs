//! Services as child processes.

use std::net::SocketAddr;

use hooklane_test_support::{Process, Scrape, free_addr, get, wait_until};
use serde_json::Value;

use super::command::binary;
use super::{DEADLINE, Pipeline};

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ingest,
    Dispatcher,
    RetryScheduler,
}

impl Kind {
    fn binary(self) -> &'static str {
        match self {
            Self::Ingest => "hooklane-ingest",
            Self::Dispatcher => "hooklane-dispatcher",
            Self::RetryScheduler => "hooklane-retry-scheduler",
        }
    }
}

/// A service that runs, or ran.
pub(crate) struct Service {
    pub(crate) kind: Kind,
    pub(crate) process: Process,
    addr: SocketAddr,
}

impl Pipeline {
    /// Starts a service; it may not be ready yet.
    pub(crate) fn spawn(&self, kind: Kind) -> Service {
        self.spawn_at(kind, &self.settings.brokers)
    }

    /// The same, with brokers that it finds elsewhere.
    pub(crate) fn spawn_at(&self, kind: Kind, brokers: &str) -> Service {
        let addr = free_addr().unwrap();
        let mut builder = Process::builder(binary(kind.binary()))
            .env("HOOKLANE__KAFKA__BROKERS", brokers)
            .env("HOOKLANE__KAFKA__TOPIC_PREFIX", self.names.prefix())
            .env("HOOKLANE__METRICS__LISTEN", addr.to_string())
            .env("HOOKLANE__EGRESS__ALLOW_CIDRS", "127.0.0.0/8")
            .env("HOOKLANE__EGRESS__ALLOW_HTTP", "true")
            .env("HOOKLANE__SHUTDOWN__DEADLINE", "60s");
        for (key, value) in &self.env {
            builder = builder.env(key, value);
        }
        let process = builder.start().unwrap();
        Service {
            kind,
            process,
            addr,
        }
    }

    /// Starts services and waits until they are ready.
    pub(crate) fn start<const N: usize>(&self, kinds: [Kind; N]) -> [Service; N] {
        let mut services = kinds.map(|kind| self.spawn(kind));
        for service in &mut services {
            service.wait_ready();
        }
        services
    }

    /// One of each.
    pub(crate) fn start_all(&self) -> [Service; 3] {
        self.start([Kind::Ingest, Kind::Dispatcher, Kind::RetryScheduler])
    }
}

impl Service {
    pub(crate) fn wait_ready(&mut self) {
        self.process.wait_ready(self.addr, DEADLINE).unwrap();
    }

    pub(crate) fn scrape(&self) -> Scrape {
        self.process.scrape(self.addr).unwrap()
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.scrape().sum(name, labels)
    }

    /// Waits until a metric is at least `value`.
    pub(crate) fn wait_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait_until(&format!("{name}{labels:?} >= {value}"), DEADLINE, || {
            self.metric(name, labels) >= value
        })
        .unwrap_or_else(|e| panic!("{e}: {} {}", self.metric(name, labels), self.process.log()));
    }

    /// Waits until it owns exactly so many lanes.
    pub(crate) fn owns(&self, lanes: u16) {
        let owned = || self.metric("hooklane_lanes_owned", &[]);
        wait_until(
            &format!("{lanes} lanes at one dispatcher"),
            DEADLINE,
            || owned() == f64::from(lanes),
        )
        .unwrap_or_else(|e| panic!("{e}: it has {}\n{}", owned(), self.process.log()));
    }

    /// SIGTERM; it must end in order.
    pub(crate) fn stop(mut self) {
        let code = self.process.sigterm_and_wait(DEADLINE).unwrap();
        assert_eq!(code, 0, "{:?}: {}", self.kind, self.process.log());
    }

    /// What it answers at a path of its admin server.
    pub(crate) fn text_of(&self, path: &str) -> String {
        get(self.addr, path).unwrap().1
    }

    /// Stops it as [`Service::stop`] does, and returns all it logged.
    pub(crate) fn stop_and_log(mut self) -> String {
        let code = self.process.sigterm_and_wait(DEADLINE).unwrap();
        let log = self.process.log();
        assert_eq!(code, 0, "{:?}: {log}", self.kind);
        log
    }

    /// The log's lines, which are JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let log = self.process.log();
        log.lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| {
                    panic!("{:?} logs what is not JSON: {e}: {line}", self.kind)
                })
            })
            .collect()
    }
}
