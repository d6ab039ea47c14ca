//! `hooklane apply`: make what is stored as files declare.

use std::collections::BTreeMap;

use clap::Args;
use hooklane_kafka::scan::end_offsets;
use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{
    self, Given, Plan, PlanError, PlanProblem, PlannedChange, StartOffsets, spoken,
};
use hooklane_model::resource::{
    Auth, Document, Endpoint, Kind, Manifest, ResourceKey, Signing, SigningScheme, SigningSecret,
    spec_path,
};
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_model::time::Clock;
use hooklane_model::url_rule::is_internal_name;
use hooklane_secrets::Sealer;
use hooklane_sender::{EgressPolicy, Signer, SignerError};
use hooklane_service::secrets::check_name;
use serde_json::json;
use url::Url;

use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;
use crate::files::{self, FileArgs};
use crate::output::OneFormat;
use crate::{Io, exit, secrets, store, tls};

/// Arguments of `apply`.
#[derive(Args, Clone, Debug, Default)]
pub struct ApplyArgs {
    /// What to apply.
    #[command(flatten)]
    pub files: FileArgs,
    /// Check everything and show what would happen, but write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to show what happened
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OneFormat,
}

/// Runs the command.
///
/// # Errors
/// All problems of the files at once; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &ApplyArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let documents = files::read(&args.files.files, io.input)?;
    let (mut planner, plan) = first_plan(cluster, documents, clock, io)?;
    let plan = if args.dry_run || plan.writes.is_empty() {
        planner.keys = None;
        plan
    } else {
        store::write(cluster, &mut |catalog| planner.plan(catalog))?
    };
    show_with_secrets(&plan, args, planner.keys, io)?;
    Ok(exit::OK)
}

/// One line a resource, and the secrets that were made: this once.
fn show_with_secrets(
    plan: &Plan,
    args: &ApplyArgs,
    mut keys: Option<Sealer>,
    io: &mut Io<'_>,
) -> Result<(), CliError> {
    let mut made = BTreeMap::new();
    for change in &plan.changes {
        let keys = keys.as_mut();
        if let Some(secret) = keys.and_then(|keys| keys.take_made(&change.document)) {
            made.insert(&change.key, secret);
        }
    }
    let as_data = |change: &PlannedChange| {
        let key = &change.key;
        let mut value = json!({
            "kind": key.kind.to_string(),
            "tenant": (key.kind != Kind::Source).then_some(&key.tenant),
            "name": key.name,
            "action": change.action.done(),
        });
        if let Some(secret) = made.get(key).and_then(Secret::expose_text) {
            value["secret"] = json!(secret);
        }
        value
    };
    let data = || json!({"changes": plan.changes.iter().map(as_data).collect::<Vec<_>>()});
    if args.output.data(io.out, data)? {
        return Ok(());
    }
    show(plan, args.dry_run, io)?;
    for (key, secret) in &made {
        secrets::show_made(key, secret, io)?;
    }
    Ok(())
}

/// What `documents` would change now, and the planner that says so again.
pub(crate) fn first_plan<'a>(
    cluster: &'a Cluster,
    documents: Vec<Document>,
    clock: &'a dyn Clock,
    io: &mut Io<'_>,
) -> Result<(Planner<'a>, Plan), CliError> {
    let stored = store::load(cluster)?;
    stored.warn(io);
    let keys: Vec<ResourceKey> = documents.iter().map(|d| d.manifest.key()).collect();
    stored.check_readable(&keys)?;
    for document in &documents {
        let Manifest::Endpoint(endpoint) = &document.manifest else {
            continue;
        };
        for doubt in doubts(endpoint, &cluster.egress) {
            let name = spoken(&document.manifest.key());
            io.say(&format!("warning: {name}: {doubt}"));
        }
    }
    let (refused, doubts) = tls::look_at(&documents, clock.now());
    for doubt in doubts {
        io.say(&format!("warning: {doubt}"));
    }
    let mut planner = Planner {
        cluster,
        documents,
        refused,
        clock,
        keys: secrets::sealer(cluster, io)?,
        start_offsets: StartOffsets::new(),
        missing: Vec::new(),
    };
    let plan = planner.plan(&stored.catalog)?;
    for topic in &planner.missing {
        io.say(&format!(
            "warning: topic {topic} does not exist yet; once it does, it is read from its first \
             event"
        ));
    }
    Ok((planner, plan))
}

/// What can be declared and is likely to be regretted.
fn doubts(endpoint: &Endpoint, egress: &EgressPolicy) -> Vec<String> {
    let spec = &endpoint.spec;
    let mut doubts = Vec::new();
    if let Some(reason) = not_called(egress, &spec.url) {
        doubts.push(format!(
            "dispatchers will not call it as this egress policy stands: {reason}"
        ));
    }
    if spec.auth.is_some() && spec.url.scheme() == "http" {
        doubts.push("spec.auth: is sent in clear, because the URL is http://".to_owned());
    }
    if let Some(Auth::OAuth2(oauth2)) = spec.auth.as_deref() {
        let place = "spec.auth.oauth2.tokenUrl";
        if let Some(reason) = not_called(egress, &oauth2.token_url) {
            doubts.push(format!(
                "{place}: dispatchers will not call it as this egress policy stands: {reason}"
            ));
        }
        if oauth2.token_url.scheme() == "http" {
            doubts.push(format!(
                "{place}: the client secret is sent in clear, because it is http://"
            ));
        }
    }
    if spec.signing.scheme == SigningScheme::Twilio {
        doubts.push(
            "spec.signing.scheme: twilio is HMAC-SHA1 without a time; use standard unless the \
             receiver knows nothing else"
                .to_owned(),
        );
    }
    for (pointer, secret) in spec.secrets() {
        if let Err(reason) = check_name(&endpoint.meta.tenant, secret) {
            let place = spec_path(&pointer);
            doubts.push(format!("{place}: dispatchers will not read it: {reason}"));
        }
    }
    doubts.extend(unfit_keys(&spec.signing));
    let parameters = spec.url.query_pairs();
    for (name, _) in parameters.filter(|(name, _)| sounds_secret(name)) {
        doubts.push(format!(
            "spec.url: its parameter {name:?} is stored and shown in clear; if it is what lets \
             requests in, ask the receiver for a header: spec.auth"
        ));
    }
    let headers = spec.headers.iter().flat_map(|custom| &custom.headers);
    for (name, _) in headers.filter(|(name, _)| sounds_secret(name)) {
        doubts.push(format!(
            "spec.headers.{name:?}: is stored and shown in clear; if it is what lets requests in, \
             it belongs into spec.auth.header"
        ));
    }
    doubts
}

/// Signing secrets given in clear that make no key.
fn unfit_keys(signing: &Signing) -> Vec<String> {
    let unfit = |(at, listed): (usize, &SigningSecret)| {
        let reason = unfit_key(signing.scheme, listed.secret.inline()?)?;
        Some(format!(
            "spec.signing.secrets[{at}]: dispatchers will not sign with it: it {reason}"
        ))
    };
    let secrets = signing.secrets.iter().enumerate();
    secrets.filter_map(unfit).collect()
}

/// Why a secret makes no key: what its form does not tell, such as a public
/// key that is not its seed's.
pub(crate) fn unfit_key(scheme: SigningScheme, secret: &Secret) -> Option<&'static str> {
    let alone = Signing {
        scheme,
        header: None,
        secrets: vec![SigningSecret::lasting(SecretRef::Inline(secret.clone()))],
    };
    match Signer::try_new(&alone, std::slice::from_ref(secret)) {
        Err(SignerError::Secret { reason, .. }) => Some(reason),
        _ => None,
    }
}

/// Whether a header or parameter of this name is likely to carry a credential.
fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    ["apikey", "token", "secret", "password", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

/// Why the deployment's egress policy, as far as it is known here, keeps
/// dispatchers from calling a URL. Not an error: the policy of the dispatchers
/// is the one that counts, and is asked again at every connect.
fn not_called(policy: &EgressPolicy, url: &Url) -> Option<String> {
    if let Err(error) = policy.check_url(url) {
        let source = std::error::Error::source(&error);
        let because = source.map_or_else(String::new, |source| format!(": {source}"));
        return Some(format!("{error}{because}"));
    }
    let internal = url.domain().is_some_and(is_internal_name);
    (internal && policy.allow_cidrs.is_empty()).then(|| {
        "the host's name is internal by its form, and egress.allow_cidrs has no network".to_owned()
    })
}

/// Plans the same documents as often as it must be.
pub(crate) struct Planner<'a> {
    cluster: &'a Cluster,
    documents: Vec<Document>,
    /// Why they cannot be applied, whatever is stored.
    refused: Vec<PlanProblem>,
    clock: &'a dyn Clock,
    /// For secrets, where there is a key file.
    keys: Option<Sealer>,
    /// Where sources start that are new; asked once.
    start_offsets: StartOffsets,
    /// Topics that do not exist.
    missing: Vec<String>,
}

impl Planner<'_> {
    fn plan(&mut self, catalog: &Catalog) -> Result<Plan, CliError> {
        // First without them: a file that is refused asks the brokers nothing.
        self.plan_with_known_offsets(catalog)
            .map_err(CliError::Plan)?;
        self.resolve(catalog)?;
        self.plan_with_known_offsets(catalog)
            .map_err(CliError::Plan)
    }

    fn plan_with_known_offsets(&mut self, catalog: &Catalog) -> Result<Plan, PlanError> {
        let mut given = Given {
            now: self.clock.now(),
            topic_prefix: self.cluster.names.prefix(),
            start_offsets: &self.start_offsets,
            new_uid: &mut new_uid,
        };
        let documents = self.documents.clone();
        let planned = match &mut self.keys {
            Some(keys) => plan::apply_sealing(catalog, documents, &mut given, keys),
            None => plan::apply(catalog, documents, &mut given),
        };
        if self.refused.is_empty() {
            return planned;
        }
        let mut problems = planned.err().map_or_else(Vec::new, |error| error.problems);
        problems.extend(self.refused.iter().cloned());
        Err(PlanError { problems })
    }

    fn resolve(&mut self, catalog: &Catalog) -> Result<(), CliError> {
        for topic in plan::topics_to_resolve(catalog, &self.documents) {
            if self.start_offsets.contains_key(&topic) {
                continue;
            }
            let ends = end_offsets(&self.cluster.settings, &topic, PATIENCE)?;
            if ends.is_none() {
                self.missing.push(topic.clone());
            }
            self.start_offsets
                .insert(topic, ends.unwrap_or_else(BTreeMap::new));
        }
        Ok(())
    }
}

/// One line a resource.
pub(crate) fn show(plan: &Plan, dry_run: bool, io: &mut Io<'_>) -> Result<(), CliError> {
    let suffix = if dry_run { " (dry run)" } else { "" };
    for change in &plan.changes {
        let done = change.action.done();
        writeln!(io.out, "{} {done}{suffix}", spoken(&change.key))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hooklane_model::resource::parse_yaml;

    use super::*;

    fn doubted(tenant: &str, spec: &str) -> Vec<String> {
        let url = match spec.starts_with("url: ") {
            true => "",
            false => "url: 'https://erp.example/', ",
        };
        let text = format!(
            "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: {tenant}, name: e}}\n\
             spec: {{{url}{spec}}}"
        );
        match &parse_yaml(&text).unwrap()[0].manifest {
            Manifest::Endpoint(endpoint) => doubts(endpoint, &EgressPolicy::default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_pair_that_is_none_is_said_before_it_is_stored() {
        // The last byte is of another public key.
        let pair = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ\
                    6p9lMicMFs6K";
        for (end, doubts) in [("vg==", 0), ("vw==", 1)] {
            let said = doubted(
                "acme",
                &format!("signing: {{secrets: [{{value: {pair}{end}}}]}}"),
            );
            assert_eq!(said.len(), doubts, "{said:?}");
            assert!(said.iter().all(|it| it.contains("secrets[0]")), "{said:?}");
            assert!(!said.concat().contains("6Xb/"), "{said:?}");
        }
    }

    #[test]
    fn a_credential_among_the_headers_is_said_early() {
        for (name, doubts) in [
            ("X-Api-Key", 1),
            ("x-auth-token", 1),
            ("x_secret", 1),
            ("x-tenant", 0),
            ("accept", 0),
        ] {
            let said = doubted("acme", &format!("headers: {{{name}: hunter2}}"));
            assert_eq!(said.len(), doubts, "{name}: {said:?}");
            assert!(!said.concat().contains("hunter2"), "{said:?}");
        }
    }

    #[test]
    fn a_credential_in_the_url_is_said_early() {
        for (query, doubts) in [
            ("?access_token=hunter2&Api-Key=1", 2),
            ("?a=hunter2", 0),
            ("", 0),
        ] {
            let said = doubted("acme", &format!("url: 'https://erp.example/{query}'"));
            assert_eq!(said.len(), doubts, "{query}: {said:?}");
            assert!(!said.concat().contains("hunter2"), "{said:?}");
        }
    }

    #[test]
    fn names_that_nothing_is_mounted_by_are_said_early() {
        let said = |tenant: &str, from: &str| {
            doubted(
                tenant,
                &format!("auth: {{bearer: {{valueFrom: {{{from}}}}}}}"),
            )
        };
        assert_eq!(said("acme", "file: erp/token"), Vec::<String>::new());
        assert_eq!(said("acme", "env: TOKEN"), Vec::<String>::new());
        for (tenant, from) in [
            ("acme", "file: /run/token"),
            ("acme", "file: ../other/token"),
            ("acme", "env: token"),
            ("acme.eu", "env: TOKEN"),
        ] {
            let said = said(tenant, from).concat();
            assert!(
                said.starts_with("spec.auth.bearer: dispatchers will not read it: "),
                "{from}: {said}"
            );
        }
    }

    #[test]
    fn a_token_url_is_doubted_like_the_endpoints_own() {
        let said = |token_url: &str, egress: &EgressPolicy| {
            let text = format!(
                "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: e}}\n\
                 spec: {{url: 'https://erp.example/', auth: {{oauth2: {{tokenUrl: '{token_url}', \
                 clientId: hooks, clientSecret: {{valueFrom: {{file: client}}}}}}}}}}"
            );
            match &parse_yaml(&text).unwrap()[0].manifest {
                Manifest::Endpoint(endpoint) => doubts(endpoint, egress),
                other => panic!("{other:?}"),
            }
        };
        let strict = EgressPolicy::default();
        let open = EgressPolicy {
            allow_http: true,
            ..EgressPolicy::default()
        };
        let none = Vec::<String>::new();
        assert_eq!(said("https://login.example/token", &strict), none);
        let private = said("https://10.0.0.1/token", &strict);
        let [private] = &private[..] else {
            panic!("{private:?}")
        };
        assert!(private.starts_with("spec.auth.oauth2.tokenUrl: dispatchers will not call it"));
        let clear = said("http://login.example/token", &open);
        let [clear] = &clear[..] else {
            panic!("{clear:?}")
        };
        assert!(clear.contains("the client secret is sent in clear"));
        assert_eq!(said("http://login.example/token", &strict).len(), 2);
    }

    #[test]
    fn what_a_dispatcher_would_not_call_is_said_early() {
        let strict = EgressPolicy::default();
        let open = EgressPolicy {
            allow_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ..EgressPolicy::default()
        };
        for (url, strictly, openly) in [
            ("https://erp.example/", None, None),
            ("http://erp.example/", Some("allow_http"), None),
            ("https://0x0a.1/", Some("10.0.0.0/8 private"), None),
            ("https://[::1]/", Some("loopback"), Some("loopback")),
            ("https://a.b.svc/", Some("internal by its form"), None),
        ] {
            let url = Url::parse(url).unwrap();
            for (policy, expected) in [(&strict, strictly), (&open, openly)] {
                let said = not_called(policy, &url);
                assert_eq!(said.is_some(), expected.is_some(), "{url}: {said:?}");
                assert!(
                    said.unwrap_or_default().contains(expected.unwrap_or("")),
                    "{url}"
                );
            }
        }
    }
}
