//! Processes end as asked, their logs are in the errors, and nothing outlives
//! the test process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hooklane_test_support::{
    Answer, Process, Receiver, Script, free_addr, scrape, wait_for, wait_until,
};

const SOON: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Process {
    Process::builder("sh")
        .arg("-c")
        .arg(script)
        .env("GREETING", "hello")
        .start()
        .unwrap()
}

fn is_alive(pid: u32) -> bool {
    // A zombie that nobody has waited for yet is not alive.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[test]
fn exit_codes_and_logs() {
    let mut process =
        shell("trap 'echo bye; exit 7' TERM; echo $GREETING; while :; do sleep 0.05; done");
    process.wait_log("hello", SOON).unwrap();
    assert!(process.ended().is_none());
    assert_eq!(process.sigterm_and_wait(SOON).unwrap(), 7);
    assert_eq!(process.log(), "hello\nbye\n");
    assert!(
        process
            .sigterm()
            .unwrap_err()
            .to_string()
            .contains("has ended")
    );

    let mut stubborn = shell("trap '' TERM; echo started; while :; do sleep 0.05; done");
    stubborn.wait_log("started", SOON).unwrap();
    let error = stubborn
        .sigterm_and_wait(Duration::from_millis(100))
        .unwrap_err();
    assert!(format!("{error:#}").contains("started"), "{error:#}");
    let pid = stubborn.id();
    stubborn.kill9();
    assert!(!is_alive(pid));
    assert!(
        stubborn
            .wait_exit(SOON)
            .unwrap_err()
            .to_string()
            .contains("signal Some(9)")
    );
}

#[test]
fn pauses_and_resumes() {
    let mut process = shell("while :; do echo tick; sleep 0.01; done");
    process.wait_log("tick", SOON).unwrap();
    process.pause().unwrap();
    let state = format!("/proc/{}/stat", process.id());
    let stopped = || std::fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") T "));
    wait_until("the process to be stopped", SOON, stopped).unwrap();
    let paused = process.log().len();
    process.resume().unwrap();
    wait_until("more ticks", SOON, || process.log().len() > paused + 5).unwrap();
}

#[test]
fn ready_and_scraped() {
    let service = Receiver::start().unwrap();
    let page = "# TYPE x_total counter\nx_total{a=\"b\"} 5\n";
    service.script("/metrics", Script::always(Answer::status(200).body(page)));
    let unready = vec![
        Answer::status(503),
        Answer::status(503),
        Answer::status(200),
    ];
    service.script("/readyz", Script::sequence(unready));
    let mut process = shell("sleep 60");
    process.wait_ready(service.addr(), SOON).unwrap();
    assert_eq!(service.count("/readyz"), 3);
    assert_eq!(
        process
            .scrape(service.addr())
            .unwrap()
            .sum("x_total", &[("a", "b")]),
        5.0
    );
    assert!(scrape(free_addr().unwrap()).is_err());

    let mut failing = shell("echo 'bad brokers' >&2; exit 78");
    let started = Instant::now();
    let error = failing.wait_ready(free_addr().unwrap(), SOON).unwrap_err();
    assert!(
        started.elapsed() < SOON / 2,
        "it had ended, nothing was to be waited for"
    );
    let error = format!("{error:#}");
    assert!(
        error.contains("exit status: 78") && error.contains("bad brokers"),
        "{error}"
    );
}

/// Goal: a test process that is killed leaves no child. Method: this test runs
/// another one of this binary, which starts a child and never ends, and kills it.
#[test]
fn children_go_with_the_test_process() {
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new(me);
    command.args(["--exact", "process::never_ends_by_itself", "--nocapture"]);
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    command
        .env("HOOKLANE_TEST_NEVER_ENDS", &note)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut other = command.spawn().unwrap();
    let read = || {
        std::fs::read_to_string(&note)
            .ok()?
            .strip_suffix('\n')?
            .parse::<u32>()
            .ok()
    };
    let child = wait_for("the other's child", SOON, read);
    other.kill().unwrap();
    other.wait().unwrap();
    let child = child.unwrap();
    wait_until("the child to be gone", SOON, || !is_alive(child)).unwrap();
}

/// The other half of the test above; alone, it has nothing to do.
#[test]
fn never_ends_by_itself() {
    let Some(note) = std::env::var_os("HOOKLANE_TEST_NEVER_ENDS") else {
        return;
    };
    let process = shell("while :; do sleep 1; done");
    std::fs::write(note, format!("{}\n", process.id())).unwrap();
    wait_until(
        "a signal that ends this process",
        Duration::from_secs(120),
        || false,
    )
    .unwrap_err();
}
