//! Clusters come up whole, keep their data, and go away.

use std::time::{Duration, Instant};

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
    let started = Instant::now();
    let cluster = KafkaCluster::start(3).unwrap();
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    let topic = unique("three");
    cluster
        .create_topic(&topic, 1, &[("min.insync.replicas", "2")])
        .unwrap();
    let leader = cluster.leaders(&topic).unwrap()[0].1;
    cluster.kill(leader).unwrap();
    wait_until("another leader", Duration::from_secs(60), || {
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
    assert!(started.elapsed() < Duration::from_secs(180));
}
