//! Signals, deadlines, panics and exit codes need a process of their own: the
//! test binary starts itself again as a small service, and a variable says
//! what that service is to do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use hooklane_service::lifecycle::Phase;
use hooklane_service::run::{ServiceContext, ServiceSpec, run_from};
use rustix::process::{Pid, Signal, kill_process};

const SCRIPT: &str = "HOOKLANE_TEST_SCRIPT";
const ARGUMENTS: &str = "HOOKLANE_TEST_ARGUMENTS";
/// Far more than any step takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(30);

const SPEC: ServiceSpec<()> = ServiceSpec {
    binary: "hooklane-test",
    component: "test",
    about: "A service that does as the test says.",
    sections: &[],
    foreign: &[],
    read: |_, _| (),
};

/// The service's side: does nothing in an ordinary run of the tests.
#[test]
#[allow(clippy::exit, reason = "this process plays the service")]
fn child() {
    let Some(script) = std::env::var_os(SCRIPT) else {
        return;
    };
    let arguments = std::env::var_os(ARGUMENTS).unwrap().into_string().unwrap();
    let arguments = arguments.split_whitespace().map(Into::into);
    let exit = run_from(
        &SPEC,
        std::iter::once("hooklane-test".into()).chain(arguments),
        |context, ()| play(script.to_str().unwrap(), &context),
    );
    std::process::exit(i32::from(exit.code()));
}

fn play(script: &str, context: &ServiceContext) -> Result<(), std::io::Error> {
    context.lifecycle.enter(Phase::Ready);
    if script == "fail" {
        return Err(std::io::Error::other("the broker said no"));
    }
    if script == "panic" {
        let worker = thread::Builder::new().name("worker-0".to_owned());
        worker.spawn(|| panic!("lane 7 is owned twice")).unwrap();
    }
    context.shutdown().wait();
    context.lifecycle.enter(Phase::Draining);
    if script == "stuck" {
        let _held = context.lifecycle.hold("lane 7");
        loop {
            thread::park();
        }
    }
    context.lifecycle.step("commit", || ());
    Ok(())
}

/// The test's side of such a process.
struct Service {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Service {
    fn start(script: &str, arguments: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "process::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SCRIPT, script)
            .env(ARGUMENTS, arguments)
            .env("HOOKLANE__METRICS__LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // 1,000 lines: such a service writes about ten; a full one would block.
        let (send, lines) = sync_channel(1_000);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    fn ready(script: &str, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![("HOOKLANE__KAFKA__BROKERS", "nowhere:9092")];
        all.extend(variables);
        let mut service = Self::start(script, "", &all);
        service.line(r#""to":"ready""#);
        service
    }

    /// Waits for a log line that contains `part`.
    fn line(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part}: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The exit code and everything that was logged.
    fn end(mut self) -> (i32, String) {
        let end = Instant::now() + PATIENCE;
        // The pipe closes when the process ends.
        while let Ok(line) = self
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        assert!(Instant::now() < end, "still running: {:#?}", self.seen);
        let status = self.child.wait().unwrap();
        (
            status.code().expect("ended by itself, not by a signal"),
            self.seen.join("\n"),
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already in the good case.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_first_signal_drains() {
    for signal in [Signal::TERM, Signal::INT] {
        let service = Service::ready("drain", &[]);
        service.signal(signal);
        let (code, log) = service.end();
        assert_eq!(code, 0, "{log}");
        let places: Vec<_> = [
            "shutdown requested",
            r#""to":"draining""#,
            r#""step":"commit""#,
            r#""to":"closed""#,
        ]
        .iter()
        .map(|part| {
            log.find(part)
                .unwrap_or_else(|| panic!("no {part} in {log}"))
        })
        .collect();
        assert!(places.is_sorted(), "{log}");
        assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let mut service = Service::ready("stuck", &[("HOOKLANE__SHUTDOWN__DEADLINE", "1h")]);
    service.signal(Signal::TERM);
    service.line(r#""to":"draining""#);
    service.signal(Signal::TERM);
    let (code, log) = service.end();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn the_deadline_ends_the_process_and_names_what_was_open() {
    let service = Service::ready("stuck", &[("HOOKLANE__SHUTDOWN__DEADLINE", "1s")]);
    service.signal(Signal::TERM);
    let (code, log) = service.end();
    assert_eq!(code, 1, "{log}");
    assert!(
        log.contains("shutdown deadline passed") && log.contains("lane 7 ("),
        "{log}"
    );
    assert!(log.contains(r#""phase":"draining""#), "{log}");
}

#[test]
fn a_panic_in_any_thread_ends_the_process_with_its_place() {
    let (code, log) = Service::ready("panic", &[]).end();
    assert_eq!(code, 70, "{log}");
    let parts = [
        r#""thread":"worker-0""#,
        r#""reason":"lane 7 is owned twice""#,
        "it/process.rs:",
    ];
    assert!(parts.iter().all(|part| log.contains(part)), "{log}");
}

#[test]
fn a_failure_is_logged_and_is_exit_code_1() {
    let (code, log) = Service::ready("fail", &[]).end();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains(r#""error":"the broker said no""#), "{log}");
}

#[test]
fn arguments_and_configuration_have_their_exit_codes() {
    let brokers = ("HOOKLANE__KAFKA__BROKERS", "a:1");
    for (arguments, variables, code, said) in [
        (
            "--check-config",
            vec![brokers],
            0,
            "hooklane-test: the configuration is valid",
        ),
        (
            "--check-config",
            vec![("HOOKLANE__LOG__LEVEL", "x")],
            78,
            "log.level (HOOKLANE__LOG__LEVEL): `x` is not a level",
        ),
        (
            "",
            vec![],
            78,
            "kafka.brokers: is required; set it in the file or as HOOKLANE__KAFKA__BROKERS",
        ),
        (
            "--config /nowhere/a.yaml",
            vec![brokers],
            78,
            "/nowhere/a.yaml: cannot be read",
        ),
        (
            "--confog x",
            vec![brokers],
            64,
            "unexpected argument '--confog'",
        ),
        ("--version", vec![], 0, ""),
    ] {
        let (ended, log) = Service::start("drain", arguments, &variables).end();
        assert_eq!(ended, code, "{arguments} {log}");
        assert!(log.contains(said), "{arguments} {log}");
    }
}
