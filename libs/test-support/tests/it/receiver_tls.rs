//! TLS receivers: a client that trusts their authority gets through, in the
//! protocol that ALPN chose.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hooklane_test_support::{Answer, Fault, Receiver, Script};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn trust(receiver: &Receiver, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = receiver.ca_pem().unwrap();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

/// Without ALPN, HTTP/1.1; a client that trusts another authority fails.
#[test]
fn http1_over_tls() {
    let receiver = Receiver::start_tls().unwrap();
    assert!(receiver.url("/x").starts_with("https://127.0.0.1:"));
    let session = ClientConnection::new(trust(&receiver, &[]), name()).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(receiver.addr()).unwrap());
    stream
        .write_all(b"GET /x HTTP/1.1\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok();
    assert!(
        text.starts_with(b"HTTP/1.1 200 OK"),
        "{}",
        String::from_utf8_lossy(&text)
    );
    assert_eq!(receiver.requests()[0].version, http::Version::HTTP_11);

    let other = Receiver::start_tls().unwrap();
    let session = ClientConnection::new(trust(&other, &[]), name()).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(receiver.addr()).unwrap());
    let error = stream.write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap_err();
    assert!(
        error.to_string().contains("UnknownIssuer") || error.to_string().contains("BadSignature"),
        "{error}"
    );
}

/// Over HTTP/2 scripts hold as well, and a fault resets its stream only.
#[test]
fn http2_by_alpn() {
    let receiver = Receiver::start_tls().unwrap();
    receiver.script(
        "/busy",
        Script::always(Answer::status(503).header("retry-after", "3").body("no")),
    );
    receiver.script(
        "/gone",
        Script::always(Answer::fault(Fault::ResetAfterReading)),
    );
    let drip = Fault::DripBody(Duration::from_millis(5));
    receiver.script("/drip", Script::always(Answer::fault(drip).body("four")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(trust(&receiver, &[b"h2"]));
        let socket = tokio::net::TcpStream::connect(receiver.addr())
            .await
            .unwrap();
        let socket = connector.connect(name(), socket).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = |path: &str| {
            let body = Full::new(Bytes::from_static(b"hello"));
            http::Request::post(receiver.url(path))
                .header("webhook-id", "7")
                .body(body)
                .unwrap()
        };
        let busy = client.send_request(request("/busy")).await.unwrap();
        assert_eq!(
            (busy.status().as_u16(), &busy.headers()["retry-after"]),
            (503, &"3".parse().unwrap())
        );
        assert_eq!(busy.into_body().collect().await.unwrap().to_bytes(), "no");
        client.send_request(request("/gone")).await.unwrap_err();
        let drip = client.send_request(request("/drip?a")).await.unwrap();
        assert_eq!(drip.into_body().collect().await.unwrap().to_bytes(), "four");
    });
    let all = receiver.requests();
    assert_eq!(
        all.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(),
        ["/busy", "/gone", "/drip?a"]
    );
    assert_eq!(
        all.iter().map(|r| r.status).collect::<Vec<_>>(),
        [Some(503), None, Some(200)]
    );
    assert_eq!(
        (all[0].version, all[0].body.as_slice()),
        (http::Version::HTTP_2, &b"hello"[..])
    );
    assert_eq!((receiver.connections(), receiver.count_id("7")), (1, 3));
}
