//! What the watch says, and that it says it once.

use std::io::Write;
use std::sync::{Arc, Mutex};

use hooklane_model::time::UnixMillis;

use super::*;
use crate::clock::TestClock;
use crate::lifecycle::{Lifecycle, Shutdown};
use crate::metrics::{LabelValue, Registry};

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Read,
    Write,
}

impl LabelValue for Step {
    const ALL: &'static [Self] = &[Self::Read, Self::Write];

    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one look says: level, message, thread, step and seconds.
fn said(watch: &mut Watch) -> Vec<String> {
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || sink.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || watch.look());
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let message = line["message"].as_str().unwrap();
        let subject: String = message.split(':').next().unwrap().to_owned();
        let place = (&line["thread"], &line["doing"], &line["seconds"]);
        format!(
            "{} {subject} {} {} {}",
            line["level"], place.0, place.1, place.2
        )
        .replace('"', "")
    });
    lines.collect()
}

/// Goal: a loop that stands still is reported once at half of what it may
/// take, with its name, what it does and for how long, once at all of it, and
/// once when it turns again. Method: two loops on a clock of the test's.
#[test]
fn a_loop_that_stands_still_is_named_with_what_it_does() {
    let clock = Arc::new(TestClock::at(UnixMillis(0)));
    let registry = Registry::new("test");
    let deadline = Duration::from_secs(25);
    let lifecycle = Lifecycle::new(&registry, clock.clone(), Shutdown::new(), deadline).unwrap();
    lifecycle.enter(Phase::Ready);
    let probes = Probes::new(clock.clone(), lifecycle);
    probes.register(&registry).unwrap();
    let worker = probes.heartbeat_of::<Step>("worker 0", Duration::from_secs(30));
    let poll = probes.heartbeat("poll", Duration::from_secs(30));
    let mut watch = Watch::new(probes.clone());
    worker.at(Step::Write);
    let mut pass = |seconds| {
        clock.advance(Duration::from_secs(seconds));
        poll.beat();
        (
            said(&mut watch),
            probes.missing().len(),
            probes.stale().len(),
        )
    };
    assert_eq!(pass(15), (vec![], 0, 0));
    let warned = "WARN a thread stands still worker 0 write 16";
    assert_eq!(pass(1), (vec![warned.to_owned()], 1, 0));
    assert_eq!(pass(1), (vec![], 1, 0));
    let age = |thread: &str| {
        let text = registry.render().unwrap();
        let start = format!("hooklane_turn_age_seconds{{thread=\"{thread}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap().to_owned()
    };
    assert_eq!((age("worker 0"), age("poll")), ("17".into(), "0".into()));
    assert_eq!(probes.missing(), ["worker 0 stands still at write, 17s"]);
    let failed = "ERROR a thread has stood still for too long worker 0 write 31";
    assert_eq!(pass(14), (vec![failed.to_owned()], 1, 1));
    assert_eq!(pass(14), (vec![], 1, 1));
    worker.beat();
    worker.at(Step::Read);
    let again = "INFO a thread that stood still turns again, or has ended worker 0 null null";
    assert_eq!(pass(1), (vec![again.to_owned()], 0, 0));
    assert_eq!(pass(1), (vec![], 0, 0));
    // One that jumps over the warning is an error at once.
    assert_eq!(pass(60).0.len(), 1);
    assert_eq!(probes.standing()[0].doing, "read");
}
