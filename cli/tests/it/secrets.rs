//! Secrets through the command: stored sealed, shown once, never again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hooklane_kafka::scan::scan;
use serde_json::Value;

use crate::support::{DEADLINE, Ran, World, run_with};

const K1: &str = "k1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
const K2: &str = "k2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";
const CLEAR: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A cluster and a key file.
struct Vault {
    world: World,
    dir: tempfile::TempDir,
}

impl Vault {
    fn new() -> Self {
        let vault = Self {
            world: World::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        vault.keys(&format!("writing: k1\n{K1}"));
        vault
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kek")
    }

    fn keys(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(), text).unwrap();
        std::fs::set_permissions(self.path(), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn run(&self, args: &[&str], input: &str) -> Ran {
        let path = self.path().display().to_string();
        let more = [("HOOKLANE__SECRETS__KEK_FILE", &*path)];
        self.world.run_in(&more, args, input)
    }

    fn apply(&self, manifest: &str) -> Ran {
        self.run(&["apply", "-f", "-"], manifest)
    }

    /// Everything in the config topic, as bytes.
    fn config_topic(&self) -> String {
        let mut all = String::new();
        let topics = [self.world.names.config()];
        scan(&self.world.settings(), &topics, DEADLINE, &mut |record| {
            for part in [record.key, record.value].into_iter().flatten() {
                all.push_str(&String::from_utf8_lossy(&part));
                all.push('\n');
            }
        })
        .unwrap();
        all
    }

    fn stored(&self) -> Value {
        let shown = self.run(&["get", "endpoints", "erp", "-o", "json"], "");
        serde_json::from_str(&shown.quiet(0)).unwrap()
    }
}

fn endpoint(signing: &str) -> String {
    format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: 'https://erp.example/', signing: {signing}}}"
    )
}

fn given() -> String {
    endpoint(&format!(
        "{{scheme: standard, secrets: [{{value: {CLEAR}}}]}}"
    ))
}

#[test]
fn a_secret_given_in_clear_is_seen_by_nobody_afterwards() {
    let vault = Vault::new();
    let mut seen = String::new();
    let diff = vault.run(&["diff", "-f", "-"], &given());
    seen.push_str(&(diff.out + &diff.err));
    seen.push_str(&vault.apply(&given()).quiet(0));
    for args in [
        &["get", "endpoints"][..],
        &["get", "endpoints", "-o", "yaml"],
        &["get", "endpoints", "-o", "json"],
        &["describe", "endpoint", "erp", "--tenant", "acme"],
        &[
            "describe", "endpoint", "erp", "--tenant", "acme", "-o", "json",
        ],
        &["secrets", "list"],
    ] {
        seen.push_str(&vault.run(args, "").quiet(0));
    }
    let other = given().replace("MfKQ", "NfKQ");
    let diff = vault.run(&["diff", "-f", "-"], &other);
    assert_eq!(diff.code, 1, "another value is a difference");
    seen.push_str(&(diff.out + &diff.err));
    seen.push_str(&vault.config_topic());
    assert!(seen.contains("hks1.k1."), "{seen}");
    assert!(!seen.contains("fKQ9r8G"), "{seen}");
    assert_eq!(
        vault.apply(&given()).quiet(0),
        "Endpoint acme/erp unchanged\n"
    );
}

#[test]
fn what_get_shows_can_be_applied_without_keys_and_changes_nothing() {
    let vault = Vault::new();
    vault.apply(&given()).quiet(0);
    let yaml = vault
        .run(&["get", "endpoints", "erp", "-o", "yaml"], "")
        .quiet(0);
    let again = vault.world.apply(&yaml);
    assert_eq!(again.quiet(0), "Endpoint acme/erp unchanged\n");
    let refused = vault.world.apply(&given()).refused(1);
    assert!(refused.contains("HOOKLANE__SECRETS__KEK_FILE"), "{refused}");
    assert!(!refused.contains("MfKQ"), "{refused}");
}

#[test]
fn a_made_secret_is_shown_once() {
    let vault = Vault::new();
    let file = endpoint("{scheme: standard}");
    let dry = vault
        .run(&["apply", "--dry-run", "-f", "-"], &file)
        .quiet(0);
    assert!(!dry.contains("whsec_"), "{dry}");
    let ran = vault.apply(&file);
    let secret = ran.out.split("secret ").nth(1).unwrap().trim().to_owned();
    assert_eq!(
        (ran.code, secret.len()),
        (0, "whsec_".len() + 44),
        "{}",
        ran.out
    );
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert!(ran.err.contains("this once"), "{}", ran.err);
    let topic = vault.config_topic();
    assert!(!topic.contains(&secret[8..]), "{topic}");
    assert_eq!(vault.apply(&file).quiet(0), "Endpoint acme/erp unchanged\n");
    let data = vault.run(
        &["apply", "-f", "-", "-o", "json"],
        &file.replace("name: erp", "name: crm"),
    );
    let data: Value = serde_json::from_str(&data.quiet(0)).unwrap();
    assert!(
        data["changes"][0]["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_")
    );
}

#[test]
fn a_rotation_has_both_until_the_overlap_ends() {
    let vault = Vault::new();
    vault.apply(&given()).quiet(0);
    let rotate = [
        "secret",
        "rotate",
        "erp",
        "--tenant",
        "acme",
        "--overlap",
        "2h",
    ];
    let ran = vault.run(&rotate, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out
            .starts_with("Endpoint acme/erp configured\nEndpoint acme/erp secret whsec_")
    );
    let secrets = vault.stored()["spec"]["signing"]["secrets"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 2);
    assert!(secrets[0].get("expiresAt").is_none(), "{secrets}");
    assert_eq!(secrets[1]["expiresAt"], "2026-01-02T05:04:05.000Z");
    assert_eq!(vault.stored()["metadata"]["generation"], 2);
    // A value of one's own, and no overlap.
    let own = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let args = [
        "secrets",
        "rotate",
        "erp",
        "--tenant",
        "acme",
        "--overlap",
        "0s",
        "--value-file",
        "-",
    ];
    let ran = vault.run(&args, &format!("{own}\n")).quiet(0);
    assert_eq!(ran, "Endpoint acme/erp configured\n");
    let secrets = vault.stored()["spec"]["signing"]["secrets"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 1);
    // The last byte is of another public key.
    let pair = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9l\
                MicMFs6Kvw==";
    let refused = vault.run(&args, pair).refused(2);
    assert!(refused.contains("is not its seed's"), "{refused}");
    assert!(!refused.contains("6Xb/"), "{refused}");
    // What has ended goes with the next rotation.
    vault.run(&rotate, "");
    vault.world.clock.advance(Duration::from_secs(2 * 3_600));
    vault.run(&rotate, "");
    let secrets = vault.stored()["spec"]["signing"]["secrets"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 2);
}

#[test]
fn a_rekey_moves_everything_and_says_how_much() {
    let vault = Vault::new();
    for name in ["erp", "crm", "shop"] {
        let file = given().replace("name: erp", &format!("name: {name}"));
        vault.apply(&file).quiet(0);
    }
    vault.keys(&format!("writing: k2\n{K1}{K2}"));
    let list = vault.run(&["secrets", "list"], "").quiet(0);
    let expected = "KEY   SECRETS   ENDPOINTS   KEY FILE\n\
                    k1    3         3           present\n\
                    k2    0         0           writing\n";
    assert_eq!(list, expected);
    let rekeyed = vault.run(&["secrets", "rekey"], "").quiet(0);
    assert_eq!(
        rekeyed,
        "3 secrets re-wrapped under key k2, 0 were already\n"
    );
    let again = vault.run(&["secrets", "rekey"], "").quiet(0);
    assert_eq!(again, "0 secrets re-wrapped under key k2, 3 were already\n");
    assert_eq!(vault.stored()["metadata"]["generation"], 1);
    // The old key is of no more use to anybody.
    vault.keys(&format!("writing: k2\n{K2}"));
    assert_eq!(
        vault.apply(&given()).quiet(0),
        "Endpoint acme/erp unchanged\n"
    );
    vault.keys(&format!("writing: k1\n{K1}"));
    let lost = vault.run(&["secrets", "rekey"], "");
    assert_eq!(lost.code, 1);
    assert!(
        lost.err.contains("key k2 is not in the key file"),
        "{}",
        lost.err
    );
    assert!(
        lost.err.contains("3 secrets were not re-wrapped"),
        "{}",
        lost.err
    );
}

#[test]
fn sha1_is_warned_of_and_a_name_of_two_tenants_is_asked_for() {
    let vault = Vault::new();
    let twilio = endpoint("{scheme: twilio, secrets: [{value: 0123456789abcdef}]}");
    let ran = vault.apply(&twilio);
    assert_eq!(ran.out, "Endpoint acme/erp created\n", "{}", ran.err);
    assert!(
        ran.err.contains("twilio is HMAC-SHA1 without a time"),
        "{}",
        ran.err
    );
    let rotate = ["secret", "rotate", "erp", "--overlap", "24h"];
    let ran = vault.run(&rotate, "");
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("signs at once"), "{}", ran.err);
    let later = vault.run(&[&rotate[..], &["--after", "1h"]].concat(), "");
    assert!(!later.err.contains("signs at once"), "{}", later.err);
    let newest = vault.stored()["spec"]["signing"]["secrets"][0].clone();
    assert_eq!(newest["notBefore"], "2026-01-02T04:04:05.000Z");
    vault.apply(&given().replace("acme", "other")).quiet(0);
    let refused = vault.run(&rotate, "").refused(2);
    assert!(
        refused.contains("2 tenants have an endpoint erp"),
        "{refused}"
    );
    let unknown = ["secret", "rotate", "crm"];
    let refused = vault.run(&unknown, "").refused(3);
    assert!(refused.contains("Endpoint crm"), "{refused}");
}

#[test]
fn a_deleted_endpoint_keeps_no_secret() {
    let vault = Vault::new();
    vault.apply(&given()).quiet(0);
    vault
        .run(&["delete", "endpoint", "erp", "--tenant", "acme"], "")
        .quiet(0);
    let topic = vault.config_topic();
    let last = topic.lines().last().unwrap();
    assert!(
        last.contains("\"deleted\":true") && !last.contains("hks1"),
        "{last}"
    );
}

#[test]
fn a_key_file_is_made_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let made = path.display().to_string();
    let keygen = ["secrets", "keygen", "--id", "2026-11", "--out", &made];
    run_with(&[], &keygen, "").quiet(0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("writing: 2026-11\n2026-11: "), "{text}");
    assert_eq!(mode(&path), 0o400);
    let refused = run_with(&[], &keygen, "").refused(1);
    assert!(refused.contains("cannot be created"), "{refused}");
    let printed = run_with(&[], &["secrets", "keygen", "--id", "k1"], "").quiet(0);
    assert!(printed.starts_with("writing: k1\nk1: "), "{printed}");
}

/// Goal: who wants its receiver to hold a public key alone needs no other
/// tool. Method: a pair, taken as the secret of an endpoint.
#[test]
fn a_pair_of_keys_is_made_and_can_be_rotated_to() {
    let vault = Vault::new();
    vault.apply(&given()).quiet(0);
    let path = vault.dir.path().join("pair");
    let file = path.display().to_string();
    let made = run_with(&[], &["secrets", "keypair", "--out", &file], "").quiet(0);
    assert!(made.starts_with("public whpk_"), "{made}");
    assert_eq!((made.lines().count(), mode(&path)), (1, 0o400));
    let rotate = ["secret", "rotate", "erp", "--value-file", &file];
    vault.run(&rotate, "").quiet(0);
    let both = run_with(&[], &["secrets", "keypair"], "").quiet(0);
    let lines: Vec<&str> = both.lines().collect();
    assert!(lines[0].starts_with("secret whsk_") && lines.len() == 2);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
