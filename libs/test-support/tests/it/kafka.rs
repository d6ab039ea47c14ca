//! Clusters come up whole, keep their data, and go away.

use std::time::Duration;

use hooklane_test_support::independent::{ToolRecord, consume, produce};
use hooklane_test_support::{KafkaCluster, shared_cluster, unique, wait_until};

/// A shared cluster is one cluster, and topics have as many partitions as asked.
#[test]
fn shared_cluster_creates_topics() {
    let first = shared_cluster().unwrap();
    let second = shared_cluster().unwrap();
    assert!(std::ptr::eq(first, second));
    let topic = unique("shared");
    first
        .create_topic(&topic, 3, &[("retention.ms", "3600000")])
        .unwrap();
    assert_eq!(first.leaders(&topic).unwrap(), [(0, 1), (1, 1), (2, 1)]);
    let again = first.create_topic(&topic, 3, &[]).unwrap_err();
    assert!(again.to_string().contains("already exists"), "{again}");
}

/// Three brokers form one cluster; when the leader of a partition is killed
/// another one leads, and the killed one comes back to its data.
#[test]
fn three_nodes_survive_a_kill() {
    let cluster = KafkaCluster::start(3).unwrap();
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    let topic = unique("three");
    cluster
        .create_topic(&topic, 1, &[("min.insync.replicas", "2")])
        .unwrap();
    let leader = cluster.leaders(&topic).unwrap()[0].1;
    cluster.kill(leader).unwrap();
    wait_until("another leader", Duration::from_secs(120), || {
        cluster
            .leaders(&topic)
            .is_ok_and(|now| now[0].1 != leader && now[0].1 != 0)
    })
    .unwrap();
    cluster.restart(leader).unwrap();
    assert!(
        cluster
            .kill(4)
            .unwrap_err()
            .to_string()
            .contains("no broker 4")
    );
}

/// A broker keeps its data and its port over SIGKILL and SIGTERM, and one that
/// is stopped in its tracks answers again when it may go on.
#[test]
fn restarts_keep_data() {
    let cluster = KafkaCluster::start(1).unwrap();
    let bootstrap = cluster.bootstrap().to_owned();
    let topic = unique("kept");
    cluster.create_topic(&topic, 1, &[]).unwrap();
    let record = |value: &str| ToolRecord {
        value: Some(value.to_owned()),
        ..Default::default()
    };
    produce(&bootstrap, &topic, &[record("first")]).unwrap();
    cluster.kill(1).unwrap();
    assert!(
        cluster
            .leaders(&topic)
            .unwrap_err()
            .to_string()
            .contains("no broker is running")
    );
    cluster.restart(1).unwrap();
    produce(&bootstrap, &topic, &[record("second")]).unwrap();
    cluster.stop(1).unwrap();
    cluster.restart(1).unwrap();
    cluster.pause(1).unwrap();
    let paused = cluster.leaders(&topic);
    cluster.resume(1).unwrap();
    assert!(paused.is_err(), "a paused broker answered: {paused:?}");
    let records = consume(&bootstrap, &topic, 2).unwrap();
    assert_eq!(records, [record("first"), record("second")]);
}
