use std::path::Path;

use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_secrets::{SystemEntropy, seal};
use hooklane_service::config::{CommonConfig, Keys, Section};
use hooklane_service::metrics::Registry;

use super::*;
use crate::config::Config;

const K1: &str = "k1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
const K2: &str = "k2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";

pub(crate) fn secrets(keys: &[(&str, &Path)], environment: &[(&str, &str)]) -> Secrets {
    let sections: Vec<&Section> = [CommonConfig::SECTIONS, Config::SECTIONS].concat();
    let mut given = Keys::new(&sections).given("kafka.brokers", "localhost:1");
    for (key, path) in keys {
        given = given.given(key, path.display().to_string());
    }
    let common = CommonConfig::read(&mut given);
    let config = Config::read(&mut given, &common);
    given.finish().unwrap();
    let metrics = Arc::new(Metrics::register(&Registry::new("dispatcher"), &config).unwrap());
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Secrets::open(&config.secrets, environment.iter().map(owned), metrics).unwrap()
}

fn endpoint(tenant: &str) -> Endpoint {
    let yaml = format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: {tenant}, name: erp, uid: \
         ep_00000000000000000000000000000007}}\nspec: {{url: 'https://erp.example'}}"
    );
    match parse_yaml(&yaml).unwrap().remove(0).manifest {
        Manifest::Endpoint(endpoint) => endpoint,
        other => panic!("{other:?}"),
    }
}

fn sealed(keys: &str, value: &str) -> SecretRef {
    let keyring = Keyring::parse(keys).unwrap();
    let place = Place {
        tenant: "acme",
        endpoint: 7,
    };
    let value = Secret::from(value.to_owned());
    let sealed = seal(&keyring, &place, &value, &mut SystemEntropy).unwrap();
    SecretRef::Sealed(sealed.to_string())
}

fn shown(result: Result<Revealed, NoSecret>) -> Result<String, String> {
    result
        .map(|found| found.secret.expose_text().unwrap().to_owned())
        .map_err(|error| error.to_string())
}

#[test]
fn a_missing_key_is_named_and_a_new_key_file_cures_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    std::fs::write(&path, format!("writing: k1\n{K1}")).unwrap();
    let secrets = secrets(&[("secrets.kek_file", &path)], &[]);
    let secret = sealed(&format!("writing: k2\n{K2}"), "hunter2");
    let acme = endpoint("acme");
    let missing = Err("key k2 is not in the key file".to_owned());
    let reveal = || shown(secrets.reveal(&acme, "", &secret));
    assert_eq!(reveal(), missing);
    secrets.look();
    std::fs::write(&path, format!("writing: k2\n{K1}{K2}")).unwrap();
    assert_eq!(reveal(), missing, "not looked yet");
    secrets.look();
    assert_eq!(reveal(), Ok("hunter2".to_owned()));
    // A broken file takes nothing away.
    std::fs::write(&path, "oops").unwrap();
    secrets.look();
    std::fs::remove_file(&path).unwrap();
    secrets.look();
    assert_eq!(reveal(), Ok("hunter2".to_owned()));
    let metrics = &secrets.metrics;
    let counted = [
        metrics.secrets_unavailable.get(),
        metrics.secret_key_reloads.get(),
        metrics.secret_key_errors.get(),
    ];
    assert_eq!(counted, [2, 1, 2]);
}

#[test]
fn a_secret_is_its_endpoints_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    std::fs::write(&path, format!("writing: k1\n{K1}")).unwrap();
    let secrets = secrets(&[("secrets.kek_file", &path)], &[]);
    let secret = sealed(&format!("writing: k1\n{K1}"), "hunter2");
    assert!(secrets.reveal(&endpoint("acme"), "", &secret).is_ok());
    assert!(secrets.reveal(&endpoint("other"), "", &secret).is_err());
    let mut later = endpoint("acme");
    later.meta.uid = 8;
    assert!(
        secrets.reveal(&later, "", &secret).is_err(),
        "the name was used again"
    );
}

#[test]
fn mounted_secrets_are_the_tenants_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    std::fs::write(dir.path().join("acme/token"), "from-file\n").unwrap();
    let environment = [("HOOKLANE_SECRET_ACME__TOKEN", "from-env"), ("TOKEN", "no")];
    let secrets = secrets(&[("secrets.directory", dir.path())], &environment);
    let env = SecretRef::Env("TOKEN".to_owned());
    let file = SecretRef::File("token".to_owned());
    let acme = endpoint("acme");
    let error = shown(secrets.reveal(&acme, "", &file)).unwrap_err();
    assert!(error.contains("acme/token"), "{error}");
    assert!(error.contains("is not read yet"), "{error}");
    let _asked = secrets.reveal(&endpoint("other"), "", &file);
    assert_eq!(secrets.metrics.secrets_unavailable.get(), 0, "it waits");
    secrets.read_asked();
    assert_eq!(
        shown(secrets.reveal(&acme, "", &env)),
        Ok("from-env".to_owned())
    );
    assert_eq!(
        shown(secrets.reveal(&acme, "", &file)),
        Ok("from-file".to_owned())
    );
    for secret in [&env, &file] {
        assert!(secrets.reveal(&endpoint("other"), "", secret).is_err());
    }
}

#[test]
fn without_keys_nothing_opens_and_what_is_in_clear_is_refused() {
    let secrets = secrets(&[], &[]);
    let acme = endpoint("acme");
    let secret = sealed(&format!("writing: k1\n{K1}"), "hunter2");
    let error = shown(secrets.reveal(&acme, "", &secret)).unwrap_err();
    assert!(error.contains("secrets.kek_file"), "{error}");
    let clear = SecretRef::Inline(Secret::from("hunter2".to_owned()));
    let error = secrets.reveal(&acme, "", &clear).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let damaged = SecretRef::Sealed("hunter2".to_owned());
    let error = secrets.reveal(&acme, "", &damaged).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_file_that_changes_or_goes_is_noticed_once_it_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    let path = dir.path().join("acme/token");
    std::fs::write(&path, "one\n").unwrap();
    let secrets = secrets(&[("secrets.directory", dir.path())], &[]);
    let file = SecretRef::File("token".to_owned());
    let read = || {
        let _asked = secrets.reveal(&endpoint("acme"), "", &file);
        secrets.read_asked();
        secrets.reveal(&endpoint("acme"), "", &file).unwrap()
    };
    let one = read().file.unwrap();
    assert!(Arc::ptr_eq(&one, &read().file.unwrap()), "one for all");
    // The same bytes with another line end are the same secret.
    std::fs::write(&path, "one\r\n").unwrap();
    secrets.look();
    assert!(!one.has_changed());
    std::fs::write(&path, "two\n").unwrap();
    assert!(!one.has_changed(), "not looked yet");
    secrets.look();
    assert!(one.has_changed());
    let two = read();
    assert_eq!(two.secret.expose(), b"two");
    let two = two.file.unwrap();
    std::fs::remove_file(&path).unwrap();
    secrets.look();
    assert!(two.has_changed());
    // Who is held by nobody is looked at no more.
    drop((one, two));
    secrets.look();
    assert!(lock(&secrets.watched).is_empty());
}

/// Goal: a read whose waiter gave up is no old secret for who comes later.
#[test]
fn what_was_read_and_not_fetched_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    let path = dir.path().join("acme/token");
    std::fs::write(&path, "one").unwrap();
    let secrets = secrets(&[("secrets.directory", dir.path())], &[]);
    let file = SecretRef::File("token".to_owned());
    let reveal = || secrets.reveal(&endpoint("acme"), "", &file);
    assert!(matches!(reveal(), Err(NoSecret::Reading(_))));
    secrets.read_asked();
    std::fs::write(&path, "two").unwrap();
    secrets.look();
    assert!(matches!(reveal(), Err(NoSecret::Reading(_))));
    secrets.read_asked();
    assert_eq!(shown(reveal()), Ok("two".to_owned()));
}

/// Goal: who waits for a file is told when it is read, and not before, by a
/// thread of its own. Method: that thread, a file that is there and one that
/// is not.
#[tokio::test]
async fn who_waits_for_a_file_is_told_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    std::fs::write(dir.path().join("acme/token"), "one").unwrap();
    let secrets = Arc::new(secrets(&[("secrets.directory", dir.path())], &[]));
    let acme = endpoint("acme");
    let ask = |name: &str| {
        let file = SecretRef::File(name.to_owned());
        match secrets.reveal(&acme, "", &file) {
            Err(NoSecret::Reading(read)) => Err(read),
            other => Ok(shown(other)),
        }
    };
    let (there, missing) = (ask("token").unwrap_err(), ask("none").unwrap_err());
    assert!(
        Arc::ptr_eq(&there, &ask("token").unwrap_err()),
        "asked once"
    );
    let running = Watch::start(secrets.clone()).unwrap();
    there.done().await;
    missing.done().await;
    assert_eq!(ask("token").unwrap(), Ok("one".to_owned()));
    let error = ask("none").unwrap().unwrap_err();
    assert!(error.contains("acme/none cannot be read"), "{error}");
    // It is asked for anew, and found once it is there.
    std::fs::write(dir.path().join("acme/none"), "two").unwrap();
    ask("none").unwrap_err().done().await;
    assert_eq!(ask("none").unwrap(), Ok("two".to_owned()));
    drop(running);
}
