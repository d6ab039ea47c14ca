//! What is to be said of an endpoint's `tls`: when it is applied, and when it
//! is shown.

use hooklane_model::plan::{PlanProblem, ProblemKind, spoken};
use hooklane_model::resource::{Document, Manifest, Tls, TlsVersion};
use hooklane_model::time::UnixMillis;
use hooklane_sender::tls::{Certificate, review};

/// Certificates of one kind that `describe` shows; what is left out stands in
/// the spec below.
const SHOWN_MAX: usize = 3;

/// Why documents are refused, and what is likely to be regretted, for what
/// can be said only by who knows certificates and keys.
pub(crate) fn look_at(documents: &[Document], now: UnixMillis) -> (Vec<PlanProblem>, Vec<String>) {
    let (mut problems, mut doubts) = (Vec::new(), Vec::new());
    for document in documents {
        let Some(tls) = tls_of(document) else {
            continue;
        };
        let key = document.manifest.key();
        let found = review(tls, now);
        for (path, doubt) in found.doubts {
            doubts.push(format!("{}: {path}: {doubt}", spoken(&key)));
        }
        problems.extend(
            found
                .problems
                .into_iter()
                .map(|(path, problem)| PlanProblem {
                    kind: ProblemKind::Invalid,
                    key: key.clone(),
                    reason: format!("{path}: {problem}"),
                }),
        );
    }
    (problems, doubts)
}

/// What `describe` shows of an endpoint's `tls`.
pub(crate) fn rows(document: &Document, now: UnixMillis) -> Vec<(&'static str, String)> {
    let Some(tls) = tls_of(document) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    if tls.min_version == TlsVersion::V1_3 {
        rows.push(("TLS", "1.3 or newer".to_owned()));
    }
    if let Some(ca) = &tls.ca {
        let certificates = Certificate::read_all(ca.as_bytes());
        rows.push(("Trusts", listed(&certificates, now)));
    }
    if let Some(client) = &tls.client {
        let shown = match &client.certificate {
            // The first of a chain is the one, the others vouch for it.
            Some(pem) => listed(&Certificate::read_all(pem.as_bytes())[..1], now),
            None => "stands with its key".to_owned(),
        };
        rows.push(("Client cert", shown));
    }
    rows
}

fn tls_of(document: &Document) -> Option<&Tls> {
    match &document.manifest {
        Manifest::Endpoint(endpoint) => endpoint.spec.tls.as_deref(),
        Manifest::Source(_) | Manifest::Subscription(_) => None,
    }
}

fn listed(certificates: &[Option<Certificate>], now: UnixMillis) -> String {
    let shown = certificates.iter().take(SHOWN_MAX).map(|one| match one {
        None => "unreadable".to_owned(),
        Some(one) if one.not_after < now => format!("{one}, expired at {}", one.not_after),
        Some(one) => format!("{one}, valid until {}", one.not_after),
    });
    let mut text = shown.collect::<Vec<_>>().join("; ");
    let more = certificates.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
