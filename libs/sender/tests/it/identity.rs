//! `tls` of an endpoint: who it says it is, whom it believes, what it speaks.
//! Each for itself, whatever its neighbours at the same server do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_sender::{
    AttemptReport, Destination, Protocol, Recipient, Sender, SenderConfig, TlsDefaults,
};
use hooklane_test_support::{Authority, Identity};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion, version};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::proxy;
use crate::support::{Receiver, loopback, open_config, post, reason, request, run, status};
use crate::tls::NAME;

const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";
const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// A `tls` that trusts this authority.
fn trusting(ca: &Authority) -> Value {
    json!({"ca": ca.pem()})
}

/// A `tls` with this identity that trusts `ca`.
fn as_client(identity: &Identity, ca: &Authority) -> Value {
    json!({"ca": ca.pem(), "clientCertificate": {
        "certificate": identity.pem(),
        "key": {"value": identity.key_pem()},
    }})
}

/// A request as a server saw it: the path, and the certificate.
type Seen = (String, Option<CertificateDer<'static>>);

#[derive(Clone, Default)]
struct Log {
    requests: Arc<Mutex<Vec<Seen>>>,
    /// Of each handshake that succeeded, as far as the server knows.
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

impl Log {
    /// Who asked for `path`, by request.
    fn who(&self, path: &str) -> Vec<Option<CertificateDer<'static>>> {
        let requests = self.requests.lock().unwrap();
        let those = requests.iter().filter(|(seen, _)| seen == path);
        those.map(|(_, who)| who.clone()).collect()
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// What a server is and wants.
struct Wants<'a> {
    /// Whom clients have to come from; `None` lets everybody in.
    clients: Option<&'a Authority>,
    versions: &'a [&'static SupportedProtocolVersion],
    alpn: &'static [u8],
}

/// A server with this certificate; answers 200, over HTTP/1.1 once a connection.
async fn server(identity: &Identity, wants: &Wants<'_>, log: &Log) -> Receiver {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(wants.versions)
        .unwrap();
    let config = match wants.clients {
        None => config.with_no_client_auth(),
        Some(clients) => config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(clients.roots().unwrap(), provider)
                .build()
                .unwrap(),
        ),
    };
    let mut config = config
        .with_single_cert(vec![identity.der().clone()], identity.key().unwrap())
        .unwrap();
    config.alpn_protocols = vec![wants.alpn.to_vec()];
    let (acceptor, log) = (TlsAcceptor::from(Arc::new(config)), log.clone());
    Receiver::start(move |stream, _| {
        let (acceptor, log) = (acceptor.clone(), log.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let session = stream.get_ref().1;
            let http2 = session.alpn_protocol() == Some(H2);
            let who = session.peer_certificates().map(|chain| chain[0].clone());
            let handshake = session.handshake_kind().unwrap();
            log.handshakes.lock().unwrap().push(handshake);
            let service = service_fn(move |request| answer(log.clone(), who.clone(), request));
            let stream = TokioIo::new(stream);
            // The sender hanging up is how most tests end.
            if http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(stream, service).await.ok();
            } else {
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.keep_alive(false);
                builder.serve_connection(stream, service).await.ok();
            }
        }
    })
    .await
}

async fn answer(
    log: Log,
    who: Option<CertificateDer<'static>>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await.ok();
    log.requests.lock().unwrap().push((path, who));
    Ok(http::Response::new(Full::new(Bytes::new())))
}

/// A sender whose endpoints trust `default` unless they say otherwise.
fn sender_trusting(config: SenderConfig, default: &Authority) -> Sender {
    let ca = CertificateDer::from_pem_slice(default.pem().as_bytes()).unwrap();
    Sender::new(config, TlsDefaults::load(&[ca]).unwrap(), loopback())
}

/// A server of `ca` that lets in whom `ca` vouches for, what it sees, and a
/// sender whose endpoints trust it.
async fn demanding(
    ca: &Authority,
    version: &'static SupportedProtocolVersion,
    alpn: &'static [u8],
) -> (Receiver, Log, Sender) {
    let log = Log::default();
    let wants = Wants {
        clients: Some(ca),
        versions: &[version],
        alpn,
    };
    let server = server(&ca.vouch_for(NAME).unwrap(), &wants, &log).await;
    (server, log, sender_trusting(open_config(), ca))
}

/// Where requests of an endpoint with this `tls` go: as `apply` reads it.
fn endpoint(sender: &Sender, address: SocketAddr, path: &str, tls: &Value) -> Rc<Destination> {
    let url = format!("https://{NAME}:{}{path}", address.port());
    endpoint_at(sender, &url, tls)
}

fn endpoint_at(sender: &Sender, url: &str, tls: &Value) -> Rc<Destination> {
    let manifest = json!({
        "apiVersion": "hooklane/v1",
        "kind": "Endpoint",
        "metadata": {"tenant": "acme", "name": "erp"},
        "spec": {
            "url": url,
            "signing": {"scheme": "none"},
            "tls": tls,
        },
    });
    let document = parse_yaml(&manifest.to_string()).unwrap().remove(0);
    let Manifest::Endpoint(endpoint) = document.manifest else {
        panic!("an endpoint");
    };
    let clear = |secret: &SecretRef| -> Secret { secret.inline().unwrap().clone() };
    let secrets = endpoint.spec.secrets();
    let secrets: Vec<Secret> = secrets
        .into_iter()
        .map(|(_, secret)| clear(secret))
        .collect();
    let recipient = Recipient::try_new(sender, &endpoint.spec, &secrets).unwrap();
    Rc::clone(recipient.destination())
}

/// Goal: a receiver that demands a certificate lets the right one in, and
/// refusals of none and of a stranger's are called what they are, also in TLS
/// 1.3, where they come when the request is written; and are not tried again.
#[test]
fn a_certificate_that_is_demanded_is_shown_and_a_refusal_has_its_name() {
    run(async {
        let (ca, strangers) = (
            Authority::new("ours").unwrap(),
            Authority::new("strangers").unwrap(),
        );
        let right = ca.vouch_for("hooklane").unwrap();
        let wrong = strangers.vouch_for("hooklane").unwrap();
        let large = vec![b'x'; 4 << 20];
        for version in [&version::TLS12, &version::TLS13] {
            for alpn in [H1, H2] {
                let (server, log, sender) = demanding(&ca, version, alpn).await;
                let mut connections = 0;
                for tls in [trusting(&ca), json!(null), as_client(&wrong, &ca)] {
                    let refused = endpoint(&sender, server.address, "/in", &tls);
                    for body in [&b"{}"[..], &large] {
                        let mut request = request(&refused, b"");
                        request.body = Bytes::copy_from_slice(body);
                        let report = sender.attempt(&refused, request, || true).await;
                        assert_eq!(reason(&report), "tls_client_certificate", "{version:?}");
                        assert!(!report.reused && !report.replaced_stale);
                        connections += 1;
                        assert_eq!(server.accepted(), connections, "one attempt, one try");
                    }
                }
                assert_eq!(log.requests(), 0);
                let let_in = endpoint(&sender, server.address, "/in", &as_client(&right, &ca));
                let report = post(&sender, &let_in).await;
                assert_eq!(status(&report), 200, "{version:?}");
                assert_eq!(report.protocol == Some(Protocol::Http2), alpn == H2);
                assert_eq!(log.who("/in"), [Some(right.der().clone())]);
            }
        }
    });
}

/// Goal: requests of two endpoints at one server each come with their own
/// certificate, at once and one after the other, and those of a third with none.
#[test]
fn identities_never_mix_at_one_server() {
    run(async {
        let ca = Authority::new("ours").unwrap();
        let leaves = ["one", "two"].map(|name| ca.vouch_for(name).unwrap());
        for alpn in [H1, H2] {
            for version in [&version::TLS12, &version::TLS13] {
                let (server, log, sender) = demanding(&ca, version, alpn).await;
                let tls = [as_client(&leaves[0], &ca), as_client(&leaves[1], &ca)];
                let [one, two] = [("/one", &tls[0]), ("/two", &tls[1])]
                    .map(|(path, tls)| endpoint(&sender, server.address, path, tls));
                for _ in 0..5 {
                    let posts = [&one, &two, &one, &two].map(|to| post(&sender, to));
                    let [a, b, c, d] = posts;
                    let reports = tokio::join!(a, b, c, d);
                    let (a, b, c, d) = &reports;
                    assert_eq!([a, b, c, d].map(status), [200; 4]);
                }
                assert_eq!(log.who("/one"), vec![Some(leaves[0].der().clone()); 10]);
                assert_eq!(log.who("/two"), vec![Some(leaves[1].der().clone()); 10]);
                if alpn == H2 {
                    assert_eq!(server.accepted(), 2, "a connection each, not shared");
                }
                let nobody = endpoint(&sender, server.address, "/nobody", &json!(null));
                let report = post(&sender, &nobody).await;
                assert_eq!(reason(&report), "tls_client_certificate");
            }
        }
    });
}

/// Goal: a session is resumed by the endpoint that it was made for and by no
/// other, so that no server takes one for the other.
/// Method: a server that closes after each answer and says how each handshake
/// went; three endpoints by turns.
#[test]
fn sessions_are_resumed_by_their_own_endpoint_alone() {
    run(async {
        let ca = Authority::new("ours").unwrap();
        let leaves = ["one", "two"].map(|name| ca.vouch_for(name).unwrap());
        for version in [&version::TLS12, &version::TLS13] {
            let (server, log, sender) = demanding(&ca, version, H1).await;
            let tls = [as_client(&leaves[0], &ca), as_client(&leaves[1], &ca)];
            let [one, two, changed] = [("/one", &tls[0]), ("/two", &tls[1]), ("/three", &tls[1])]
                .map(|(path, tls)| endpoint(&sender, server.address, path, tls));
            for to in [&one, &two, &one, &two, &changed] {
                assert_eq!(status(&post(&sender, to).await), 200);
            }
            let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
            // The last: as another spec of the second one, which starts anew.
            assert_eq!(
                *log.handshakes.lock().unwrap(),
                [full, full, resumed, resumed, full],
                "{version:?}"
            );
            assert_eq!(log.who("/one"), vec![Some(leaves[0].der().clone()); 2]);
            assert_eq!(log.who("/two"), vec![Some(leaves[1].der().clone()); 2]);
        }
    });
}

/// Goal: an authority of an endpoint vouches for its receiver, for nobody
/// else's, and no other vouches for that one.
#[test]
fn an_authority_is_trusted_for_its_endpoint_and_instead_of_others() {
    run(async {
        let (public, private) = (
            Authority::new("public").unwrap(),
            Authority::new("private").unwrap(),
        );
        let log = Log::default();
        let wants = Wants {
            clients: None,
            versions: &BOTH,
            alpn: H2,
        };
        let inside = server(&private.vouch_for(NAME).unwrap(), &wants, &log).await;
        let outside = server(&public.vouch_for(NAME).unwrap(), &wants, &log).await;
        let sender = sender_trusting(open_config(), &public);
        let named = endpoint(&sender, inside.address, "/", &trusting(&private));
        assert_eq!(status(&post(&sender, &named).await), 200);
        // The same server for an endpoint that did not name it: while the other's
        // connection is there, and its session.
        let neighbour = endpoint(&sender, inside.address, "/", &json!(null));
        let refused = |report: &AttemptReport| (reason(report), report.started);
        assert_eq!(refused(&post(&sender, &neighbour).await), ("tls", false));
        let least = json!({"minVersion": "1.3"});
        let neighbour = endpoint(&sender, inside.address, "/", &least);
        assert_eq!(refused(&post(&sender, &neighbour).await), ("tls", false));
        // What all trust is not trusted by who names another authority.
        let strict = endpoint(&sender, outside.address, "/", &trusting(&private));
        assert_eq!(refused(&post(&sender, &strict).await), ("tls", false));
        for tls in [json!(null), least] {
            let default = endpoint(&sender, outside.address, "/", &tls);
            assert_eq!(status(&post(&sender, &default).await), 200);
        }
        // Several may be named.
        let both = format!("{}{}", private.pem(), public.pem());
        for server in [&inside, &outside] {
            let either = endpoint(&sender, server.address, "/", &json!({"ca": both}));
            assert_eq!(status(&post(&sender, &either).await), 200);
        }
    });
}

#[test]
fn a_server_below_the_least_version_is_incompatible_for_who_asks_for_it() {
    run(async {
        let ca = Authority::new("ours").unwrap();
        let wants = Wants {
            clients: None,
            versions: &[&version::TLS12],
            alpn: H2,
        };
        let server = server(&ca.vouch_for(NAME).unwrap(), &wants, &Log::default()).await;
        let sender = sender_trusting(open_config(), &ca);
        let strict = json!({"minVersion": "1.3"});
        let strict = endpoint(&sender, server.address, "/", &strict);
        let report = post(&sender, &strict).await;
        assert_eq!(reason(&report), "tls_incompatible");
        assert!(!report.started);
        let lax = endpoint(&sender, server.address, "/", &json!({"minVersion": "1.2"}));
        assert_eq!(status(&post(&sender, &lax).await), 200);
    });
}

/// Goal: through an egress proxy the endpoint's TLS is spoken with the
/// receiver, the same as without.
#[test]
fn an_identity_goes_through_an_egress_proxy() {
    run(async {
        let ca = Authority::new("ours").unwrap();
        let other = Authority::new("other").unwrap();
        let leaf = ca.vouch_for("hooklane").unwrap();
        let log = Log::default();
        let wants = Wants {
            clients: Some(&ca),
            versions: &BOTH,
            alpn: H2,
        };
        let server = server(&ca.vouch_for(NAME).unwrap(), &wants, &log).await;
        let asked = proxy::Heads::default();
        let proxy = proxy::proxy(&asked).await;
        let sender = sender_trusting(proxy::through(&proxy), &other);
        let through = endpoint(&sender, server.address, "/in", &as_client(&leaf, &ca));
        assert_eq!(status(&post(&sender, &through).await), 200);
        assert_eq!(log.who("/in"), [Some(leaf.der().clone())]);
        let nobody = endpoint(&sender, server.address, "/in", &trusting(&ca));
        let report = post(&sender, &nobody).await;
        assert_eq!(reason(&report), "tls_client_certificate");
        assert_eq!(asked.lock().unwrap().len(), 2);
    });
}

/// Goal: a refusal has its name whenever it comes: before the request is
/// written, meanwhile, and after.
/// Method: a server on a thread of its own, which mostly has hung up before
/// anything is written; many times, with small bodies and with large ones.
#[test]
fn a_refusal_has_its_name_whenever_it_comes() {
    run(async {
        let ca = Authority::new("ours").unwrap();
        let large = vec![b'x'; 1 << 20];
        let sender = sender_trusting(open_config(), &ca);
        for alpn in [H1, H2] {
            let server = hooklane_test_support::Receiver::start_mutual_tls(&[alpn], &ca).unwrap();
            let trust = json!({"ca": server.ca_pem()});
            for n in 1..=100 {
                let refused = endpoint_at(&sender, &server.url("/in"), &trust);
                let mut request = request(&refused, b"");
                request.body = Bytes::copy_from_slice(if n % 2 == 0 { b"{}" } else { &large });
                let report = sender.attempt(&refused, request, || true).await;
                assert_eq!(reason(&report), "tls_client_certificate", "{report:?}");
                assert_eq!(server.connections(), n, "one attempt, one try");
            }
        }
    });
}
