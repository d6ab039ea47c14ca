//! The demo as a person runs it: the built binary, its output not a terminal.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use hooklane_cli::exit;

use crate::support::run_with;

/// Starting, six seconds, at most fifteen of draining, stopping: on a machine
/// that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(120);

/// The counts of the line with the books.
#[derive(Debug, Default)]
struct Books {
    matched: u64,
    delivered: u64,
    dead: u64,
    expired: u64,
    pending: u64,
    repeats: u64,
}

impl Books {
    #[track_caller]
    fn read(out: &str) -> Self {
        let line = out.lines().find(|line| line.starts_with("books: "));
        let line = line.unwrap_or_else(|| panic!("no books in:\n{out}"));
        let words: Vec<&str> = line.split([' ', ',', '(', ')']).collect();
        let count = |name: &str| {
            let at = words.iter().position(|word| *word == name).unwrap();
            words[at + 1].parse().unwrap()
        };
        Self {
            matched: count("matched"),
            delivered: count("delivered"),
            dead: count("dead"),
            expired: count("expired"),
            pending: count("pending"),
            repeats: count("repeats"),
        }
    }
}

fn start(args: &[&str]) -> Child {
    start_with(args, Stdio::piped())
}

fn start_with(args: &[&str], errors: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hooklane"))
        .arg("demo")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .unwrap()
}

/// Waits for the end: exit code, output, errors. A thread reads both while the
/// demo runs, so that no full pipe holds it up.
fn finish(child: Child) -> (Option<i32>, String, String) {
    let id = child.id();
    // One end: the thread never waits for us.
    let (ended, end) = mpsc::sync_channel(1);
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(DEADLINE) else {
        signal(id, "-KILL");
        panic!("the demo did not end: {:?}", end.recv());
    };
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn signal(id: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &id.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The main path: events flow, an endpoint that is dead leaves dead letters,
/// the books close and the exit code says so.
#[test]
fn the_demo_delivers_and_its_books_close() {
    let (code, out, err) = finish(start(&["--for", "6s"]));
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    let books = Books::read(&out);
    assert!(books.delivered > 0 && books.dead > 0, "{books:?}");
    let sum = books.delivered + books.dead + books.expired + books.pending;
    assert_eq!(books.matched, sum, "{books:?}");
    assert_eq!(books.repeats, 0, "nothing failed on our side");
    assert!(out.contains("The books close"), "{out}");
    let lines = out.lines().filter(|line| line.contains("s events="));
    assert!(lines.count() >= 3, "one line every two seconds:\n{out}");
    assert!(!out.contains('\x1b'), "escapes in what is no terminal");
}

/// A file's events are all delivered, once, and then it ends by itself.
#[test]
fn the_events_of_a_file_are_delivered_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let lines: Vec<String> = (0..40)
        .map(|n| format!("{{\"type\": \"my.thing\", \"tenant\": \"globex\", \"n\": {n}}}"))
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let (code, out, err) = finish(start(&["--events", file.to_str().unwrap()]));
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    let books = Books::read(&out);
    // Two endpoints of globex, which take everything, and both answer.
    // One of them is flaky: on a busy machine its last retries may still wait.
    assert_eq!(books.matched, 80, "{books:?}");
    assert_eq!(books.delivered + books.pending, 80, "{books:?}");
    assert!(books.delivered >= 70, "{books:?}");
}

/// A line of progress that shows events.
fn has_events(line: &str) -> bool {
    line.contains("s events=") && !line.contains(" events=0 ")
}

/// Ctrl-C ends the stream, not the demo: what is on its way is delivered, and
/// the books are made up. With logs on: whoever holds standard error while the
/// services log stops them.
#[test]
fn a_signal_ends_it_with_its_books() {
    // It would end by itself after some 5,000 events: half a minute.
    let mut child = start_with(&["--rate", "200", "--verbose"], Stdio::null());
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.lines().any(has_events) {
        assert!(reader.read_line(&mut seen).unwrap() > 0, "it ended: {seen}");
    }
    signal(child.id(), "-INT");
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{seen}");
    let books = Books::read(&seen);
    let sum = books.delivered + books.dead + books.expired + books.pending;
    assert!(books.matched > 0 && books.matched == sum, "{books:?}");
}

/// What cannot work is said before anything starts.
#[test]
fn bad_input_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    fs::write(&file, "{\"a\": 1}\n{\"b\": \n").unwrap();
    let path = file.to_str().unwrap();
    let cases: [(&[&str], u8, &str); 5] = [
        (
            &["--events", "/no/such/file"],
            exit::FAILURE,
            "/no/such/file cannot be read",
        ),
        (
            &["--events", path],
            exit::FAILURE,
            "line 2 is not a JSON document",
        ),
        (
            &["--for", "60s", "--rate", "2000"],
            exit::USAGE,
            "--brokers",
        ),
        (&["--for", "soon"], exit::USAGE, "--for"),
        (&["--rate", "0"], exit::USAGE, "--rate"),
    ];
    for (args, code, said) in cases {
        let args: Vec<&str> = ["demo"].iter().chain(args).copied().collect();
        let err = run_with(&[], &args, "").refused(code);
        assert!(err.contains(said), "{args:?}: {err}");
    }
}
