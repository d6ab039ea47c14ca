//! The `hooklane` command, and where the binaries are.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hooklane_test_support::wait_for;
use serde_json::Value;

use super::Pipeline;

/// A binary of the workspace, beside the folder that this test lies in.
pub(crate) fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first, or scripts/test",
        path.display()
    );
    path
}

impl Pipeline {
    /// Runs the command and returns what it wrote; it must succeed.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        self.command_with_input(args, "")
    }

    /// The same with a text on its standard input.
    pub(crate) fn command_with_input(&self, args: &[&str], input: &str) -> String {
        let (ok, out, err) = self.try_command(args, input);
        assert!(ok, "hooklane {args:?} failed\n{out}{err}");
        out
    }

    /// Whether a command succeeded, and what it wrote to its two streams.
    pub(crate) fn try_command(&self, args: &[&str], input: &str) -> (bool, String, String) {
        self.try_command_with(&[], args, input)
    }

    /// The same with other keys of configuration than the services have.
    pub(crate) fn try_command_with(
        &self,
        keys: &[(&str, &str)],
        args: &[&str],
        input: &str,
    ) -> (bool, String, String) {
        let mut child = Command::new(binary("hooklane"))
            .args(args)
            .env("HOOKLANE__KAFKA__BROKERS", &self.settings.brokers)
            .env("HOOKLANE__KAFKA__TOPIC_PREFIX", self.names.prefix())
            .envs(
                self.env
                    .iter()
                    .filter(|(key, _)| key.contains("SECRETS"))
                    .cloned(),
            )
            .envs(keys.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Dropped at the end of the statement: that is the end of the input.
        // A command that needs none may be gone by then.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let ended = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            ended.status.success(),
            text(ended.stdout),
            text(ended.stderr),
        )
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &[Value]) -> String {
        let documents: Vec<String> = manifests.iter().map(Value::to_string).collect();
        self.command_with_input(&["apply", "-f", "-"], &documents.join("\n---\n"))
    }

    /// A resource with its status, as the command shows it.
    pub(crate) fn get(&self, kind: &str, tenant: &str, name: &str) -> Value {
        let out = self.command(&["get", kind, name, "--tenant", tenant, "-o", "json"]);
        serde_json::from_str(&out).unwrap()
    }

    /// The account of all deliveries; it may not close yet.
    pub(crate) fn books(&self) -> Value {
        let (_, out, err) = self.try_command(&["books", "-o", "json"], "");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: books say {out}{err}"))
    }

    /// Waits until nothing is pending, and returns the books, which close.
    pub(crate) fn settled(&self, deadline: Duration) -> Value {
        let mut last = Value::Null;
        let settled = wait_for("books that close with nothing pending", deadline, || {
            last = self.books();
            (last["closes"] == true && last["pending"] == 0).then(|| last.clone())
        });
        settled.unwrap_or_else(|error| panic!("{error}: {last:#}"))
    }
}
