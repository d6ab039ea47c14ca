//! A small workspace with copies of the engine and the simulator.
//!
//! Everything else is taken from where it is. It lies in the workspace's target
//! folder, and so does what is built of it, which stays from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The packages that are copied.
const COPIED: [&str; 2] = ["libs/engine", "libs/simulator"];
/// Fast to build, and fast to run where the time goes; without the checks that
/// release builds do not have either: the oracle has to see what is wrong.
const PROFILE: &str = "
[profile.mutant]
inherits = \"dev\"
debug = false
debug-assertions = false
overflow-checks = false
[profile.mutant.package.\"*\"]
opt-level = 0
[profile.mutant.package.hooklane-engine]
opt-level = 1
[profile.mutant.package.hooklane-simulator]
opt-level = 1
";
/// Which fault is on, for a process.
const SWITCH: &str = "PLANTED";
/// What the engine's copy asks. Its first use reads the environment, so that
/// nothing has to be passed through.
const PLANTED: &str = "
pub(crate) fn planted(number: u32) -> bool {
    static ON: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var(\"PLANTED\").ok()?.parse().ok());
    *ON == Some(number)
}
";
/// A world that takes longer does not come to its end; each is a second's work.
const WORLD_MAX: Duration = Duration::from_secs(120);

/// What came of a world.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// No rule was broken.
    Clean,
    /// This rule was.
    Broken(String),
    /// It ended in another way.
    Failed(String),
}

pub(super) struct Copy {
    dir: PathBuf,
    target: PathBuf,
    /// Files of the engine with faults in them, until they are built.
    files: BTreeMap<PathBuf, String>,
}

impl Copy {
    pub(super) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap();
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
        let dir = base.join("work");
        let mut files = BTreeMap::new();
        for package in COPIED {
            let (from, to) = (root.join(package), dir.join(package));
            write(&to.join("Cargo.toml"), &read(&from.join("Cargo.toml")));
            if to.join("src").exists() {
                remove_what_is_gone(&from.join("src"), &to.join("src"));
            }
            sources(&from.join("src"), &to.join("src"), &mut files);
        }
        let library = files.get_mut(&dir.join("libs/engine/src/lib.rs")).unwrap();
        library.push_str(PLANTED);
        write(&dir.join("Cargo.toml"), &manifest(&root));
        write(&dir.join("Cargo.lock"), &read(&root.join("Cargo.lock")));
        let target = base.join("target");
        Self { dir, target, files }
    }

    /// Puts `replace` where `find` stands in a file of the engine.
    pub(super) fn plant(
        &mut self,
        number: u32,
        file: &str,
        find: &str,
        replace: &str,
    ) -> Result<(), String> {
        let path = self.dir.join("libs/engine").join(file);
        let text = self
            .files
            .get_mut(&path)
            .ok_or_else(|| format!("the engine has no file {file}"))?;
        *text = planted(text, number, find, replace).map_err(|why| format!("{file}: {why}"))?;
        Ok(())
    }

    /// Builds the simulator with what was planted.
    pub(super) fn build(&self) {
        for (path, text) in &self.files {
            write(path, text);
        }
        let out = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--profile", "mutant"])
            .args(["-p", "hooklane-simulator", "--bin", "simulate"])
            .current_dir(&self.dir)
            .env("CARGO_TARGET_DIR", &self.target)
            // A fault may leave something unused.
            .env("RUSTFLAGS", "--cap-lints=allow")
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "the engine does not build; planted(N) is entry N of mutants.yaml:\n{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// Runs one world, with one of the faults or none.
    pub(super) fn run(&self, fault: Option<u32>, seed: u64, steps: u64) -> Ran {
        let mut command = Command::new(self.target.join("mutant/simulate"));
        command.env_remove(SWITCH);
        if let Some(number) = fault {
            command.env(SWITCH, number.to_string());
        }
        command.args(["--seed", &seed.to_string(), "--steps", &steps.to_string()]);
        let (mut said, writer) = io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        // Its copies of the writing end: the pipe ends with the process.
        drop(command);
        let (all, heard) = mpsc::sync_channel(1);
        let reader = thread::spawn(move || {
            let mut text = String::new();
            let read = said.read_to_string(&mut text).map(|_| text);
            all.send(read).expect("waited for until this thread ends");
        });
        let heard_in_time = heard.recv_timeout(WORLD_MAX);
        if heard_in_time.is_err() {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        reader.join().unwrap();
        let Ok(said) = heard_in_time else {
            return Ran::Failed(format!("world {seed} does not come to its end"));
        };
        let said = said.unwrap();
        let rule = said
            .lines()
            .find_map(|line| line.strip_prefix("rule ")?.split_once(" broken"));
        match rule {
            Some((rule, _)) => Ran::Broken(rule.to_owned()),
            None if status.success() => Ran::Clean,
            None => Ran::Failed(said),
        }
    }
}

/// `text` with another text in the place of one that stands there once,
/// whatever the white space: that is the formatter's.
pub(super) fn planted(
    text: &str,
    number: u32,
    find: &str,
    replace: &str,
) -> Result<String, String> {
    if !replace.contains("PLANTED") {
        return Err("no PLANTED in its replacement".to_owned());
    }
    let solid = |text: &str| -> Vec<(usize, char)> {
        let all = text.char_indices();
        all.filter(|(_, c)| !c.is_whitespace()).collect()
    };
    let (hay, needle) = (solid(text), solid(find));
    let is_there = |w: &&[(usize, char)]| w.iter().zip(&needle).all(|(a, b)| a.1 == b.1);
    let places: Vec<_> = hay.windows(needle.len()).filter(is_there).collect();
    let place = match places.as_slice() {
        [place] => place,
        [] => return Err(format!("this text does not stand there:\n{find}")),
        more => {
            return Err(format!(
                "this text stands {} times there:\n{find}",
                more.len()
            ));
        }
    };
    let (last, c) = place[place.len() - 1];
    let (from, to) = (place[0].0, last + c.len_utf8());
    let replace = replace
        .replace("PLANTED", &format!("crate::planted({number})"))
        .replace("ORIGINAL", &text[from..to]);
    Ok([&text[..from], &replace, &text[to..]].concat())
}

/// The root manifest, for the copied packages only.
fn manifest(root: &Path) -> String {
    let text = read(&root.join("Cargo.toml"));
    let (before, rest) = text.split_once("members = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    let members = COPIED.map(|package| format!("\"{package}\"")).join(", ");
    let here = "path = \"libs/model\"";
    assert_eq!(after.matches(here).count(), 1, "libs/model in Cargo.toml");
    let model = format!("path = \"{}\"", root.join("libs/model").display());
    let after = after.replace(here, &model);
    format!("{before}members = [{members}]{after}{PROFILE}")
}

/// Every file of a folder, by where its copy will lie.
fn sources(from: &Path, to: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for name in names(from) {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            sources(&source, &copy, files);
        } else {
            files.insert(copy, read(&source));
        }
    }
}

fn remove_what_is_gone(from: &Path, copy: &Path) {
    for name in names(copy) {
        let (source, copy) = (from.join(&name), copy.join(&name));
        match (source.exists(), copy.is_dir()) {
            (true, true) => remove_what_is_gone(&source, &copy),
            (true, false) => {}
            (false, true) => fs::remove_dir_all(&copy).unwrap(),
            (false, false) => fs::remove_file(&copy).unwrap(),
        }
    }
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Leaves the time of a file that is as it should be, so that cargo does not
/// build it again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
