//! The code of docs/verifying.md, run as a receiver would run it.

use std::fs;
use std::path::Path;
use std::process::Command;

use hooklane_test_support::Request;

const PAGE: &str = include_str!("../../../../docs/verifying.md");

const PYTHON_MAIN: &str = r#"
import sys
def read(name):
    with open(name, "rb") as file:
        return file.read()
headers = dict(line.split(": ", 1) for line in read("headers").decode().splitlines())
tolerance = int(sys.argv[2])
print(verify(sys.argv[1], headers, read("body"), tolerance))
"#;

/// Judges as many requests as there are arguments for: secret, tolerance, folder.
const JAVA_MAIN: &str = r#"
final class Main {
    public static void main(String[] args) throws Exception {
        for (int i = 0; i < args.length; i += 3) {
            var folder = java.nio.file.Path.of(args[i + 2]);
            var headers = new java.util.HashMap<String, String>();
            for (String line : java.nio.file.Files.readAllLines(folder.resolve("headers"))) {
                String[] parts = line.split(": ", 2);
                headers.put(parts[0], parts[1]);
            }
            byte[] body = java.nio.file.Files.readAllBytes(folder.resolve("body"));
            System.out.println(Webhooks.verify(args[i], headers, body, Long.parseLong(args[i + 1])));
        }
    }
}
"#;

/// The code block of a language on the page, the first is 0.
fn block(language: &str, number: usize) -> &'static str {
    let begin = format!("```{language}\n");
    let rest = PAGE.split(&begin).nth(number + 1).unwrap();
    rest.split_once("```").unwrap().0
}

/// A request in files, as its receiver got it.
pub(super) struct Received {
    folder: tempfile::TempDir,
}

impl Received {
    /// `body` may be another one than the request's.
    pub(super) fn new(request: &Request, body: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = names.map(|name| format!("{name}: {}\n", request.header(name).unwrap()));
        fs::write(folder.path().join("headers"), headers.concat()).unwrap();
        fs::write(folder.path().join("body"), body).unwrap();
        let received = Self { folder };
        let signed = [
            request.header("webhook-id").unwrap().as_bytes(),
            b".",
            request.header("webhook-timestamp").unwrap().as_bytes(),
            b".",
            body,
        ];
        fs::write(received.path().join("signed"), signed.concat()).unwrap();
        received
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, command: &mut Command) -> String {
        let ran = command.current_dir(self.path()).output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        let out = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        assert!(!out.is_empty() || err.is_empty(), "{err}");
        out
    }

    /// What the Python of the page says, with a tolerance in seconds.
    pub(super) fn python(&self, secret: &str, tolerance: &str) -> bool {
        let code = format!("{}{PYTHON_MAIN}", block("python", 0));
        let mut command = Command::new("python3");
        yes(&self.run(command.args(["-c", &code, secret, tolerance])))
    }

    /// The signature that the command line of the page makes.
    pub(super) fn shell(&self, secret: &str) -> String {
        let script = format!("secret='{secret}'; {}", block("sh", 0));
        self.run(Command::new("sh").args(["-c", &script]))
    }

    /// What the command of the page says, for the public key of `seed`.
    pub(super) fn openssl(&self, signature: &str, private: &Path) -> bool {
        let (version, text) = signature.split_once(',').unwrap();
        assert_eq!(version, "v1a");
        let decode = format!("printf %s '{text}' | base64 -d > signature");
        let public = format!(
            "openssl pkey -in '{}' -pubout -out public.pem",
            private.display()
        );
        let script = format!("{decode} && {public} && {} || true", block("sh", 1).trim());
        let mut command = Command::new("sh");
        let out = self.run(command.args(["-c", &format!("({script}) 2>&1")]));
        match out.as_str() {
            "Signature Verified Successfully" => true,
            "Signature Verification Failure" => false,
            other => panic!("{other}"),
        }
    }
}

/// What the Java of the page says of each request, with a secret and a
/// tolerance in seconds; one start of Java for all.
pub(super) fn java<const N: usize>(asked: [(&Received, &str, &str); N]) -> [bool; N] {
    let (imports, class) = block("java", 0).split_once("\n\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Main.java");
    fs::write(&file, format!("{imports}\n{JAVA_MAIN}\n{class}")).unwrap();
    let mut command = Command::new("java");
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(file);
    for (request, secret, tolerance) in asked {
        command.args([secret, tolerance]).arg(request.path());
    }
    let ran = command.output().unwrap();
    let err = String::from_utf8_lossy(&ran.stderr);
    // A JRE alone has no compiler, and says so here.
    assert!(ran.status.success(), "a JDK is needed: {err}");
    let out = String::from_utf8(ran.stdout).unwrap();
    let said: Vec<bool> = out.lines().map(|line| line.parse().unwrap()).collect();
    said.try_into().unwrap()
}

fn yes(out: &str) -> bool {
    match out {
        "True" => true,
        "False" => false,
        other => panic!("{other}"),
    }
}

/// A key pair as the page makes one: the file, and the secret for Hooklane.
pub(super) fn key_pair(folder: &Path) -> (std::path::PathBuf, String) {
    let make = "openssl genpkey -algorithm ed25519 -out private.pem";
    assert!(PAGE.contains(make), "the page makes keys otherwise");
    let show = PAGE
        .lines()
        .find(|line| line.starts_with("echo \"whsk_"))
        .unwrap();
    let ran = Command::new("sh")
        .args(["-c", &format!("{make} && {show}")])
        .current_dir(folder)
        .output()
        .unwrap();
    let secret = String::from_utf8(ran.stdout).unwrap().trim().to_owned();
    assert_eq!(secret.len(), "whsk_".len() + 44, "{:?}", ran.stderr);
    (folder.join("private.pem"), secret)
}
