//! Real Apache Kafka brokers (KRaft, each also a controller) as children of the
//! test process.
//!
//! The jars come from `deploy/kafka/fetch`. Data, configuration and logs are in
//! a temporary folder that goes with the cluster; a cluster in a static, or of
//! a process that was killed, is ended by the watchdog. A cluster that can't
//! start is an error: there is no skipping here.

mod distribution;
mod node;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::names::{free_addr, unique};
use crate::proxy::Proxy;
use crate::wait::wait_for;
use crate::watchdog;
use node::Node;

pub(crate) use distribution::java;

/// Two to four seconds on an idle machine, ten times that beside a compiler.
const READY: Duration = Duration::from_secs(180);
/// Until every broker has heard of a new topic: well below a second when idle.
const HEARD_OF: Duration = Duration::from_secs(60);

/// A cluster of one or three brokers. Brokers are counted from 1.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Mutex<Vec<Node>>,
    bootstrap: String,
    heap_mib: usize,
    /// One per broker, for those who come by its second listener.
    network: Vec<Proxy>,
    // Last, so that the folder outlives the brokers that write to it.
    _folder: TempDir,
}

impl KafkaCluster {
    /// Starts `nodes` brokers on free ports of 127.0.0.1 and waits until each of
    /// them knows all.
    ///
    /// # Errors
    /// When jars, java or the brokers can't be had, with the end of the log.
    pub fn start(nodes: usize) -> anyhow::Result<KafkaCluster> {
        KafkaCluster::start_with(nodes, false)
    }

    /// The same, with a second way in: [`KafkaCluster::far`], by a network that
    /// can be taken away.
    ///
    /// # Errors
    /// As [`KafkaCluster::start`].
    pub fn start_with_far_side(nodes: usize) -> anyhow::Result<KafkaCluster> {
        KafkaCluster::start_with(nodes, true)
    }

    fn start_with(nodes: usize, far: bool) -> anyhow::Result<KafkaCluster> {
        // A port that was free may be taken when the broker comes to bind it.
        let mut attempt = KafkaCluster::start_once(nodes, far);
        for _ in 0..2 {
            match &attempt {
                Err(error) if format!("{error:#}").contains("Address already in use") => {
                    attempt = KafkaCluster::start_once(nodes, far);
                }
                _ => break,
            }
        }
        attempt
    }

    fn start_once(count: usize, far: bool) -> anyhow::Result<KafkaCluster> {
        ensure!(count > 0, "a cluster has at least one broker");
        let folder = TempDir::with_prefix("hooklane-kafka-")?;
        watchdog::remove_folder_at_exit(folder.path())?;
        let mut nodes = Vec::new();
        let mut network = Vec::new();
        for id in 1..=count {
            let mut node = Node::new(id, free_addr()?, free_addr()?, folder.path());
            if far {
                let listener = free_addr()?;
                let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), listener)?;
                node.far = Some((listener, proxy.addr()));
                network.push(proxy);
            }
            nodes.push(node);
        }
        let voters: Vec<_> = nodes
            .iter()
            .map(|n| format!("{}@{}", n.id, n.controller))
            .collect();
        let bootstrap: Vec<_> = nodes.iter().map(|n| n.broker.to_string()).collect();
        let cluster_id = unique("hooklane");
        let heap_mib = if count == 1 { 512 } else { 256 };
        for node in &mut nodes {
            node.format(&cluster_id, &voters.join(","), count)?;
        }
        let cluster = KafkaCluster {
            nodes: Mutex::new(nodes),
            bootstrap: bootstrap.join(","),
            heap_mib,
            network,
            _folder: folder,
        };
        for node in cluster.lock().iter_mut() {
            node.spawn(heap_mib)?;
        }
        for id in 1..=count {
            cluster.wait_ready(id, count)?;
        }
        Ok(cluster)
    }

    /// `host:port` of every broker, with commas.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of every broker's far side, with commas: brokers tell a client
    /// who came by these to come by these again.
    #[must_use]
    pub fn far(&self) -> String {
        let addrs = self.network.iter().map(|proxy| proxy.addr().to_string());
        addrs.collect::<Vec<_>>().join(",")
    }

    /// The network that the far side comes by, one proxy per broker.
    #[must_use]
    pub fn network(&self) -> &[Proxy] {
        &self.network
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn kill(&self, node: usize) -> anyhow::Result<()> {
        self.with(node, |node| {
            node.kill();
            Ok(())
        })
    }

    /// SIGTERM, and waits until the broker has stopped.
    ///
    /// # Errors
    /// When there is no such broker, it isn't running, or it doesn't stop within
    /// 20 s (it is killed then).
    pub fn stop(&self, node: usize) -> anyhow::Result<()> {
        self.with(node, Node::stop)
    }

    /// SIGSTOP: the broker keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When there is no such broker or it isn't running.
    pub fn pause(&self, node: usize) -> anyhow::Result<()> {
        self.with(node, |node| node.signal(Signal::STOP))
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When there is no such broker or it isn't running.
    pub fn resume(&self, node: usize) -> anyhow::Result<()> {
        self.with(node, |node| node.signal(Signal::CONT))
    }

    /// Starts a broker again on its data and port (stopping it first if it
    /// runs), and waits until it is part of the cluster.
    ///
    /// # Errors
    /// When there is no such broker, or it doesn't come up.
    pub fn restart(&self, node: usize) -> anyhow::Result<()> {
        self.with(node, |node| {
            if node.is_running() {
                node.stop()?;
            }
            node.spawn(self.heap_mib)
        })?;
        self.wait_ready(node, 1)
    }

    /// Creates a topic and waits until every running broker knows a leader of
    /// every partition: they hear of it one after the other, and a client asks
    /// whichever it likes.
    ///
    /// # Errors
    /// What the broker says, or a broker that knows no leaders after a minute.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let replicas = i16::try_from(self.lock().len())?;
        let running = self.running();
        let first = running.first().context("no broker is running")?;
        wire::create_topic(*first, topic, partitions, replicas, configs)?;
        for broker in running {
            let what = format!("broker {broker} to know the leaders of {topic}");
            wait_for(&what, HEARD_OF, || {
                let leaders = wire::metadata(broker, Some(topic)).ok()?.leaders;
                let led = leaders.iter().filter(|(_, leader)| *leader > 0).count();
                (led == usize::try_from(partitions).ok()?).then_some(())
            })?;
        }
        Ok(())
    }

    /// Where the brokers that run listen.
    fn running(&self) -> Vec<SocketAddr> {
        let mut nodes = self.lock();
        let running = nodes
            .iter_mut()
            .filter_map(|n| n.is_running().then_some(n.broker));
        running.collect()
    }

    /// The leading broker of each partition, 0 where there is none now.
    ///
    /// # Errors
    /// When no running broker answers.
    pub fn leaders(&self, topic: &str) -> anyhow::Result<Vec<(i32, usize)>> {
        let mut last = anyhow!("no broker is running");
        for broker in self.running() {
            match wire::metadata(broker, Some(topic)) {
                Ok(known) => {
                    let leader = |id| usize::try_from(id).unwrap_or(0);
                    return Ok(known
                        .leaders
                        .iter()
                        .map(|(p, id)| (*p, leader(*id)))
                        .collect());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until broker `id` answers, and knows itself and `known` brokers.
    fn wait_ready(&self, id: usize, known: usize) -> anyhow::Result<()> {
        let broker = self.with(id, |node| Ok(node.broker))?;
        let me = i32::try_from(id)?;
        wait_for(
            &format!("broker {id} at {broker} to be ready"),
            READY,
            || {
                if let Err(ended) = self.with(id, Node::ensure_running) {
                    return Some(Err(ended));
                }
                let brokers = wire::metadata(broker, None).ok()?.brokers;
                (brokers.len() >= known && brokers.contains(&me)).then_some(Ok(()))
            },
        )
        .with_context(|| {
            self.with(id, |node| Ok(node.log_tail()))
                .unwrap_or_default()
        })?
    }

    fn with<T>(
        &self,
        id: usize,
        act: impl FnOnce(&mut Node) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut nodes = self.lock();
        let node = nodes.iter_mut().find(|node| node.id == id);
        act(node.with_context(|| format!("there is no broker {id}; they are counted from 1"))?)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        for node in self.lock().iter_mut() {
            node.kill();
        }
    }
}

/// One broker for all tests of a test binary; use topic and group names from
/// [`unique`]. Ended when the test process is, also after a panic.
///
/// # Errors
/// As [`KafkaCluster::start`]; once failed, every later call says so.
pub fn shared_cluster() -> anyhow::Result<&'static KafkaCluster> {
    static SHARED: OnceLock<Result<KafkaCluster, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| KafkaCluster::start(1).map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("the shared Kafka: {error}"))
}
