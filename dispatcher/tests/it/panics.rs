//! What a panic shows of the secrets that are in memory then.

#![allow(
    clippy::print_stdout,
    reason = "what the process wrote, for a test that fails"
)]

use std::backtrace::Backtrace;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hooklane_model::time::{Clock, UnixMillis};
use hooklane_service::clock::SystemClock;
use hooklane_service::config::{LogFormat, LogSection};
use hooklane_service::logs;
use hooklane_test_support::{PlantedSecret, base64, wait_until};
use serde_json::json;

use crate::harness::{DEADLINE, Harness, Made, Time};

const INSIDE: &str = "HOOKLANE_TEST_PANICS";
const LAST_WORDS: &str = "the clock has stopped";
/// Where an attempt is made, as a backtrace has it.
const PLACE: &str = "src/attempt.rs";

/// A wall clock that panics where an attempt asks for the time, once it is
/// told to.
#[derive(Default)]
struct Fuse(AtomicBool);

impl Clock for Fuse {
    fn now(&self) -> UnixMillis {
        let lit = self.0.load(Ordering::SeqCst);
        if lit && Backtrace::force_capture().to_string().contains(PLACE) {
            panic!("{LAST_WORDS}");
        }
        SystemClock.now()
    }
}

/// One for each way in which a dispatcher comes to have a secret.
fn planted() -> [PlantedSecret; 5] {
    [
        PlantedSecret::whsec("signing", "planted:signing/key00001"),
        PlantedSecret::text("bearer", "planted:bearer/token~~0001"),
        PlantedSecret::text("proxy", "Planted cHJveHktY3JlZGVudGlhbHM"),
        PlantedSecret::text("kafka", "planted:kafka+password=0001"),
        PlantedSecret::text("key", "planted:key-encryption-key/00001"),
    ]
}

/// Goal: a panic while a request is made says where it was, ends the process,
/// and shows nothing of the secrets around it, at the highest level of the log.
/// Method: this test as a process of its own, whose clock panics in the worker
/// that has just signed and sent; everything it wrote is searched.
#[test]
fn a_panic_with_secrets_at_hand_shows_none() {
    if std::env::var_os(INSIDE).is_some() {
        return panic_inside();
    }
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::a_panic_with_secrets_at_hand_shows_none"])
        .arg("--nocapture")
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let seen = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let seen = seen.concat();
    println!("{seen}");
    assert_eq!(ran.status.code(), Some(70), "as after any panic");
    for words in ["panic: this is a bug", LAST_WORDS, "worker-0", PLACE] {
        assert!(seen.contains(words), "{words}");
    }
    for secret in planted() {
        let found = secret.traces_in(&seen);
        assert!(found.is_empty(), "{}: {found:?}", secret.name);
    }
}

/// The process that panics.
fn panic_inside() {
    let level = "trace".to_owned();
    let format = LogFormat::Json;
    logs::init(&LogSection { level, format }).unwrap();
    logs::exit_on_panic();
    let [signing, bearer, proxy, kafka, key] = planted().map(|secret| secret.given);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("t")).unwrap();
    std::fs::write(path("t/signing"), &signing).unwrap();
    std::fs::write(path("t/bearer"), &bearer).unwrap();
    let keys = format!("writing: k1\nk1: {}\n", base64(key.as_bytes()));
    std::fs::write(path("kek"), keys).unwrap();
    let fuse = Arc::new(Fuse::default());
    let made = Made {
        time: Time {
            wall: fuse.clone(),
            ..Time::default()
        },
        spec: json!({
            "signing": {"scheme": "standard", "secrets": [{"valueFrom": {"file": "signing"}}]},
            "auth": {"bearer": {"valueFrom": {"file": "bearer"}}},
        }),
        keys: vec![
            ("secrets.directory", folder.path().display().to_string()),
            ("secrets.kek_file", path("kek").display().to_string()),
            ("egress.proxy_authorization", proxy),
            ("kafka.properties.sasl.password", kafka),
        ],
    };
    let h = Harness::made(made, &["/a"]);
    h.produce(b"{}", &["/a"], 1);
    h.receiver.wait_count("/a", 1, DEADLINE).unwrap();
    let request = h.receiver.requests().remove(0);
    assert!(request.header("webhook-signature").is_some());
    let sent = request.header("authorization").unwrap();
    assert_eq!(sent, format!("Bearer {bearer}"), "the secrets are in use");
    fuse.0.store(true, Ordering::SeqCst);
    h.produce(b"{}", &["/a"], 1);
    // The panic ends the process while this waits.
    wait_until("the end", DEADLINE, || false).unwrap();
}
